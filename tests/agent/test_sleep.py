"""
Sleep of the machine, noticed by its clocks.
"""

from __future__ import annotations

from socksgw.agent.sleep import Sleep


def test_slept() -> None:
    """Each sleep once; what is only a difference in reading is none."""
    gap = 100.0
    sleep = Sleep(lambda: gap)
    assert sleep.slept() == 0
    gap += 0.01
    assert sleep.slept() == 0
    gap += 3600
    assert sleep.slept() == 3600
    assert sleep.slept() == 0


def test_theKernelsClocks() -> None:
    """A machine that runs a test does not sleep between two lines of it."""
    assert Sleep().slept() == 0
