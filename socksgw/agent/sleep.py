"""
Whether the machine has slept.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, final

__all__ = ["Sleep"]

#: Seconds of sleep that matter: the two clocks are not read at the same instant.
_LEAST: Final = 2.0


def _gap() -> float:
    """Return how long the machine has slept since its start."""
    awake = time.clock_gettime(time.CLOCK_MONOTONIC)
    return time.clock_gettime(time.CLOCK_BOOTTIME) - awake


@final
class Sleep:
    """
    Notices sleep by two clocks of the kernel.

    One of them stands still meanwhile (clock_gettime(2)).
    """

    def __init__(self, gap: Callable[[], float] = _gap) -> None:
        """
        @param gap: returns how long the machine has slept so far.
        """
        self._gap = gap
        self._before = gap()

    def slept(self) -> float:
        """
        Return for how many seconds it has slept since the last call.

        @return: 0 if it has not.
        """
        gap = self._gap()
        slept, self._before = gap - self._before, gap
        return slept if slept >= _LEAST else 0.0
