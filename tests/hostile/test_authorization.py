"""
Who is allowed no longer ends within a second, with the reason in the record:
users who are removed, rules and schedules that end, sessions caught in the
middle of what they were doing.
"""

from __future__ import annotations

import hashlib
import os
import socket
import threading
import time
from base64 import b64encode
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from tests.hostile.reloading import changed, ends, lives
from tests.live.clients import (
    GREETING,
    Server,
    exactly,
    four,
    opened,
    replied5,
    request5,
    tunnel,
    verdict5,
)
from tests.live.datagrams import Association, Echo, associate, replied
from tests.live.names import A, NameServer, a, answer
from tests.live.running import ALL, HEAD, Running, socksgw
from tests.tools.waiting import until
from tests.tools.zones import zone

#: RFC 1929: alice and bob, whose passwords are "x".
LOGINS = {user: bytes((1, len(user))) + user + b"\x01x" for user in (b"alice", b"bob")}
#: One second, and what a machine under load may be late.
PROMPT = 15.0


def loggedIn(
    port: int, user: bytes, destination: int, command: int = 1
) -> socket.socket:
    """A client that has logged in, and made its request."""
    client = socket.create_connection(("127.0.0.1", port), 10)
    client.sendall(b"\x05\x01\x02" + LOGINS[user])
    assert exactly(client, 4) == b"\x05\x02\x01\x00"
    client.sendall(request5(four("127.0.0.1"), destination, command))
    return client


def revoked(running: Running, event: str = "end") -> list[str]:
    """Why the sessions that were cut were cut."""
    lines = [x for x in running.journal(event) if x["reason"] == "revoked"]
    return [line["why"] for line in lines]


@pytest.fixture
def users(tmp_path: Path) -> Path:
    """The first gateway's file of users."""
    directory = tmp_path / "gateway0"
    directory.mkdir()
    for user in LOGINS:
        made = socksgw("passwd", "users", user.decode(), cwd=directory, stdin="x\n")
        assert made.returncode == 0, made.stderr
    return directory / "users"


WITH_LOGIN = HEAD.replace('["none"]', '["userpass"]').replace(
    "[[auth.choose]]", '[auth]\ncheckers = ["passwd:users"]\n[[auth.choose]]', 1
)


def remove(users: Path, user: str) -> None:
    """A user is there no longer."""
    lines = users.read_text().splitlines(keepends=True)
    users.write_text("".join(x for x in lines if not x.startswith(f"{user}:")))


def test_aUserWhoIsRemoved(gateway: Callable[..., Running], users: Path) -> None:
    """
    A removed user's session and association end, another's go on; who has
    logged in, and made no request yet, gets nothing.
    """
    running = gateway(WITH_LOGIN + ALL)
    with Server() as server, Echo() as echo:
        clients, controls, idle = {}, {}, {}
        for user in LOGINS:
            clients[user] = loggedIn(running.port, user, server.port)
            assert replied5(clients[user]) == 0
            controls[user] = loggedIn(running.port, user, 0, command=3)
            reply = exactly(controls[user], 10)
            assert reply[1] == 0
            relay = ("127.0.0.1", int.from_bytes(reply[8:], "big"))
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
                out.settimeout(10)
                place = b"\0\0\0" + four("127.0.0.1") + echo.place[1].to_bytes(2, "big")
                out.sendto(place + b"hello", relay)
                assert out.recv(100).endswith(b"hello")
            idle[user] = socket.create_connection(("127.0.0.1", running.port), 10)
            idle[user].sendall(b"\x05\x01\x02" + LOGINS[user])
            assert exactly(idle[user], 4) == b"\x05\x02\x01\x00"
        remove(users, "alice")
        began = time.monotonic()
        assert ends(clients[b"alice"], PROMPT)
        assert ends(controls[b"alice"], PROMPT)
        assert time.monotonic() - began < PROMPT
        assert lives(clients[b"bob"])
        assert not ends(controls[b"bob"], 0.1)
        for user, code in ((b"alice", 2), (b"bob", 0)):
            idle[user].sendall(request5(four("127.0.0.1"), server.port))
            assert replied5(idle[user]) == code
        for client in (*clients.values(), *controls.values(), *idle.values()):
            client.close()
    until(lambda: len(running.journal("flow-end")) == 2)
    assert revoked(running) == ["the user no longer exists"] * 2
    refused = running.journal("refused")
    assert [(x["user"], x["why"]) for x in refused] == [
        ("alice", "the user no longer exists")
    ]


