"""
C{socksgw diff}: recorded traffic, judged by another policy.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
from collections.abc import Callable
from contextlib import closing, redirect_stdout
from hashlib import sha256
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from socksgw.console import judging
from socksgw.console.command import main
from socksgw.records import workers
from tests.live.clients import GREETING, four, opened, request5
from tests.live.datagrams import Association, Echo
from tests.live.groups import RECEIVE, SEND, SOURCES, Member
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


def test_whichPolicyWasInForce(gateway: Callable[..., Running]) -> None:
    """
    Lines between a start, or a reload, and the next are by the file that it names, and
    each decision names its own, also that of a flow.
    """
    running = gateway(OPEN)
    with closing(opened(running.port)) as client:
        client.sendall(GREETING + request5(four("127.0.0.1"), 1, 1))
        while client.recv(100):
            pass
    file = running.directory / "gw.toml"
    digests = [sha256(file.read_bytes()).hexdigest()]
    file.write_text(OPEN.replace('["connect"]', '["udp"]'))
    digests.append(sha256(file.read_bytes()).hexdigest())
    running.process.send_signal(signal.SIGHUP)
    (reloaded,) = until(lambda: running.journal("reloaded"))
    (start,) = running.journal("start")
    assert [start["policy"], reloaded["policy"]] == digests
    with Echo() as echo, Association(running.port) as association:
        association.echo(echo, b"hello")
    decided = [*running.journal("decision"), *running.journal("flow")]
    marks = [digest[:12] for digest in (*digests, digests[1])]
    assert [line["policy"] for line in decided] == marks
    assert digests[0] != digests[1]


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
    {"addresses": ["9.9.9.9", "8.8.8.8"], "asked": "x.example", "name": "x.example"},
    {"addresses": [], "struck": [["8.8.8.8", "x"]], "verdict": "deny"},
    {"addresses": ["10.2.2.2"], "groups": ["staff"]},
    {"addresses": ["127.0.0.1"]},
    {"addresses": ["::ffff:8.8.8.8"], "asked": "::ffff:8.8.8.8"},
    {"addresses": ["08.8.8.8"], "asked": "08.8.8.8"},
    {"event": "flow", "command": "udp"},
    {"command": "resolve", "port": 0, "asked": "a.b", "name": "a.b"},
    {"client": "nowhere:1"},
    {"user": 'al"ice'},
    {"why": 'a "rule"', "port": 80, "listener": "second", "tag": "blue"},
]


#: Ways to come to the same: from memory, without, slowly, and in two processes.
WAYS: list[list[tuple[Any, str, Any]]] = [
    [],
    [(judging, "_KNOWN", 0)],
    [(judging, "_DECISION", re.compile(b"(?!)"))],
    [
        (workers, "_PART", 2_000),
        (workers, "_FEW", 0),
        (workers, "_start", lambda: "fork"),
        (os, "sched_getaffinity", lambda _: {0, 1}),
    ],
]


def _body(fields: dict[str, Any]) -> str:
    return json.dumps(fields, separators=(",", ":")) + "\n"


def _line(**fields: Any) -> str:
    return _body({**LINE, **fields})


def _said(directory: Path) -> tuple[int, str]:
    """What the command says of the journal and the files there."""
    out = StringIO()
    with redirect_stdout(out):
        status = main(
            ["diff", "--replay", str(directory / "journal.jsonl"),
             str(directory / "old.toml"), str(directory / "new.toml")]
        )  # fmt: skip
    return status, out.getvalue()


@pytest.mark.parametrize("sources", [False, True])
def test_whatIsRememberedChangesNothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sources: bool
) -> None:
    """
    Lines that differ in one fact, each several times, are judged as without a memory,
    as by those that read each line whole, and as by several processes: also where rules
    tell sources apart.
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
                journal.write(_line(**other))
    changed = 0
    for new in news:
        (tmp_path / "new.toml").write_text(new)
        said = []
        for way in WAYS:
            with monkeypatch.context() as patched:
                for where, name, value in way:
                    patched.setattr(where, name, value)
                said.append(_said(tmp_path))
        assert said == said[:1] * len(WAYS)
        changed += said[0][0] == 1
    assert changed == len(news)


