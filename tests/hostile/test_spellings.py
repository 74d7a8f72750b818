"""
Hostile spellings of destinations: each is denied or refused, and none is
ever dialled.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from pyroute2 import IPRoute

from tests.hostile import spellings
from tests.hostile.trace import dialled, ended, tracing
from tests.live.clients import (
    Server,
    exactly,
    four,
    named,
    opened,
    six,
    tunnel,
    verdict4,
    verdict5,
)
from tests.live.names import AAAA, A, NameServer, a, aaaa, answer
from tests.live.running import WORKERS, Running
from tests.tools.waiting import until

Gateway = Callable[..., Running]

#: RFC 1928 section 6, and SOCKS 4's CD.
REFUSED, DENIED = 1, 2
REJECTED = 91

_LISTEN = """
[[listen]]
name = "main"
address = ["127.0.0.1:0"]
protocols = ["socks5", "socks4", "http"]
[[auth.choose]]
from = ["127.0.0.0/8", "::1"]
methods = ["none"]
"""
#: What applies without a configuration.
BUILT_IN = (
    _LISTEN
    + """
[[rule]]
id = "no-private"
deny = "any"
to = ["private"]
[[rule]]
id = "everywhere-else"
allow = ["connect"]
"""
)
#: Everything is allowed but what [never] bans.
ANY = (
    _LISTEN
    + """
