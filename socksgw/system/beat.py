"""
Work that is due at multiples of one short time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

from twisted.internet.task import LoopingCall

from socksgw.system.lag import Lag
from socksgw.system.upkeep import Upkeep

__all__ = ["Beat"]


@final
class Beat:
    """
    Do each work at every so many beats, in the order in which it was added.

    A work that fails keeps no other one from being done, now or next time.
    """

    def __init__(
        self,
        reactor: Any,
        interval: float,
        clock: Callable[[], float],
        late: Callable[[float], object],
    ) -> None:
        """
        Do nothing yet.

        @param interval: seconds between two beats.
        @param clock: returns monotonic seconds.
        @param late: called at each beat with the seconds by which it comes too late.
        """
        self._reactor = reactor
        self._interval = interval
        self._lag = Lag(interval, clock)
        self._late = late
        self._upkeep = Upkeep()
        self._works: list[tuple[int, str, Callable[[], object]]] = []
        self._beats = 0
        self._calling = LoopingCall(self.tick)
        self._calling.clock = reactor

    def every(self, beats: int, what: str, work: Callable[[], object]) -> None:
        """
        Have work done from now on.

        @param beats: at every so many of them.
        @param what: what it is called in the log.
        """
        self._works.append((beats, what, work))

    def start(self) -> None:
        """Begin; the first beat is an interval from now."""
        self._calling.start(self._interval, now=False)

    def stop(self) -> None:
        """End, after L{start}."""
        self._calling.stop()

    def tick(self) -> None:
        """Do what is due at this beat."""
        self._upkeep.do("the lag of the reactor", self._measure)
        self._beats += 1
        for beats, what, work in self._works:
            if self._beats % beats == 0:
                self._upkeep.do(what, work)

    def _measure(self) -> None:
        begun = self._calling.starttime or 0.0
        self._late(self._lag.of(self._reactor.seconds() - begun))
