"""
How many octets a session may move at the moment.

A rate is a L{Bucket}: one for each key and each way. It fills as time goes by and
is paid afterwards. A session that has emptied it may still move a fair share,
which it owes; every L{TICK} the debts are paid off in equal parts with what has
flowed in. So a short message finds room at once, also beside a session that takes
all there is, and sessions that want more than there is get equal shares.

A session that finds no room waits until there is enough of it to be worth a
wake-up. Where many share a rate, room is saved up for each of them, since a few
octets at each turn would cost more than the octets do. The one timer of all
buckets runs only while something is owed.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Final, Protocol, final

from twisted.logger import Logger

__all__ = ["FULL", "LATE", "TICK", "Allowance", "Allowances", "Bucket", "Window"]

_log = Logger()

#: Seconds between two payments.
TICK: Final = 0.02
#: Seconds that a bucket fills, at most.
FULL: Final = 2 * TICK
#: Seconds of its part of the rate that a share may owe, so that it is woken for
#: more than a few octets,
_OWED: Final = 2 * TICK
#: and the octets of debt that are enough for that.
_ENOUGH: Final = 1 << 14
#: Octets that are worth a wake-up,
_QUANTUM: Final = 1 << 12
#: and the seconds of a share's part of the rate, if they come to less.
_TURN: Final = 0.2
#: Seconds that a late payment pays for, at most.
LATE: Final = 1.0
#: Octets below which a float counts as 0.
_NOTHING: Final = 1e-6


class Window(Protocol):
    """
    The octets of a quota.
    """

    def left(self, wanted: int = 1) -> int:
        """
        Return how many octets may still move.

        @param wanted: how many are to; where fewer are returned, no more are left.
        """

    def spend(self, octets: int) -> None:
        """Count octets that have moved."""

    def end(self) -> None:
        """Have what it bounds end, whatever comes back."""

    @property
    def pending(self) -> bool:
        """Whether more than L{left} may be there in a moment."""


class Bucket:
    """
    The rate of one key, one way, in one process.

    @ivar rate: octets per second.
    @ivar users: how many allowances draw on it.
    @ivar others: how many shares of other processes take part.
    @ivar turn: the shares that owe something.
    @ivar waiting: the shares whose allowances wait for room, here or in another
        bucket.
    @ivar mark: the debt at which a waiting share is worth a wake-up, as of the
        last payment.
    """

    __slots__ = (
        "_advanced",
        "_at",
        "_crowd",
        "_pool",
        "_settled",
        "mark",
        "others",
        "rate",
        "turn",
        "users",
        "waiting",
    )

    def __init__(self, rate: int, now: float) -> None:
        self.rate = rate
        self.users = self.others = 0
        self.turn: dict[_Share, None] = {}
        self.waiting: dict[_Share, None] = {}
        self._advanced: dict[_Share, None] = {}
        self._pool = rate * FULL
        self._at = self._settled = now
        self._crowd = 1
        self.mark = 0.0

    def fill(self, now: float) -> float:
        """
        Add what has flowed in.

        @param now: monotonic seconds.
        @return: the octets that are there for anybody; none while something is
            owed.
        """
        if not self.turn:
            self._flow(now)
            if now - self._settled > 2 * TICK:
                self._crowd = 1
        return self._pool

    def _flow(self, now: float) -> None:
        """Add what has flowed in while nothing was owed."""
        most = self.rate * FULL
        if self._pool < most:
            self._pool = min(most, self._pool + (now - self._at) * self.rate)
        self._at = now

    @property
    def full(self) -> bool:
        """Whether the bucket is as it was at the beginning."""
        return not self.turn and self._pool >= self.rate * FULL

    def fair(self) -> float:
        """Return how many octets one share may owe."""
        part = self._part
        return max(1.0, part, min(_ENOUGH, part * _OWED / TICK))

    @property
    def _part(self) -> float:
        """What flows in until the next payment for each share that takes part."""
        return self.rate * TICK / max(self._crowd, len(self.turn) + self.others)

    def worth(self) -> float:
        """Return how many octets of room are worth a wake-up."""
        turn = min(_QUANTUM, self._part * _TURN / TICK)
        return max(1.0, self.fair() / 2, turn)

    def spend(self, share: _Share, octets: float) -> None:
        """Take octets: advanced ones first, then what is there; owe the rest."""
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
        Pay the debts, and what waiting shares save up, in equal parts.

        What is left is advanced to the waiting shares. A share that does not need it
        gives it back at the next payment.
        """
        turn = self.turn
        pool = self._pool
        for share in self._advanced:
            if share.debt < 0 and share not in self.waiting:
                pool -= share.debt
                share.debt = 0.0
        saved = max(0.0, self.worth() - self.fair())
        due = {share: share.debt for share in turn if share not in self.waiting}
        for share in self.waiting:
            if share.debt + saved > _NOTHING:
                due[share] = share.debt + saved
        pool += self._inflow(now, pool, due)
        self._at = self._settled = now
        self._crowd = len(due) + self.others or 1
        if not due:
            # Shares that wait do so for other buckets.
            pool = min(pool, max(self._pool, self.rate * FULL))
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

    def _inflow(self, now: float, pool: float, due: Mapping[_Share, float]) -> float:
        """
        Return what has flowed in since the last payment.

        @param pool: what is there already.
        @param due: what is to be paid.
        """
        return min(now - self._at, LATE) * self.rate

    def begin(self, clock: Callable[[], float]) -> None:
        """
        Take note that something is owed from now on.

        @param clock: monotonic seconds.
        """

    def rest(self) -> bool:
        """
        Take note that nothing is owed any more.

        @return: whether that is done; where not, it is to be called again.
        """
        return True

    def leave(self, share: _Share) -> None:
        """Remove a share. Its debt stays, so that coming again is no way out of it."""
        self.users -= 1
        self._pool -= share.debt
        share.debt = 0.0
        self.turn.pop(share, None)
        self.waiting.pop(share, None)
        self._advanced.pop(share, None)


