"""
GSSAPI and TLS across C{socksgw restart}: keys and order are the old process's, where
such sessions go on, and such handshakes end.
"""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.live import raw
from tests.live.kerberos import Client, Realm, initiator, within
from tests.live.restarts import Restarted, restarted
from tests.live.running import LOOPBACK
from tests.live.servers import Destination, echo, package
from tests.live.transports import TLS
from tests.tools.certificates import Authority
from tests.tools.certificates import server as certified
from tests.tools.waiting import until

REALM = "CORP.EXAMPLE"
LEVELS = {1: "integrity", 2: "confidentiality"}
TEXT = (
    """
[timeouts]
handshake = "5m"
[gateway]
workers = {workers}
[[listen]]
name = "gssapi"
address = ["127.0.0.1:0"]
[[listen]]
name = "tls"
address = ["127.0.0.1:0"]
[listen.tls]
certificate = "{certificate}"
key = "{key}"
[auth]
strip_realms = ["CORP.EXAMPLE"]
gssapi = {{ keytab = "{keytab}", protection = ["confidentiality", "integrity"] }}
[[auth.choose]]
listener = ["gssapi"]
methods = ["gssapi"]
[[auth.choose]]
from = ["127.0.0.0/8"]
methods = ["none"]
[[rule]]
id = "all"
allow = ["connect"]
"""
    + LOOPBACK
)


@pytest.fixture(scope="module")
def realm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Realm]:
    """A realm with a user and a service; its KDC runs."""
    package("gssapi")
    made = Realm(tmp_path_factory.mktemp("kerberos") / "realm", REALM)
    made.services(made.keytab, "rcmd/localhost")
    made.user("alice")
    with made.running():
        yield made


@pytest.fixture(scope="module")
def tickets(realm: Realm) -> dict[str, str]:
    """The environment of alice, who has a ticket."""
    return realm.tickets()


@pytest.fixture(scope="module")
def server() -> Iterator[Destination]:
    with Destination(echo) as made:
        yield made


@pytest.fixture(params=[1, 2])
def gateway(
    request: pytest.FixtureRequest, tmp_path: Path, realm: Realm
) -> Iterator[Restarted]:
    """One with a listener of each kind; of one process, and of two workers."""
    certificate, key = certified(Authority()).write(tmp_path, "gw")
    text = TEXT.format(
        workers=request.param, certificate=certificate, key=key, keytab=realm.keytab
    )
    with restarted(tmp_path / "gw", text, extra=realm.environment) as made:
        yield made


class Talk(threading.Thread):
    """
    Has octets come back through a session, until it is to end.

    @ivar octets: how many have come.
    @ivar failed: what may not happen.
    """

    def __init__(
        self,
        seed: int,
        send: Callable[[bytes], object],
        exactly: Callable[[int], bytes],
    ) -> None:
        super().__init__()
        self._random = random.Random(seed)
        self._send, self._exactly = send, exactly
        self._enough = threading.Event()
        self.octets = 0
        self.failed: list[BaseException] = []

    def run(self) -> None:
        try:
            while not self._enough.is_set():
                octets = self._random.randbytes(self._random.randint(1, 30_000))
                self._send(octets)
                assert self._exactly(len(octets)) == octets
                self.octets += len(octets)
        except BaseException as e:
            self.failed.append(e)

    def more(self) -> None:
        """Wait until more has come back."""
        before = self.octets
        until(lambda: self.failed or self.octets > before + 50_000)
        assert self.failed == []

    def over(self) -> int:
        """End, and return how many octets have come back."""
        self._enough.set()
        self.join(60)
        assert not self.is_alive()
        assert self.failed == []
        return self.octets


def exactlyOf(channel: TLS) -> Callable[[int], bytes]:
    """Return what reads so many octets of a channel."""

    def exactly(count: int) -> bytes:
        octets = b""
        while len(octets) < count:
            came = channel.recv(count - len(octets))
            assert came
            octets += came
        return octets

    return exactly


