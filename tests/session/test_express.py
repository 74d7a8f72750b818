"""
The express lane against the other lane: two whole gateways, the same clients.

Each says and does the same to both, octet by octet. What they hear, how it ends for
them, what is in the journal, what is counted and what is left must be the same.
"""

from __future__ import annotations

import itertools
import json
import re
import socket
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any, Final

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from OpenSSL import SSL
from twisted.internet.epollreactor import EPollReactor

from socksgw.audit import chain
from socksgw.config.loading import loads
from socksgw.console.selftest.vectors import VECTORS
from socksgw.errors import Killed
from socksgw.gateway.gateway import Gateway
from socksgw.relay.splice import SpliceRelay
from socksgw.relay.stream import StreamRelay
from socksgw.session import express
from socksgw.session.express import Express
from socksgw.session.stage import Stage
from socksgw.wire import socks4, socks5, socks6, userpass
from socksgw.wire.address import Address
from tests.tools.building import built
from tests.tools.catalogue import catalogued
from tests.tools.certificates import Authority, server
from tests.tools.hellos import hello
from tests.tools.mutating import mutated
from tests.tools.requests import BROKEN
from tests.tools.samples import CLIENTS
from tests.tools.vectors import (
    LITERALS,
    REFUSED,
    REQUESTS4,
    REQUESTS5,
    REQUESTS6,
    WHOLE6,
)
from tests.tools.vectors import (
    NAMES as HOSTS,
)

HERE: Final = Address.parse("127.0.0.1")
#: Answers to nothing, and does not refuse it either.
MUTE: Final = Address.parse("127.0.0.9")
RESET: Final = struct.pack("ii", 1, 0)
CONFIGURATION: Final = """
[[listen]]
name = "main"
address = ["127.0.0.1:0"]
protocols = ["socks5", "socks4", "socks6", "http"]
{tls}
[auth]
checkers = ["memory:alice:secret"]
cache = "1h"
throttle = { per_user = 0, per_source = 0 }
[[auth.choose]]
from = ["127.0.0.0/8"]
methods = ["userpass", "none"]
[groups]
staff = ["alice"]
[resolver]
servers = ["127.0.0.1:{names}"]
[never]
except = ["127.0.0.0/8"]
"""
RULES: Final[dict[str, str]] = {
    "plain": """
[[rule]]
id = "no"
deny = ["connect"]
to = ["127.0.0.66"]
[[rule]]
id = "staff"
allow = ["connect", "bind"]
who = ["@staff"]
to = ["127.0.0.0/8", "*.example"]
timeouts = { connect = "9s", idle = "90s" }
ticket = "T-1"
[[rule]]
id = "all"
allow = ["connect"]
to = ["127.0.0.0/8"]
""",
    "limits": """
[[limit]]
per = "user"
sessions = 1
rate = "1GB/s"
[[rule]]
id = "all"
allow = ["connect"]
to = ["127.0.0.0/8"]
limits = { per = "source", quota = "100GB/1d" }
""",
    "reported and timed": """
[schedules]
always = { hours = "00:00-24:00" }
[[rule]]
id = "later"
deny = ["connect"]
report_only = true
[[rule]]
id = "all"
allow = ["connect"]
to = ["127.0.0.0/8"]
during = ["always"]
""",
    "leaving": """
[[upstream]]
name = "gone"
url = "socks5://127.0.0.1:9"
[[rule]]
id = "none"
allow = ["connect"]
who = ["@staff"]
via = ["gone"]
[[rule]]
id = "all"
allow = ["connect"]
to = ["127.0.0.0/8"]
leave_by = ["127.0.0.3"]
""",
    "looked at": """
[inspect]
timeout = "100ms"
[[rule]]
id = "web"
allow = ["connect"]
application = ["http"]
[[rule]]
id = "all"
allow = ["connect"]
to = ["127.0.0.0/8"]
""",
    "all looked at": """
[inspect]
mismatch = "cut"
[[rule]]
id = "all"
allow = ["connect"]
to = ["127.0.0.0/8"]
""",
    "by what they are": """
[inspect]
[[rule]]
id = "web"
allow = ["connect"]
application = ["http"]
[[rule]]
id = "tls"
allow = ["connect"]
application = ["tls"]
limits = { per = "source", sessions = 1 }
""",
}
#: What the clients say first, where that is looked at.
FIRST: Final[dict[str, bytes]] = {
    "TLS": hello(),
    "half of TLS": hello()[:99],
    "HTTP": b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n",
    "SSH": b"SSH-2.0-x\r\n",
    "nothing known": b"again",
    "nothing": b"",
    "the server's end": b"Q",
    "the server's reset": b"R",
}
#: What is another one each time.
_TOLD: Final = re.compile(rb"(\x05\0\0\x01\x7f\0\0[\x01\x03])..", re.DOTALL)
_TOLD6: Final = re.compile(rb"(\x06\0\0\0)..(?=\0\x01\x7f\0\0[\x01\x03])", re.DOTALL)
_TOLD4: Final = re.compile(rb"(\0\x5a)..(?=\x7f\0\0[\x01\x03])", re.DOTALL)
_OWN: Final = ("n", "time", "hash", "seconds", "v")
_PLACES: Final = ("client", "bound")


