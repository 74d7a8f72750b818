"""
What a dialogue with a proxy writes to, and awaits octets from.
"""

from __future__ import annotations

from typing import Any, Protocol, final

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from socksgw.client.errors import ProxyClosed, ProxyError, ProxyTimedOut
from socksgw.errors import SocksError
from socksgw.system.connection import Connection
from socksgw.system.coroutines import Awaited

__all__ = ["ConnectionLink", "Link"]


class Link(Protocol):
    """
    A connection to a proxy.

    @ivar surplus: octets that came behind what the dialogue has read.
    """

    surplus: bytes

    def write(self, octets: bytes) -> None:
        """Send octets."""

    async def more(self) -> bytes:
        """
        Return the octets that come next, at least one.

        @raise ProxyError: none will come.
        """


@final
class ConnectionLink:
    """
    A L{Link} over a connection.

    It reads the connection until L{detach}.
    """

    __slots__ = ("_connection", "_failure", "_waiting", "surplus", "write")

    def __init__(self, connection: Connection) -> None:
        self.surplus = b""
        self._connection = connection
        self._failure: ProxyError | None = None
        self._waiting: Deferred[bytes] | None = None
        self.write = connection.write
        connection.take(self)

    async def more(self) -> bytes:
        """As L{Link.more}."""
        if self.surplus:
            octets, self.surplus = self.surplus, b""
            return octets
        if self._failure is not None:
            raise self._failure
        self._waiting = Awaited(self._given)
        return await self._waiting

    def _given(self, _: object) -> None:
        """Stop waiting: the coroutine was cancelled."""
        self._waiting = None

    def expire(self) -> None:
        """Have the dialogue fail, since its time is up."""
        self._fail(ProxyTimedOut("no reply in time"))

    def detach(self) -> None:
        """Read no more; who has the connection goes on with it."""
        self._connection.pauseProducing()

    def _fail(self, failure: ProxyError) -> None:
        if self._failure is None:
            self._failure = failure
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.errback(self._failure)

    # As socksgw.system.connection.Receiver.

    def dataReceived(self, data: Any) -> None:
        """As L{Receiver.dataReceived}."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.callback(bytes(data))
        else:
            self.surplus += bytes(data)

    def readConnectionLost(self) -> None:
        """As L{Receiver.readConnectionLost}."""
        self._fail(ProxyClosed("it closed the connection without a reply"))

    def departed(self) -> None:
        """As L{Receiver.departed}; whoever reads on will learn of it."""

    def violated(self, failure: SocksError) -> None:
        """As L{Receiver.violated}."""
        self._fail(ProxyClosed(str(failure)))

    def connectionLost(self, reason: Failure) -> None:
        """As L{Receiver.connectionLost}."""
        self._fail(ProxyClosed("the connection to it was lost"))
