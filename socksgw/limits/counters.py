"""
Count for limits, in one process.

Counted are live sessions and flows, the events of the last second, and the
octets of windows.
"""

from __future__ import annotations

import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from heapq import nsmallest
from typing import Final, Protocol, final

from twisted.internet.defer import Deferred

__all__ = [
    "NEW",
    "Counters",
    "Kept",
    "Key",
    "ProcessCounters",
    "Row",
    "eventOf",
    "secondsOf",
]

#: The most windows that are kept.
_WINDOWS: Final = 1 << 16

#: A window as the file of quotas has it: what it is per (C{user}, C{source} …),
#: the rule whose limit it is, the value of that user or source, its length in
#: seconds, its number since the epoch, and its octets.
Row = tuple[str, str, str, float, int, int]


#: What is counted (C{sessions}, C{octets} …), what it is counted per (C{user},
#: C{source} …), the rule whose limit it is (empty for C{[[limit]]}), and the value
#: of that user or source.
Key = tuple[str, str, str, str]


#: What is counted of sessions that begin within a second.
NEW: Final = "new sessions"
_IN: Final = f"{NEW} in "


def eventOf(seconds: float) -> str:
    """Return what is counted of sessions that begin within some seconds."""
    return NEW if seconds == 1.0 else f"{_IN}{seconds:g}s"


def secondsOf(key: Key) -> float:
    """Return for how many seconds an event of a key counts."""
    event = key[0]
    return float(event[len(_IN) : -1]) if event.startswith(_IN) else 1.0


class Counters(Protocol):
    """
    Count by key; a key of which nothing is counted costs nothing.

    One process has its own (L{ProcessCounters}); several share theirs
    (L{socksgw.limits.shared.SharedCounters}), and so do several machines
    (L{socksgw.limits.cluster.ClusterCounters}). All answer immediately; the last ones
    may have to be asked before (L{ask}), else what they do not know is full.
    """

    @property
    def asks(self) -> bool:
        """Whether L{ask} may return something."""

    def ask(
        self,
        wanted: Sequence[tuple[Key, int]],
        windows: Sequence[tuple[Key, float, int]] = (),
    ) -> Deferred[None] | None:
        """
        Ask for what is needed to answer.

        @param wanted: as of L{take} or L{happen}.
        @param windows: keys, each with its seconds and its octets in all.
        @return: fires when there is an answer, and this is to be called again; L{None}:
            all is known now.
        """

    def take(self, wanted: Sequence[tuple[Key, int]]) -> Key | None:
        """
        Count one more of every key, if none of them has as many as its number.

        @param wanted: keys, each with the most that may be counted of it.
        @return: the first key that has as many; L{None} when all were counted.
        """

    def counted(self, key: Key) -> int:
        """Return how many are counted of a key."""

    def add(self, keys: Sequence[Key]) -> None:
        """Count one more of every key, whatever its limit is."""

    def give(self, keys: Sequence[Key]) -> None:
        """
        Count one less of every key.

        @raise KeyError: nothing is counted of a key.
        """

    def happen(self, wanted: Sequence[tuple[Key, int]]) -> Key | None:
        """
        Count an event of every key, unless one had as many in its time (L{secondsOf}).

        @param wanted: keys, each with the most events of it in that time.
        @return: the first key that has had as many; L{None} when all were counted.
        """

    def room(self, key: Key, seconds: float, most: int, wanted: int = 1) -> int:
        """
        Return how many octets may still count in the present window of a key.

        @param seconds: the length of the window; windows begin at its multiples
            since the epoch.
        @param most: how many may count in all.
        @param wanted: how many are asked for. With fewer the window has no more; it
            may have more than is returned.
        @return: less than 1 when the window is used up, or nothing is known of it yet.
        """

    def over(self, key: Key, seconds: float, most: int) -> bool:
        """
        Return whether the present window of a key is used up.

        The parameters are those of L{room}.
        """

    def pending(self, key: Key, seconds: float) -> bool:
        """
        Return whether more of a window may be had than L{room} says, in a moment.
        """

    def spend(self, key: Key, seconds: float, octets: int) -> None:
        """
        Count octets in the present window of a key.

        @param seconds: as in L{room}.
        @param octets: how many more.
        """


class Kept(Counters, Protocol):
    """Counters whose windows are kept in a file."""

    @property
    def changes(self) -> int:
        """A number that grows whenever octets are counted."""

    @property
    def keys(self) -> Iterator[Key]:
        """Yield every key of which something is counted."""

    def counts(self) -> Counter[Key]:
        """Return how many live of each key, in this process."""

    def look(self) -> bool:
        """
        Do what is due each second.

        @return: whether another process may have used up a quota.
        """

    def sweep(self) -> None:
        """Forget events and windows that count no longer; called now and then."""

    def release(self) -> None:
        """Give back what was taken in advance: nothing moves here any more."""

    def rows(self) -> list[Row]:
        """Return every window, to be kept in a file."""

    def restore(self, rows: Iterable[Row]) -> None:
        """Go on with windows that were kept."""