@final
class _Share:
    """
    What one allowance owes to one bucket.

    @ivar debt: octets; less than 0 where the bucket has advanced some.
    """

    __slots__ = ("bucket", "debt")

    def __init__(self, bucket: Bucket) -> None:
        bucket.users += 1
        self.bucket = bucket
        self.debt = 0.0

    def room(self, now: float) -> float:
        """Return how many octets may move now, as far as this bucket goes."""
        bucket = self.bucket
        return bucket.fill(now) + bucket.fair() - self.debt


@final
class Allowance:
    """
    The octets of one session, one way, bounded by each of its buckets and windows.
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
        Return how many octets may move now.

        @param most: as many as there are, or fit.
        @return: C{most} or fewer; 0 for none.
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
        return min([most, *(window.left(most) for window in self._windows)])

    def spend(self, octets: int) -> None:
        """Count octets that have moved. More than L{room} has said are owed."""
        for window in self._windows:
            window.spend(octets)
        for share in self._shares:
            share.bucket.spend(share, octets)
            if share.debt > 0:
                self._all.owes(share.bucket)

    def charge(self, octets: bytes) -> bytes:
        """
        Count octets that have come already and cannot wait.

        @return: as many of them as the windows have. What it bounds ends if these are
            not all.
        """
        for window in self._windows:
            left = max(0, window.left(len(octets)))
            if left < len(octets) and not window.pending:
                octets = octets[:left]
                window.end()
        self.spend(len(octets))
        return octets

    def passes(self, length: int) -> bool:
        """
        Count a datagram, if it may move.

        It moves whole or not at all. One that is longer than the rest of a window
        uses the window up.

        @param length: its octets.
        @return: whether it may move.
        """
        if self._shares and not self.room(1):
            return False
        for window in self._windows:
            left = window.left(length)
            if left < length:
                if not window.pending:
                    window.spend(max(0, left))
                return False
        self.spend(length)
        return True

    def wait(self, again: Callable[[], None]) -> None:
        """Call C{again} once when there may be room."""
        self._all.waiting[self] = again
        self._all.start()
        for share in self._shares:
            share.bucket.waiting[share] = None
            self._all.owes(share.bucket)

    @property
    def delaying(self) -> bool:
        """Whether a wait is under way that ends by itself: not one for a window."""
        return self in self._all.waiting and all(
            window.left(1) > 0 or window.pending for window in self._windows
        )

    def forget(self) -> Callable[[], None] | None:
        """
        End the wait.

        @return: what was to be called; L{None} when nothing waits.
        """
        for share in self._shares:
            share.bucket.waiting.pop(share, None)
        return self._all.waiting.pop(self, None)

    def wake(self) -> None:
        """End the wait and make the call: there may be room."""
        again = self.forget()
        if again is not None:
            again()

    @property
    def ready(self) -> bool:
        """Whether there is enough room to be worth a wake-up."""
        return all(each.debt <= each.bucket.mark + _NOTHING for each in self._shares)

    def close(self) -> None:
        """Leave the buckets: the session is over, or has another allowance."""
        self.forget()
        for share in self._shares:
            share.bucket.leave(share)
        self._shares = []


@final
class Allowances:
    """
    All buckets, and their timer.

    @ivar clock: monotonic seconds.
    @ivar waiting: what each waiting allowance is to call.
    """

    def __init__(
        self,
        reactor: Any,
        clock: Callable[[], float],
        made: Callable[[Any, int, float], Bucket] | None = None,
    ) -> None:
        """
        Begin without a bucket.

        @param made: makes one for a key, with its rate, at a moment; by default it is
            this process's alone.
        """
        self._reactor = reactor
        self._made = made or (lambda _, rate, now: Bucket(rate, now))
        self.clock = clock
        self._buckets: dict[Hashable, Bucket] = {}
        self._owing: dict[Bucket, None] = {}
        self.waiting: dict[Allowance, Callable[[], None]] = {}
        self._timer: Any = None

    def bucket(self, key: Hashable, rate: int) -> Bucket:
        """Return the bucket of a key, which has this rate from now on."""
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = self._made(key, rate, self.clock())
        elif bucket.rate != rate:
            bucket.fill(self.clock())
            bucket.rate = rate
        return bucket

    def allowance(
        self, buckets: Sequence[Bucket], windows: Sequence[Window]
    ) -> Allowance | None:
        """
        Make the allowance of one session, one way.

        @return: L{None} where nothing bounds it.
        """
        return Allowance(self, buckets, windows) if buckets or windows else None

    def owes(self, bucket: Bucket) -> None:
        """Have the timer pay what is owed to a bucket."""
        if bucket not in self._owing:
            self._owing[bucket] = None
            bucket.begin(self.clock)
        self.start()

    def start(self) -> None:
        """Run the timer, if it does not run."""
        if self._timer is None:
            self._timer = self._reactor.callLater(TICK, self._tick)

    def _tick(self) -> None:
        self._timer = None
        now = self.clock()
        for bucket in list(self._owing):
            if bucket.turn or bucket.waiting:
                bucket.settle(now)
            if not bucket.turn and not bucket.waiting and bucket.rest():
                del self._owing[bucket]
        if self._owing or self.waiting:
            self.start()
        for allowance in [each for each in self.waiting if each.ready]:
            try:
                allowance.wake()
            except Exception:
                _log.failure("a relay that waited for its allowance failed")

    def sweep(self) -> None:
        """Forget the buckets that are full and that no allowance draws on."""
        now = self.clock()
        for key, bucket in list(self._buckets.items()):
            if not bucket.users:
                bucket.fill(now)
                if bucket.full:
                    del self._buckets[key]

    def stop(self) -> None:
        """Stop the timer; no allowance is woken any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.waiting.clear()

    @property
    def buckets(self) -> int:
        """The number of buckets."""
        return len(self._buckets)