OWN: Final = server(Authority())
TLS: Final = """[listen.tls]
certificate = "gw.pem"
key = "gw.key"
"""

#: The addresses of names; a code in their place; of others nothing is heard.
ADDRESSES: Final[dict[str, Sequence[str] | int]] = {
    "one.example": ["127.0.0.1"],
    "other.test": ["127.0.0.1"],
    "two.example": ["127.0.0.1", "127.0.0.3"],
    "second.example": ["127.0.0.3", "127.0.0.1"],
    "mute.example": ["127.0.0.9"],
    "half.example": ["127.0.0.66", "127.0.0.1"],
    "denied.example": ["127.0.0.66"],
    "public.example": ["192.0.2.1"],
    "never.example": ["224.0.0.1"],
    "empty.example": [],
    "none.example": dns.rcode.NXDOMAIN,
    "broken.example": dns.rcode.SERVFAIL,
}
_SILENT: Final = "silent.example"


class Names:
    """A name server."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.setblocking(False)
        self.port: int = self._socket.getsockname()[1]

    def close(self) -> None:
        """Answer no longer."""
        self._socket.close()

    def turn(self) -> None:
        """Answer what has come."""
        while True:
            try:
                octets, peer = self._socket.recvfrom(4096)
            except BlockingIOError:
                return
            query = dns.message.from_wire(octets)
            (asked,) = query.question
            name = asked.name.to_text(omit_final_dot=True)
            found = ADDRESSES.get(name, dns.rcode.NXDOMAIN)
            answer = dns.message.make_response(query)
            answer.flags |= dns.flags.RA
            if isinstance(found, int):
                answer.set_rcode(dns.rcode.Rcode(found))
            elif asked.rdtype == dns.rdatatype.A and found:
                # One by one: a set of them is shuffled.
                for each in found:
                    answer.answer.append(
                        dns.rrset.from_text(name + ".", 60, "IN", "A", each)
                    )
            if name != _SILENT:
                self._socket.sendto(answer.to_wire(), peer)


class Origin:
    """
    Echoes; what begins with C{R} is answered with a reset, with C{Q} by the end.
    """

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._listening.setblocking(False)
        self.port: int = self._listening.getsockname()[1]
        mute = socket.create_server((MUTE.text, self.port), backlog=0)
        self._mute = [mute]
        for _ in range(2):
            filling = socket.socket()
            filling.setblocking(False)
            filling.connect_ex(mute.getsockname())
            self._mute.append(filling)
        self._open: list[socket.socket] = []
        self.names = Names()

    def turn(self) -> None:
        """Take what comes."""
        self.names.turn()
        try:
            accepted, _ = self._listening.accept()
        except BlockingIOError:
            pass
        else:
            accepted.setblocking(False)
            self._open.append(accepted)
        for each in self._open.copy():
            try:
                octets = each.recv(1 << 16)
            except BlockingIOError:
                continue
            except OSError:
                octets = b""
            if octets[:1] == b"R":
                each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            elif octets and octets[:1] != b"Q":
                each.send(octets)
                continue
            each.close()
            self._open.remove(each)

    def leave(self, octets: bytes, reset: bool) -> None:
        """End what is open, after some more octets."""
        for each in self._open:
            each.send(octets)
            if reset:
                each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            each.close()
        self._open.clear()

    def close(self) -> None:
        """Listen no longer."""
        self.names.close()
        for each in (self._listening, *self._mute, *self._open):
            each.close()


#: What the sessions of all worlds began with on the lane.
BEGINNINGS: Final[list[bytes]] = []


@pytest.fixture(autouse=True, scope="module")
def _counted() -> Iterator[None]:
    """Sessions on the lane are counted."""
    begin = Express.begin

    def counting(lane: Express, octets: bytes) -> None:
        BEGINNINGS.append(bytes(octets))
        begin(lane, octets)

    with pytest.MonkeyPatch.context() as patching:
        patching.setattr(Express, "begin", counting)
        yield


class World:
    """
    A gateway, one of its clients at a time, and the time.
    """

    def __init__(
        self, directory: Path, origin: Origin, rules: str, lane: bool, secured: bool
    ) -> None:
        self.origin = origin
        self.lane = lane
        self.secured = secured
        self.reactor: Any = EPollReactor()
        self.ahead = 0.0
        self.directory = directory
        directory.mkdir()
        OWN.write(directory, "gw")
        self.gateway = Gateway(
            self.reactor,
            self.config(rules),
            clock=lambda: time.monotonic() + self.ahead,
        )
        self.gateway._state.directory.mkdir(exist_ok=True)
        self.gateway.listen()
        self.gateway.start()
        ((_, self.port),) = self.gateway.bound()
        #: How many of its sessions have begun on the lane.
        self.lanes = 0
        self._read = 0
        self.lines()

    def config(self, rules: str) -> Any:
        """A configuration with these rules."""
        text = CONFIGURATION.replace("{names}", str(self.origin.names.port))
        text = text.replace("{tls}", TLS if self.secured else "")
        return loads(text + rules, "gw.toml", self.directory)

    def reload(self, rules: str) -> None:
        """Have others."""
        config = self.config(rules)
        self.gateway.change(config, built(self.gateway, config))

    def turn(self) -> None:
        """Let everybody do something."""
        express.OPEN = self.lane
        before = len(BEGINNINGS)
        try:
            self.reactor.iterate(0)
        finally:
            express.OPEN = True
        self.lanes += len(BEGINNINGS) - before
        assert self.lane or not self.lanes
        self.origin.turn()

    def turns(self, number: int = 12) -> None:
        """Let everybody do what there is to do."""
        for _ in range(number):
            self.turn()
        # A login that fails lingers, and a name is looked up.
        while any(
            each._attempt is not None
            or (each.stage is Stage.POLICY and each.record.name != _SILENT)
            for each in self.gateway.sessions
        ):
            self.turn()
            time.sleep(0.0005)

    def pass_(self, seconds: float) -> None:
        """Let time pass."""
        self.ahead += seconds
        self.gateway._rounds._beat.tick()

    def connect(self) -> Client:
        """A client."""
        return Client(self)

    def lines(self) -> list[dict[str, Any]]:
        """The lines that are new, but for what is another one each time."""
        self.gateway.journal._flush()
        every: list[dict[str, Any]] = []
        for file in chain.files(self.gateway._state.directory / "audit"):
            every += [json.loads(line) for line, _ in chain.lines(file)]
        found, self._read = every[self._read :], len(every)
        for line in found:
            catalogued({k: v for k, v in line.items() if k not in ("hash",)})
            for name in _OWN:
                line.pop(name, None)
            for name in _PLACES:
                if isinstance(line.get(name), str):
                    line[name] = line[name].rpartition(":")[0]
        return found

    def counted(self) -> dict[str, Any]:
        """What is counted, and what is left, when all clients are gone."""
        gateway, meters = self.gateway, self.gateway.meters
        meters.fold()
        histograms = meters.handshakes, meters.connects, meters.logins
        counts = meters.sessions, meters.ends, meters.denials, meters.octets
        found = {
            "counts": [each.copy() for each in counts],
            "seconds": [
                {key: sum(each.counts) for key, each in series.items()}
                for series in histograms
            ],
            "decided": sum(meters.policies.counts),
            "written": sum(meters.records.counts),
            "live": (
                len(gateway.sessions),
                gateway.limits.live,
                gateway.census.clients,
                gateway.listeners["main"].admission.halfOpen,
            ),
            "refused": (gateway.limits.refused, gateway.census.refused),
            # Those of octets and of new sessions are forgotten by the clock.
            "keys": [
                key
                for key in gateway._counters.keys
                if key[0] not in ("octets", "new sessions")
            ],
            "held": gateway.memory.held,
        }
        gateway.limits.refused = gateway.census.refused = 0
        meters.policies.counts[:] = [0] * len(meters.policies.counts)
        meters.records.counts[:] = [0] * len(meters.records.counts)
        for each in (*counts, *histograms):
            each.clear()
        return found

    def close(self) -> None:
        """Stop."""
        done: list[object] = []
        self.gateway.stop().addBoth(done.append)
        # What a failed test has left would stay for ever, since time stands still.
        end = time.monotonic() + 30
        while not done and time.monotonic() < end:
            self.turn()
        self.reactor.fireSystemEvent("shutdown")
        for reader in self.reactor.removeAll():
            reader.connectionLost(None)
        assert done, "a session is left"


class Client:
    """
    A client.

    @ivar heard: what it has heard.
    @ivar ending: how it ended.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._socket = socket.create_connection(("127.0.0.1", world.port))
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.heard = b""
        self.ending = ""
        self._tls: SSL.Connection | None = None
        if world.secured:
            self._tls = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), self._socket)
            self._tls.set_connect_state()
            while not self._shaken(self._tls):
                world.turn()
        world.turns(3)

    def _shaken(self, tls: SSL.Connection) -> bool:
        try:
            tls.do_handshake()
        except SSL.WantReadError:
            return False
        return True

    def say(self, octets: bytes, turns: int = 12) -> None:
        """Say something."""
        try:
            (self._tls or self._socket).send(octets)
        except (OSError, SSL.Error):
            # It has ended for us.
            pass
        self._world.turns(turns)
        self._listen()

    def hear(self) -> None:
        """Wait until something has come."""
        while not self.heard and not self.ending:
            self._world.turns(1)
            time.sleep(0.01)
            self._listen()

    def end(self) -> None:
        """End our side."""
        try:
            if self._tls is not None:
                self._tls.shutdown()
            else:
                self._socket.shutdown(socket.SHUT_WR)
        except (OSError, SSL.Error):
            pass
        self._world.turns()
        self._listen()

    def reset(self) -> None:
        """Go with a reset."""
        self._listen()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.close()

    def close(self) -> None:
        """Go."""
        self._listen()
        self._socket.close()
        self._world.turns()

    def _listen(self) -> None:
        while not self.ending:
            try:
                octets = (self._tls or self._socket).recv(1 << 16)
            except (BlockingIOError, SSL.WantReadError):
                return
            except SSL.ZeroReturnError:
                octets = b""
            except (OSError, SSL.Error) as e:
                self.ending = type(e).__name__
                return
            if not octets:
                self.ending = "closed"
            self.heard += octets

    @property
    def told(self) -> tuple[bytes, str]:
        """What it has heard, but for the ports, and how it ended."""
        heard = self.heard
        for pattern in (_TOLD, _TOLD6, _TOLD4):
            heard = pattern.sub(rb"\1\0\0", heard)
        return heard, self.ending


