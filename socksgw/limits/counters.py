"""
What limits count: what lives, what happened in the last second, and the octets
of windows; and how that is done in one process.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from heapq import nsmallest
from typing import Final, Protocol, final

__all__ = ["Counters", "Key", "ProcessCounters", "Row"]

#: Windows that are kept, at most.
_WINDOWS: Final = 1 << 16

#: A window as it is kept: per what, by which rule, whose, its length, its
#: number since the epoch, and its octets.
Row = tuple[str, str, str, float, int, int]


#: Whose count it is: of what, per what, by which rule's limits (empty for
#: C{[[limit]]}), and of whom.
Key = tuple[str, str, str, str]


class Counters(Protocol):
    """
    What limits count, by key. A key of which nothing is counted costs nothing.

    Today one process's own (L{ProcessCounters}); whoever shares them between
    several answers these calls at once, too.
    """

    def take(self, wanted: Sequence[tuple[Key, int]]) -> Key | None:
        """
        Count one more of every key, unless one of them has as many as its
        number already: then nothing is counted.

        @return: the first such key, or L{None}.
        """

    def add(self, keys: Sequence[Key]) -> None:
        """Count one more of every key, however many there are."""

    def give(self, keys: Sequence[Key]) -> None:
        """
        Count one less of every key.

        @raise KeyError: it was never counted.
        """

    def happen(self, wanted: Sequence[tuple[Key, int]]) -> Key | None:
        """
        An event of every key happens now, unless one of them has had as many
        as its number in the last second: then none does.

        @return: the first such key, or L{None}.
        """

    def spent(self, key: Key, seconds: float) -> int:
        """
        Octets in the window of now.

        @param seconds: its length; windows begin at its multiples since the
            epoch.
        """

    def spend(self, key: Key, seconds: float, octets: int) -> None:
        """So many more."""


@final
class _Window:
    __slots__ = ("_behind", "number", "octets")

    def __init__(self, number: int, octets: int) -> None:
        self.number = number
        self.octets = octets
        self._behind: float | None = None

    def over(self, number: int, now: float, seconds: float) -> bool:
        """
        Whether its octets count no longer: a later window has begun. A clock
        that was set back brings nothing back; but what is said to be of a time
        that has not come counts no longer than a window lasts.

        @param number: the window of now.
        @param now: monotonic seconds.
        @param seconds: how long a window lasts.
        """
        if number >= self.number:
            self._behind = None
            return number > self.number
        if self._behind is None:
            self._behind = now
        return now - self._behind >= seconds

    def begin(self, number: int) -> None:
        """Nothing has moved in it yet."""
        self.number = number
        self.octets = 0
        self._behind = None


@final
class ProcessCounters:
    """
    L{Counters} of this process alone.

    What lives, and what happened in a second, is bounded by the sessions (the
    past is forgotten as more happens); of windows, those with the fewest octets
    are forgotten first when there are too many.

    @ivar changes: grows whenever a window does.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        wall: Callable[[], float] = time.time,
        windows: int = _WINDOWS,
    ) -> None:
        """
        @param clock: monotonic seconds.
        @param wall: seconds since the epoch.
        @param windows: how many are kept, at most.
        """
        self._clock = clock
        self._wall = wall
        self._most = windows
        self._counts: dict[Key, int] = {}
        # In the order of the latest event.
        self._events: OrderedDict[Key, deque[float]] = OrderedDict()
        self._windows: dict[tuple[Key, float], _Window] = {}
        self.changes = 0

    # What lives.

    def take(self, wanted: Sequence[tuple[Key, int]]) -> Key | None:
        """As L{Counters.take}."""
        counts = self._counts
        for key, most in wanted:
            if counts.get(key, 0) >= most:
                return key
        for key, _ in wanted:
            counts[key] = counts.get(key, 0) + 1
        return None

    def add(self, keys: Sequence[Key]) -> None:
        """As L{Counters.add}."""
        counts = self._counts
        for key in keys:
            counts[key] = counts.get(key, 0) + 1

    def give(self, keys: Sequence[Key]) -> None:
        """As L{Counters.give}."""
        counts = self._counts
        for key in keys:
            left = counts[key] - 1
            if left:
                counts[key] = left
            else:
                del counts[key]

    # What happens.

    def happen(self, wanted: Sequence[tuple[Key, int]]) -> Key | None:
        """As L{Counters.happen}."""
        events, now = self._events, self._clock()
        for key, most in wanted:
            times = events.get(key)
            if most == 0:
                return key
            if times is not None and len(times) >= most and now - times[-most] < 1.0:
                return key
        for key, most in wanted:
            times = events.pop(key, None)
            if times is None or times.maxlen != most:
                times = deque(times or (), most)
            times.append(now)
            events[key] = times
        self._forgetEvents(now - 1.0, 2 * len(wanted))
        return None

    def _forgetEvents(self, past: float, most: int) -> None:
        """
        Forget keys of which nothing has happened since, the oldest first.
        """
        events = self._events
        while events and most:
            key, times = next(iter(events.items()))
            if times[-1] > past:
                break
            del events[key]
            most -= 1

    # Windows.

    def spent(self, key: Key, seconds: float) -> int:
        """As L{Counters.spent}."""
        window = self._windows.get((key, seconds))
        return 0 if window is None else self._now(window, seconds).octets

    def _now(self, window: _Window, seconds: float) -> _Window:
        number = int(self._wall() // seconds)
        if number != window.number and window.over(number, self._clock(), seconds):
            window.begin(number)
        return window

    def spend(self, key: Key, seconds: float, octets: int) -> None:
        """As L{Counters.spend}."""
        window = self._windows.get((key, seconds))
        if window is None:
            if len(self._windows) >= self._most:
                self._forget()
            number = int(self._wall() // seconds)
            window = self._windows[key, seconds] = _Window(number, 0)
        self._now(window, seconds).octets += octets
        self.changes += 1

    def _forget(self) -> None:
        """
        Make room: what is over goes; else whoever has spent least loses least.
        """
        self._sweepWindows()
        over = len(self._windows) - self._most * 15 // 16
        if over > 0:
            octets = {at: window.octets for at, window in self._windows.items()}
            for at in nsmallest(over, octets, key=octets.__getitem__):
                del self._windows[at]

    def _sweepWindows(self) -> None:
        wall, now = self._wall(), self._clock()
        over = [
            at
            for at, window in self._windows.items()
            if window.over(int(wall // at[1]), now, at[1])
        ]
        for at in over:
            del self._windows[at]

    # Keeping.

    def sweep(self) -> None:
        """
        Once in a while: forget what counts no longer.
        """
        self._forgetEvents(self._clock() - 1.0, len(self._events))
        self._sweepWindows()

    def rows(self) -> list[Row]:
        """Every window, to be kept."""
        return [
            (key[1], key[2], key[3], seconds, window.number, window.octets)
            for (key, seconds), window in self._windows.items()
        ]

    def restore(self, rows: Iterable[Row]) -> None:
        """
        Go on with windows that were kept; of two of one key, with the later one,
        and with the octets of both if they are the same.
        """
        for per, rule, who, seconds, number, octets in rows:
            at = (("octets", per, rule, who), seconds)
            before = self._windows.get(at)
            if before is not None and before.number >= number:
                before.octets += octets if before.number == number else 0
            else:
                self._windows[at] = _Window(number, octets)
        if len(self._windows) > self._most:
            self._forget()

    @property
    def keys(self) -> Iterator[Key]:
        """Every key of which something is counted."""
        yield from self._counts
        yield from self._events
        yield from (key for key, _ in self._windows)
