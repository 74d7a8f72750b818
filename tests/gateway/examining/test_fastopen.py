"""
C{fast_open}: what goes with it, and whether the kernel does it.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from socksgw.config.loading import loads
from socksgw.gateway.examining.fastopen import examineFastOpen
from socksgw.gateway.examining.problems import Problems

LISTEN = '[[listen]]\nname = "lan"\nfast_open = true\n'
PORT = 'address = ["127.0.0.1:1080"]\n'


def examined(text: str, switch: Path) -> tuple[str, str]:
    """The errors and the warnings of the key."""
    examineFastOpen(loads(LISTEN + text, "gw.toml"), problems := Problems(), switch)
    for finding in [*problems.errors, *problems.warnings]:
        assert finding.path == "listen[0].fast_open"
    errors, warnings = (
        "; ".join(each.text for each in found)
        for found in (problems.errors, problems.warnings)
    )
    return errors, warnings


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (PORT, ""),
        ('address = ["127.0.0.1:1080", "unix:/run/gw.sock"]', ""),
        ('endpoint = "tcp:1080"', "goes with an address"),
        ('address = ["unix:/run/gw.sock"]', "goes with an address"),
        (PORT + 'transparent = "redirect"', "does not go with transparent"),
    ],
)
def test_beside(tmp_path: Path, text: str, why: str) -> None:
    """What is not as it has to be."""
    errors, warnings = examined(text, tmp_path / "nowhere")
    assert why in errors
    assert bool(errors) == bool(why)
    assert not warnings


@pytest.mark.parametrize(
    ("bits", "remedy"), [("1", "set it to 3"), ("0", "set it to 2"), ("3", "")]
)
def test_switch(tmp_path: Path, bits: str, remedy: str) -> None:
    """A host where it is off is told so, with the remedy; another network is not ours."""
    switch = tmp_path / "switch"
    switch.write_text(bits + "\n")
    errors, warnings = examined(PORT, switch)
    assert not errors
    assert remedy in warnings
    assert bool(warnings) == bool(remedy)
    assert examined(PORT + 'netns = "blue"', switch) == ("", "")


@pytest.mark.parametrize(
    ("scheme", "bits", "error", "warning"),
    [
        ("socks6", "1", "", ""),
        ("socks5", "3", "", ""),
        ("https", "1", "", ""),
        ("socks4a+tls", "1", "", ""),
        ("http", "1", "in clear, which answers the request alone", ""),
        ("socks4a", "1", "in clear, which answers the request alone", ""),
        ("socks6", "2", "", "set it to 3"),
        # Another check tells what is wrong with it.
        ("socks7", "1", "", ""),
    ],
)
def test_upstream(
    tmp_path: Path, scheme: str, bits: str, error: str, warning: str
) -> None:
    """Likewise of an upstream, to which connections are made."""
    switch = tmp_path / "switch"
    switch.write_text(bits + "\n")
    table = f'[[upstream]]\nname = "up"\nurl = "{scheme}://gw.example:1"\n'
    config = loads(table + "fast_open = true\n", "gw.toml")
    examineFastOpen(config, problems := Problems(), switch)
    for found, expected in ((problems.errors, error), (problems.warnings, warning)):
        assert [each.path for each in found] == ["upstream[0].fast_open"] * bool(
            expected
        )
        assert expected in "".join(each.text for each in found)
