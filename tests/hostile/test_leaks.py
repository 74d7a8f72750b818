"""
Sessions that end in every way, over plain, TLS and GSSAPI connections, bounded
by limits of every kind: afterwards nothing is left of them, to the count.

The gateway runs in this process, on a reactor of its own, so that every count
can be looked at; its clients and destinations are in threads.
"""

from __future__ import annotations

import gc
import json
import os
import random
import socket
import ssl
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.epollreactor import EPollReactor
from twisted.logger import capturedLogs

from socksgw.config.loading import loads
from socksgw.errors import AuditFailed, LookupFailed, Revoked
from socksgw.gateway.gateway import Gateway
from socksgw.session.stage import Stage
from tests.live import masque, raw
from tests.live.kinds import Clients
from tests.live.origin import Origin, Request, answer
from tests.live.running import LOOPBACK
from tests.live.servers import Certificate, Destination
from tests.tools.building import built
from tests.tools.garbage import withoutCollector
from tests.tools.sockets import RESET
from tests.tools.waiting import until

CONFIGURATION = (
    """
[[listen]]
name = "plain"
address = ["127.0.0.1:0"]
protocols = ["socks5", "http"]
[listen.udp]
tunnels = ["connect-udp"]
[[listen]]
name = "tls"
address = ["127.0.0.1:0"]
[listen.tls]
certificate = "{file}"
key = "{key}"
[[listen]]
name = "gssapi"
address = ["127.0.0.1:0"]
[audit]
sync = "never"
[auth]
strip_realms = ["R"]
gssapi = {{ mechanism = "stub", protection = ["confidentiality", "integrity"] }}
[[auth.choose]]
listener = ["gssapi"]
methods = ["gssapi"]
[[auth.choose]]
from = ["127.0.0.0/8"]
methods = ["none"]
[timeouts]
idle = "500ms"
bind = "500ms"
handshake = "1s"
lookup = "1s"
[[rule]]
id = "all"
allow = ["connect", "bind", "udp"]
limits = {{ per = "user", sessions = 1000, flows = 1000, rate = "{rate}" }}
[[limit]]
per = "source"
sessions = 1000
new_sessions = 1000
associations = 100
rate = "20MB/s"
[[limit]]
per = "listener"
quota = "{quota}"
"""
    + LOOPBACK
)


def serve(connection: socket.socket) -> None:
    """Do what the first octet says; whoever is gone is gone."""
    with suppress(OSError):
        what = connection.recv(1)
        if what in b"fFr":
            octets = random.randbytes(50_000)
            for _ in range(1 if what == b"f" else 4):
                connection.sendall(octets)
        if what == b"e":
            while octets := connection.recv(65536):
                connection.sendall(octets)
        elif what == b"r":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        elif what in b"is":
            # Says nothing, until it is over; a stalled reader reads nothing.
            while what == b"i" and connection.recv(65536):
                pass
            time.sleep(0.3)


def drained(client: socket.socket) -> None:
    """Read to the end, whatever it is."""
    with suppress(OSError):
        while client.recv(65536):
            pass


def reset(client: socket.socket) -> None:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    client.close()