#: What a client does, to one of the worlds; what it has to tell.
Script = Callable[[World], Any]


class Both:
    """The two worlds."""

    def __init__(self, directory: Path, rules: str, secured: bool = False) -> None:
        self.rules = rules
        self.origin = Origin()
        self.port = self.origin.port
        self.worlds = [
            World(directory / name, self.origin, rules, lane, secured)
            for name, lane in (("express", True), ("other", False))
        ]

    def same(self, script: Script) -> tuple[Any, list[dict[str, Any]]]:
        """Do the same in both: the same comes of it."""
        one, other = (self._do(world, script) for world in self.worlds)
        assert one == other
        return one[0], one[1]

    def _do(self, world: World, script: Script) -> tuple[Any, ...]:
        told = script(world)
        world.turns()
        return told, world.lines(), world.counted()

    def close(self) -> None:
        """Stop both."""
        for world in self.worlds:
            world.close()
        self.origin.close()


@pytest.fixture(scope="module", params=[*RULES, "in TLS"])
def both(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Both]:
    """Both, with some rules."""
    secured = request.param == "in TLS"
    rules = RULES["plain" if secured else request.param]
    made = Both(tmp_path_factory.mktemp("lanes"), rules, secured)
    yield made
    made.close()


@pytest.fixture(scope="module")
def inTLS(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    """The same in TLS."""
    made = Both(tmp_path_factory.mktemp("tls"), RULES["plain"], secured=True)
    yield made
    made.close()


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    """Both, with rules that the lane is for."""
    made = Both(tmp_path_factory.mktemp("plain"), RULES["plain"])
    yield made
    made.close()


LOGIN: Final = b"\5\2\0\2" + userpass.encodeRequest(b"alice", b"secret")


def logIn6(password: bytes) -> bytes:
    """
    Options of SOCKS 6 that bring a login (draft-olteanu-intarea-socks-6-11 section 8.3).
    """
    data = b"\2" + userpass.encodeRequest(b"alice", password)
    data += bytes(-len(data) % 4)
    return b"\0\4" + (4 + len(data)).to_bytes(2, "big") + data


LOGIN6: Final = logIn6(b"secret")
#: Methods of a login by messages, with five octets of initial data, and with none.
EARLY6: Final = bytes.fromhex("0002 0008 0005 02 00")
MESSAGES6: Final = bytes.fromhex("0002 0008 0000 02 00")
IGNORED6: Final = bytes.fromhex("fc00 0008 01020304")


def requests(port: int) -> dict[str, bytes]:
    """
    What clients say, to the end of their request and on.

    @param port: of the origin.
    """
    here = socks5.encodeRequest(1, HERE, port)
    none = b"\5\1\0"
    return {
        **CLIENTS,
        "reached": none + here,
        "reached, and on": none + here + b"hello",
        "reached, and reset": none + here + b"R",
        "reached, and over": none + here + b"Q",
        "logged in": LOGIN + here + b"hello",
        "logged in by the only method": b"\5\1\2" + LOGIN[4:] + here + b"hello",
        "wrong password": b"\5\1\2" + userpass.encodeRequest(b"alice", b"x") + here,
        "nobody's password": b"\5\1\2" + userpass.encodeRequest(b"bob", b"x") + here,
        "empty login": b"\5\1\2" + b"\1\0\0" + here,
        "SOCKS 4": socks4.encodeRequest(1, HERE, port, b"fred") + b"hello",
        "SOCKS 4a": socks4.encodeRequest(1, "nowhere.example", port),
        "denied": none + socks5.encodeRequest(1, Address.parse("127.0.0.66"), port),
        "denied in SOCKS 4": socks4.encodeRequest(1, Address.parse("127.0.0.66"), port),
        "never": none + socks5.encodeRequest(1, Address.parse("224.0.0.1"), port),
        "elsewhere": none + socks5.encodeRequest(1, Address.parse("192.0.2.1"), port),
        "port 0": none + socks5.encodeRequest(1, HERE, 0),
        "refused": none + socks5.encodeRequest(1, HERE, 1),
        "literal as a name": none + socks5.encodeRequest(1, "127.0.0.1", port) + b"Q",
        "a number that is no address": none + socks5.encodeRequest(1, "127.1", port),
        "mapped": none
        + b"\5\1\0\4"
        + bytes(10)
        + b"\xff\xff\x7f\0\0\1"
        + port.to_bytes(2, "big"),
        "bind": none + socks5.encodeRequest(2, HERE, port),
        "bind, logged in": LOGIN + socks5.encodeRequest(2, HERE, port),
        "udp": none + socks5.encodeRequest(3, HERE, port),
        "resolve": none + socks5.encodeRequest(0xF0, "localhost", 0),
        "no command": none + socks5.encodeRequest(0x77, HERE, port),
        "SOCKS 6": socks6.encodeRequest(1, HERE, port) + b"hello",
        "SOCKS 6, and over": socks6.encodeRequest(1, HERE, port) + b"Q",
        "SOCKS 6, logged in": socks6.encodeRequest(1, HERE, port, LOGIN6) + b"hello",
        "SOCKS 6, all of it": socks6.encodeRequest(
            1, "one.example", port, EARLY6 + LOGIN6 + IGNORED6
        )
        + b"hello",
        "SOCKS 6, wrong password": socks6.encodeRequest(1, HERE, port, logIn6(b"x")),
        "SOCKS 6, more than a login": socks6.encodeRequest(
            1, HERE, port, logIn6(b"secret" + b"\1" * 3)[:-3] + b"\1" * 3
        ),
        "SOCKS 6, denied": socks6.encodeRequest(1, Address.parse("127.0.0.66"), port),
        "SOCKS 6, by name": socks6.encodeRequest(1, "two.example", port, MESSAGES6),
        "SOCKS 6, no name": socks6.encodeRequest(1, "127.1", port),
        "SOCKS 6, refused": socks6.encodeRequest(1, HERE, 1, LOGIN6),
        "SOCKS 6, bind": socks6.encodeRequest(2, HERE, port),
        "HTTP": b"CONNECT 127.0.0.1:%d HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\nhello"
        % (port, port),
        "nothing": b"",
        **{
            name: none + socks5.encodeRequest(1, name, port) + b"Q"
            for name in (*ADDRESSES, _SILENT)
        },
        "logged in, by name": LOGIN + socks5.encodeRequest(1, "one.example", port),
        "logged in, by another": LOGIN + socks5.encodeRequest(1, "two.example", port),
        "SOCKS 4a, by name": socks4.encodeRequest(1, "one.example", port) + b"hello",
        "port 0, by name": none + socks5.encodeRequest(1, "one.example", 0),
        "udp, by name": none + socks5.encodeRequest(3, "one.example", port),
    }


NAMES: Final = tuple(requests(1))


def cut(octets: bytes, places: Sequence[int]) -> list[bytes]:
    """Return octets in pieces."""
    at = [0, *sorted({p % (len(octets) + 1) for p in places}), len(octets)]
    return [octets[a:b] for a, b in itertools.pairwise(at) if a < b]


def saying(pieces: Sequence[bytes], how: str = "end") -> Script:
    """
    A client that says something, and goes.

    @param how: it goes.
    """

    def script(world: World) -> Any:
        client = world.connect()
        for piece in pieces:
            client.say(piece)
        getattr(client, how)()
        # What lingers, waits for more or is not decided yet.
        for _ in range(3):
            world.pass_(20.0)
            world.turns()
        client.close()
        return client.told

    return script


@pytest.mark.parametrize("name", NAMES)
def test_bothLanesAreAlike(both: Both, name: str) -> None:
    """
    Whatever clients say, in one piece and octet by octet, for the first time and again.
    """
    octets = requests(both.port)[name]
    lanes = both.worlds[0].lanes
    for _ in range(2):
        both.same(saying([octets]))
    # The lane is what is compared with the other one.
    assert both.worlds[0].lanes - lanes == (2 if octets else 0)
    if len(octets) < 60:
        both.same(saying(cut(octets, range(len(octets)))))
    both.same(saying([octets], "reset"))


def wire() -> dict[str, bytes]:
    """The messages that the wire and C{socksgw selftest} are tested with, as clients."""
    none = b"\5\1\0"
    found = {
        **{f"4: {said}": bytes.fromhex(said) for said, _ in REQUESTS4},
        **{f"6: {said}": bytes.fromhex(said) for said, _ in REQUESTS6},
        **{f"6: {said}": bytes.fromhex(said) for said, *_ in WHOLE6},
        **{f"http: {name}": said + b"\r\n" for name, (said, _) in BROKEN.items()},
    }
    for text, *_ in REQUESTS5:
        found[f"5: {text}"] = none + bytes.fromhex(text)
        found[f"5, logged in: {text}"] = LOGIN + bytes.fromhex(text)
    for said in (*dict(LITERALS), *dict(HOSTS), *REFUSED):
        if len(said) < 256:
            place = b"\3" + bytes((len(said),)) + said + b"\0\x50"
            found[f"host: {said!r}"] = none + b"\5\1\0" + place
    here = socks5.encodeRequest(1, HERE, 1)
    for version in (0, 1, 2, 4, 6, 255):
        other = bytes((version,))
        found[f"greeting of version {version}"] = other + none[1:] + here
        found[f"request of version {version}"] = none + other + here[1:]
        found[f"login of version {version}"] = LOGIN[:4] + other + LOGIN[5:] + here
    for each in VECTORS:
        before = none if each.before and each.protocol == "socks5" else b""
        found[each.called] = before + each.octets
    return found


@pytest.mark.parametrize("said", wire().values(), ids=[*wire()])
def test_everyMessageOfTheWire(plain: Both, said: bytes) -> None:
    """Whole, with more behind, and octet by octet."""
    lanes = plain.worlds[0].lanes
    plain.same(saying([said]))
    plain.same(saying([said + b"hello"]))
    assert plain.worlds[0].lanes == lanes + 2
    if len(said) < 60:
        plain.same(saying(cut(said, range(len(said)))))


@settings(deadline=None, max_examples=150)
@given(
    st.integers(0, 1 << 32),
    st.lists(st.integers(0, 600), max_size=3),
    st.sampled_from(["end", "reset", "close"]),
)
def test_mutated(plain: Both, seed: int, places: list[int], how: str) -> None:
    """Conversations with octets changed, lost, doubled, and put together of two."""
    valid = [said for said in requests(plain.port).values() if 0 < len(said) < 1000]
    octets = mutated(valid, Random(seed))
    lanes = plain.worlds[0].lanes
    plain.same(saying(cut(octets, places), how))
    assert plain.worlds[0].lanes == lanes + bool(octets)


@settings(deadline=None, max_examples=120)
@given(
    st.sampled_from(NAMES),
    st.lists(st.integers(0, 600), max_size=6),
    st.sampled_from(["end", "reset", "close"]),
    st.integers(0, 600),
)
def test_howeverTheOctetsCome(
    plain: Both, name: str, places: list[int], how: str, most: int
) -> None:
    """Chopped at any places, and broken off at any."""
    octets = requests(plain.port)[name]
    octets = octets[: most if most % 3 else len(octets)]
    plain.same(saying(cut(octets, places), how))


def test_theLaneIsTakenInTLS(inTLS: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the end, though the relay is another one."""
    taken: list[Stage] = []
    handed = Express._hand

    def hand(lane: Express, opening: Any) -> None:
        taken.append(lane._session.stage)
        handed(lane, opening)

    said = requests(inTLS.port)
    # The first of each kind is remembered.
    for name in ("reached, and on", "logged in"):
        saying([said[name]])(inTLS.worlds[0])
    monkeypatch.setattr(Express, "_hand", hand)
    for name in ("reached, and on", "logged in", "SOCKS 4"):
        saying([said[name]])(inTLS.worlds[0])
    assert taken == []


def test_theLaneIsTaken(plain: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    """And keeps what it is for, from the second login on."""
    taken: list[tuple[str, bool]] = []
    handed = Express._hand

    def hand(lane: Express, opening: Any) -> None:
        taken.append((lane._session.record.protocol, True))
        handed(lane, opening)

    def over(lane: Express, *how: Any) -> None:
        taken.append((lane._session.record.protocol, False))
        relayed(lane, *how)

    relayed = Express._relayed
    # What was remembered before would be forgotten between the first time and the second.
    plain.same(lambda world: world.pass_(3600.0))
    world = plain.worlds[0]
    said = requests(plain.port)
    names = (
        "reached, and on", "logged in", "SOCKS 4", "literal as a name", "one.example",
        "logged in, by name", "SOCKS 4a, by name", "SOCKS 6", "SOCKS 6, logged in",
        "SOCKS 6, all of it", "SOCKS 6, by name",
    )  # fmt: skip
    for name in names:
        saying([said[name]])(world)
    monkeypatch.setattr(Express, "_hand", hand)
    monkeypatch.setattr(Express, "_relayed", over)
    for name in names:
        saying([said[name]])(world)
    assert taken == [
        ("socks5", False),
        ("socks5", False),
        ("socks4", False),
        ("socks5", False),
        ("socks5", False),
        ("socks5", False),
        ("socks4a", False),
        *[("socks6", False)] * 3,
        ("socks6", True),
    ]
    # Whether the name is known or not.
    del taken[:]
    ADDRESSES["new.example"] = ["127.0.0.1"]
    for _ in range(2):
        new = b"\5\1\0" + socks5.encodeRequest(1, "new.example", plain.port)
        saying([new])(world)
    del ADDRESSES["new.example"]
    assert taken == [("socks5", False)] * 2
    del taken[:]
    saying([said["resolve"]])(world)
    assert taken == [("socks5", True)]
    # The other world is to be alike again.
    ADDRESSES["new.example"] = ["127.0.0.1"]
    for octets in (*map(said.get, names), *map(said.get, names), new, new):
        saying([octets or b""])(plain.worlds[1])
    del ADDRESSES["new.example"]
    saying([said["resolve"]])(plain.worlds[1])
    plain.same(lambda world: None)


@pytest.mark.parametrize("options", [b"", LOGIN6, MESSAGES6 + LOGIN6 + IGNORED6])
def test_noConversation(plain: Both, options: bytes) -> None:
    """The lane makes none of a request that is whole and brings its login."""

    def script(world: World) -> Any:
        # The first login is remembered.
        asked6(world, HERE, options=options).close()
        client = asked6(world, HERE, options=options)
        client.say(b"hello")
        (session,) = world.gateway.sessions
        assert session.client.conversing is not world.lane
        client.close()
        return client.told

    (heard, _), _ = plain.same(script)
    assert heard.endswith(b"hello")


# What happens meanwhile.


def relaying(world: World, login: bytes = b"\5\1\0") -> Client:
    """A client whose session relays."""
    client = answered(world, login)
    client.say(b"hello")
    return client


def answered(world: World, login: bytes = b"\5\1\0") -> Client:
    """A client whose request is answered."""
    client = world.connect()
    client.say(login + socks5.encodeRequest(1, HERE, world.origin.port))
    return client


def asked6(
    world: World, host: Address | str, behind: bytes = b"", options: bytes = b""
) -> Client:
    """A client that has made its request in SOCKS 6."""
    said = socks6.encodeRequest(1, host, world.origin.port, options)
    return begun(world, said + behind)


def dialling(world: World) -> Client:
    """A client whose destination does not answer."""
    client = world.connect()
    client.say(b"\5\1\0" + socks5.encodeRequest(1, MUTE, world.origin.port))
    return client


def lookingUp(world: World) -> Client:
    """A client whose name nobody knows anything of."""
    client = world.connect()
    client.say(b"\5\1\0" + socks5.encodeRequest(1, _SILENT, world.origin.port))
    return client


BEGUN: Final[dict[str, Callable[[World], Client]]] = {
    "looking up": lookingUp,
    "greeted": lambda world: begun(world, b"\5\1\0"),
    "half a login": lambda world: begun(world, b"\5\1\2\1\5al"),
    "logged in": lambda world: begun(world, LOGIN),
    "dialling": dialling,
    "relaying": relaying,
    "logged in, relaying": lambda world: relaying(world, LOGIN),
    "SOCKS 6, looking up": lambda world: asked6(world, _SILENT),
    "SOCKS 6, dialling": lambda world: asked6(world, MUTE, options=LOGIN6),
    "SOCKS 6, dialling, with data": lambda world: asked6(world, MUTE, b"hello"),
    "SOCKS 6, relaying": lambda world: asked6(world, HERE, options=LOGIN6),
}
DENYING: Final = '[[rule]]\nid = "none"\ndeny = ["connect"]\n'


def begun(world: World, octets: bytes) -> Client:
    """A client that has said something."""
    client = world.connect()
    client.say(octets)
    return client


def _kill(world: World) -> None:
    for session in world.gateway.sessions:
        session.client.end(Killed("by the test"))


def _fail(world: World) -> None:
    def write(octets: bytes) -> None:
        raise OSError(28, "No space left on device")

    world.gateway.journal._tail.segments.write = write  # type: ignore[method-assign]


def _heal(world: World) -> None:
    del world.gateway.journal._tail.segments.write
    time.sleep(0.26)
    world.turns()


HAPPENS: Final[dict[str, Callable[[World], object]]] = {
    "killed": _kill,
    "late": lambda world: world.pass_(20.0),
    "idle": lambda world: [world.pass_(100.0) for _ in range(20)],
    "revoked": lambda world: world.reload(DENYING),
    "reloaded": lambda world: world.reload(RULES["limits"]),
    "looked at": lambda world: world.reload(RULES["looked at"]),
    "drained": lambda world: world.gateway.drain(),
    "the journal fails": _fail,
}


@pytest.mark.parametrize("stage", BEGUN)
@pytest.mark.parametrize("what", HAPPENS)
def test_whateverHappensMeanwhile(plain: Both, stage: str, what: str) -> None:
    """
    A session is ended, runs out of time, or is judged by other rules, and then goes on
    as far as it may.
    """
    both = plain
    both.same(lambda world: begun(world, LOGIN).close())

    def script(world: World) -> Any:
        client = BEGUN[stage](world)
        if what == "killed" and stage.startswith("SOCKS 6"):
            # A reset drops what the kernel holds back.
            client.hear()
        HAPPENS[what](world)
        world.turns()
        if stage in ("greeted", "logged in"):
            client.say(socks5.encodeRequest(1, HERE, world.origin.port))
        client.say(b"again")
        client.end()
        if what == "the journal fails":
            _heal(world)
        for _ in range(4):
            world.pass_(20.0)
            world.turns()
        client.close()
        if what == "drained":
            world.gateway.undrain()
            ((_, world.port),) = world.gateway.bound()
        world.reload(RULES["plain"])
        world.turns()
        return client.told

    both.same(script)


@pytest.fixture(scope="module", params=["all looked at", "by what they are"])
def looking(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Both]:
    """Both, with rules that have sessions looked at."""
    made = Both(tmp_path_factory.mktemp("looking"), RULES[request.param])
    yield made
    made.close()


@pytest.mark.parametrize("first", FIRST)
@pytest.mark.parametrize("last", ["end", "reset"])
def test_whateverTheyCarry(looking: Both, first: str, last: str) -> None:
    """It is found, judged and passed on alike, whole and in two pieces."""

    def script(world: World) -> Any:
        told = []
        for pieces in ([FIRST[first]], [FIRST[first][:1], FIRST[first][1:]]):
            client = answered(world)
            for piece in pieces:
                client.say(piece)
            client.say(b"more")
            getattr(client, last)()
            for _ in range(3):
                world.pass_(20.0)
                world.turns()
            client.close()
            told.append(client.told)
        return told

    looking.same(lambda world: begun(world, b"\5\1\0").close())
    _, lines = looking.same(script)
    found = [line.get("application") for line in lines if line["event"] == "end"]
    if first in ("TLS", "HTTP", "SSH"):
        assert first.lower() in found


def test_theLaneLooks(looking: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    """It keeps sessions whose first octets tell what they are."""
    looking.same(lambda world: begun(world, b"\5\1\0").close())
    handed: list[Express] = []
    hand = Express._hand
    monkeypatch.setattr(
        Express, "_hand", lambda lane, it: handed.append(lane) or hand(lane, it)
    )
    for first, stays in (("HTTP", True), ("half of TLS", False)):

        def script(world: World, octets: bytes = FIRST[first]) -> None:
            client = answered(world)
            client.say(octets)
            client.end()
            client.close()

        looking.same(script)
        assert bool(handed) is not stays
        handed.clear()


@pytest.mark.parametrize("what", HAPPENS)
@pytest.mark.parametrize("first", ["nothing", "half of TLS"])
def test_whateverHappensAtTheLook(looking: Both, what: str, first: str) -> None:
    """The session ends, or is judged by other rules, and is looked at on."""

    def script(world: World) -> Any:
        client = answered(world)
        if FIRST[first]:
            client.say(FIRST[first])
        HAPPENS[what](world)
        world.turns()
        client.say(FIRST["TLS"][len(FIRST[first]) :])
        client.say(b"more")
        client.end()
        if what == "the journal fails":
            _heal(world)
        for _ in range(4):
            world.pass_(20.0)
            world.turns()
        client.close()
        if what == "drained":
            world.gateway.undrain()
            ((_, world.port),) = world.gateway.bound()
        world.reload(looking.rules)
        world.turns()
        return client.told

    # The first login of a configuration is not one for the lane.
    looking.same(lambda world: begun(world, b"\5\1\0").close())
    looking.same(script)


@pytest.mark.parametrize("first", ["TLS", "HTTP"])
def test_theDestinationGoesAtTheLook(looking: Both, first: str) -> None:
    """Also with what it still says, before the client says anything, or meanwhile."""

    def script(world: World) -> Any:
        told = []
        for octets, reset in ((b"", False), (b"", True), (b"220 a\r\n", False)):
            client = answered(world)
            world.origin.leave(octets, reset)
            world.turns()
            client.say(FIRST[first])
            client.end()
            world.turns()
            client.close()
            told.append(client.told)
        return told

    looking.same(lambda world: begun(world, b"\5\1\0").close())
    looking.same(script)


def test_aLimitThatIsReached(both: Both) -> None:
    """Of two at a time, and of one behind the other."""

    def script(world: World) -> Any:
        first, second = relaying(world), relaying(world)
        first.end()
        third = relaying(world)
        for each in (first, second, third):
            each.close()
        return [each.told for each in (first, second, third)]

    both.same(script)


def test_newSessionsThatAreTooMany(plain: Both) -> None:
    """A name counts before it is looked up, whether it is known or not."""
    arriving = '[[limit]]\nper = "user"\nnew_sessions = 2\n'

    def script(world: World) -> Any:
        world.reload(arriving + RULES["plain"])
        told = []
        for name in ("other.test", "one.example"):
            said = b"\5\1\0" + socks5.encodeRequest(1, name, world.origin.port)
            for _ in range(4):
                client = world.connect()
                client.say(said + b"Q")
                client.close()
                told.append(client.told)
            world.pass_(2.0)
        world.reload(RULES["plain"])
        return told

    told, lines = plain.same(script)
    assert len({heard for heard, _ in told}) == 2
    refused = [line["reason"] for line in lines if line.get("verdict") == "deny"]
    assert refused == ["limit"] * 4


@pytest.mark.parametrize("secured", [False, True])
def test_lastingSessionsAreKeptAwake(plain: Both, inTLS: Both, secured: bool) -> None:
    """Silent destinations are asked whether they are there, from a minute on."""
    both = inTLS if secured else plain

    def asked(world: World) -> int:
        world.gateway._parts.look()
        (session,) = world.gateway.sessions
        assert session.tally is not None
        relay = session.tally.relay
        if secured:
            assert isinstance(relay, StreamRelay)
            there = relay.destination.connection.plain
        else:
            assert isinstance(relay, SpliceRelay)
            there = relay.destination.socket
        assert there is not None
        return there.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)

    for world in both.worlds:
        # How the first one logs in is remembered.
        relaying(world).close()
        world.turns()
        client = relaying(world)
        assert asked(world) == (not world.lane)
        world.pass_(45.0)
        assert asked(world) == (not world.lane)
        world.pass_(30.0)
        assert asked(world)
        client.close()
        world.turns()
    if not secured:
        # In TLS another test has asked only one of them.
        plain.same(lambda world: None)
