"""
Count for limits, with other processes.

A session or flow is counted in a turn, exactly: there is never one more than its limit,
and never one too few. Of octets each process takes some in advance, so that most of
what moves is counted without a turn. Whoever finds none left calls these back: each
process returns them when it next counts octets of that window, and within a second if it
counts none. The quota is used up when nobody has any. From then on nothing is taken in
advance, but what is about to move.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, final

from twisted.internet.defer import Deferred

from socksgw.limits.board import CELLS, Board, nameOf
from socksgw.limits.counters import Key, Row, secondsOf

__all__ = ["SharedCounters"]

#: The most octets that are taken in advance, and what is asked for at most.
_LEASE: Final = 1 << 20
_MOST: Final = 1 << 16


@final
class _Lease:
    """
    Octets of a window that were taken in advance.

    @ivar slot: where the window was, when they were taken.
    @ivar seen: the number of the window by the clock, when they were taken.
    @ivar number: the number of the window that counts.
    @ivar left: how many are left.
    @ivar used: whether some were needed since the last look.
    @ivar over: whether the window was used up.
    """

    __slots__ = ("left", "name", "number", "over", "seen", "slot", "used")

    def __init__(self, name: bytes) -> None:
        self.name = name
        self.seen = self.number = -1
        self.left = self.slot = 0
        self.used = True
        self.over = False


@final
class SharedCounters:
    """
    Count as L{Counters}, together with other processes.

    @ivar tell: called with keys of windows, each with its seconds, that this process
        has begun to count: the memory has no names. It returns whether they are told.
    """

    asks = False

    def __init__(
        self,
        board: Board,
        column: int,
        clock: Callable[[], float],
        wall: Callable[[], float] = time.time,
    ) -> None:
        """
        Begin with what the others have counted.

        @param column: of this process; 0 is the supervisor's.
        @param clock: monotonic seconds, the same in all processes.
        @param wall: seconds since the epoch.
        """
        self._board = board
        self._column = column
        self._own = board.live[column]
        self._clock = clock
        self._wall = wall
        # By key: its slot (-1: there was none), and how many live here.
        self._live: dict[Key, list[int]] = {}
        self._leases: dict[tuple[Key, float], _Lease] = {}
        self._owed: list[tuple[Key, float, int]] = []
        self._untold: list[tuple[Key, float]] = []
        self._named: dict[tuple[Key, float], None] = {}
        self._ends = 0
        self.tell: Callable[[Sequence[tuple[Key, float]]], bool] = self.know

    @property
    def sharers(self) -> int:
        """How many processes count that have clients."""
        return self._board.columns - 1

    def ask(
        self,
        wanted: Sequence[tuple[Key, int]],
        windows: Sequence[tuple[Key, float, int]] = (),
    ) -> Deferred[None] | None:
        """As L{Counters.ask}: all is known here."""
        return None

    # What lives.

    def take(self, wanted: Sequence[tuple[Key, int]]) -> Key | None:
        """
        As L{Counters.take}.

        While another process stands still in its turn, everything is full.
        """
        board, own = self._board, self._own
        if not board.turn.take():
            return wanted[0][0]
        try:
            for i, (key, most) in enumerate(wanted):
                mine = self._live.get(key)
                if mine is None or mine[0] < 0:
                    slot = board.lives.make(nameOf(key))
                else:
                    slot = mine[0]
                uncounted = 0 if mine is None or mine[0] >= 0 else mine[1]
                if slot < 0 or board.counted(slot) + uncounted >= most:
                    self.give([each for each, _ in wanted[:i]])
                    return key
                if mine is None:
                    mine = self._live[key] = [slot, 0]
                mine[0] = slot
                mine[1] += 1
                own[slot] = mine[1]
        finally:
            board.turn.give()
        return None

    def counted(self, key: Key) -> int:
        """As L{Counters.counted}."""
        slot = self._board.lives.find(nameOf(key))
        return self._board.counted(slot) if slot >= 0 else 0

    def add(self, keys: Sequence[Key]) -> None:
        """As L{Counters.add}."""
        for key in keys:
            mine = self._live.get(key)
            if mine is None:
                mine = self._live[key] = [-1, 0]
            mine[1] += 1
            if mine[0] >= 0:
                self._own[mine[0]] = mine[1]
            else:
                self._place(key, mine)

    def _place(self, key: Key, mine: list[int]) -> None:
        """Count in the memory what lives here, where there is room for its key."""
        board = self._board
        if board.turn.take():
            try:
                mine[0] = board.lives.make(nameOf(key))
                if mine[0] >= 0:
                    self._own[mine[0]] = mine[1]
            finally:
                board.turn.give()

    def give(self, keys: Sequence[Key]) -> None:
        """As L{Counters.give}; only this process writes its column."""
        for key in keys:
            mine = self._live[key]
            mine[1] -= 1
            if mine[0] >= 0:
                self._own[mine[0]] = mine[1]
            if not mine[1]:
                del self._live[key]

    # What happens.

    def happen(self, wanted: Sequence[tuple[Key, int]]) -> Key | None:
        """
        As L{Counters.happen}.

        An event counts for its time and up to a sixteenth of that.
        """
        board = self._board
        if not board.turn.take():
            return wanted[0][0]
        try:
            clock = self._clock() * (CELLS - 1)
            board.now = int(clock)
            cells = []
            for key, most in wanted:
                seconds = secondsOf(key)
                now = int(clock / seconds)
                slot = board.events.make(nameOf(key))
                if slot < 0:
                    return key
                first = slot * CELLS
                self._advance(slot, first, now, seconds)
                if sum(board.cells[first : first + CELLS]) >= most:
                    return key
                cells.append((slot, first + now % CELLS, seconds))
            for slot, cell, seconds in cells:
                board.cells[cell] += 1
                board.lasts[slot] = int(clock + CELLS * seconds) + 1
        finally:
            board.turn.give()
        return None

    def _advance(self, slot: int, first: int, now: int, seconds: float) -> None:
        """Forget the cells of a slot that count no longer."""
        board = self._board
        last = board.moments[slot]
        if board.scales[slot] != seconds:
            # It was that of another key, whose cells were of another time.
            board.scales[slot], last = seconds, now - CELLS
        for cell in range(max(last + 1, now - CELLS + 1), now + 1):
            board.cells[first + cell % CELLS] = 0
        board.moments[slot] = now

    # Windows.

    def room(self, key: Key, seconds: float, most: int, wanted: int = 1) -> int:
        """As L{Counters.room}."""
        lease = self._leases.get((key, seconds))
        wanted = min(wanted, _MOST)
        if (
            lease is not None
            and lease.left >= wanted
            and lease.seen == int(self._wall() // seconds)
        ):
            lease.used = True
            return lease.left
        lease = self._lease(key, seconds)
        board = self._board
        if not board.turn.take():
            return 0
        try:
            slot = self._present(lease, seconds)
            left = most - board.moved(slot)
            if left > _LEASE * board.columns:
                board.recalled[slot] = 0
            if lease.left < wanted and left > 0:
                more = wanted - lease.left
                if not board.recalled[slot]:
                    more = max(more, min(_LEASE, left // (2 * board.columns)))
                more = min(left, more)
                board.octets[self._column][slot] += more
                self._keep(lease, lease.left + more)
                left -= more
            found = self._found(lease, left)
            if found < wanted:
                self._lack(lease)
            return found
        finally:
            board.turn.give()

    def over(self, key: Key, seconds: float, most: int) -> bool:
        """As L{Counters.over}; it is not while others have octets to return."""
        lease = self._lease(key, seconds)
        if lease.left > 0 and lease.seen == int(self._wall() // seconds):
            return False
        board = self._board
        if not board.turn.take():
            return False
        try:
            slot = self._present(lease, seconds)
            left = most - board.moved(slot)
            if left > 0 or self._found(lease, left) > 0:
                return False
            self._lack(lease)
            return lease.over
        finally:
            board.turn.give()

    def pending(self, key: Key, seconds: float) -> bool:
        """
        As L{Counters.pending}.

        Others may return octets, but what cannot wait would be more than the quota if
        they do not.
        """
        return False

    def spend(self, key: Key, seconds: float, octets: int) -> None:
        """As L{Counters.spend}."""
        board = self._board
        board.changes[self._column] += 1
        lease = self._lease(key, seconds)
        if (
            lease.left >= octets
            and lease.seen == int(self._wall() // seconds)
            and not board.recalled[lease.slot]
        ):
            self._keep(lease, lease.left - octets)
            lease.used = True
            return
        if not board.turn.take():
            self._owed.append((key, seconds, octets))
            return
        try:
            slot = self._present(lease, seconds)
            board.octets[self._column][slot] += max(0, octets - lease.left)
            self._keep(lease, max(0, lease.left - octets))
            if board.recalled[slot]:
                self._return(lease)
        finally:
            board.turn.give()

    @staticmethod
    def _found(lease: _Lease, left: int) -> int:
        """
        Return what may move of what was taken in advance.

        @param left: the octets that nobody has; less than 0 where the quota has become
            smaller, which leaves nothing of what was taken.
        """
        return max(0, lease.left + min(0, left))

    def _keep(self, lease: _Lease, left: int) -> None:
        """Have so many octets in advance, which others can see."""
        lease.left = self._board.ahead[self._column][lease.slot] = left

    def _lack(self, lease: _Lease) -> None:
        """Have others return octets, or take note that nobody has any; in a turn."""
        board = self._board
        board.recalled[lease.slot] = 1
        before, lease.over = lease.over, not board.isAhead(lease.slot)
        if lease.over and not before:
            board.ends[self._column] += 1

    def _return(self, lease: _Lease) -> None:
        """Give back the octets that were taken in advance; in a turn."""
        own = self._board.octets[self._column]
        own[lease.slot] -= min(own[lease.slot], lease.left)
        self._keep(lease, 0)

    def _lease(self, key: Key, seconds: float) -> _Lease:
        at = (key, seconds)
        lease = self._leases.get(at)
        if lease is None:
            lease = self._leases[at] = _Lease(nameOf(key, seconds))
            self._untold.append(at)
            self._name()
        lease.used = True
        return lease

    def _name(self) -> None:
        """Tell the names of windows that are not told yet."""
        if self._untold and self.tell(self._untold):
            self._untold = []

    def know(self, names: Iterable[tuple[Key, float]]) -> bool:
        """Take note of windows that another process counts; for the supervisor."""
        self._named.update(dict.fromkeys(names))
        return True

    def _present(self, lease: _Lease, seconds: float) -> int:
        """
        Have the window of now be the one that counts; in a turn.

        A clock that is set back gives no octets back; but a window of a time to come
        counts no longer than a window lasts.

        @return: its slot.
        """
        board = self._board
        number = int(self._wall() // seconds)
        slot = board.windows.make(lease.name)
        if slot < 0:
            slot = self._oldest(lease.name)
        if (
            board.lengths[slot] != seconds
            or number > board.numbers[slot]
            or self._isLate(slot, number, seconds)
        ):
            self._begin(slot, seconds, number)
        if lease.number != board.numbers[slot] or lease.slot != slot:
            lease.left = 0
            lease.over = False
        lease.slot = slot
        lease.seen, lease.number = number, board.numbers[slot]
        return slot

    def _begin(self, slot: int, seconds: float, number: int) -> None:
        board = self._board
        for column in (*board.octets, *board.ahead):
            column[slot] = 0
        board.recalled[slot] = 0
        board.numbers[slot] = number
        board.behind[slot] = 0.0
        board.lengths[slot] = seconds

    def _isLate(self, slot: int, number: int, seconds: float) -> bool:
        board = self._board
        if number == board.numbers[slot]:
            board.behind[slot] = 0.0
            return False
        now = self._clock()
        if not board.behind[slot]:
            board.behind[slot] = now
        return now - board.behind[slot] >= seconds

    def _oldest(self, name: bytes) -> int:
        """Return a slot that another window has to leave: it is over, or has least."""
        board, wall = self._board, self._wall()

        def rank(slot: int) -> tuple[bool, int]:
            present = int(wall // board.lengths[slot])
            return present <= board.numbers[slot], board.moved(slot)

        slot = min(board.windows.ways(name), key=rank)
        board.windows.put(slot, name)
        board.lengths[slot] = 0.0
        return slot

    # Keeping.

    def look(self) -> bool:
        """
        Give back octets that are not needed; called once a second.

        @return: whether a quota may have been used up by others.
        """
        self._name()
        owed, self._owed = self._owed, []
        for key, seconds, octets in owed:
            self.spend(key, seconds, octets)
        for key, mine in list(self._live.items()):
            if mine[0] < 0:
                self._place(key, mine)
        self._release(idle=True)
        before, self._ends = self._ends, sum(self._board.ends)
        return self._ends != before

    def release(self) -> None:
        """Give back all octets that were taken in advance."""
        self._release(idle=False)

    def _release(self, idle: bool) -> None:
        """
        Give back octets.

        @param idle: whether only those that were not needed since the last look, or
            that are called back.
        """
        board = self._board
        found = [
            at
            for at, each in self._leases.items()
            if not (idle and each.used) or board.recalled[each.slot]
        ]
        if found and board.turn.take():
            try:
                for at in found:
                    lease = self._leases.pop(at)
                    slot = board.windows.find(lease.name)
                    if slot == lease.slot and board.numbers[slot] == lease.number:
                        self._return(lease)
                    else:
                        # That window is over, or has left its slot.
                        self._keep(lease, 0)
            finally:
                board.turn.give()
        for lease in self._leases.values():
            lease.used = False

    def sweep(self) -> None:
        """Do nothing: what counts no longer is used for others, as they come."""

    def forget(self, column: int) -> bool:
        """
        Count no more what a process had that has died.

        @return: whether that was possible now; where not, it is to be tried again.
        """
        return self._board.forget(column)

    @property
    def changes(self) -> int:
        """A number that grows whenever octets are counted anywhere."""
        return sum(self._board.changes)

    @property
    def keys(self) -> Iterator[Key]:
        """As L{Kept.keys}: those of this process, without its events."""
        yield from self._live
        yield from (key for key, _ in self._leases)

    def counts(self) -> Counter[Key]:
        """As L{Kept.counts}."""
        return Counter({key: mine[1] for key, mine in self._live.items()})

    def rows(self) -> list[Row]:
        """As L{Kept.rows}: those that count."""
        board, rows = self._board, []
        for at in list(self._named):
            key, seconds = at
            slot = board.windows.find(nameOf(key, seconds))
            if slot < 0 or board.lengths[slot] != seconds:
                del self._named[at]
                continue
            number, octets = board.numbers[slot], board.moved(slot)
            if octets and number >= int(self._wall() // seconds):
                rows.append((key[1], key[2], key[3], seconds, number, octets))
        return rows

    def restore(self, rows: Iterable[Row]) -> None:
        """Go on with windows that were kept, before anything is counted."""
        board = self._board
        if not board.turn.take():
            return
        try:
            for per, rule, who, seconds, number, octets in rows:
                key = ("octets", per, rule, who)
                slot = board.windows.make(nameOf(key, seconds))
                if slot >= 0:
                    if board.lengths[slot] != seconds or number > board.numbers[slot]:
                        self._begin(slot, seconds, number)
                    if number == board.numbers[slot]:
                        board.octets[0][slot] += octets
                    self._named[key, seconds] = None
        finally:
            board.turn.give()
