"""
How many octets a session may move at the moment.

A rate is a L{Bucket}, one for each way of each key. It fills as time goes by,
and is paid afterwards: who has emptied it may still move a fair share, and
owes it; every L{TICK} what has flowed in pays the debts off, in equal parts. So
a short message finds room at once, also beside somebody who takes all there is;
and those who want more than there is get equal shares of it.

Whoever finds no room waits, until there is some worth being woken for: where
many share a rate it is saved up, since a few octets in each of their turns would
cost more than the octets do. The one timer of all runs only while somebody owes
something.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, Final, Protocol, final

from twisted.logger import Logger

__all__ = ["TICK", "Allowance", "Allowances", "Bucket", "Window"]

_log = Logger()

#: Seconds between two payments.
TICK: Final = 0.02
#: Seconds that a bucket fills, at most.
_FULL: Final = 2 * TICK
#: Seconds of its part of the rate that one may owe, to be woken for more than
#: a few octets,
_OWED: Final = 2 * TICK
#: and the octets that are enough to be woken for.
_ENOUGH: Final = 1 << 14
#: Octets that are worth being woken for,
_QUANTUM: Final = 1 << 12
#: and the seconds of its part of the rate that are, if it comes to less.
_TURN: Final = 0.2
#: Seconds that a late payment pays for, at most.
_LATE: Final = 1.0
#: What is less than this is nothing.
_NOTHING: Final = 1e-6


class Window(Protocol):
    """Octets that do not come back before the next window: a quota's."""

    def left(self) -> int:
        """How many there are."""

    def spend(self, octets: int) -> None:
        """They are fewer."""


@final
class Bucket:
    """
    One key's rate, one way.

    @ivar rate: octets per second.
    @ivar users: how many allowances draw on it.
    @ivar turn: who owes something.
    @ivar waiting: who waits for room, here or elsewhere.
    @ivar mark: the debt with which one of them is to be woken, as of the last
        payment.
    """

    __slots__ = (
        "_advanced",
        "_at",
        "_crowd",
        "_pool",
        "_settled",
        "mark",
        "rate",
        "turn",
        "users",
        "waiting",
    )

    def __init__(self, rate: int, now: float) -> None:
        self.rate = rate
        self.users = 0
        self.turn: dict[_Share, None] = {}
        self.waiting: dict[_Share, None] = {}
        self._advanced: dict[_Share, None] = {}
        self._pool = rate * _FULL
        self._at = self._settled = now
        self._crowd = 1
        self.mark = 0.0

    def fill(self, now: float) -> float:
        """
        What is there for anybody; nothing while somebody owes something.
        """
        if not self.turn:
            most = self.rate * _FULL
            if self._pool < most:
                self._pool = min(most, self._pool + (now - self._at) * self.rate)
            self._at = now
            if now - self._settled > 2 * TICK:
                self._crowd = 1
        return self._pool

    @property
    def full(self) -> bool:
        """Whether it is as it was at the beginning."""
        return not self.turn and self._pool >= self.rate * _FULL

    def fair(self) -> float:
        """How much one may owe."""
        part = self._part
        return max(1.0, part, min(_ENOUGH, part * _OWED / TICK))

    @property
    def _part(self) -> float:
        """What one of the crowd has of the rate until the next payment."""
        return self.rate * TICK / max(self._crowd, len(self.turn))

    def worth(self) -> float:
        """How much room is worth being woken for."""
        turn = min(_QUANTUM, self._part * _TURN / TICK)
        return max(1.0, self.fair() / 2, turn)

    def spend(self, share: _Share, octets: float) -> None:
        """
        Take what was advanced, then what is there, and owe the rest.
        """
        if share.debt < 0:
            share.debt += octets
            if share.debt <= 0:
                return
            octets, share.debt = share.debt, 0.0
        if self._pool > 0:
            self._pool -= octets
            if self._pool >= 0:
                return
            octets, self._pool = -self._pool, 0.0
        if octets > 0:
            share.debt += octets
            self.turn[share] = None

    def settle(self, now: float) -> None:
        """
        Pay the debts, and what those who wait save up, in equal parts with what
        has flowed in. What is left is advanced to those who wait; whoever did
        not need it gives it back next time.
        """
        turn = self.turn
        pool = self._pool + min(now - self._at, _LATE) * self.rate
        self._at = self._settled = now
        for share in self._advanced:
            if share.debt < 0 and share not in self.waiting:
                pool -= share.debt
                share.debt = 0.0
        saved = max(0.0, self.worth() - self.fair())
        due = {share: share.debt for share in turn if share not in self.waiting}
        for share in self.waiting:
            if share.debt + saved > _NOTHING:
                due[share] = share.debt + saved
        self._crowd = len(due) or 1
        if not due:
            # Whoever waits does so for something else.
            pool = min(pool, max(self._pool, self.rate * _FULL))
        again = dict.fromkeys(share for share in self.waiting if share in due)
        while due and pool > _NOTHING:
            part = pool / len(due)
            for share, owed in list(due.items()):
                paid = min(part, owed)
                pool -= paid
                share.debt -= paid
                if owed - paid < _NOTHING:
                    del due[share]
                else:
                    due[share] = owed - paid
        for share in list(turn):
            if share.debt < _NOTHING:
                share.debt = min(0.0, share.debt)
                del turn[share]
        if pool > _NOTHING and again:
            for share in again:
                share.debt -= pool / len(again)
            pool = 0.0
        self._pool = pool
        again.update(self._advanced)
        self._advanced = {share: None for share in again if share.debt < 0}
        self.mark = pool + self.fair() - self.worth()

    def leave(self, share: _Share) -> None:
        """
        Somebody goes. A debt stays: coming again is no way out of it.
        """
        self.users -= 1
        self._pool -= share.debt
        share.debt = 0.0
        self.turn.pop(share, None)
        self.waiting.pop(share, None)
        self._advanced.pop(share, None)