@final
class _Window:
    """
    One window.

    @ivar number: how many windows of its length have begun since the epoch.
    @ivar octets: the octets counted in it.
    """

    __slots__ = ("_behind", "number", "octets")

    def __init__(self, number: int, octets: int) -> None:
        self.number = number
        self.octets = octets
        self._behind: float | None = None

    def over(self, number: int, now: float, seconds: float) -> bool:
        """
        Return whether the octets count no longer, since a later window has begun.

        A clock that is set back gives no octets back. But a window of a time to
        come, as a clock that was wrong has left it, counts no longer than a window
        lasts.

        @param number: the number of the present window.
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
        """
        Begin anew, with no octets.

        @param number: the number of the window.
        """
        self.number = number
        self.octets = 0
        self._behind = None


@final
class ProcessCounters:
    """
    Count as L{Counters}, for this process alone.

    The sessions bound what is kept of live ones and of events, since events that count
    no longer are forgotten as others come. When there are too many windows,
    those with the fewest octets are forgotten first.

    """

    asks = False

    def __init__(
        self,
        clock: Callable[[], float],
        wall: Callable[[], float] = time.time,
        windows: int = _WINDOWS,
    ) -> None:
        """
        Begin with nothing counted.

        @param clock: monotonic seconds.
        @param wall: seconds since the epoch.
        @param windows: the most windows that are kept.
        """
        self._clock = clock
        self._wall = wall
        self._most = windows
        self._counts: dict[Key, int] = {}
        # By how long they count, in the order of the latest event.
        self._events: dict[float, OrderedDict[Key, deque[float]]] = {}
        self._windows: dict[tuple[Key, float], _Window] = {}
        self._changes = 0

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

    def counted(self, key: Key) -> int:
        """As L{Counters.counted}."""
        return self._counts.get(key, 0)

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
        now = self._clock()
        for key, most in wanted:
            if most == 0:
                return key
            seconds = secondsOf(key)
            times = self._events.setdefault(seconds, OrderedDict()).get(key)
            if (
                times is not None
                and len(times) >= most
                and now - times[-most] < seconds
            ):
                return key
        for key, most in wanted:
            events = self._events[secondsOf(key)]
            times = events.pop(key, None)
            if times is None or times.maxlen != most:
                times = deque(times or (), most)
            times.append(now)
            events[key] = times
        self._forgetEvents(now, 2 * len(wanted))
        return None

    def _forgetEvents(self, now: float, most: int) -> None:
        """
        Forget keys without a recent event, the oldest first.

        @param now: monotonic seconds.
        @param most: the most keys of each time that are forgotten now.
        """
        for seconds, events in self._events.items():
            self._forgetIn(events, now - seconds, most)

    def _forgetIn(
        self, events: OrderedDict[Key, deque[float]], past: float, most: int
    ) -> None:
        while events and most:
            key, times = next(iter(events.items()))
            if times[-1] > past:
                break
            del events[key]
            most -= 1

    # Windows.

    def spent(self, key: Key, seconds: float) -> int:
        """Return how many octets count in the present window of a key."""
        window = self._windows.get((key, seconds))
        return 0 if window is None else self._now(window, seconds).octets

    def room(self, key: Key, seconds: float, most: int, wanted: int = 1) -> int:
        """As L{Counters.room}."""
        return most - self.spent(key, seconds)

    def over(self, key: Key, seconds: float, most: int) -> bool:
        """As L{Counters.over}."""
        return self.spent(key, seconds) >= most

    def pending(self, key: Key, seconds: float) -> bool:
        """As L{Counters.pending}: all is known here."""
        return False

    def ask(
        self,
        wanted: Sequence[tuple[Key, int]],
        windows: Sequence[tuple[Key, float, int]] = (),
    ) -> Deferred[None] | None:
        """As L{Counters.ask}: all is known here."""
        return None

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
        self._changes += 1

    def _forget(self) -> None:
        """Forget the windows that are over, or else those with fewest octets."""
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

    def counts(self) -> Counter[Key]:
        """As L{Kept.counts}."""
        return Counter(self._counts)

    @property
    def changes(self) -> int:
        """As L{Kept.changes}."""
        return self._changes

    def look(self) -> bool:
        """As L{Kept.look}: there is no other process."""
        return False

    def release(self) -> None:
        """As L{Kept.release}: there is nothing."""

    def sweep(self) -> None:
        """As L{Kept.sweep}."""
        self._forgetEvents(self._clock(), sum(map(len, self._events.values())))
        self._sweepWindows()

    def rows(self) -> list[Row]:
        """As L{Kept.rows}."""
        return [
            (key[1], key[2], key[3], seconds, window.number, window.octets)
            for (key, seconds), window in self._windows.items()
        ]

    def restore(self, rows: Iterable[Row]) -> None:
        """
        Go on with windows that were kept, as L{Kept.restore}.

        Of two windows of one key the later one counts. Where both are the same
        window, their octets are added up.
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
        """As L{Kept.keys}."""
        yield from self._counts
        yield from (key for each in self._events.values() for key in each)
        yield from (key for key, _ in self._windows)
