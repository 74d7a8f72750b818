"""
Idle time, counted in parts.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from socksgw.interfaces import Timer
from socksgw.relay.idle import IdleTime, IdleWatch


class Deadlines:
    """
    The one deadline that is set.

    @ivar seconds: after how long each was due.
    """

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.call: Callable[[], None] | None = None

    def set(self, seconds: float, call: Callable[[], None]) -> Timer:
        assert self.call is None
        self.seconds.append(seconds)
        self.call = call
        return self

    def clear(self) -> None:
        self.call = None

    def pass_(self) -> None:
        call, self.call = self.call, None
        assert call is not None
        call()


class Watched(IdleWatch):
    """What is idle after 100 seconds."""

    def __init__(self, deadlines: Deadlines) -> None:
        super().__init__()
        self.settings: Any = SimpleNamespace(idle=100.0, setDeadline=deadlines.set)
        self.moved = 0
        self.ends = 0

    def isIdle(self) -> bool:
        return self.idles(self.moved)

    def idled(self) -> None:
        self.ends += 1


@pytest.mark.parametrize(
    ("first", "moves", "parts"),
    [
        # Something began in the first part: that one does not count.
        (IdleTime.BEFORE, [0] * 9, 5),
        (0, [0] * 9, 4),
        (IdleTime.BEFORE, [0, 0, 0, 0, 7, 7, 7, 7, 7], 9),
        # Also where less has moved than before: counts of flows that ended.
        (0, [5, 5, 5, 4, 4, 4, 4, 4], 8),
    ],
)
def test_idleTime(first: int, moves: list[int], parts: int) -> None:
    """Four parts in a row without a move, and never fewer."""
    time = IdleTime(first)
    found = [time.idles(moved) for moved in moves[:parts]]
    assert found == [False] * (parts - 1) + [True]


def test_whatIsKeptBackIsNotIdle() -> None:
    """A direction that waits for its rate counts as one that moves."""
    time = IdleTime(0)
    assert not any(time.idles(0, busy=number == 2) for number in range(6))
    assert time.idles(0)


def test_watching() -> None:
    """A deadline for each part; after the end none."""
    deadlines = Deadlines()
    watched = Watched(deadlines)
    watched.ignoreIdle()
    watched.watchIdle()
    for moved in (1, 2, 2, 2, 2):
        watched.moved = moved
        deadlines.pass_()
    assert not watched.ends
    deadlines.pass_()
    assert watched.ends == 1
    assert deadlines.seconds == [25.0] * 6
    assert deadlines.call is None
    watched.watchIdle()
    watched.ignoreIdle()
    assert deadlines.call is None
