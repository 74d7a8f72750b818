"""
By how much the reactor is late.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import final

__all__ = ["Lag"]


@final
class Lag:
    """
    Tell by how much each call comes late that is due at multiples of an interval.

    Such calls skip those that they are too late for (L{twisted.internet.task.LoopingCall}).
    """

    def __init__(self, interval: float, clock: Callable[[], float]) -> None:
        """
        Begin now.

        @param interval: seconds.
        @param clock: monotonic seconds, which tell how many calls were skipped.
        """
        self._interval = interval
        self._clock = clock
        self._last = clock()
        self._late = 0.0

    def of(self, phase: float) -> float:
        """
        Return the seconds by which this call is late.

        @param phase: seconds from the first due moment until now, by the clock that
            the calls go by. That one may jump.
        """
        interval = self._interval
        # A call may come a rounding error early.
        late = max(0.0, (phase + 1e-6) % interval - 1e-6)
        now = self._clock()
        elapsed, self._last = now - self._last, now
        skipped = round((elapsed - late + self._late) / interval) - 1
        self._late = late
        return late + max(0, skipped) * interval