def test_liveSessions(
    gateway: Restarted, tickets: dict[str, str], server: Destination
) -> None:
    """
    Protected ones go on under load through two restarts, at both levels of GSSAPI and by
    TLS, a message that is half sent with them. Each has one decision and one end, with
    all its octets, and a process ends with the last of its sessions.
    """
    pids = [gateway.pid]
    with ExitStack() as stack:
        talks: dict[str, Talk] = {}
        with within(tickets):
            clients = [
                stack.enter_context(Client(gateway.port, initiator())).login(level)
                for level in (*LEVELS, 2)
            ]
        for each in clients:
            each.request("127.0.0.1", server.port)
        for each in clients[:2]:
            name = "{}:{}".format(*each.connection.getsockname())
            talks[name] = Talk(len(talks), each.send, each.exactly)
        tls = TLS(gateway.ports[1])
        stack.callback(tls.plain.close)
        exactly = exactlyOf(tls)
        tls.sendall(raw.GREETING + raw.request5("127.0.0.1", server.port))
        assert exactly(12)[2:4] == b"\x05\x00"
        name = "{}:{}".format(*tls.plain.getsockname())
        talks[name] = Talk(len(talks), tls.sendall, exactly)
        for talk in talks.values():
            talk.start()
        half = clients[2].wrapped(b"in two parts")
        clients[2].connection.sendall(half[:9])
        try:
            for _ in range(2):
                for talk in talks.values():
                    talk.more()
                pids.append(gateway.restart())
                assert "; 4 end in the process before" in gateway.said
                for talk in talks.values():
                    talk.more()
        finally:
            octets = {name: talk.over() for name, talk in talks.items()}
        clients[2].connection.sendall(half[9:])
        assert clients[2].exactly(12) == b"in two parts"
        name = "{}:{}".format(*clients[2].connection.getsockname())
        octets[name] = 12
        # They are all in the first process.
        assert gateway.process.poll() is None
        # Each process tells the next one once a second.
        until(lambda: gateway.metered("socksgw_live_sessions") == 4)
    assert gateway.over(pids[0]) == 0
    assert gateway.over(pids[1]) == 0
    until(lambda: len(gateway.journal("end")) == 4)
    decisions: dict[int, dict[str, Any]] = {
        each["session"]: each for each in gateway.journal("decision")
    }
    levels = [each["secured"] for each in decisions.values()]
    assert sorted(levels) == ["confidentiality"] * 3 + ["integrity"]
    ended = {decisions[e["session"]]["client"]: e for e in gateway.journal("end")}
    found = {name: (e["sent"], e["received"]) for name, e in ended.items()}
    assert found == {name: (count, count) for name, count in octets.items()}


def test_halfOfAToken(
    gateway: Restarted, tickets: dict[str, str], server: Destination
) -> None:
    """A context of which half a token has come is made in the old process, and used."""
    old = gateway.pid
    with within(tickets), Client(gateway.port, initiator()) as client:
        client.login(2, gateway.restart)
        client.request("127.0.0.1", server.port)
        client.send(b"hello")
        assert client.exactly(5) == b"hello"
        assert os.path.exists(f"/proc/{old}")
    line = raw.end(gateway, server.port)
    assert (line["sent"], line["received"]) == (5, 5)
    decision = raw.decision(gateway, server.port)
    assert (decision["user"], decision["secured"]) == ("alice", LEVELS[2])
    assert gateway.over(old) == 0


class Halfway(TLS):
    """One that does something when half of what TLS says first is sent."""

    def __init__(self, port: int, halfway: Callable[[], object]) -> None:
        self._halfway: Callable[[], object] | None = halfway
        super().__init__(port)

    def _put(self, octets: bytes) -> None:
        halfway, self._halfway = self._halfway, None
        if halfway is not None:
            super()._put(octets[: len(octets) // 2])
            octets = octets[len(octets) // 2 :]
            halfway()
        super()._put(octets)


def test_halfOfAHandshake(gateway: Restarted, server: Destination) -> None:
    """So is a TLS handshake, and what is asked by it."""
    old = gateway.pid
    tls = Halfway(gateway.ports[1], gateway.restart)
    with tls.plain:
        request = raw.GREETING + raw.request5("127.0.0.1", server.port)
        tls.sendall(request[:5])
        # Half a request, too.
        gateway.restart()
        tls.sendall(request[5:])
        exactly = exactlyOf(tls)
        assert exactly(12)[2:4] == b"\x05\x00"
        tls.sendall(b"hello")
        assert exactly(5) == b"hello"
        assert os.path.exists(f"/proc/{old}")
    line = raw.end(gateway, server.port)
    assert (line["sent"], line["received"]) == (5, 5)
    assert gateway.over(old) == 0
