"""
Turns of processes: one at a time, and nobody waits for ever.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from socksgw.system.turn import Turn


@pytest.fixture
def two() -> Iterator[tuple[Turn, Turn]]:
    """Those of two open files."""
    first = os.memfd_create("turn")
    second = os.open(f"/proc/self/fd/{first}", os.O_RDWR)
    yield Turn(first), Turn(second)
    os.close(second)
    os.close(first)


def test_oneAtATime(two: tuple[Turn, Turn]) -> None:
    """Whoever asks while another one has the turn does not get it."""
    mine, other = two
    assert mine.take()
    assert not other.take()
    mine.give()
    assert other.take()
    assert not mine.take()
    other.give()


def test_aProcessThatEnds(two: tuple[Turn, Turn]) -> None:
    """It loses its turn."""
    mine, _ = two
    pid = os.fork()
    if not pid:
        found = os.open(f"/proc/self/fd/{mine.fd}", os.O_RDWR)
        os._exit(0 if Turn(found).take() else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert mine.take()
    mine.give()
