"""
Coarse deadlines: never early, at most one tick late.
"""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from zope.interface import provider

from socksgw.system.deadlines import Deadlines

TICK = Deadlines.TICK


class World:
    """Deadlines on a clock, and which were called, when."""

    def __init__(self, start: float = 1000.1) -> None:
        self.clock = Clock()
        self.clock.rightNow = start
        self.deadlines = Deadlines(self.clock.seconds)
        self.called: list[tuple[object, float]] = []

    def set(self, seconds: float, what: object = None) -> object:
        now = self.clock.seconds

        def call() -> None:
            self.called.append((what, now()))

        return self.deadlines.set(seconds, call)

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.deadlines.scan()


@settings(deadline=None)
@given(
    st.floats(0, 1e6),
    st.lists(st.tuples(st.floats(0, 20), st.floats(0, 0.5)), max_size=40),
)
def test_neverEarlyAndAtMostATickLate(
    start: float, steps: list[tuple[float, float]]
) -> None:
    """For any deadlines and any times of the scans."""
    world = World(start)
    due: dict[int, float] = {}
    for number, (seconds, step) in enumerate(steps):
        due[number] = world.clock.seconds() + seconds
        world.set(seconds, number)
        world.advance(step)
        for each, when in due.items():
            called = [at for what, at in world.called if what == each]
            assert len(called) <= 1
            if called:
                assert called[0] >= when - 1e-6
            else:
                assert world.clock.seconds() < when + TICK
    for _ in range(90):
        world.advance(TICK)
    assert sorted(what for what, _ in world.called) == sorted(due)  # type: ignore[type-var]
    assert world.deadlines.pending == 0


def test_aClearedOneDoesNotCome() -> None:
    """Before it was due; and afterwards clearing is no harm."""
    world = World()
    first = world.deadlines.set(1, lambda: world.called.append(("first", 0)))
    second = world.deadlines.set(1, lambda: world.called.append(("second", 0)))
    assert world.deadlines.pending == 2
    first.clear()
    first.clear()
    assert world.deadlines.pending == 1
    world.advance(2)
    assert world.called == [("second", 0)]
    second.clear()


def test_aCallMayClearAnother() -> None:
    """Of the same tick: exactly one of the two comes."""
    world = World()
    pair: list[object] = []

    def call(other: int) -> None:
        world.called.append((other, 0))
        pair[other].clear()  # type: ignore[attr-defined]

    pair += [
        world.deadlines.set(1, lambda: call(1)),
        world.deadlines.set(1, lambda: call(0)),
    ]
    world.advance(2)
    assert len(world.called) == 1


def test_aCallMaySetAnother() -> None:
    """An idle timer sets itself again, and comes once a time."""
    world = World()

    def again() -> None:
        world.called.append((None, world.clock.seconds()))
        world.deadlines.set(1, again)

    world.deadlines.set(1, again)
    for _ in range(40):
        world.advance(TICK)
    assert 7 <= len(world.called) <= 10
    assert world.deadlines.pending == 1


def test_oneThatRaisesDoesNotKeepTheOthers() -> None:
    """It is logged."""
    world = World()
    events: list[LogEvent] = []

    @provider(ILogObserver)
    def observe(event: LogEvent) -> None:
        events.append(event)

    world.deadlines.set(1, lambda: 1 // 0)  # type: ignore[arg-type]
    world.set(1, "other")
    world.set(2, "later")
    globalLogPublisher.addObserver(observe)
    try:
        world.advance(1.5)
    finally:
        globalLogPublisher.removeObserver(observe)
    assert [what for what, _ in world.called] == ["other"]
    assert any("log_failure" in event for event in events)
    world.advance(1)
    assert [what for what, _ in world.called] == ["other", "later"]


@pytest.mark.parametrize("pause", [10, 3600, 86400 * 30])
def test_afterALongPauseEverythingComesOnce(pause: float) -> None:
    """A process that was stopped for a while."""
    world = World()
    for number in range(50):
        world.set(number / 3, number)
    world.advance(pause)
    assert len(world.called) == len({what for what, _ in world.called})
    called = {what for what, _ in world.called}
    assert {n for n in range(50) if n / 3 + TICK <= pause} <= called
    assert called <= {n for n in range(50) if n / 3 <= pause}


@pytest.mark.parametrize("over", ["made", "cleared"])
def test_afterwardsTheCallIsNotKept(over: str) -> None:
    """
    Whoever is called usually keeps the deadline: then nothing of both is left
    for the garbage collector.
    """
    world = World()

    class Session:
        deadline: Any = None

        def expired(self) -> None: ...

    session = Session()
    session.deadline = world.deadlines.set(1, session.expired)
    if over == "made":
        world.advance(2)
    else:
        session.deadline.clear()
    gone = weakref.ref(session)
    gc.disable()
    try:
        del session
        assert gone() is None
    finally:
        gc.enable()


def test_whatACrowdClearedIsNotKeptUntilItIsDue() -> None:
    """
    An emptied set has the room that it ever needed; sets of which something is
    to come stay, and a set that was let go of is made again.
    """
    world = World()
    cleared = [world.deadlines.set(600, lambda: None) for _ in range(1000)]
    room = weakref.ref(cleared[0].due)
    world.set(601, "kept")
    for each in cleared:
        each.clear()
    del each
    cleared.clear()
    world.deadlines.sweep()
    assert room() is None
    world.set(600, "again")
    world.advance(602)
    assert [what for what, _ in world.called] == ["again", "kept"]
