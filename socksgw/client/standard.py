"""
A connection through a proxy, on the standard streams of a program.
"""

from __future__ import annotations

import os
from typing import Any, final

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.stdio import StandardIO
from twisted.python.failure import Failure
from zope.interface import implementer

from socksgw.client.errors import ProxyClosed, ProxyError
from socksgw.errors import SocksError
from socksgw.system.connection import Connection

__all__ = ["Streams"]


@final
class Streams:
    """
    Carries octets between a connection and two streams, and each end by itself.

    @ivar done: fires when both directions have ended, or fails with a
        L{ProxyError<socksgw.client.errors.ProxyError>} where the connection broke.
    """

    def __init__(
        self, reactor: Any, far: Connection, early: bytes, stdin: int, stdout: int
    ) -> None:
        """
        Begin.

        @param far: the connection, which was read up to here.
        @param early: what came of it behind the proxy's reply.
        @param stdin: the descriptor that is read.
        @param stdout: the descriptor that is written.
        """
        self.done: Deferred[None] = Deferred()
        self._far = far
        self._stdout = stdout
        self._nearEnded = self._farEnded = self._written = self._over = False
        self._failure: ProxyError | None = None
        near = _Near(self)
        # Its types are those of another platform's.
        made: Any = StandardIO
        self._near = made(near, stdin, stdout, reactor)
        if early:
            self._near.write(early)
        self._near.registerProducer(_Pausing(far), True)
        far.registerProducer(self._near, True)
        far.take(self)

    def _end(self, failure: ProxyError | None = None) -> None:
        """End both, with what was written."""
        if self._over:
            return
        self._over = True
        self._far.unregisterProducer()
        self._near.unregisterProducer()
        if failure is None:
            self._far.loseConnection()
        else:
            self._far.abortConnection()
        self._failure = failure
        self._near.loseConnection()
        if self._written:
            # Twisted tells no more of streams whose output has ended before.
            self._finish()

    def _halfEnded(self) -> None:
        if self._nearEnded and self._farEnded:
            self._end()

    # Of the near side.

    def nearCame(self, octets: bytes) -> None:
        """Send octets of the standard input."""
        self._far.write(octets)

    def nearReadEnded(self) -> None:
        """Tell the destination that the standard input has ended."""
        self._nearEnded = True
        if self._over:
            return
        if self._far.halfCloses:
            self._far.loseWriteConnection()
            self._halfEnded()
        else:
            self._end()

    def nearWriteEnded(self) -> None:
        """Close the output. If the destination has not ended, nobody reads it."""
        self._written = True
        _close(self._stdout)
        if not self._farEnded:
            self._end()

    def nearLost(self) -> None:
        """Tell what came of it: both streams are closed."""
        self._written = True
        self._end()
        self._finish()

    def _finish(self) -> None:
        if self.done.called:
            return
        if self._failure is None:
            self.done.callback(None)
        else:
            self.done.errback(self._failure)

    # Of the far side, as its Receiver.

    def dataReceived(self, data: Any) -> None:
        """Write octets to the standard output."""
        self._near.write(bytes(data))

    def readConnectionLost(self) -> None:
        """End the standard output: the destination has ended its side."""
        self._farEnded = True
        if not self._over:
            self._near.unregisterProducer()
            self._near.loseWriteConnection()
            self._halfEnded()

    def departed(self) -> None:
        """Octets of the destination wait to be written."""

    def violated(self, failure: SocksError) -> None:
        """End: what is below is not what it should be."""
        self._end(ProxyClosed(f"the connection was broken: {failure}"))

    def connectionLost(self, reason: Failure) -> None:
        """End: the connection is gone."""
        orderly = reason.check(ConnectionDone) is not None
        self._end(None if orderly else ProxyClosed("the connection was reset"))


def _close(descriptor: int) -> None:
    """
    Close a standard stream, which C{StandardIO} leaves open.

    Its number is not used again for something else.
    """
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, descriptor)
    os.close(nothing)


@final
class _Pausing:
    """A connection as a producer of Twisted's."""

    def __init__(self, connection: Connection) -> None:
        self.pauseProducing = connection.pauseProducing
        self.resumeProducing = connection.resumeProducing

    def stopProducing(self) -> None:
        """Whoever reads is gone; that is told besides."""


@implementer(IHalfCloseableProtocol)
@final
class _Near(Protocol):
    """The standard streams' side."""

    def __init__(self, streams: Streams) -> None:
        self._streams = streams

    def dataReceived(self, data: bytes) -> None:
        """Hand octets on."""
        self._streams.nearCame(data)

    def readConnectionLost(self) -> None:
        """As C{IHalfCloseableProtocol}."""
        self._streams.nearReadEnded()

    def writeConnectionLost(self) -> None:
        """As C{IHalfCloseableProtocol}."""
        self._streams.nearWriteEnded()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Tell the end of both."""
        self._streams.nearLost()
