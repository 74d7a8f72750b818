"""
Durations, sizes and the other values that the file spells its own way.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from socksgw.config.loading import loads
from tests.tools.examining import problems


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("250ms", 0.25),
        ("10s", 10),
        ("5m", 300),
        ("8h", 28800),
        ("90d", 7776000),
        ("0s", 0),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    """A number and its unit."""
    assert loads(f'timeouts = {{ drain = "{text}" }}', "f").timeouts.drain == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "10",
        "s",
        "-1s",
        "1.5s",
        "1 s",
        "1S",
        "1w",
        "1s ",
        "1s\\n",
        "1_0s",
        "٣s",
        "9" * 400 + "s",
        "9" * 5000 + "s",
    ],
)
def test_whatIsNoDuration(text: str) -> None:
    """Everything else is an error at its place."""
    assert [p for p, _ in problems(f'timeouts = {{ drain = "{text}" }}')] == [
        "timeouts.drain"
    ]


@pytest.mark.parametrize(
    ("text", "octets"),
    [
        ('"256MB"', 256_000_000),
        ('"1kB"', 1000),
        ('"64KiB"', 65536),
        ('"1MiB"', 1048576),
        ('"20GB"', 20_000_000_000),
        ('"1GiB"', 1 << 30),
        ('"2TB"', 2 * 10**12),
        ('"5B"', 5),
        ("4096", 4096),
    ],
)
def test_sizes(text: str, octets: int) -> None:
    """MB is 10^6 octets, MiB is 2^20."""
    assert loads(f"relay = {{ memory = {text} }}", "f").relay.memory == octets


@pytest.mark.parametrize(
    "text", ["", "MB", "1.5MB", "-1MB", "1 MB", "1mb", "1M", "9" * 5000 + "MB"]
)
def test_whatIsNoSize(text: str) -> None:
    """Everything else is an error at its place."""
    assert [p for p, _ in problems(f'relay = {{ memory = "{text}" }}')] == [
        "relay.memory"
    ]


def test_valuesAreWhatTheFileSays() -> None:
    """Nothing is lost or turned around on the way."""
    config = loads(
        """
        [resolver]
        servers = ["9.9.9.9"]
        family = "only4"
        [[rule]]
        id = "r"
        deny = ["connect", "udp"]
        from = ["any"]
        ports = [22, "80-90"]
        [never]
        except = ["127.0.0.1:1"]
        [audit]
        sync = "never"
        """,
        "gw.toml",
        Path("/etc"),
    )
    assert config.resolver.servers == ("9.9.9.9",)
    assert config.resolver.family == "only4"
    (rule,) = config.rule
    assert (rule.allow, rule.deny) == (None, ("connect", "udp"))
    assert (rule.from_, rule.ports) == (("any",), (22, "80-90"))
    assert config.never.except_ == ("127.0.0.1:1",)
    assert config.audit.sync == "never"
    assert (config.file, config.directory) == ("gw.toml", Path("/etc"))
