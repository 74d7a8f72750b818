"""
C{socksgw diff}: recorded traffic, judged by another policy.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from socksgw.console import diff
from socksgw.console.entry import main
from tests.live.running import OPEN, Running, socksgw
from tests.tools.waiting import until


def test_diff(tmp_path: Path, gateway: Callable[..., Running]) -> None:
    """Recorded traffic, judged by another policy."""
    running = gateway(OPEN)
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", running.port)) as client:
            client.sendall(b"\x05\x01\0\x05\x01\0\x01\x7f\0\0\x01\0\x01")
            until(lambda c=client: c.recv(20), 10)
    until(lambda: len(running.journal("decision")) == 3)
    directory = running.directory
    (directory / "new.toml").write_text(OPEN.replace('["connect"]', '["udp"]'))
    same = socksgw("diff", "gw.toml", "gw.toml", cwd=directory)
    assert (same.returncode, same.stdout.split("\n")[-2]) == (
        0,
        "of 3 decisions 0 would change",
    )
    other = socksgw("diff", "gw.toml", "new.toml", cwd=directory)
    assert other.returncode == 1
    assert "3 × anonymous connect 127.0.0.1:1" in other.stdout
    assert "of 3 decisions 3 would change" in other.stdout
    # Who is let in no longer is a change, too, whatever the rules say.
    closed = OPEN.replace('from = ["127.0.0.0/8", "::1"]', 'from = ["10.0.0.0/8"]')
    (directory / "closed.toml").write_text(closed)
    other = socksgw("diff", "gw.toml", "closed.toml", cwd=directory)
    assert other.returncode == 1
    assert 'allow by rule "all" → deny by rule "auth.choose"' in other.stdout


RULES = """
[[listen]]
name = "main"
address = ["127.0.0.1:1080"]
[[listen]]
name = "second"
address = ["127.0.0.1:1081"]
[auth]
checkers = ["passwd:users"]
tag_separator = "+"
[[auth.choose]]
from = ["10.1.0.0/16"]
methods = ["userpass"]
cleartext_passwords = true
[[auth.choose]]
from = ["127.0.0.0/8", "10.0.0.0/8"]
methods = ["none", "userpass"]
cleartext_passwords = true
[groups]
staff = ["alice"]
[schedules]
day = { hours = "08:00-18:00" }
[[rule]]
id = "day"
allow = ["connect"]
to = ["any"]
ports = [22]
during = ["day"]
[[rule]]
id = "staff"
allow = ["connect"]
who = ["@staff"]
to = ["*.corp.example"]
resolving_to = ["any"]
[[rule]]
id = "tagged"
allow = ["connect"]
listener = ["second"]
to = ["any"]
tag = ["blue"]
[[rule]]
id = "web"
allow = ["connect", "udp"]
to = ["8.8.0.0/16"]
ports = [443]
"""
LINE: dict[str, Any] = {
    "v": 1, "n": 1, "time": "2026-11-28T12:00:00.000Z", "event": "decision",
    "session": 1, "listener": "main", "client": "10.1.2.3:4000", "protocol": "socks5",
    "user": "alice", "method": "userpass", "command": "connect",
    "asked": "8.8.8.8", "name": None, "port": 443, "verdict": "allow", "rule": "web",
    "why": "", "addresses": ["8.8.8.8"], "hash": "0" * 64,
}  # fmt: skip
#: What differs from the line above, one fact or two at a time.
OTHERS: list[dict[str, Any]] = [
    {},
    {"time": "2026-11-28T20:00:00.000Z", "port": 22},
    {"port": 22},
    {"client": "10.2.2.3:4000", "user": "anonymous", "method": "none"},
    {"client": "10.1.2.4:4000", "user": "anonymous", "method": "none"},
    {"client": "127.0.0.1:1"},
    {"user": "bob"},
    {"listener": "second", "port": 80},
    {"listener": "second", "port": 80, "tag": "blue"},
    {"asked": "a.corp.example", "name": "a.corp.example", "port": 80},
    {"asked": "a.corp.example", "name": "a.corp.example", "port": 80, "user": "bob"},
    {"addresses": ["10.9.9.9"], "asked": "10.9.9.9"},
    {"command": "udp"},
    {"command": "bind"},
    {"verdict": "deny", "rule": "default", "addresses": [], "asked": "9.9.9.9"},
]


@pytest.mark.parametrize("sources", [False, True])
def test_whatIsRememberedChangesNothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sources: bool
) -> None:
    """
    Lines that differ in one fact, each several times, are judged as without a memory:
    also where rules tell sources apart.
    """
    (tmp_path / "users").write_text("")
    (tmp_path / "users").chmod(0o600)
    (tmp_path / "old.toml").write_text(RULES)
    news = [
        RULES.replace("ports = [443]", "ports = [80]"),
        RULES.replace("08:00-18:00", "19:00-21:00"),
        RULES.replace('"none", "userpass"', '"userpass"'),
        RULES.replace('["alice"]', '["bob"]'),
        RULES.replace('tag = ["blue"]', 'tag = ["red"]'),
    ]
    if sources:
        news = [RULES.replace('id = "web"', 'id = "web"\nfrom = ["10.1.2.3"]')]
    with (tmp_path / "journal.jsonl").open("w") as journal:
        for _ in range(3):
            for other in OTHERS:
                journal.write(json.dumps({**LINE, **other}) + "\n")
    changed = 0
    for new in news:
        (tmp_path / "new.toml").write_text(new)
        said = []
        for remembered in (1 << 16, 0):
            monkeypatch.setattr(diff, "_KNOWN", remembered)
            out = StringIO()
            with redirect_stdout(out):
                status = main(
                    ["diff", "--replay", str(tmp_path / "journal.jsonl"),
                     str(tmp_path / "old.toml"), str(tmp_path / "new.toml")]
                )  # fmt: skip
            said.append((status, out.getvalue()))
        assert said[0] == said[1]
        changed += said[0][0] == 1
    assert changed == len(news)
