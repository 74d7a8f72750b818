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
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from tests.hostile.reloading import changed, ends, lives
from tests.live.clients import (
    Server,
    connected,
    exactly,
    four,
    opened,
    replied5,
    request5,
    tunnel,
)
from tests.live.datagrams import (
    Association,
    Association6,
    Echo,
    asking,
    associate,
    letIn,
    replied,
)
from tests.live.names import A, NameServer, a, answer
from tests.live.raw import (
    GREETING_LOGIN,
    LET_IN6,
    entered6,
    login,
    login6,
    request6,
)
from tests.live.running import (
    ALL,
    HEAD,
    WORKERS,
    Running,
    processorTime,
    settled,
    socksgw,
)
from tests.tools.waiting import until
from tests.tools.zones import zone

#: Of SOCKS, as clients speak it.
VERSIONS = (5, 6)
#: What opens an association in each.
ASSOCIATIONS = (Association, Association6)
#: A listener for both.
BOTH = HEAD.replace("[[listen]]", '[[listen]]\nprotocols = ["socks5", "socks6"]', 1)
#: Their passwords are "x".
USERS = ("alice", "bob")
#: One second, and what a machine under load may be late.
PROMPT = 15.0


def loggedIn(port: int, user: str) -> socket.socket:
    """A client of SOCKS 5 that has logged in, and made no request."""
    client = opened(port)
    client.sendall(GREETING_LOGIN + login(user.encode(), b"x"))
    assert exactly(client, 4) == b"\x05\x02\x01\x00"
    return client


def begun(port: int, user: str, destination: int) -> tuple[socket.socket, bytes]:
    """
    A client of SOCKS 6 with its connection, and the option with the ID of its session
    (section 8.4 of draft-olteanu-intarea-socks-6-11).
    """
    client = opened(port)
    options = login6(user, "x") + bytes.fromhex("0005 0004")
    client.sendall(request6("127.0.0.1", destination, options=options))
    kind, told = entered6(client)
    assert (kind, told[:8], told[8:12]) == (0, LET_IN6, bytes.fromhex("0006 0014"))
    assert replied(client)[0] == 0
    return client, told[8:]


def verdict(port: int, destination: int, version: int) -> int | None:
    """What a client without a login is replied, who asks for a connection."""
    client, code = connected(port, four("127.0.0.1"), destination, version=version)
    client.close()
    return code


def revoked(running: Running, event: str = "end") -> list[str]:
    """Why the sessions that were cut were cut."""
    lines = [x for x in running.journal(event) if x["reason"] == "revoked"]
    return [line["why"] for line in lines]


@pytest.fixture
def users(tmp_path: Path) -> Path:
    """The first gateway's file of users."""
    directory = tmp_path / "gateway0"
    directory.mkdir()
    for user in USERS:
        made = socksgw("passwd", "users", user, cwd=directory, stdin="x\n")
        assert made.returncode == 0, made.stderr
    return directory / "users"


WITH_LOGIN = BOTH.replace('["none"]', '["userpass"]').replace(
    "[[auth.choose]]", '[auth]\ncheckers = ["passwd:users"]\n[[auth.choose]]', 1
)


def remove(users: Path, user: str) -> None:
    """A user is there no longer."""
    lines = users.read_text().splitlines(keepends=True)
    users.write_text("".join(x for x in lines if not x.startswith(f"{user}:")))