def _ended(way: str, clients: Clients, kind: str, port: int, nobody: int) -> None:
    """One session, and its end."""
    if way in ("tunnel", "capsules"):
        if kind == "plain":
            client = clients.dial(kind)
            place = f"127.0.0.1:{port}"
            client.sendall(
                f"CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n\r\nf".encode()
                if way == "tunnel"
                else masque.request("127.0.0.1", port) + masque.capsule(b"\0ask")
            )
            client.recv(1000)
    elif way == "handshake":
        client = clients.dial(kind)
        client.sendall(b"\x16\x03" if kind == "tls" else b"\x05")
    elif way == "login":
        client = clients.connected(kind)
    elif way == "nobody":
        client = clients.relayed(kind, nobody)
    elif way in ("bind", "waited", "associate"):
        client = clients.connected(kind)
        command = 3 if way == "associate" else 2
        clients.say(kind, client, raw.request5("127.0.0.1", 0, command))
        if way == "waited":
            drained(client)
        elif kind != "gssapi":
            reply = raw.exactly(client, 10)
            if way == "associate" and reply[1] == 0:
                with socket.socket(type=socket.SOCK_DGRAM) as sends:
                    to = ("127.0.0.1", int.from_bytes(reply[-2:]))
                    sends.sendto(b"\0" + raw.request5("127.0.0.1", port)[1:], to)
                    sends.sendto(b"\0\0" + raw.request5("127.0.0.1", port)[2:], to)
                    time.sleep(0.02)
    elif way == "dial":
        client = clients.connected(kind)
        clients.say(kind, client, raw.request5("127.0.0.1", port))
    else:
        client = clients.relayed(kind, port)
        first = {"fin": b"F", "half": b"e", "rst": b"F", "up": b"i"}.get(
            way, way[:1].encode()
        )
        clients.say(kind, client, first)
        if way == "half":
            clients.say(kind, client, bytes(100_000))
            if isinstance(client, ssl.SSLSocket):
                with suppress(OSError):
                    client.settimeout(0.3)
                    client.unwrap()
            else:
                client.shutdown(socket.SHUT_WR)
                drained(client)
        elif way in ("up", "stalled"):
            with suppress(OSError):
                client.settimeout(0.2)
                for _ in range(10):
                    clients.say(kind, client, bytes(50_000))
        elif way in ("finished", "reset", "idle"):
            drained(client)
        elif way == "fin":
            client.recv(1000)
    if way in ("rst", "dial"):
        reset(client)


#: Destinations do by the first letter: finish after some octets, Flood some
#: more, reset, echo, be idle, stall.
WAYS = (
    "handshake", "login", "nobody", "bind", "waited", "associate", "dial", "fin", "rst",
    "finished", "reset", "half", "idle", "up", "stalled", "tunnel", "capsules",
)  # fmt: skip


class World:
    """
    The gateway.

    @ivar ports: of its listeners.
    """

    def __init__(self, directory: Path, certificate: Certificate) -> None:
        self.reactor: Any = EPollReactor()
        self._certificate = certificate
        self._directory = directory
        self.gateway = Gateway(self.reactor, self._config("600KB/s"))
        self.gateway._state.directory.mkdir(exist_ok=True)
        self.gateway.listen()
        self.gateway.start()
        self.ports = {
            name: each[1]
            for name, each in zip(
                ("plain", "tls", "gssapi"), self.gateway.bound(), strict=True
            )
        }

    def _config(self, rate: str, quota: str = "400KB/1s") -> Any:
        text = CONFIGURATION.format(
            file=self._certificate.file,
            key=self._certificate.key,
            rate=rate,
            quota=quota,
        )
        return loads(text, "gw.toml", self._directory)

    def change(self, *limits: str) -> None:
        """Other limits for who comes and who lives."""
        config = self._config(*limits)
        self.gateway.change(config, built(self.gateway, config))

    def turn(self) -> None:
        self.reactor.iterate(0.005)

    def counted(self) -> dict[str, Any]:
        """All that sessions and flows are counted in, and hold."""
        gateway = self.gateway
        base, allowances = gateway._shared, gateway._allowances
        gateway._counters.sweep()
        allowances.sweep()
        base.pipes.close()
        return {
            "sessions": len(gateway.sessions) + len(gateway.expiring),
            "live": gateway.limits.live,
            "keys": [key for key in gateway._counters.keys if key[0] != "octets"],
            "buckets": allowances.buckets,
            "waiting": len(allowances.waiting),
            "memory": base.memory.held,
            "watched": base.watch.watched,
            "deadlines": gateway.deadlines.pending,
            "clients": gateway.census.clients,
            "descriptors": len(os.listdir("/proc/self/fd")),
            "readers": len(self.reactor.getReaders()),
            "writers": len(self.reactor.getWriters()),
        }

    def lines(self) -> list[Any]:
        """What is in the journal."""
        (file,) = self.gateway.journal.directory.glob("*.jsonl")
        return [json.loads(line) for line in file.read_text().splitlines()]

    def stop(self) -> None:
        done: list[object] = []
        self.gateway.stop().addBoth(done.append)
        while not done:
            self.turn()


#: What the certificates of one configuration leave; no session does.
ONCE_A_RELOAD = {
    "socksgw.accept.certificates.ServerTLS",
    "socksgw.accept.certificates._Files",
    "socksgw.config.schema.listener.ListenTLS",
    "socksgw.system.tlscontext.Own",
}


