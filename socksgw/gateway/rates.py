"""
How much happens at a time: sessions that begin, and what becomes of them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple, final

from socksgw.gateway.parts import Part
from socksgw.gateway.sessions import Sessions
from socksgw.metrics.meters import Meters

__all__ = ["Rates"]

#: Seconds that are looked back at.
SPANS: Final = (10, 60)
#: Seconds between two samples: each adds up what sessions have left behind.
_EVERY: Final = 5


class _Sample(NamedTuple):
    """The counters at a moment."""

    at: float
    begun: int
    denied: int
    refused: int


@final
class Rates(Part):
    """
    Counts by the second, of the last minute.

    What octets move is asked of all live sessions, and so only when somebody wants to
    know (L{moved}).
    """

    named = "the rates"

    def __init__(
        self, sessions: Sessions, meters: Meters, clock: Callable[[], float]
    ) -> None:
        """
        Begin to count.

        @param meters: what sessions that are over have counted.
        @param clock: monotonic seconds.
        """
        self._sessions = sessions
        self._meters = meters
        self._clock = clock
        self._samples: deque[_Sample] = deque(maxlen=SPANS[-1] // _EVERY + 1)
        self._moved: tuple[float, int, int] | None = None
        self.look()

    def look(self) -> None:
        """As L{Part.look}."""
        if not self._samples or self._clock() - self._samples[-1].at >= _EVERY - 0.5:
            self._samples.append(self._now())

    def _now(self) -> _Sample:
        counted = self._meters.verdicts()
        denied, refused = counted["deny"], counted["refuse"]
        return _Sample(self._clock(), self._sessions.begun, denied, refused)

    def perSecond(self) -> Mapping[str, Mapping[str, float]]:
        """
        Return sessions a second, by what became of them and by the span of time.

        A span is as long as there is something to look back at, at most.
        """
        now = self._now()
        found: dict[str, dict[str, float]] = {}
        for span in SPANS:
            first = next(
                (each for each in self._samples if each.at >= now.at - span - 0.5), now
            )
            seconds = max(now.at - first.at, 1.0)
            found[f"{span}s"] = {
                "begun": round((now.begun - first.begun) / seconds, 3),
                "denied": round((now.denied - first.denied) / seconds, 3),
                "refused": round((now.refused - first.refused) / seconds, 3),
            }
        return found

    def moved(self, sent: int, received: int) -> tuple[float, float] | None:
        """
        Return the octets a second in each direction, since this was called before.

        @param sent: all octets so far, of sessions that are over and that are not.
        @return: L{None} where it was not called in the last minute.
        """
        now = self._clock()
        before, self._moved = self._moved, (now, sent, received)
        if before is None or not 0.5 <= now - before[0] <= SPANS[-1]:
            if before is not None and now - before[0] < 0.5:
                # Several ask: each is told of a time that tells something.
                self._moved = before
            return None
        seconds = now - before[0]
        # A session may have ended between, and been counted in neither.
        return (
            max(0.0, round((sent - before[1]) / seconds, 1)),
            max(0.0, round((received - before[2]) / seconds, 1)),
        )