[[rule]]
id = "all"
allow = "any"
to = ["any"]
"""
)

#: Addresses that an IPv6 answer may bring for a name of that number.
_ANSWERS = spellings.SIXES


def _leadingHome(name: str, kind: int, _: int, query: bytes) -> bytes:
    """Every name is on this machine; sixN.test has the Nth hostile address."""
    number = re.match(r"six(\d+)\.test", name)
    if number is not None:
        records = [aaaa(_ANSWERS[int(number[1])])] if kind == AAAA else []
    else:
        records = {A: [a("127.0.0.1")], AAAA: [aaaa("::1")]}[kind]
    return answer(query, *records)


@pytest.fixture
def home() -> Iterator[NameServer]:
    """A name server for which every name leads to this machine."""
    with NameServer(_leadingHome) as server:
        yield server


@pytest.fixture
def traps() -> Iterator[list[Server]]:
    """Servers that nobody must reach, on one port of all our addresses."""
    with Server("0.0.0.0") as every, Server("::", every.port) as six:
        yield [every, six]


def _addresses() -> list[str]:
    """All addresses of this machine."""
    with IPRoute() as routes:
        found = [message.get("address") for message in routes.get_addr()]
    return [text for text in found if text]


def _status(port: int, name: bytes, destination: int) -> int:
    """Ask for a CONNECT in HTTP, and return its status."""
    with closing(opened(port)) as client:
        target = b"%b:%d" % (name, destination)
        client.sendall(b"CONNECT %b HTTP/1.1\r\nHost:\r\n\r\n" % target)
        octets = exactly(client, 1 << 16)
    return int(octets[9:12] or 0)


class _Asking:
    """Asks a gateway, and gathers what was not answered as it must be."""

    def __init__(self, gateway: Running, port: int, http: bool = True) -> None:
        self._gateway = gateway
        self._port = port
        self._http = http
        self.asked = 0
        self.wrong: dict[object, object] = {}

    def _heard(self, key: object, reply: int | None, wanted: int) -> None:
        self.asked += 1
        if reply != wanted:
            self.wrong[key] = reply

    def name(self, name: bytes, wanted: int, port: int = 0) -> None:
        """In SOCKS 5 with ATYP 03, in SOCKS 4a, and in HTTP."""
        port = port or self._port
        reply = verdict5(self._gateway.port, named(name), port)
        self._heard(("5", name), reply, wanted)
        for packed in (b"\0\0\0\1", b"\0\0\0\x7f", b"\0\0\0\xff"):
            rejected = verdict4(self._gateway.port, packed, port, name)
            self._heard(("4a", packed, name), rejected, REJECTED)
        if self._http:
            # A form that HTTP does not have is malformed.
            statuses = {DENIED: (403, 400), REFUSED: (400,)}[wanted]
            status = _status(self._gateway.port, name, port)
            self._heard(
                ("http", name), wanted if status in statuses else status, wanted
            )

    def four(self, text: str, port: int = 0) -> None:
        """In SOCKS 5 with ATYP 01, and in SOCKS 4."""
        port = port or self._port
        reply = verdict5(self._gateway.port, four(text), port)
        self._heard(("5", text), reply, DENIED)
        packed = socket.inet_pton(socket.AF_INET, text)
        if packed[:3] != bytes(3) or not packed[3]:
            rejected = verdict4(self._gateway.port, packed, port)
            self._heard(("4", text), rejected, REJECTED)

    def six(self, text: str, port: int = 0) -> None:
        """In SOCKS 5 with ATYP 04."""
        reply = verdict5(self._gateway.port, six(text), port or self._port)
        self._heard(("5", text), reply, DENIED)

    def banned(self) -> None:
        """Everything that is banned before every rule."""
        for name in spellings.LITERALS:
            self.name(name, DENIED)
        for name in spellings.MALFORMED:
            self.name(name, REFUSED)
        for text in spellings.FOURS:
            self.four(text)
        for text in spellings.SIXES:
            self.six(text)
        for text in _addresses():
            (self.six if ":" in text else self.four)(text)
            self.name(text.encode(), DENIED)
        # Its own door, and port 0 of anything.
        self.four("127.0.0.1", self._gateway.port)
        self.name(b"127.0.0.1", DENIED, self._gateway.port)

    def private(self) -> None:
        """What the built-in rules deny."""
        for name in spellings.PRIVATE_LITERALS:
            self.name(name, DENIED)
        for text in spellings.PRIVATE_FOURS:
            self.four(text)
        for text in spellings.PRIVATE_SIXES:
            self.six(text)

    def names(self, names: list[bytes]) -> None:
        """Names that lead to this machine."""
        for name in names:
            self.name(name, DENIED)

    def recorded(self) -> None:
        """
        Each request has one line, or is in a sum; none allows anything.
        """

        def told() -> int:
            return len(self._lines()) + self._gateway.summed.total()

        until(lambda: told() >= self.asked)
        assert told() == self.asked
        lines = self._lines()
        assert not [line for line in lines if line.get("verdict") == "allow"]

    def _lines(self) -> list[dict[str, object]]:
        journal = self._gateway.journal()
        return [line for line in journal if line["event"] in ("decision", "refused")]


def test_builtInDefaultsDenyEverySpelling(
    gateway: Gateway, tmp_path: Path, traps: list[Server]
) -> None:
    """
    Without a configuration every spelling of a special or private address
    is denied or refused, in SOCKS 5, 4 and 4a; nothing is ever dialled.
    """
    trace = tmp_path / "trace"
    started = gateway(None, "--listen", "127.0.0.1:0", prefix=tracing(trace))
    asking = _Asking(started, traps[0].port, http=False)
    asking.banned()
    asking.private()
    # These are in the hosts file: no look-up leaves the machine.
    asking.names([b"localhost", b"LOCALHOST", b"localhost.", b"LocalHost."])
    assert asking.wrong == {}
    asking.recorded()
    ended(started, trace)
    assert dialled(trace) == []
    assert [trap.peers for trap in traps] == [[], []]


def test_builtInRulesDenyWhereNamesLead(
    gateway: Gateway, tmp_path: Path, traps: list[Server], home: NameServer
) -> None:
    """
    Names that lead to special addresses, in whatever form, are denied by the
    built-in rules; nothing is ever dialled.
    """
    trace = tmp_path / "trace"
    resolver = f'[resolver]\nservers = ["{home.place}"]\n'
    started = gateway(BUILT_IN + resolver, prefix=tracing(trace))
    asking = _Asking(started, traps[0].port)
    asking.names(spellings.NAMES)
    asking.names([b"six%d.test" % n for n in range(len(_ANSWERS))])
    assert asking.wrong == {}
    # Each process remembers what it was told.
    assert 1 <= home.asked["localhost", A] <= WORKERS
    asking.recorded()
    ended(started, trace)
    assert dialled(trace, home) == []
    assert [trap.peers for trap in traps] == [[], []]


def test_neverHoldsUnderRulesThatAllowAnything(
    gateway: Gateway, tmp_path: Path, traps: list[Server], home: NameServer
) -> None:
    """
    A rule that allows everything to everywhere opens nothing that [never]
    bans, but the one place that it excepts; malformed names are refused
    without a look-up.
    """
    trace = tmp_path / "trace"
    with Server() as echo:
        host, port = echo.place
        more = f"""
[never]
except = ["{host}:{port}"]
[resolver]
servers = ["{home.place}"]
"""
        started = gateway(ANY + more, prefix=tracing(trace))
        asking = _Asking(started, traps[0].port)
        asking.banned()
        # In SOCKS 4a a name ends at its NULL, and one is a name before it.
        assert {name for name, _ in home.asked} <= {"localhost"}
        asking.names(spellings.NAMES)
        asking.names([b"six%d.test" % n for n in range(len(_ANSWERS))])
        assert asking.wrong == {}
        asking.recorded()
        # That something is dialled, and seen, when it is allowed.
        with closing(tunnel(started.port, (host, port))) as client:
            client.sendall(b"hello")
            assert exactly(client, 5) == b"hello"
        ended(started, trace)
    assert dialled(trace, home) == [(host, port)]
    assert [trap.peers for trap in traps] == [[], []]