@final
class _Share:
    """
    What one allowance owes to one bucket; less than nothing where the bucket
    has advanced something.
    """

    __slots__ = ("bucket", "debt")

    def __init__(self, bucket: Bucket) -> None:
        bucket.users += 1
        self.bucket = bucket
        self.debt = 0.0

    def room(self, now: float) -> float:
        bucket = self.bucket
        return bucket.fill(now) + bucket.fair() - self.debt


@final
class Allowance:
    """
    One session's, one way; bounded by every bucket and every window of it.
    """

    __slots__ = ("_all", "_shares", "_windows")

    def __init__(
        self, all_: Allowances, buckets: Sequence[Bucket], windows: Sequence[Window]
    ) -> None:
        self._all = all_
        self._shares = [_Share(bucket) for bucket in buckets]
        self._windows = windows

    def room(self, most: int) -> int:
        """
        How many octets may move now, of C{most}; 0 for none.
        """
        if self._windows:
            most = self._windowed(most)
        if self._shares:
            now = self._all.clock()
            for share in self._shares:
                room = share.room(now)
                if room < most:
                    most = int(room)
        return max(0, most)

    def _windowed(self, most: int) -> int:
        return min([most, *(window.left() for window in self._windows)])

    def spend(self, octets: int) -> None:
        """
        They have moved: no more than there was L{room} for, or else the
        session owes them.
        """
        for window in self._windows:
            window.spend(octets)
        for share in self._shares:
            share.bucket.spend(share, octets)
            if share.debt > 0:
                self._all.owes(share.bucket)

    def charge(self, octets: bytes) -> bytes:
        """
        What has come already, and will not wait.

        @return: as much of it as the windows have.
        """
        for window in self._windows:
            octets = octets[: max(0, window.left())]
        self.spend(len(octets))
        return octets

    def passes(self, length: int) -> bool:
        """
        Whether a datagram may go: whole, or not at all. One that the rest of a
        window is too short for uses it up.
        """
        if self._shares and not self.room(1):
            return False
        for window in self._windows:
            left = window.left()
            if left < length:
                window.spend(max(0, left))
                return False
        self.spend(length)
        return True

    def wait(self, again: Callable[[], None]) -> None:
        """
        Call C{again} once when there may be room.
        """
        self._all.waiting[self] = again
        self._all.start()
        for share in self._shares:
            share.bucket.waiting[share] = None
            self._all.owes(share.bucket)

    @property
    def delaying(self) -> bool:
        """
        Whether somebody waits, and only for a rate: that comes to an end.
        """
        return self in self._all.waiting and self._windowed(1) > 0

    def forget(self) -> Callable[[], None] | None:
        """
        Do not call it any more.

        @return: what was to be called.
        """
        for share in self._shares:
            share.bucket.waiting.pop(share, None)
        return self._all.waiting.pop(self, None)

    def wake(self) -> None:
        """
        Call who waits: there may be room.
        """
        again = self.forget()
        if again is not None:
            again()

    @property
    def ready(self) -> bool:
        """
        Whether there is room worth being woken for.
        """
        return all(each.debt <= each.bucket.mark + _NOTHING for each in self._shares)

    def close(self) -> None:
        """
        The session is over, or has another one; nobody waits for it.
        """
        self.forget()
        for share in self._shares:
            share.bucket.leave(share)
        self._shares = []


@final
class Allowances:
    """
    All buckets, and the timer.

    @ivar clock: monotonic seconds.
    @ivar waiting: who is called when there is room.
    """

    def __init__(self, reactor: Any, clock: Callable[[], float]) -> None:
        self._reactor = reactor
        self.clock = clock
        self._buckets: dict[Hashable, Bucket] = {}
        self._owing: dict[Bucket, None] = {}
        self.waiting: dict[Allowance, Callable[[], None]] = {}
        self._timer: Any = None

    def bucket(self, key: Hashable, rate: int) -> Bucket:
        """
        A key's, from now on with that rate.
        """
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = Bucket(rate, self.clock())
        elif bucket.rate != rate:
            bucket.fill(self.clock())
            bucket.rate = rate
        return bucket

    def allowance(
        self, buckets: Sequence[Bucket], windows: Sequence[Window]
    ) -> Allowance | None:
        """
        Of one session; L{None} where nothing bounds it.
        """
        return Allowance(self, buckets, windows) if buckets or windows else None

    def owes(self, bucket: Bucket) -> None:
        """
        Somebody owes it something.
        """
        self._owing[bucket] = None
        self.start()

    def start(self) -> None:
        """
        Run the timer.
        """
        if self._timer is None:
            self._timer = self._reactor.callLater(TICK, self._tick)

    def _tick(self) -> None:
        self._timer = None
        now = self.clock()
        for bucket in list(self._owing):
            if bucket.turn or bucket.waiting:
                bucket.settle(now)
            if not bucket.turn and not bucket.waiting:
                del self._owing[bucket]
        if self._owing or self.waiting:
            self.start()
        for allowance in [each for each in self.waiting if each.ready]:
            try:
                allowance.wake()
            except Exception:
                _log.failure("a relay that waited for its allowance failed")

    def sweep(self) -> None:
        """
        Once in a while: forget the buckets that nobody uses, and that are as
        they were at the beginning.
        """
        now = self.clock()
        for key, bucket in list(self._buckets.items()):
            if not bucket.users:
                bucket.fill(now)
                if bucket.full:
                    del self._buckets[key]

    def stop(self) -> None:
        """
        Nobody is woken any more.
        """
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.waiting.clear()

    @property
    def buckets(self) -> int:
        """How many there are."""
        return len(self._buckets)