@pytest.fixture
def world(tmp_path: Path, certificate: Certificate) -> Iterator[World]:
    """A gateway, with nobody there yet."""
    made = World(tmp_path, certificate)
    yield made
    made.stop()


def test_nothingIsLeft(world: World, certificate: Certificate) -> None:
    """
    Whatever way sessions end, while the limits change, sessions are revoked,
    and the journal fails for a while. Nor does what they held wait for the
    garbage collector.
    """
    done: dict[str, int] = dict.fromkeys(world.ports, 0)

    def churn(
        kind: str, ways: tuple[str, ...], port: int, nobody: int, end: float
    ) -> None:
        clients = Clients(world.ports, certificate)
        while time.monotonic() < end:
            for way in ways:
                # Who is revoked, over a quota, or refused, is told in all ways.
                with suppress(OSError, AssertionError, ssl.SSLError):
                    _ended(way, clients, kind, port, nobody)
                clients.close()
                done[kind] += 1

    for _ in range(20):
        world.turn()
    with Destination(serve) as server, closing(socket.socket()) as unused:
        unused.bind(("127.0.0.1", 0))
        # Of tests before this one.
        gc.collect()
        before = world.counted()
        nobody = unused.getsockname()[1]

        def started(ways: tuple[str, ...], seconds: float) -> list[threading.Thread]:
            end = time.monotonic() + seconds
            threads = [
                threading.Thread(
                    target=churn, args=(kind, ways, server.port, nobody, end)
                )
                for kind in world.ports
            ]
            for thread in threads:
                thread.start()
            return threads

        commit = world.gateway.journal.commit
        with capturedLogs() as events, withoutCollector() as garbage:
            threads = []
            for first in (0, 4, 8, 12):
                threads += started(WAYS[first:] + WAYS[:first], 2.5)
            begun = changed = time.monotonic()
            revoked = False
            while any(thread.is_alive() for thread in threads):
                world.turn()
                now = time.monotonic()
                if now - changed > 0.3:
                    changed = now
                    world.change(random.choice(["300KB/s", "600KB/s", "2MB/s"]))
                if not revoked and now - begun > 1.5:
                    for session in world.gateway.sessions:
                        revoked = revoked or session.stage is Stage.RELAY
                        session.client.end(Revoked("no longer"))
                failing = (now - begun) % 0.7 > 0.65
                world.gateway.journal.commit = (  # type: ignore[method-assign]
                    (lambda *_, **__: fail(AuditFailed("full"))) if failing else commit
                )
            # What clients sent before they went is still on its way.
            world.gateway.journal.commit = commit  # type: ignore[method-assign]
            world.change("100MB/s", "1GB/1s")
            threads = started(("idle",), 0.1)
            until = time.monotonic() + 10
            while any(thread.is_alive() for thread in threads) or (
                (after := world.counted()) != before and time.monotonic() < until
            ):
                world.turn()
            assert after == before
        failures = [event["log_failure"] for event in events if "log_failure" in event]
    assert not failures
    assert after == before
    left = sorted(set(garbage) - ONCE_A_RELOAD)
    assert left == [], "\n".join(left)
    assert min(done.values()) >= len(WAYS)
    reasons = {line["reason"] for line in world.lines() if line["event"] == "end"}
    assert reasons >= {
        "bind-timeout", "client-lost", "client-reset", "closed", "destination-lost",
        "destination-reset", "idle", "quota", "refused", "revoked",
    }  # fmt: skip


#: What a session or a flow waits for: which line of the journal, or a look-up.
STEPS = (
    "decision", "denial", "peer", "name", "peer's name", "flow", "flow's denial",
    "flow's name", "tunnel", "tunnel's name", "CONNECT decision", "CONNECT name",
    "GET decision", "GET name",
)  # fmt: skip
#: Of HTTP, a target each.
TARGETS = {"CONNECT": "{}:80", "GET": "http://{}/"}


