"""
Upstreams on loopback that answer what a test says, and the gateway's side of them.
"""

from __future__ import annotations

import gc
import socket
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from random import Random
from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from socksgw.client.proxy import Proxy
from socksgw.client.socks import Socks5Proxy
from socksgw.interfaces import Asker
from socksgw.login.realm import ANYBODY
from socksgw.route.dialer import Dialer
from socksgw.route.upstreams.chain import chained
from socksgw.route.upstreams.ground import Ground, Straight
from socksgw.route.upstreams.health import Health
from socksgw.route.upstreams.hop import Hop
from socksgw.route.upstreams.manner import Manner
from socksgw.route.upstreams.place import Place
from socksgw.route.upstreams.standing import Standing
from socksgw.route.upstreams.through import Through
from socksgw.route.upstreams.trip import Trip
from socksgw.system.tlsclient import ClientTLS
from socksgw.wire.address import Address
from tests.fakes.loops import WatchedLoop
from tests.fakes.resolver import Names
from tests.live.raw import exactly
from tests.live.servers import Destination
from tests.tools.sockets import descriptors

GRANTED = b"\x05\x00\x00\x01\xc0\x00\x02\x01\x9c\x40"
#: Where it says that it is bound then.
BOUND = (Address.parse("192.0.2.1"), 40000)
LOOP = Address.parse("127.0.0.1")
FAR = Address.parse("198.51.100.9")
#: The traveller: nothing but its address is asked.
ALICE: Any = SimpleNamespace(
    asker=Asker(ANYBODY, Address.parse("192.0.2.7"), "lan"),
    shown=None,
    joins=lambda standing: None,
    parts=lambda standing: standing.end(),
)
SECONDS = 10.0
SOCKS = Socks5Proxy()


class Scripted(Destination):
    """
    A SOCKS 5 server without login, and the servers behind it in a row.

    @ivar asked: what each was asked for: a host and a port.
    """

    def __init__(self, *replies: bytes, then: Callable[[Any], None] = lambda _: None):
        """
        @param replies: of each server in a row; after the last one C{then} goes on.
        """
        self.asked: list[tuple[str, int]] = []
        self._replies = replies
        self._then = then
        super().__init__(self._play)

    def _play(self, connection: socket.socket) -> None:
        # The other side may be gone in the middle.
        with suppress(AssertionError, OSError):
            for reply in self._replies:
                assert exactly(connection, 3) == b"\x05\x01\x00"
                connection.sendall(b"\x05\x00")
                self.asked.append(_asked(connection))
                connection.sendall(reply)
            self._then(connection)


def _asked(connection: socket.socket) -> tuple[str, int]:
    """Read a request, and return its destination."""
    kind = exactly(connection, 4)[3]
    if kind == 3:
        host = exactly(connection, exactly(connection, 1)[0]).decode()
    else:
        host = Address(exactly(connection, 4 if kind == 1 else 16)).text
    return host, int.from_bytes(exactly(connection, 2), "big")


class Network(WatchedLoop):
    """
    What leads out of a host that has loopback alone.

    @ivar names: what looks names up.
    @ivar own: the ports of the gateway's own listeners.
    """

    def __init__(self) -> None:
        super().__init__()
        self.before = descriptors()
        self.fresh()
        self.dialer = Dialer(self.clock, self.watcher, self.setDeadline, SECONDS)
        self.ground = Ground(self.dialer.open, lambda _, port: port in self.own)

    def fresh(self) -> None:
        """Begin a test."""
        self.names = Names()
        self.own: set[int] = set()
        self.stack = ExitStack()

    def over(self) -> None:
        """End a test, which has left nothing to do."""
        self.stack.close()
        self.settle()
        assert self.watcher.calls == {}
        assert self.pending == 0

    def close(self) -> None:
        """Nothing is left open."""
        gc.collect()
        assert descriptors() <= self.before
        self.closeLoop()

    def scripted(self, *replies: bytes, **then: Any) -> Scripted:
        """Start one."""
        made = Scripted(*replies, **then)
        self.stack.enter_context(made)
        return made

    def served(self, serve: Callable[[socket.socket], object]) -> Destination:
        """Start a server that may be left in the middle."""

        def have(connection: socket.socket) -> None:
            with suppress(AssertionError, OSError):
                serve(connection)

        return self.stack.enter_context(Destination(have))

    def hop(
        self,
        name: str,
        host: str,
        port: int,
        there: bool = False,
        proxy: Proxy = SOCKS,
        passing: Callable[[bytes, bytes], Proxy] | None = None,
        tls: ClientTLS | None = None,
    ) -> Hop:
        """Return a hop to a server."""
        at: Address | str = host
        with suppress(ValueError):
            at = Address.parse(host)
        health = Health(self.clock.seconds, Random(5), lambda *_: None)
        standing = Standing(name, health)
        manner = Manner(name, proxy, passing=passing, tls=tls)
        return Hop(standing, at, port, manner, self.setDeadline, there)

    def ways(self, *places: Sequence[Hop], direct: bool = False) -> Through:
        """Return ways through these places."""
        last = Straight(self.dialer.open) if direct else None
        made = [Place(each, lambda found, _: [*found], last) for each in places]
        opener = chained(self.ground, made)
        # What no connection needs.
        nothing: Any = None
        return Through(
            opener,
            SECONDS,
            self.clock.seconds,
            self.names,
            nothing,
            nothing,
            nothing,
            nothing,
            self.setDeadline,
            SECONDS,
        )

    def trip(self, seconds: float = SECONDS) -> Trip:
        """Return one that has so much time."""
        return Trip(ALICE, seconds, self.clock.seconds, self.names)

    def started(self, awaited: Any) -> tuple[Deferred[Any], list[Any]]:
        """Start it, and return what it will have come to."""
        found: list[Any] = []

        async def wait() -> Any:
            return await awaited

        waiting = Deferred.fromCoroutine(wait()).addBoth(found.append)
        return waiting, found

    def result(self, awaited: Any) -> Any:
        """What has come of it; what it raises is raised."""
        _, found = self.started(awaited)
        self.until(lambda: found)
        if isinstance(found[0], Failure):
            found[0].raiseException()
        return found[0]
