"""
The control connection of an association.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import final

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from socksgw.errors import SocksError

__all__ = ["Control", "Ending"]


@final
class Ending:
    """
    End an association: the first reason that is given counts.

    @ivar done: fires with the reason, a fixed word.
    """

    __slots__ = ("done",)

    def __init__(self) -> None:
        self.done: Deferred[str] = Deferred()

    def __call__(self, reason: str) -> None:
        """Give a reason."""
        if not self.done.called:
            self.done.callback(reason)

    def idle(self) -> None:
        """End it since nothing moves."""
        self("idle")


class Control:
    """
    Receive what comes on a control connection while the association lasts.

    The octets count for nothing. The end of the connection ends the association (RFC
    1928 section 7). As L{socksgw.system.connection.Receiver}.
    """

    __slots__ = ("_end",)

    def __init__(self, end: Callable[[str], None]) -> None:
        """
        @param end: ends the association, for a reason, a fixed word.
        """
        self._end = end

    def dataReceived(self, data: bytes | memoryview) -> None:
        """Drop what comes."""

    def readConnectionLost(self) -> None:
        """End the association: the client has ended its side."""
        self._end("closed")

    def departed(self) -> None:
        """Do nothing: the connection is read all the time."""

    def violated(self, failure: SocksError) -> None:
        """Do nothing: the client's session hears of it."""

    def connectionLost(self, reason: Failure) -> None:
        """End the association: the client is gone."""
        self._end("client-lost")