def test_aUserWhoIsRemoved(gateway: Callable[..., Running], users: Path) -> None:
    """
    A removed user's connections and associations end, another's go on; who has logged
    in, and made no request yet, gets nothing, and nor does who has a session of SOCKS 6.
    """
    running = gateway(WITH_LOGIN + ALL)
    streams, controls, idle, sessions = {}, {}, {}, {}
    with ExitStack() as stack:
        server, echo = stack.enter_context(Server()), stack.enter_context(Echo())
        for user in USERS:
            first = loggedIn(running.port, user)
            first.sendall(request5(four("127.0.0.1"), server.port))
            assert replied5(first) == 0
            second, sessions[user] = begun(running.port, user, server.port)
            streams[user] = first, second
            idle[user] = loggedIn(running.port, user)
            for client in (first, second, idle[user]):
                stack.enter_context(closing(client))
            associations = (
                Association(running.port, control=loggedIn(running.port, user)),
                Association6(running.port, login=login6(user, "x")),
            )
            for each in associations:
                stack.enter_context(each).echo(echo, b"hello")
            controls[user] = [each.control for each in associations]
        remove(users, "alice")
        began = time.monotonic()
        for client in (*streams["alice"], *controls["alice"]):
            assert ends(client, PROMPT)
        assert time.monotonic() - began < PROMPT
        assert all(map(lives, streams["bob"]))
        assert not any(ends(client, 0.1) for client in controls["bob"])
        for user, code in (("alice", 2), ("bob", 0)):
            idle[user].sendall(request5(four("127.0.0.1"), server.port))
            assert replied5(idle[user]) == code
        # There is no such session; and there is (section 8.4.2).
        for user, told in (
            ("alice", (1, bytes.fromhex("0009 0004"))),
            ("bob", (0, bytes.fromhex("0008 0004"))),
        ):
            with closing(opened(running.port)) as client:
                further = request6("127.0.0.1", server.port, options=sessions[user])
                client.sendall(further)
                assert entered6(client) == told
    until(lambda: len(running.journal("flow-end")) == 4)
    assert revoked(running) == ["the user no longer exists"] * 4
    refused = running.journal("refused")
    assert [(x["user"], x["why"]) for x in refused] == [
        ("alice", "the user no longer exists")
    ]
    (failed,) = running.journal("login-failed")
    assert failed["reason"] == "no-session"


def test_nobodyLogsInAnew(gateway: Callable[..., Running], tmp_path: Path) -> None:
    """
    A reload makes nobody's password to be verified again, whichever version they
    speak: that would take most of the processor's time of a login.
    """
    directory = tmp_path / "gateway0"
    directory.mkdir()
    digest = hashlib.scrypt(b"x", salt=bytes(16), n=1 << 14, r=8, p=1, dklen=32)
    salt, hashed = (b64encode(x).decode().rstrip("=") for x in (bytes(16), digest))
    names = [f"user{i}" for i in range(30)]
    with open(directory / "users", "x", opener=partial(os.open, mode=0o600)) as file:
        for name in names:
            print(f"{name}:$scrypt$ln=14,r=8,p=1${salt}${hashed}", file=file)
    running = settled(gateway(WITH_LOGIN + ALL))

    def logIn(number: int, client: socket.socket) -> None:
        """By SOCKS 5; or by SOCKS 6, in a request for nothing."""
        if number % 2:
            options = login6(names[number], "x")
            client.sendall(request6("0.0.0.0", 0, 0, options))
        else:
            client.sendall(GREETING_LOGIN + login(names[number].encode(), b"x"))

    def heard(number: int, client: socket.socket) -> None:
        with closing(client):
            if number % 2:
                letIn(client, 6, login=True)
            else:
                assert exactly(client, 4) == b"\x05\x02\x01\x00"

    def everybody() -> float:
        """Let all in at once; return the processor's time that it took."""
        before = processorTime(running)
        clients = [opened(running.port) for _ in names]
        for number, client in enumerate(clients):
            logIn(number, client)
        for number, client in enumerate(clients):
            heard(number, client)
        return processorTime(running) - before

    verified = everybody()
    # Each worker remembers its own logins: nearly all names come to each of them.
    for _ in range(5 * (WORKERS - 1)):
        everybody()
    assert changed(running, WITH_LOGIN + ALL + "# more\n")["event"] == "reloaded"
    assert everybody() < verified / 3
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
    running, other = gateway(BOTH + ALL), gateway(BOTH + ALL)
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
        text = BOTH + rules.format(
            end.isoformat(timespec="milliseconds"),
            f"{cut.port}, {cutting.place[1]}",
            dark.port,
            f"{kept.port}, {keeping.place[1]}",
        )
        lax = '[gateway]\nenforce = "new-only"\n'
        for each, file in ((running, text), (other, lax + text)):
            assert changed(each, file)["event"] == "reloaded"
        with ExitStack() as stack:

            def tunnels(
                through: Running, place: tuple[str, int]
            ) -> list[socket.socket]:
                return [
                    stack.enter_context(
                        closing(tunnel(through.port, place, version=version))
                    )
                    for version in VERSIONS
                ]

            stays = tunnels(running, kept.place)
            goes = tunnels(running, cut.place)
            sleeps = tunnels(running, dark.place)
            spared = tunnels(other, cut.place) + tunnels(other, dark.place)
            waits = []
            for version in VERSIONS:
                control, (code, _, _) = associate(
                    running.port, four("127.0.0.1"), 0, 2, version=version
                )
                waits.append(stack.enter_context(closing(control)))
                assert code == 0
            associations = [
                stack.enter_context(kind(running.port)) for kind in ASSOCIATIONS
            ]
            for association in associations:
                for echo in (cutting, keeping):
                    association.echo(echo, b"one")
            assert datetime.now(UTC) < end, "this machine is too slow for the test"
            assert all(map(lives, goes))
            assert all(ends(each, 12) for each in goes)
            late = (datetime.now(UTC) - end).total_seconds()
            # The gateway looks once a second.
            assert 0 <= late < PROMPT
            assert all(ends(each, PROMPT) for each in sleeps)
            for control in waits:
                # RFC 1928 section 6, and section 7.2 of the draft: its second reply.
                assert replied(control)[0] == 2
                assert ends(control, PROMPT)
            assert all(map(lives, stays))
            for association in associations:
                association.echo(keeping, b"two")
                association.send(*cutting.place, b"too late")
            assert all(association.silent() for association in associations)
            assert all(map(lives, spared))
            for server in (cut, dark):
                for version in VERSIONS:
                    assert verdict(running.port, server.port, version) == 2
                    assert verdict(other.port, server.port, version) == 2
    why = 'rule "default": no rule allows it; "{}" matches no longer: {}'
    while_, night = why.format("while", "until"), why.format("at night", "during")
    assert sorted(revoked(running)) == [night] * 2 + [while_] * 4
    assert revoked(other) == []
    flows = [x for x in running.journal("flow-end") if x["reason"] == "revoked"]
    place = f"127.0.0.1:{cutting.place[1]}"
    assert [(x["address"], x["why"]) for x in flows] == [(place, while_)] * 2
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
    until(lambda: len(running.journal("end")) == 10)
    ended = [x.get("ticket") for x in running.journal("end")]
    assert ended.count("CHG-9") == 6


