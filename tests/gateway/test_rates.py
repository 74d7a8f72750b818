"""
Rates of what happens, over spans of time.
"""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

from twisted.internet.task import Clock

from socksgw.gateway.rates import Rates


def test_perSecond() -> None:
    """A span is as long as there is something to look back at."""
    clock = Clock()
    sessions: Any = SimpleNamespace(begun=0)
    counted: Counter[str] = Counter()
    meters: Any = SimpleNamespace(verdicts=lambda: counted.copy())
    rates = Rates(sessions, meters, clock.seconds)
    assert rates.perSecond()["10s"] == {"begun": 0, "denied": 0, "refused": 0}
    for second in range(1, 121):
        clock.advance(1)
        sessions.begun += 10 if second > 110 else 1
        counted["deny"] += 2
        rates.look()
        if second == 5:
            assert rates.perSecond()["60s"]["begun"] == 1
    found = rates.perSecond()
    assert found["10s"] == {"begun": 10, "denied": 2, "refused": 0}
    assert found["60s"] == {"begun": 2.5, "denied": 2, "refused": 0}
    # Also where nothing has been counted for long, as in a process that was stopped.
    clock.advance(1000)
    assert rates.perSecond()["10s"]["begun"] == 0


def test_moved() -> None:
    """Octets a second since they were asked for before."""
    clock = Clock()
    sessions: Any = SimpleNamespace(begun=0)
    counted: Counter[str] = Counter()
    meters: Any = SimpleNamespace(verdicts=lambda: counted.copy())
    rates = Rates(sessions, meters, clock.seconds)
    assert rates.moved(1000, 0) is None
    clock.advance(2)
    assert rates.moved(3000, 500) == (1000, 250)
    # Others ask at the same time.
    clock.advance(0.1)
    assert rates.moved(3000, 500) is None
    clock.advance(0.9)
    assert rates.moved(4000, 500) == (1000, 0)
    clock.advance(61)
    assert rates.moved(4000, 500) is None
