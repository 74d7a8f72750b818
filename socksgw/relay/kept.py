"""
A destination's connection between two requests of one client.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Final, final

from twisted.python.failure import Failure

from socksgw.errors import SocksError
from socksgw.interfaces import SetDeadline, Timer
from socksgw.system.connection import Connection

__all__ = ["KEPT", "Kept"]

#: Seconds that a destination's connection is kept for another request.
KEPT: Final = 15.0


@final
class Kept:
    """
    A connection on which nothing is awaited.

    It is the L{Receiver<socksgw.system.connection.Receiver>} of the connection:
    whatever comes, it is not used any more, and is closed.

    @ivar outlet: the connection; L{None} when it is closed, or taken.
    @ivar purpose: what it may be used for again, and nothing else.
    """

    def __init__(
        self, outlet: Connection, purpose: Hashable, setDeadline: SetDeadline
    ) -> None:
        """
        Wait for another use.

        @param outlet: the connection; L{take} of it is left to the caller.
        """
        self.outlet: Any = outlet
        self.purpose = purpose
        self._deadline: Timer | None = setDeadline(KEPT, self.close)

    def claim(self) -> Any:
        """
        Take the connection.

        @return: L{None} where it is closed.
        """
        outlet, self.outlet = self.outlet, None
        self._disarm()
        return outlet

    def close(self) -> None:
        """Close the connection in order; without effect when it is not here."""
        outlet, self.outlet = self.outlet, None
        self._disarm()
        if outlet is not None:
            outlet.loseConnection()

    def _disarm(self) -> None:
        deadline, self._deadline = self._deadline, None
        if deadline is not None:
            deadline.clear()

    # From the connection.

    def dataReceived(self, data: Any) -> None:
        """Close: nothing was asked."""
        self.close()

    def readConnectionLost(self) -> None:
        """Close: the destination keeps it no longer."""
        self.close()

    def departed(self) -> None:
        """As L{readConnectionLost}."""
        self.close()

    def violated(self, failure: SocksError) -> None:
        """Close: what came is not to be read."""
        outlet, self.outlet = self.outlet, None
        self._disarm()
        if outlet is not None:
            outlet.abortConnection()

    def connectionLost(self, reason: Failure) -> None:
        """Take note that it is closed."""
        self.outlet = None
        self._disarm()
