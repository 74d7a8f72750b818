"""
Connect clients on loopback to connections of the gateway's, in a reactor of the
test's own.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from twisted.python.failure import Failure

from socksgw.errors import SocksError
from socksgw.system.connection import Connection, Receiver
from socksgw.system.plain import PlainConnection
from socksgw.system.watch import Watch, Watcher
from tests.fakes.loops import ReactorLoop
from tests.tools.sockets import descriptors

__all__ = ["Client", "Floor", "Recorder"]


class Client:
    """
    What a relay needs of a client.

    @ivar taken: what takes what comes.
    @ivar closing: whether it ends with the present answer.
    """

    closing = False
    ipsec = 0

    def __init__(
        self, connection: Any, ended: bool = False, protection: Any = None
    ) -> None:
        self.connection = connection
        self.ended = ended
        self.protection = protection
        self.taken: Any = None

    def take(self, receiver: Receiver | None) -> None:
        self.taken = receiver


class Recorder:
    """
    A receiver and producer that writes down what happens to it.
    """

    def __init__(self) -> None:
        self.octets = b""
        self.readEnds = 0
        self.departures = 0
        self.violations: list[SocksError] = []
        self.lost: list[type[BaseException]] = []
        self.failing: Exception | None = None
        self.paused = 0
        self.resumed = 0
        self.stopped = 0

    def dataReceived(self, data: bytes) -> None:
        if self.failing is not None:
            raise self.failing
        self.octets += data

    def readConnectionLost(self) -> None:
        self.readEnds += 1

    def departed(self) -> None:
        self.departures += 1

    def violated(self, failure: SocksError) -> None:
        self.violations.append(failure)

    def connectionLost(self, reason: Failure) -> None:
        assert reason.type is not None
        self.lost.append(reason.type)

    # As a producer.

    def pauseProducing(self) -> None:
        self.paused += 1

    def resumeProducing(self) -> None:
        self.resumed += 1

    def stopProducing(self) -> None:
        self.stopped += 1


class Floor(ReactorLoop):
    """
    A reactor that is nobody else's, and connections.

    @ivar clients: sockets to close at the end.
    """

    def __init__(self) -> None:
        self._before = descriptors()
        super().__init__()
        self.watch = Watch(self.reactor)
        self.watch.start()
        self.clients: list[socket.socket] = []

    def connect(
        self,
        receiver: Any,
        host: str = "127.0.0.1",
        made: Callable[[socket.socket, Watcher], Any] = PlainConnection,
    ) -> tuple[socket.socket, Any]:
        """A client, and its connection, which the receiver takes."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.create_server((host, 0), family=family) as listening:
            client = socket.socket(family)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
            client.connect(listening.getsockname())
            accepted, _ = listening.accept()
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
        accepted.setblocking(False)
        client.setblocking(False)
        self.clients.append(client)
        connection: Connection = made(accepted, self.watch)
        connection.take(receiver)
        return client, connection

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
        for client in self.clients:
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
        assert descriptors() <= self._before
