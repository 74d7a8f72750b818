"""
The end of a gateway: sessions may go on for a while, and are ended then.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from typing import Any, final

from twisted.internet.defer import Deferred

from socksgw.accept.listener import Listener
from socksgw.errors import Draining
from socksgw.gateway.role import Role
from socksgw.gateway.sessions import Sessions
from socksgw.interfaces import SetDeadline

__all__ = ["Drain"]


@final
class Drain:
    """
    Waits for the last session of a gateway that accepts no more clients.

    @ivar over: fires when everything is closed; L{None} before L{begin}.
    """

    def __init__(
        self,
        reactor: Any,
        sessions: Sessions,
        listeners: Mapping[str, Listener],
        setDeadline: SetDeadline,
        close: Callable[[], Deferred[None]],
        others: Callable[[], int] = lambda: 0,
        role: Role | None = None,
    ) -> None:
        """
        Wait for nothing yet.

        @param listeners: all listeners that may have clients, by name.
        @param close: called when no session is left; fires when all is closed.
        @param others: how many processes there are whose sessions end first.
        @param role: who else ends.
        """
        self._others = others
        self._role = role or Role()
        self._reactor = reactor
        self._sessions = sessions
        self._listeners = listeners
        self._setDeadline = setDeadline
        self._close = close
        self._closing = False
        self.over: Deferred[None] | None = None

    def wait(self) -> Deferred[None]:
        """
        Wait for the sessions to end, however long they last.

        @return: fires when everything is closed.
        """
        self.over = over = self.over or Deferred()
        self.settled()
        return over

    def begin(self, seconds: float) -> None:
        """
        Wait for the sessions to end, and end those that are left in time.

        A second SIGTERM or SIGINT ends them at once.

        @param seconds: how long sessions may go on.
        """
        self.over = self.over or Deferred()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._reactor.callFromThread(self.endAll))
        self._setDeadline(seconds, self.endAll)
        self.settled()

    def settled(self) -> None:
        """
        Close, if the client or session that has gone was the last.
        """
        if self.over is None or self._closing or len(self._sessions) or self._others():
            return
        if self._role.isBusy:
            return
        if not any(listener.clients for listener in self._listeners.values()):
            self._closing = True
            self._reactor.callLater(0, self._end)

    def _end(self) -> None:
        assert self.over is not None
        self._close().chainDeferred(self.over)

    def endAll(self) -> None:
        """End all sessions that are left, at once."""
        self._role.endAll()
        for listener in self._listeners.values():
            for client in list(listener.clients):
                client.end(Draining("the gateway is stopping"))
