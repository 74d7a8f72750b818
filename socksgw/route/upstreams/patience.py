"""
The time that one upstream has.
"""

from __future__ import annotations

from typing import final

from socksgw.client.errors import ProxyTimedOut
from socksgw.client.link import Link
from socksgw.interfaces import SetDeadline
from socksgw.route.upstreams.trip import Trip
from socksgw.system.connection import Connection

__all__ = ["Patience"]


@final
class Patience:
    """
    What ends a dialogue that takes too long.

    Where another upstream is at hand, there is less time for what comes before the
    request than for the reply, which has to wait for the destination.

    @ivar link: what the dialogue uses; L{None} before it begins.
    @ivar late: what the upstream has failed with, where the time was up before that.
    """

    __slots__ = ("_connection", "_setDeadline", "_timer", "_trip", "late", "link")

    def __init__(
        self, setDeadline: SetDeadline, connection: Connection, short: Trip, trip: Trip
    ) -> None:
        """
        Begin to wait.

        @param connection: to the upstream.
        @param short: the time up to the request.
        @param trip: the time up to the reply.
        """
        self._setDeadline = setDeadline
        self._connection = connection
        self._trip = trip
        self.link: Link | None = None
        self.late: ProxyTimedOut | None = None
        self._timer = setDeadline(short.left, self._end)

    @property
    def asked(self) -> bool:
        """Whether the upstream has been sent the request."""
        return self.link is not None and self.link.asked

    def stop(self) -> None:
        """Wait no longer."""
        self._timer.clear()

    def _end(self) -> None:
        left = self._trip.left
        if self.link is None:
            self.late = ProxyTimedOut("the proxy has not shaken hands in time")
            self._connection.abortConnection()
        elif self.link.asked and left > 0:
            self._timer = self._setDeadline(left, self._end)
        else:
            self.link.expire()