@pytest.mark.parametrize("word", ["allow", "deny"])
def test_aRequestAfterTheChange(gateway: Callable[..., Running], word: str) -> None:
    """
    Whoever connected, or greeted, before a change is judged by what holds when
    the request is made.
    """
    other = "deny" if word == "allow" else "allow"
    rule = '[[rule]]\nid = "all"\n{} = ["connect"]\n'
    with Server() as server:
        running = gateway(BOTH + rule.format(other))
        clients = []
        for version in VERSIONS:
            octets = asking(version, four("127.0.0.1"), server.port, 1)
            for said in (0, 2, 3, 10):
                client = opened(running.port)
                client.sendall(octets[:said])
                clients.append((client, version, octets[said:]))
        time.sleep(0.3)
        assert changed(running, BOTH + rule.format(word))["event"] == "reloaded"
        for client, version, rest in clients:
            with closing(client):
                client.sendall(rest)
                letIn(client, version)
                assert replied(client)[0] == (0 if word == "allow" else 2)


@pytest.mark.parametrize("kind", ASSOCIATIONS)
def test_aFlowThatIsLookedUp(
    gateway: Callable[..., Running], kind: type[Association]
) -> None:
    """A flow whose name is looked up while the rules change lives by the new ones."""
    asked, answering = threading.Event(), threading.Event()

    def script(name: str, kind: int, __: int, query: bytes) -> bytes:
        asked.set()
        answering.wait(4)
        return answer(query, *([a("127.0.0.1")] if kind == A else []))

    names = '[[rule]]\nid = "n"\n{} = ["udp"]\nto = ["=slow.example"]\n{}'
    resolving = 'resolving_to = ["loopback"]\n'
    with NameServer(script) as server, Echo() as echo:
        head = f'[resolver]\nservers = ["{server.place}"]\n' + BOTH
        running = gateway(head + names.format("allow", resolving) + ALL)
        with kind(running.port) as association:
            association.send(b"slow.example", echo.place[1], b"hello")
            assert asked.wait(10)
            line = changed(running, head + names.format("deny", "") + ALL)
            assert (line["event"], line["ended"]) == ("reloaded", 0)
            answering.set()
            if isinstance(association, Association6):
                # That its first datagram came (section 7.3.1 of the draft).
                assert association.message() == (2, b"")
            assert association.silent(1.0)
    assert [x["verdict"] for x in running.journal("flow")] == ["allow"]
    (line,) = running.journal("flow-end")
    assert (line["reason"], line["why"]) == ("revoked", 'rule "n": a rule denies it')
