"""
What a running gateway does when another process takes over, and when it does so itself.

L{socksgw.handover} has the two processes talk.
"""

from __future__ import annotations

import os
import socket
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, final

from twisted.internet.defer import Deferred, fail, gatherResults

from socksgw.accept.admission import Census
from socksgw.accept.listener import Listener
from socksgw.audit.journal import Elsewhere
from socksgw.config.schema import Config
from socksgw.gateway.drain import Drain
from socksgw.gateway.grants import Grants
from socksgw.gateway.listeners import Listeners
from socksgw.gateway.parts import Parts
from socksgw.gateway.sessions import Sessions
from socksgw.gateway.starting import CannotStart
from socksgw.gateway.state import State
from socksgw.interfaces import SetDeadline
from socksgw.limits.counters import Kept, Key, Row
from socksgw.limits.limits import Claim
from socksgw.metrics.meters import Meters
from socksgw.system.channel import Message

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

    def ask(self, message: Message) -> Deferred[list[Any]]:
        """
        Ask it for parts of what the admin interface answers.

        @return: fires with them; never fails.
        """


def _unprogrammed() -> Deferred[Succeeded]:
    return fail(CannotStart("the program that runs the gateway is not twistd"))


@final
class Relief:
    """
    The relief of one process by another one.

    @ivar done: whether another process has taken over from this one.
    @ivar predecessors: those that this one has taken over from, whose last sessions
        are not over yet.
    @ivar lives: how many sessions each of them has, by listener and stage.
    @ivar restart: has another process take over, where the program can be started once
        more; fires when that serves, or fails with L{CannotStart}.
    """

    def __init__(
        self,
        census: Census,
        byName: Mapping[str, Listener],
        listeners: Listeners,
        state: State,
        counters: Kept,
        meters: Meters,
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
        self._counters = counters
        self._meters = meters
        self._taken: Mapping[str, Any] | None = None
        # What the sessions that have moved are still counted for here, so that limits
        # know of them; and what those of other processes are counted for.
        self._gone: Counter[Key] = Counter()
        self._others: dict[Predecessor, Counter[Key]] = {}
        self._spent: dict[tuple[object, ...], int] = {}
        self._sessions = sessions
        self._grants = grants
        self._parts = parts
        self._drain = drain
        self._setDeadline = setDeadline
        self.done = False
        self.predecessors = predecessors
        self.lives: dict[Predecessor, Mapping[tuple[str, str], int]] = {}
        self.restart: Callable[[], Deferred[Succeeded]] = _unprogrammed

    # From this process.

    def handles(self) -> list[tuple[tuple[str, ...], int]]:
        """As L{Listeners.handles}."""
        return self._listeners.handles()

    def pause(self) -> None:
        """Accept no clients until L{goOn}; the journal is written."""
        self._listeners.rest()

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
        taken, self._taken = self._taken, None
        if taken is not None:
            self._meters.add(taken)
        self._state.journal.goOn()
        if not self._census.paused:
            self._listeners.goOn()

    def told(self) -> dict[str, Any]:
        """Return what another process has to know to take over."""
        journal = self._state.journal
        # Each client that is left here may have a session yet.
        self._taken = self._meters.take()
        begun = sum(len(each.clients) for each in self._byName.values())
        return {
            "number": journal.number,
            # Where others write, too, it goes on.
            "head": "" if journal.isShared else journal.head,
            "session": self._sessions.beyond(begun),
            "quotas": self._noted(),
            "meters": self._taken,
        }

    def _noted(self) -> list[Row]:
        rows = self._state.rows()
        self._spent = {row[:5]: row[5] for row in rows}
        return rows

    def moved(self, claim: Claim | None) -> None:
        """
        Take note that a session goes on in the other process.

        @param claim: what it is counted for, here, too.
        """
        if claim is not None:
            claim.close()
            self._gone.update(claim.keys)

    def living(self) -> list[tuple[str, str, int]]:
        """Return how many sessions are left here, by listener and stage."""
        found = Counter(
            (each.record.listener, each.stage.value) for each in self._sessions
        )
        for lives in self.lives.values():
            found.update(lives)
        return [(*key, count) for key, count in found.items()]

    def lived(self, other: Predecessor, living: Iterable[Any]) -> None:
        """Take note of what L{living} has returned in another process."""
        found = {(str(a), str(b)): int(count) for a, b, count in living}
        if found and other in self.predecessors:
            self.lives[other] = found
        else:
            self.lives.pop(other, None)

    def counts(self) -> list[tuple[Key, int]]:
        """Return what the sessions that are left here are counted for."""
        found = self._counters.counts()
        found.subtract(self._gone)
        return [(key, count) for key, count in found.items() if count > 0]

    def spent(self) -> list[Row]:
        """Return the octets of quotas since L{told}, or since this was called last."""
        found: list[Row] = []
        for row in self._state.rows():
            more = row[5] - self._spent.get(row[:5], 0)
            if more > 0:
                found.append((*row[:5], more))
                self._spent[row[:5]] = row[5]
        return found

    def handOver(self, elsewhere: Elsewhere | None) -> Deferred[None]:
        """
        Leave clients, journal and quotas to another process that has them by now.

        The sessions that are left here go on.

        @param elsewhere: writes their lines; L{None} where the journal is ours, too.
        @return: fires when they are over, and everything is recorded.
        """
        self.done = True
        self._listeners.surrender()
        if elsewhere is not None:
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

    def ask(self, message: Message) -> Deferred[list[Any]]:
        """As L{Predecessor.ask}, of all."""
        asking = gatherResults([each.ask(message) for each in list(self.predecessors)])
        return asking.addCallback(
            lambda found: [each for part in found for each in part]
        )

    def await_(
        self, sockets: Mapping[tuple[str, ...], Sequence[socket.socket]]
    ) -> None:
        """
        Prepare to take over; this is before C{Gateway.listen}.

        @param sockets: those that listen already, as of L{Listeners.give}.
        """
        self._parts.await_()
        self._listeners.give(sockets)

    def named(self, listener: str) -> Listener:
        """As L{Listeners.named}."""
        return self._listeners.named(listener)

    def inherit(self, told: Mapping[str, Any], lock: int) -> None:
        """
        Take over what another process has L{told}, and open the journal.

        @param lock: a descriptor of the journal's lock.
        @raise CannotStart: that cannot be used.
        """
        self._listeners.dropGiven()
        if lock >= 0 and not self._isOurs(lock):
            raise CannotStart(
                f"its journal is not in {self._state.journal.directory}: another "
                "[gateway] state_dir or [audit] journal takes effect when the gateway "
                "is stopped and started"
            )
        self._state.open(lock, (tuple(each) for each in told["quotas"]))
        journal = self._state.journal
        head = told["head"]
        if head and (journal.number, journal.head) != (told["number"], head):
            raise CannotStart("the journal is not the one of the other process")
        self._sessions.skip(told["session"])
        self._meters.add(told["meters"])

    def _isOurs(self, lock: int) -> bool:
        """Return whether a lock is that of our journal, or of a file that was deleted."""
        held = os.fstat(lock)
        try:
            found = (self._state.journal.directory / "lock").stat()
        except OSError:
            return held.st_nlink == 0
        return held.st_nlink == 0 or os.path.samestat(held, found)

    def count(self, other: Predecessor, counts: Iterable[tuple[Key, int]]) -> None:
        """
        Count the sessions that are left in another process, in place of those before.

        @param counts: as of L{counts} there; none when it has ended.
        """
        before = self._others.pop(other, Counter())
        now: Counter[Key] = Counter(dict(counts))
        if now:
            self._others[other] = now
        self._counters.add([*(now - before).elements()])
        self._counters.give([*(before - now).elements()])

    def uncount(self, other: Predecessor, counts: Iterable[tuple[Key, int]]) -> None:
        """Count sessions of another process no more, which have come here."""
        before = self._others.get(other, Counter())
        gone = before & Counter(dict(counts))
        before -= gone
        self._counters.give([*gone.elements()])

    def gone(self, other: Predecessor) -> None:
        """Do without another process, which has ended."""
        self.predecessors.pop(other, None)
        self.lived(other, ())
        self.count(other, ())

    def metered(self) -> dict[str, Any]:
        """Return what has been counted for the metrics since this was called last."""
        return self._meters.take()

    def meter(self, taken: Mapping[str, Any]) -> None:
        """Count for the metrics what another process has counted."""
        self._meters.add(taken)

    def spend(self, rows: Iterable[Row]) -> None:
        """Count octets of quotas that have moved in another process."""
        self._counters.restore(rows)

    def arrive(self, config: Config) -> None:
        """
        Begin with the parts that the other process had, after all else.

        @raise CannotStart: one of them cannot begin; this may be called again.
        """
        self._parts.arrive(config)
