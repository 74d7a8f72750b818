"""
Workers that die in a row.
"""

from __future__ import annotations

from collections import deque
from typing import Final, final

from twisted.logger import Logger

__all__ = ["Storm"]

_log = Logger()

#: As many that die within so many seconds are a storm.
_STORM: Final = 5
_WITHIN: Final = 10.0
#: Seconds of the first and of the longest pause in a storm: what waits at the socket of
#: a dead worker is not to wait for longer than a second.
_PAUSES: Final = (0.25, 0.5)


@final
class Storm:
    """
    Decides when a worker that died is replaced.

    @ivar isNew: whether the last death made a storm.
    """

    def __init__(self) -> None:
        self._died: deque[float] = deque(maxlen=_STORM)
        self._pause = 0.0
        self.isNew = False

    def died(self, now: float) -> float:
        """
        Take note of a death.

        @param now: in monotonic seconds.
        @return: seconds until another one is to start; 0: at once.
        """
        self._died.append(now)
        before = self._pause
        self._pause = 0.0
        if len(self._died) == _STORM and now - self._died[0] < _WITHIN:
            self._pause = min(2 * before, _PAUSES[1]) or _PAUSES[0]
            _log.critical(
                "{count} workers died within {seconds:g} s: the next one starts in "
                "{pause:g} s; the log says why they die",
                count=_STORM,
                seconds=_WITHIN,
                pause=self._pause,
            )
        self.isNew = not before and bool(self._pause)
        return self._pause
