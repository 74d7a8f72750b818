"""
What a running gateway does when another process takes over, and when it does so itself.

L{socksgw.handover} has the two processes talk.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol, final

from twisted.internet.defer import Deferred, fail

from socksgw.accept.admission import Census
from socksgw.accept.listener import Listener
from socksgw.audit.journal import Elsewhere
from socksgw.config.schema import Config
from socksgw.gateway.drain import Drain
from socksgw.gateway.grants import Grants
from socksgw.gateway.listeners import CannotStart, Listeners
from socksgw.gateway.parts import Parts
from socksgw.gateway.sessions import Sessions
from socksgw.gateway.state import State
from socksgw.interfaces import SetDeadline

__all__ = ["Predecessor", "Relief", "Succeeded"]


class Succeeded(NamedTuple):
    """
    How another process has taken over.

    @ivar pid: its number.
    @ivar moved: how many sessions it has now.
    @ivar left: how many go on in this process.
    """

    pid: int
    moved: int
    left: int


class Predecessor(Protocol):
    """A process that this one has taken over from, and that has sessions yet."""

    def stop(self, seconds: float) -> None:
        """Have its sessions end within so many seconds."""

    def reload(self) -> None:
        """Have it read the configuration again."""


def _unprogrammed() -> Deferred[Succeeded]:
    return fail(CannotStart("the program that runs the gateway is not twistd"))


@final
class Relief:
    """
    The relief of one process by another one.

    @ivar done: whether another process has taken over from this one.
    @ivar predecessors: those that this one has taken over from, whose last sessions
        are not over yet.
    @ivar restart: has another process take over, where the program can be started once
        more; fires when that serves, or fails with L{CannotStart}.
    """

    def __init__(
        self,
        census: Census,
        byName: Mapping[str, Listener],
        listeners: Listeners,
        state: State,
        sessions: Sessions,
        grants: Grants,
        parts: Parts,
        drain: Drain,
        setDeadline: SetDeadline,
        predecessors: dict[Predecessor, None],
    ) -> None:
        """
        Take the parts of the gateway that change hands.

        @param byName: the listeners, with their clients.
        """
        self._census = census
        self._byName = byName
        self._listeners = listeners
        self._state = state
        self._sessions = sessions
        self._grants = grants
        self._parts = parts
        self._drain = drain
        self._setDeadline = setDeadline
        self.done = False
        self.predecessors = predecessors
        self.restart: Callable[[], Deferred[Succeeded]] = _unprogrammed

    # From this process.

    def handles(self) -> list[tuple[tuple[str, ...], int]]:
        """As L{Listeners.handles}."""
        return self._listeners.handles()

    def rest(self) -> int:
        """
        Accept no clients and write no line, while another process takes over.

        @return: a descriptor of the journal's lock.
        @raise CannotStart: the journal cannot be written.
        """
        self._listeners.rest()
        journal = self._state.journal
        lock = journal.rest()
        if journal.failing:
            self.goOn()
            raise CannotStart("the journal cannot be written")
        return lock

    def goOn(self) -> None:
        """Serve again, after L{rest}."""
        self._state.journal.goOn()
        if not self._census.paused:
            self._listeners.goOn()

    def told(self) -> dict[str, Any]:
        """Return what another process has to know to take over."""
        journal = self._state.journal
        # Each client that is left here may have a session yet.
        begun = sum(len(each.clients) for each in self._byName.values())
        return {
            "number": journal.number,
            "head": journal.head,
            "session": self._sessions.last + begun,
            "quotas": self._state.rows(),
        }

    def handOver(self, elsewhere: Elsewhere) -> Deferred[None]:
        """
        Leave clients, journal and quotas to another process that has them by now.

        The sessions that are left here go on.

        @param elsewhere: writes their lines.
        @return: fires when they are over, and everything is recorded.
        """
        self.done = True
        self._listeners.surrender()
        self._state.handOver(elsewhere)
        self._grants.follow()
        return self._drain.wait()

    def leave(self) -> Deferred[Any]:
        """As L{Parts.leave}."""
        return self._parts.leave()

    def hasten(self, seconds: float) -> None:
        """End the sessions that are left after L{handOver}, in so many seconds."""
        for each in list(self.predecessors):
            each.stop(seconds)
        self._setDeadline(seconds, self._drain.endAll)

    # To this process.

    def await_(self, sockets: Mapping[tuple[str, ...], socket.socket]) -> None:
        """
        Prepare to take over; this is before C{Gateway.listen}.

        @param sockets: those that listen already, as of L{Listeners.give}.
        """
        self._parts.await_()
        self._listeners.give(sockets)

    def inherit(self, told: Mapping[str, Any], lock: int) -> None:
        """
        Take over what another process has L{told}, and open the journal.

        @param lock: a descriptor of the journal's lock.
        @raise CannotStart: that cannot be used.
        """
        self._listeners.dropGiven()
        self._state.open(lock, (tuple(each) for each in told["quotas"]))
        journal = self._state.journal
        if (journal.number, journal.head) != (told["number"], told["head"]):
            raise CannotStart("the journal is not the one of the other process")
        self._sessions.skip(told["session"])

    def arrive(self, config: Config) -> None:
        """
        Begin with the parts that the other process had, after all else.

        @raise CannotStart: one of them cannot begin; this may be called again.
        """
        self._parts.arrive(config)
