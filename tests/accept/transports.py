"""
Connect clients on loopback to transports, in a reactor of the test's own.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from twisted.internet import tcp
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure
from zope.interface import implementer

from socksgw.accept.transport import PlainTransport
from socksgw.system.watch import Watch
from tests.fakes.loops import ReactorLoop


@implementer(IHalfCloseableProtocol)
class Recorder(Protocol):
    """
    Writes down what happens to it.
    """

    transport: Any
    taken: Any = None

    def __init__(self) -> None:
        self.octets = b""
        self.readEnds = 0
        self.departures = 0
        self.lost: list[type[BaseException]] = []
        self.failing: Exception | None = None

    def dataReceived(self, data: bytes) -> None:
        if self.failing is not None:
            raise self.failing
        self.octets += data

    def readConnectionLost(self) -> None:
        self.readEnds += 1

    def departed(self) -> None:
        self.departures += 1

    def writeConnectionLost(self) -> None: ...

    def connectionLost(self, reason: Failure = Failure(Exception())) -> None:  # noqa: B008
        assert reason.type is not None
        self.lost.append(reason.type)


def openSockets() -> int:
    """How many sockets this process has."""
    found = 0
    for number in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):
            found += os.readlink(f"/proc/self/fd/{number}").startswith("socket:")
    return found


class Floor(ReactorLoop):
    """
    A reactor that is nobody else's, and connections.
    """

    def __init__(self) -> None:
        self._before = openSockets()
        super().__init__()
        self.watch = Watch(self.reactor)
        self.watch.start()
        self._clients: list[socket.socket] = []

    def connect(
        self,
        protocol: Protocol,
        host: str = "127.0.0.1",
        transport: Callable[..., Any] = PlainTransport,
    ) -> tuple[socket.socket, Any]:
        """A client, and its transport."""
        port = tcp.Port(0, Factory(), interface=host, reactor=self.reactor)
        port.startListening()
        # Who accepts is the test.
        port.stopReading()
        client = socket.socket(port.addressFamily)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        client.connect(port.socket.getsockname())
        port.socket.setblocking(True)
        accepted, _ = port.socket.accept()
        port.stopListening()
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
        client.setblocking(False)
        self._clients.append(client)
        return client, transport(accepted, protocol, port, self.watch)

    def read(self, client: socket.socket, count: int) -> bytes:
        """So many octets that the client is sent; fewer when it ends before."""
        found = bytearray()

        def enough() -> bool:
            try:
                octets = client.recv(1 << 16)
            except BlockingIOError:
                return False
            found.extend(octets)
            return not octets or len(found) >= count

        self.until(enough)
        return bytes(found)

    def atBase(self) -> None:
        """Nothing is watched any more, and no descriptor is left."""
        for client in self._clients:
            client.close()
        self.settle()
        self.until(lambda: not self.reactor.getWriters())
        self.until(lambda: self.watch.watched == 0)
        readers = self.reactor.getReaders()
        for each in readers:
            if each is not self.watch and each is not self.reactor.waker:
                self.until(lambda each=each: each not in self.reactor.getReaders())
        self.watch.stop()
        self.closeLoop()
        assert openSockets() == self._before
