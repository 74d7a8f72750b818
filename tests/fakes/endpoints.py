"""
An endpoint whose connections the test opens, and whose other end it is.
"""

from __future__ import annotations

from typing import Any

from twisted.internet import error
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from zope.interface import implementer

__all__ = ["Carrier", "ProxyEndpoint"]


class Carrier(StringTransport):
    """
    A connection in memory.

    @ivar state: C{open}, C{closed} or C{aborted}.
    """

    def __init__(self, protocol: Any) -> None:
        super().__init__()
        self.protocol = protocol
        self.state = "open"
        self.ended = False

    def taken(self) -> bytes:
        """What was written since the last call."""
        octets: bytes = self.value()
        self.clear()
        return octets

    def tell(self, octets: bytes) -> None:
        """Have the client hear octets."""
        self.protocol.dataReceived(octets)

    def end(self) -> None:
        """End the proxy's side, as TCP does."""
        self.protocol.readConnectionLost()

    def loseWriteConnection(self) -> None:
        self.ended = True

    def loseConnection(self) -> None:
        super().loseConnection()
        self._lose("closed")

    def abortConnection(self) -> None:
        self.disconnecting = True
        self._lose("aborted")

    def _lose(self, state: str) -> None:
        if self.state == "open":
            self.state = state
            self.protocol.connectionLost(Failure(ConnectionDone()))


@implementer(IStreamClientEndpoint)
class ProxyEndpoint:
    """
    An endpoint.

    @ivar carriers: the connections that were opened.
    @ivar cancelled: how many were given up before.
    """

    def __init__(self) -> None:
        self.carriers: list[Carrier] = []
        self.cancelled = 0
        self._waiting: list[tuple[Any, Deferred[Any]]] = []

    def connect(self, protocolFactory: Any) -> Deferred[Any]:
        waiting: Deferred[Any] = Deferred(self._cancel)
        self._waiting.append((protocolFactory, waiting))
        protocolFactory.doStart()
        return waiting

    def _cancel(self, _: object) -> None:
        self.cancelled += 1

    def open(self) -> Carrier:
        """Open the connection that was asked for."""
        factory, waiting = self._waiting.pop(0)
        protocol = factory.buildProtocol(None)
        carrier = Carrier(protocol)
        self.carriers.append(carrier)
        protocol.makeConnection(carrier)
        if not waiting.called:
            waiting.callback(protocol)
        return carrier

    def refuse(self, failure: Exception | None = None) -> None:
        """Have it fail."""
        factory, waiting = self._waiting.pop(0)
        factory.doStop()
        waiting.errback(failure or error.ConnectionRefusedError())
