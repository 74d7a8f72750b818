"""
Run a listener in memory, with sessions that only take the first event.
"""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHalfCloseableDescriptor
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from zope.interface import implementer

from socksgw.accept.admission import Census
from socksgw.accept.bridge import TwistedProtocol
from socksgw.accept.endpoints import listenOnAddress, listenOnEndpoint
from socksgw.accept.inbound import Inbound
from socksgw.accept.listener import Listener
from socksgw.relay.memory import Memory
from socksgw.system.deadlines import Deadlines
from socksgw.system.watch import Watch
from tests.fakes.loops import ReactorLoop

#: SOCKS 4 CONNECT to 192.0.2.1:80, no user id.
CONNECT4 = b"\x04\x01\x00\x50\xc0\x00\x02\x01\x00"


@implementer(IHalfCloseableDescriptor)
class Transport(StringTransport):
    """A transport that knows half-close, as TCP's do."""

    halfClosed = False

    def loseWriteConnection(self) -> None:
        self.halfClosed = True

    def readConnectionLost(self, reason: Failure) -> None: ...

    def writeConnectionLost(self, reason: Failure) -> None: ...


class World:
    """A listener, and the sessions of its clients."""

    def __init__(self, **settings: Any) -> None:
        self.timers = Clock()
        self.clock = self.timers.seconds
        self.deadlines = Deadlines(self.clock)
        self.census = Census(1024)
        self.memory = Memory(256_000_000)
        self.setDeadline = self.deadlines.set
        self.served: list[Inbound] = []
        self.events: list[object] = []
        self.ended: list[BaseException] = []
        self.script: list[int] = [1]
        settings = {
            "protocols": ("socks5", "socks4"),
            "halfOpen": 10,
            "halfOpenPerSource": 5,
            **settings,
        }
        self.listener = Listener(self, "lan")
        self.listener.configure(handshake=10.0, **settings)

    def serve(self, client: Inbound) -> Deferred[None]:
        self.served.append(client)
        serving = Deferred.fromCoroutine(self._session(client))
        return serving.addErrback(self._failed)

    def _failed(self, failure: Failure) -> None:
        assert failure.value is not None
        self.ended.append(failure.value)

    async def _session(self, client: Inbound) -> None:
        self.events.append(await client.next())
        await Deferred()

    def settled(self) -> None: ...

    def exhausted(self) -> None:
        self.events.append("exhausted")

    def lost(self, name: str) -> None:
        self.events.append(f"lost {name}")

    def connect(self, address: Any = None) -> tuple[Inbound, Transport]:
        client = self.listener.buildProtocol(
            address or IPv4Address("TCP", "192.0.2.9", 4000)
        )
        assert client is not None
        transport = Transport()
        # Without a descriptor there is nothing to watch.
        watch: Any = None
        TwistedProtocol(client, watch).makeConnection(transport)
        return client, transport

    def lose(self, client: Inbound) -> None:
        client.connectionLost(Failure(ConnectionDone()))

    def advance(self, seconds: float) -> None:
        for _ in range(int(seconds * 4)):
            self.timers.advance(0.25)
            self.deadlines.scan()

    def atBase(self) -> None:
        """Nothing is left of any client."""
        assert self.listener.clients == {}
        assert self.listener.admission.halfOpen == 0
        assert self.census.clients == 0
        assert self.memory.held == 0
        assert self.deadlines.pending == 0


class House(World, ReactorLoop):
    """
    A listener on loopback, with a reactor of the test's own.
    """

    def __init__(self, way: str) -> None:
        World.__init__(self)
        ReactorLoop.__init__(self)
        self.watch = Watch(self.reactor)
        self.watch.start()
        self.rests = 0
        opened: list[Any] = []
        if way == "address":
            port: Any = listenOnAddress(
                self.reactor, "127.0.0.1:0", self.listener, self.rest, self.watch
            )
        else:
            where = "tcp:0:interface=127.0.0.1" if way == "endpoint" else way
            listening = listenOnEndpoint(self.reactor, where, self.listener, self.watch)
            listening.addCallback(opened.append)
            (port,) = opened
        self.port = port

    def rest(self) -> None:
        self.rests += 1

    def close(self) -> None:
        """Nobody is there any more."""
        self.listener.leaving += 1
        self.port.stopListening()
        for client in list(self.listener.clients):
            client.abort()
        self.until(lambda: not self.listener.clients)
        self.reactor.iterate(0.01)
        self.watch.stop()

    def exhausted(self) -> None:
        self.rest()

    def call(self) -> socket.socket:
        """A client."""
        client = socket.socket(self.port.socket.family)
        client.connect(self.port.socket.getsockname())
        client.setblocking(False)
        return client

    def serves(self) -> bool:
        """Whether a client that comes now is heard."""
        before = len(self.events)
        with self.call() as client:
            client.sendall(b"\x05\x01\x00")
            self.until(lambda: len(self.events) > before)
        return True
