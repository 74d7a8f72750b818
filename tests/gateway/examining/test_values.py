"""
Values that are odd by themselves.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from socksgw.gateway.examining import values
from socksgw.route.resolvconf import readChoice
from tests.tools.examining import examined

HEAD = """
[[listen]]
name = "main"
address = ["127.0.0.1:1080"]
[[auth.choose]]
methods = ["none"]
from = ["127.0.0.1"]
[groups]
staff = ["alice"]
[services]
web = ["tcp/80", "tcp/443"]
dns = ["udp/53"]
both = ["tcp/53", "udp/53"]
[schedules]
office = { hours = "08:00-18:00" }
"""
RULE = '[[rule]]\nid = "r"\nallow = ["connect"]\n'


@pytest.mark.parametrize(
    ("hosts", "text", "warned"),
    [
        ("files dns", RULE, False),
        ("files dns myhostname", RULE, False),
        ("files mdns4_minimal dns", RULE, True),
        ("files mdns4_minimal dns", f'{RULE}[resolver]\nservers = ["::1"]\n', False),
    ],
)
def test_whatOnlyTheLibraryLooksUp(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    hosts: str,
    text: str,
    warned: bool,
) -> None:
    """It has threads, and so a bound: said, with the remedy."""
    file = tmp_path / "nsswitch.conf"
    file.write_text(f"hosts: {hosts}\n")
    monkeypatch.setattr(values, "readChoice", lambda: readChoice(file))
    found = [
        w
        for w in examined(HEAD + text, checkers=False).warnings
        if w.path == "resolver.servers"
    ]
    assert len(found) == warned
    if warned:
        assert "128 threads" in found[0].text
        assert '"mdns4_minimal"' in found[0].text
