"""
Work that is due at multiples of one short time.
"""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.logger import capturedLogs, eventAsText

from socksgw.system.beat import Beat


def test_everyWorkInItsTime() -> None:
    """Each is done at its beats, in order, and none after the end."""
    clock, done = Clock(), []
    beat = Beat(clock, 0.25, clock.seconds, lambda late: None)
    beat.every(1, "one", lambda: done.append(1))
    beat.every(2, "two", lambda: done.append(2))
    beat.every(3, "three", lambda: done.append(3))
    beat.start()
    assert done == []
    clock.pump([0.25] * 6)
    assert done == [1, 1, 2, 1, 3, 1, 2, 1, 1, 2, 3]
    beat.stop()
    clock.pump([0.25] * 6)
    assert len(done) == 11


def test_aFailureKeepsNothingElseBack() -> None:
    """It is told once, and what fails is tried again."""
    clock, done = Clock(), []

    def fails() -> None:
        done.append("tried")
        raise ValueError("sec" + "ret")

    beat = Beat(clock, 0.25, clock.seconds, lambda late: None)
    beat.every(1, "a bad one", fails)
    beat.every(1, "a good one", lambda: done.append("done"))
    beat.start()
    with capturedLogs() as captured:
        clock.pump([0.25] * 3)
    assert done == ["tried", "done"] * 3
    (text,) = map(eventAsText, captured)
    assert "a bad one failed by a defect: ValueError" in text
    assert "secret" not in text


def test_late() -> None:
    """Each beat tells by how much it comes too late."""
    clock, late = Clock(), []
    beat = Beat(clock, 0.25, clock.seconds, lambda by: late.append(round(by, 2)))
    beat.start()
    clock.advance(0.25)
    clock.advance(0.35)
    assert late == [0, 0.1]