def test_nobodyLogsInAnew(gateway: Callable[..., Running], tmp_path: Path) -> None:
    """
    A reload makes nobody's password to be verified again: more users at once
    than wait for that are let in.
    """
    directory = tmp_path / "gateway0"
    directory.mkdir()
    digest = hashlib.scrypt(b"x", salt=bytes(16), n=1 << 12, r=8, p=1, dklen=32)
    salt, hashed = (b64encode(x).decode().rstrip("=") for x in (bytes(16), digest))
    names = [f"user{i}" for i in range(100)]
    with open(directory / "users", "x", opener=partial(os.open, mode=0o600)) as file:
        for name in names:
            print(f"{name}:$scrypt$ln=12,r=8,p=1${salt}${hashed}", file=file)
    running = gateway(WITH_LOGIN + ALL)

    def login(name: str) -> socket.socket:
        client = socket.create_connection(("127.0.0.1", running.port), 10)
        octets = bytes((1, len(name))) + name.encode() + b"\x01x"
        client.sendall(b"\x05\x01\x02" + octets)
        return client

    for name in names:
        with closing(login(name)) as client:
            assert exactly(client, 4) == b"\x05\x02\x01\x00"
    assert changed(running, WITH_LOGIN + ALL + "# more\n")["event"] == "reloaded"
    clients = [login(name) for name in names]
    for client in clients:
        with closing(client):
            assert exactly(client, 4) == b"\x05\x02\x01\x00"
    assert running.journal("login-failed") == []