class Step:
    """
    One step of a session, which the test holds up.

    @ivar held: what waits for it.
    """

    def __init__(self, world: World, step: str, fails: bool) -> None:
        """
        @param fails: whether what waits has failed already when it begins to.
        """
        self._world = world
        self._sockets: list[socket.socket] = []
        self.held: list[Deferred[Any]] = []
        self.error = LookupFailed("none") if "name" in step else AuditFailed("full")

        journal, policy = world.gateway.journal, world.gateway.generation.policy
        commit = journal.commit

        def hold(first: str, *others: Any, **more: Any) -> Deferred[Any]:
            if step == "tunnel" and '"event":"flow"' not in first:
                return commit(first, *others, **more)
            self.held.append(fail(self.error) if fails else Deferred())
            return self.held[-1]

        def ask(name: str, source: Any, done: Any) -> Any:
            looking = hold(name)
            if fails:
                looking.addErrback(lambda _: None)
                return self.error
            # Of who has given it up nothing is called.
            looking.addCallbacks(
                done, lambda f: None if f.check(CancelledError) else done(f.value)
            )
            return looking

        held: Any = hold
        client = self.client = self._own(raw.dial(world.ports["plain"]))
        method = step.partition(" ")[0]
        if method not in TARGETS and "tunnel" not in step:
            self._sent(client, raw.GREETING, 2)
        name = b"\x03\x09some.test\x00\x50"
        if "name" in step:
            policy._resolver = SimpleNamespace(
                lookUp=held, known=lambda _: None, ask=ask
            )
        elif "decision" in step or step in ("denial", "tunnel"):
            journal.commit = held  # type: ignore[method-assign]
        if "tunnel" in step:
            host = "some.test" if "name" in step else "127.0.0.1"
            client.sendall(masque.request(host, 9))
        elif method in TARGETS:
            host = "some.test" if "name" in step else "127.0.0.1"
            target = TARGETS[method].format(host)
            client.sendall(
                f"{method} {target} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
            )
        elif step in ("decision", "denial", "name", "peer's name"):
            command = 2 if step == "peer's name" else 1
            asked = raw.request5("127.0.0.1", 9 if step == "decision" else 0, command)
            client.sendall(asked[:3] + (name if "name" in step else asked[3:]))
        else:
            command = 2 if step == "peer" else 3
            reply = self._sent(client, raw.request5("127.0.0.1", 0, command), 10)
            assert reply[1] == 0
            if "name" not in step:
                journal.commit = held  # type: ignore[method-assign]
            place = ("127.0.0.1", int.from_bytes(reply[-2:]))
            if step == "peer":
                self._own(socket.create_connection(place))
            else:
                to = raw.request5("127.0.0.1", 0 if "denial" in step else 9)[3:]
                sends = self._own(socket.socket(type=socket.SOCK_DGRAM))
                sends.sendto(bytes(3) + (name if "name" in step else to), place)
        until(lambda: self.held, turn=world.turn)

    def _own(self, made: socket.socket) -> socket.socket:
        self._sockets.append(made)
        return made

    def _sent(self, client: socket.socket, octets: bytes, answered: int) -> bytes:
        """Send octets, and return the answer, of so many."""
        client.sendall(octets)
        client.setblocking(False)

        def came() -> bool:
            try:
                return len(client.recv(answered, socket.MSG_PEEK)) == answered
            except BlockingIOError:
                return False

        until(came, turn=self._world.turn)
        return client.recv(answered)

    def over(self) -> None:
        """Let the client go, and the session end."""
        reset(self.client)
        for each in self._sockets:
            each.close()
        until(lambda: not self._world.gateway.sessions, turn=self._world.turn)


@pytest.mark.parametrize("how", ["failed", "fails", "lost", "revoked"])
def test_noExceptionKeepsASession(world: World, how: str) -> None:
    """
    Whatever a session or a flow waits for when that fails, has failed before, or
    is given up: nobody keeps the exception, whose frames hold the session.
    """
    gateway = world.gateway
    resolver, commit = gateway.generation.policy._resolver, gateway.journal.commit
    for step in STEPS:
        with withoutCollector() as garbage:
            held = Step(world, step, how == "failed")
            if how == "fails":
                held.held.pop().errback(held.error)
            elif how == "revoked":
                for session in gateway.sessions:
                    session.client.end(Revoked("no longer"))
            held.over()
            gateway.generation.policy._resolver = resolver
            gateway.journal.commit = commit  # type: ignore[method-assign]
            del held
        assert garbage == [], (step, garbage)


