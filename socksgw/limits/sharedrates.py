"""
Rates that several processes keep together.

Octets flow into memory that they share. While somebody owes some, what flows in is
parted among the processes by how many of their shares are to be paid, and each takes
its part when it pays; what a process does not need it puts back. While nobody owes any,
a pool fills for all, and each process takes a small part of it in advance. An octet is
in one place at any time, and so all together move no more than one process would.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, final

from socksgw.limits.allowance import FULL, LATE, Bucket
from socksgw.limits.board import Board, nameOf
from socksgw.limits.counters import Key

__all__ = ["SharedBucket", "SharedRates"]

#: Seconds until a process asks again for octets in advance.
_AGAIN: Final = 0.001
#: The part of what a rate saves up that is in the pool; the rest is with processes.
_POOL: Final = 0.5


@final
class SharedRates:
    """
    The rates, as one process has them.

    @ivar others: how many other processes there are that move octets.
    @ivar ahead: the part of what a rate saves up that each takes in advance.
    """

    def __init__(self, board: Board, column: int) -> None:
        """
        @param column: of this process.
        """
        self._board = board
        self._column = column
        # The first column is of one that moves nothing.
        self.others = board.columns - 2
        self.ahead = (1 - _POOL) / (self.others + 1)

    def bucket(self, key: Key, rate: int, now: float) -> Bucket:
        """Return the bucket of a key."""
        return SharedBucket(self, nameOf(key), rate, now)

    def draw(
        self, name: bytes, rate: int, now: float, crowd: int, need: float
    ) -> tuple[float, int, float] | None:
        """
        Take octets.

        @param name: the hash of the key.
        @param rate: octets per second.
        @param now: monotonic seconds.
        @param crowd: how many shares are to be paid here.
        @param need: how many octets are needed; less than 0: so many are put back.
        @return: how many there are, less than 0 for some that were put back; the
            shares of other processes that are to be paid; and what is owed by those
            who have left, as a number that is not more than 0. There may be more than
            is needed, where somebody is to be paid. L{None} while another process
            stands still in its turn.
        """
        board, own = self._board, self._column
        if not board.turn.take():
            return None
        try:
            slot = self._slot(name, rate, now)
            if slot < 0:
                return 0.0, 0, 0.0
            self._flow(slot, rate, now)
            pool, found = board.pools[slot], board.credits[own][slot]
            board.credits[own][slot] = 0.0
            if need < 0:
                pool -= need
                found += need
            elif found < need:
                more = min(max(0.0, pool), need - found)
                pool -= more
                found += more
            if not crowd and found > need:
                pool += found - need
                found = need
            self._set(slot, rate, crowd, pool)
            others = sum(column[slot] for column in board.crowds) - crowd
            return found, others, min(0.0, pool)
        finally:
            board.turn.give()

    def put(self, name: bytes, rate: int, now: float, octets: float) -> bool:
        """
        Put back octets: nobody is to be paid here.

        @param octets: less than 0 for some that are owed; the others are as of L{draw}.
        @return: whether that is done.
        """
        board, own = self._board, self._column
        if not board.turn.take():
            return False
        try:
            slot = self._slot(name, rate, now)
            if slot >= 0:
                self._flow(slot, rate, now)
                octets += board.credits[own][slot]
                board.credits[own][slot] = 0.0
                self._set(slot, rate, 0, board.pools[slot] + octets)
        finally:
            board.turn.give()
        return True

    def _slot(self, name: bytes, rate: int, now: float) -> int:
        """Return the slot of a key, which is full if it is new; -1: there is none."""
        board = self._board
        board.moment = now
        slot = board.rates.find(name)
        if slot < 0:
            slot = board.rates.make(name)
            if slot >= 0:
                board.pools[slot] = rate * FULL * _POOL
                board.paid[slot] = now
                for column in board.credits:
                    column[slot] = 0.0
        return slot

    def _set(self, slot: int, rate: int, crowd: int, pool: float) -> None:
        board, most = self._board, rate * FULL * _POOL
        board.crowds[self._column][slot] = crowd
        board.pools[slot] = min(pool, most)
        board.fulls[slot] = board.paid[slot] + max(0.0, most - pool) / rate

    def _flow(self, slot: int, rate: int, now: float) -> None:
        """Part what has flowed in; what is owed by those who have left goes first."""
        board = self._board
        if now <= board.paid[slot]:
            return
        octets = min(now - board.paid[slot], LATE) * rate
        board.paid[slot] = now
        if board.pools[slot] < 0:
            paid = min(octets, -board.pools[slot])
            board.pools[slot] += paid
            octets -= paid
        crowds = [column[slot] for column in board.crowds]
        all_ = sum(crowds)
        for column, crowd in zip(board.credits, crowds, strict=True):
            if crowd:
                credit = column[slot] + octets * crowd / all_
                column[slot] = min(credit, rate * LATE)
                board.pools[slot] += credit - column[slot]
        if not all_:
            board.pools[slot] += octets


@final
class SharedBucket(Bucket):
    """The rate of one key, one way, in one of several processes."""

    __slots__ = ("_drawn", "_due", "_left", "_name", "_rates")

    def __init__(self, rates: SharedRates, name: bytes, rate: int, now: float) -> None:
        """
        Have nothing in advance yet.

        @param name: the hash of the key.
        """
        super().__init__(rate, now)
        self._rates = rates
        self._name = name
        self._pool = 0.0
        self._drawn = now - _AGAIN
        # Until that is known, all others take part.
        self.others = rates.others
        # How many of our shares are to be paid, as the others know.
        self._due = 0
        # What is owed by those who have left.
        self._left = 0.0

    def fill(self, now: float) -> float:
        """As L{Bucket.fill}."""
        return super().fill(now) + self._left

    def _flow(self, now: float) -> None:
        """Take some in advance."""
        self._at = now
        ahead = self.rate * FULL * self._rates.ahead
        if self._pool < ahead / 2 and now - self._drawn >= _AGAIN:
            self._drawn = now
            self._pool += self._draw(now, ahead - self._pool)

    def begin(self, clock: Callable[[], float]) -> None:
        """As L{Bucket.begin}: what flows in from now on is ours, too."""
        if not self._due:
            self._due = 1
            self._pool += self._draw(clock(), 0.0)

    def _inflow(self, now: float, pool: float, due: Mapping[Any, float]) -> float:
        self._due = len(due)
        return self._draw(now, sum(due.values()) - pool)

    def _draw(self, now: float, need: float) -> float:
        drawn = self._rates.draw(self._name, self.rate, now, self._due, need)
        if drawn is None:
            return 0.0
        found, self.others, self._left = drawn
        return found

    @property
    def full(self) -> bool:
        """Whether the memory has all that is here."""
        return not self.turn and self.rest()

    def rest(self) -> bool:
        """As L{Bucket.rest}: put back what is here, so that others have it."""
        if self._rates.put(self._name, self.rate, self._at, self._pool):
            self._pool, self._due, self.others = 0.0, 0, self._rates.others
            return True
        return False

    def leave(self, share: Any) -> None:
        """As L{Bucket.leave}; what is owed stays owed in all processes."""
        super().leave(share)
        if not self.users:
            self.rest()
