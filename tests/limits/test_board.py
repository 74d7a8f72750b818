"""
Memory that processes share: slots by hash, found again, and free when unused.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from socksgw.limits.board import Board, Slots, nameOf


@pytest.fixture
def board() -> Iterator[Board]:
    """One for two workers."""
    found = Board.made(2)
    yield found
    os.close(found.fd)


def test_namesDiffer() -> None:
    """No two keys have one hash, also where their texts have the same letters."""
    names = {
        nameOf(("sessions", "user", "", "a")),
        nameOf(("sessions", "user", "a", "")),
        nameOf(("sessions", "usera", "", "")),
        nameOf(("octets", "user", "", "a")),
        nameOf(("octets", "user", "", "a"), 60.0),
        nameOf(("octets", "user", "", "a"), 3600.0),
        nameOf(("octets", "user", "", "\ud800")),
    }
    assert len(names) == 7


def test_slots() -> None:
    """A set is full with sixteen that are used; one that is free goes to another."""
    used: set[int] = set()
    slots = Slots(memoryview(bytearray(16 * 16 * 2)), lambda slot: slot not in used)
    wanted = [name for i in range(200) if (name := bytes([2 * (i % 100), i] * 8))[0]]
    same = list(dict.fromkeys(n for n in wanted if slots.ways(n).start == 0))[:18]
    assert len(same) == 18
    for name in same[:16]:
        assert slots.find(name) == -1
        used.add(slots.make(name))
        assert slots.make(name) == slots.find(name) in used
    assert len(used) == 16
    assert slots.make(same[16]) == -1
    free = slots.find(same[3])
    used.discard(free)
    assert slots.make(same[17]) == free
    assert slots.find(same[3]) == -1


def test_whatADeadOneLeaves(board: Board) -> None:
    """What lived is gone; what has moved stays."""
    other = Board(board.another(), board.columns)
    slot = other.lives.make(nameOf(("sessions", "user", "", "a")))
    other.live[1][slot], other.live[2][slot] = 3, 4
    window = other.windows.make(nameOf(("octets", "user", "", "a"), 60.0))
    other.octets[1][window], other.octets[2][window] = 30, 40
    assert (board.counted(slot), board.moved(window)) == (7, 70)
    assert board.forget(1)
    assert (board.counted(slot), board.moved(window)) == (4, 70)
    assert other.octets[1][window] == 0
    os.close(other.fd)