def test_whatEndsByTheClock(
    gateway: Callable[..., Running], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A rule that ends, and a schedule's end (of a night, across midnight), take
    their sessions, flows and waiting BINDs with them; the others stay, and all
    do where only new ones count.
    """
    monkeypatch.setenv("PYTHONTZPATH", str(tmp_path / "zones"))
    # They serve before the clock begins to count.
    running, other = gateway(HEAD + ALL), gateway(HEAD + ALL)
    soon = 5
    end = datetime.now(UTC) + timedelta(seconds=soon)
    zone(tmp_path / "zones", f"05:59:{60 - soon}")
    rules = """
[schedules]
night = {{ hours = "22:00-06:00", zone = "Test/Now" }}
[[rule]]
id = "while"
allow = ["connect", "udp", "bind"]
ticket = "CHG-9"
until = {}
ports = [{}]
[[rule]]
id = "at night"
allow = ["connect"]
during = ["night"]
ports = [{}]
[[rule]]
id = "rest"
allow = ["connect", "udp"]
ports = [{}]
"""
    with (
        Server() as cut, Server() as dark, Server() as kept,
        Echo() as cutting, Echo() as keeping,
    ):  # fmt: skip
        text = HEAD + rules.format(
            end.isoformat(timespec="milliseconds"),
            f"{cut.port}, {cutting.place[1]}",
            dark.port,
            f"{kept.port}, {keeping.place[1]}",
        )
        lax = '[gateway]\nenforce = "new-only"\n'
        for each, file in ((running, text), (other, lax + text)):
            assert changed(each, file)["event"] == "reloaded"
        stays = tunnel(running.port, kept.place)
        goes = tunnel(running.port, cut.place)
        sleeps = tunnel(running.port, dark.place)
        waits, (code, _, _) = associate(running.port, four("127.0.0.1"), 0, 2)
        assert code == 0
        spared = [tunnel(other.port, each.place) for each in (cut, dark)]
        with (
            closing(stays), closing(goes), closing(sleeps), closing(waits),
            Association(running.port) as association,
        ):  # fmt: skip
            for echo in (cutting, keeping):
                association.echo(echo, b"one")
            assert datetime.now(UTC) < end, "this machine is too slow for the test"
            assert lives(goes)
            assert ends(goes, 12)
            late = (datetime.now(UTC) - end).total_seconds()
            # The gateway looks once a second.
            assert 0 <= late < PROMPT
            assert ends(sleeps, PROMPT)
            # RFC 1928 section 6: its second reply.
            assert replied(waits)[0] == 2
            assert ends(waits, PROMPT)
            assert lives(stays)
            association.echo(keeping, b"two")
            association.send(*cutting.place, b"too late")
            assert association.silent()
            assert all(map(lives, spared))
            for server in (cut, dark):
                assert verdict5(running.port, four("127.0.0.1"), server.port) == 2
                assert verdict5(other.port, four("127.0.0.1"), server.port) == 2
        for connection in spared:
            connection.close()
    why = 'rule "default": no rule allows it; "{}" matches no longer: {}'
    while_, night = why.format("while", "until"), why.format("at night", "during")
    assert sorted(revoked(running)) == [night, while_, while_]
    assert revoked(other) == []
    flows = [x for x in running.journal("flow-end") if x["reason"] == "revoked"]
    place = f"127.0.0.1:{cutting.place[1]}"
    assert [(x["address"], x["why"]) for x in flows] == [(place, while_)]
    # The ticket is in every record of what its rule allowed, and in no other.
    tickets = {
        (x["event"], x.get("port", x.get("address"))): x.get("ticket")
        for x in running.journal()
        if x["event"] in ("decision", "flow", "flow-end") and x.get("rule") != "default"
    }
    assert tickets["decision", cut.port] == "CHG-9"
    assert tickets["decision", kept.port] is None
    assert tickets["flow", cutting.place[1]] == "CHG-9"
    assert tickets["flow-end", place] == "CHG-9"
    until(lambda: len(running.journal("end")) == 5)
    ended = [x.get("ticket") for x in running.journal("end")]
    assert ended.count("CHG-9") == 3


@pytest.mark.parametrize("word", ["allow", "deny"])
def test_aRequestAfterTheChange(gateway: Callable[..., Running], word: str) -> None:
    """
    Whoever connected, or greeted, before a change is judged by what holds when
    the request is made.
    """
    other = "deny" if word == "allow" else "allow"
    rule = '[[rule]]\nid = "all"\n{} = ["connect"]\n'
    with Server() as server:
        running = gateway(HEAD + rule.format(other))
        request = request5(four("127.0.0.1"), server.port)
        clients = []
        for said in (b"", GREETING[:2], GREETING, GREETING + request[:7]):
            client = opened(running.port)
            client.sendall(said)
            clients.append((client, (GREETING + request)[len(said) :]))
        time.sleep(0.3)
        assert changed(running, HEAD + rule.format(word))["event"] == "reloaded"
        for client, rest in clients:
            with closing(client):
                client.sendall(rest)
                assert exactly(client, 2) == b"\x05\x00"
                assert replied5(client) == (0 if word == "allow" else 2)


def test_aFlowThatIsLookedUp(gateway: Callable[..., Running]) -> None:
    """A flow whose name is looked up while the rules change lives by the new ones."""
    asked, answering = threading.Event(), threading.Event()

    def script(name: str, kind: int, __: int, query: bytes) -> bytes:
        asked.set()
        answering.wait(4)
        return answer(query, *([a("127.0.0.1")] if kind == A else []))

    names = '[[rule]]\nid = "n"\n{} = ["udp"]\nto = ["=slow.example"]\n{}'
    resolving = 'resolving_to = ["loopback"]\n'
    with NameServer(script) as server, Echo() as echo:
        head = f'[resolver]\nservers = ["{server.place}"]\n' + HEAD
        running = gateway(head + names.format("allow", resolving) + ALL)
        with Association(running.port) as association:
            association.send(b"slow.example", echo.place[1], b"hello")
            assert asked.wait(10)
            line = changed(running, head + names.format("deny", "") + ALL)
            assert (line["event"], line["ended"]) == ("reloaded", 0)
            answering.set()
            assert association.silent(1.0)
    assert [x["verdict"] for x in running.journal("flow")] == ["allow"]
    (line,) = running.journal("flow-end")
    assert (line["reason"], line["why"]) == ("revoked", 'rule "n": a rule denies it')