CARRYING = RULES.replace('id = "web"', 'id = "web"\napplication = ["tls"]')


def test_whatSessionsCarried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A session is one of its run of the gateway, wherever the parts end in which the
    journal is read; of others it is said what their verdict depends on.
    """
    (tmp_path / "users").write_text("")
    (tmp_path / "users").chmod(0o600)
    (tmp_path / "old.toml").write_text(RULES)
    (tmp_path / "new.toml").write_text(CARRYING)
    begin = {"v": 1, "n": 1, "time": LINE["time"], "event": "start", "gateway": "x"}
    end = {
        "v": 1, "n": 1, "time": LINE["time"], "event": "end", "session": 1,
        "address": "8.8.8.8", "bound": None, "sent": 0, "received": 0, "seconds": 1,
        "reason": "closed", "reply": 0,
    }  # fmt: skip
    lines = []
    for application in ("tls", "ssh", "http", "tls"):
        lines.append(_body({**begin, "pid": 4}))
        lines += [_line(), _line(session=2, command="bind")] * 10
        lines.append(_body({**end, "application": application}))
    (tmp_path / "journal.jsonl").write_text("".join(lines))
    said = []
    for way in (WAYS[0], WAYS[2], WAYS[3]):
        with monkeypatch.context() as patched:
            for where, name, value in way:
                patched.setattr(where, name, value)
            said.append(_said(tmp_path))
    assert said == said[:1] * 3
    status, text = said[0]
    assert status == 1
    assert text.splitlines()[-1] == "of 80 decisions 20 would change"
    assert "20 × alice connect 8.8.8.8:443: allow by rule" in text


def test_whatIsNoJournal(tmp_path: Path) -> None:
    """The line is named."""
    (tmp_path / "users").write_text("")
    (tmp_path / "users").chmod(0o600)
    for name in ("old.toml", "new.toml"):
        (tmp_path / name).write_text(RULES)
    (tmp_path / "journal.jsonl").write_text(_line() + 'x"verdict":x\n')
    status, text = _said(tmp_path)
    assert (status, "not a journal: journal.jsonl:2" in text) == (2, True)


GROUPS = """
[[listen]]
name = "lan"
address = ["127.0.0.1:0"]
[listen.multicast]
interface = "lo"
[[auth.choose]]
from = ["127.0.0.1"]
methods = ["none"]
[[rule]]
id = "groups"
allow = ["multicast"]
multicast = { send = true, ttl = 4 }
"""


def test_groups(gateway: Callable[..., Running]) -> None:
    """What was wanted of a group is judged by the TTL, the senders and the direction."""
    running = gateway(GROUPS)
    with Member(running.port) as member:
        for place, flags, more in (
            (1, RECEIVE, {}),
            (2, RECEIVE | SEND, {"ttl": 2}),
            (3, SEND, {"ttl": 5}),
            (4, RECEIVE | SOURCES, {"sources": ("192.0.2.1",)}),
        ):
            member.bind(f"239.1.0.{place}", 5004, flags, **more)
    until(lambda: len(running.journal("flow-end")) == 3)
    directory = running.directory

    def changes(terms: str) -> list[str]:
        wanted = GROUPS.replace("multicast = { send = true, ttl = 4 }", terms)
        (directory / "new.toml").write_text(wanted)
        found = socksgw("diff", "gw.toml", "new.toml", cwd=directory)
        lines = found.stdout.splitlines()[:-1]
        assert found.returncode == bool(lines)
        return [line.partition("multicast ")[2] for line in sorted(lines)]

    allow, deny = ('allow by rule "groups"', 'deny by rule "groups"')
    assert changes("") == [f"239.1.0.2:5004: {allow} → {deny}"]
    other = 'multicast = { send = true, ttl = 5, sources = ["198.51.100.0/24"] }'
    assert changes(other) == [
        f"239.1.0.3:5004: {deny} → {allow}",
        f"239.1.0.4:5004: {allow} → {deny}",
    ]