def answered(request: Request) -> bool:
    """Answer as the path says."""
    way = request.head.split(b" ")[1].rpartition(b"/")[2]
    if way == b"length":
        request.say(answer(b"x" * 20_000))
    elif way == b"chunked":
        request.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        request.say(b"5\r\nhello\r\n0\r\nA: b\r\n\r\n")
    elif way == b"close":
        request.say(b"HTTP/1.1 200 OK\r\n\r\nhello")
    elif way == b"once":
        request.say(answer(b"hello"))
    elif way == b"half":
        request.say(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello")
    elif way == b"wrong":
        request.say(b"HTTP/1.1 200 OK\nContent-Length: 9\n\nhello")
    elif way == b"silent":
        request.connection.recv(65536)
    elif way == b"other":
        request.say(b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\nfirst")
        request.connection.recv(65536)
    elif way == b"reset":
        request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        request.connection.close()
    return way not in (b"length", b"chunked")


#: Each with more of its fields, and what is sent behind the head.
REQUESTS: dict[str, tuple[bytes, bytes]] = {
    **dict.fromkeys(
        ("length", "chunked", "close", "once", "half", "wrong", "silent", "reset"),
        (b"", b""),
    ),
    "other": (b"Connection: upgrade\r\nUpgrade: x\r\n", b"more"),
    "early/length": (b"Content-Length: 500000\r\n", b"some"),
    "bad/silent": (b"Transfer-Encoding: chunked\r\n", b"5\r\nhelloX"),
}


def asked(port: int, gateway: int, ways: Iterable[str], end: str) -> None:
    """Several requests on one connection, and its end."""
    with raw.dial(gateway) as client, suppress(OSError):
        client.settimeout(0.3)
        for way in ways:
            fields, behind = REQUESTS[way]
            head = f"POST http://127.0.0.1:{port}/{way} HTTP/1.1\r\nHost: x\r\n"
            client.sendall(head.replace("POST", "GET").encode() + fields + b"\r\n")
            client.sendall(behind)
            if end != "at once":
                client.recv(65536)
        if end == "reset":
            reset(client)
        elif end == "half":
            client.shutdown(socket.SHUT_WR)
            drained(client)
        elif end == "rest":
            drained(client)


def test_nothingIsLeftOfRequests(world: World) -> None:
    """The same of requests that are passed on, several on one connection."""
    ends = ("close", "reset", "half", "rest", "at once")
    done = []

    def churn(seed: int, port: int, nobody: int, end: float) -> None:
        chosen = random.Random(seed)
        while time.monotonic() < end:
            ways = chosen.choices([*REQUESTS], k=chosen.randint(1, 5))
            where = nobody if chosen.random() < 0.1 else port
            asked(where, world.ports["plain"], ways, chosen.choice(ends))
            done.append(seed)

    world.change("100MB/s", "1GB/1s")
    for _ in range(20):
        world.turn()
    with Origin(answered) as origin, closing(socket.socket()) as unused:
        unused.bind(("127.0.0.1", 0))
        gc.collect()
        before = world.counted()
        del before["descriptors"]
        with capturedLogs() as events, withoutCollector() as garbage:
            end = time.monotonic() + 6
            arguments = origin.port, unused.getsockname()[1], end
            threads = [
                threading.Thread(target=churn, args=(seed, *arguments))
                for seed in range(8)
            ]
            for thread in threads:
                thread.start()
            changed = time.monotonic()
            while any(thread.is_alive() for thread in threads):
                world.turn()
                if time.monotonic() - changed > 0.5:
                    changed = time.monotonic()
                    world.change("100MB/s", "1GB/1s")
            until = time.monotonic() + 25
            while time.monotonic() < until:
                world.turn()
                after = world.counted()
                del after["descriptors"]
                if after == before:
                    break
            assert after == before
        failures = [event["log_failure"] for event in events if "log_failure" in event]
    assert not failures
    assert sorted(set(garbage) - ONCE_A_RELOAD) == []
    assert len(done) > 50
    reasons = {line["reason"] for line in world.lines() if line["event"] == "end"}
    assert reasons >= {
        "bad-answer", "client-lost", "closed", "destination-lost", "idle", "protocol",
        "refused",
    }  # fmt: skip
