"""
What stalled readers may hold, and the pipes they hold it in.
"""

from __future__ import annotations

import errno
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socksgw.relay.memory import Memory, Pipes
from tests.tools.sockets import descriptors

MIB = 1 << 20


def test_aDirectionTakesAtMostOneMiB() -> None:
    """Whatever the budget, a stalled reader holds at most 1 MiB a direction."""
    assert Memory(256_000_000).room() == MIB
    assert Memory(1 << 40).room() == MIB


def test_asTheBudgetFillsTheShareShrinks() -> None:
    """From 1 MiB to 64 KiB, and in the last quarter to 4 KiB, to nothing."""
    memory = Memory(256_000_000)
    rooms = []
    while room := memory.room():
        memory.take(room)
        rooms.append(room)
    assert rooms == sorted(rooms, reverse=True)
    assert {MIB, 1 << 16, 1 << 12} <= set(rooms)
    assert 256_000_000 - 4096 < memory.held <= 256_000_000


@pytest.mark.parametrize("limit", [MIB, 2 * MIB, 4 * MIB, 256_000_000])
def test_oneStalledDirectionLeavesRoomForOthers(limit: int) -> None:
    """Neighbours do not notice, with the smallest budget too."""
    memory = Memory(limit)
    memory.take(memory.room())
    assert memory.room() >= 1 << 16


@given(
    st.integers(MIB, 1 << 30),
    st.lists(st.integers(0, 2 * MIB), max_size=200),
)
def test_theBudgetIsNeverExceeded(limit: int, wanted: list[int]) -> None:
    """Whoever takes what there is room for, and gives it back."""
    memory = Memory(limit)
    taken: list[int] = []
    for number, octets in enumerate(wanted):
        room = memory.room()
        assert 0 <= room <= MIB
        if not memory.scarce:
            # A short message is taken in without asking.
            assert limit - memory.held >= 1 << 16
        share = min(octets, room)
        memory.take(share)
        taken.append(share)
        assert memory.held == sum(taken) <= limit
        if number % 3 == 2:
            memory.give(taken.pop(0))
    for share in taken:
        memory.give(share)
    assert memory.held == 0


def test_whoWaitsIsCalledOnceWhenThereIsRoom() -> None:
    """And who has gone is not."""
    memory = Memory(MIB)
    calls: list[str] = []
    first, second = (lambda: calls.append("first")), (lambda: calls.append("second"))
    while room := memory.room():
        memory.take(room)
    memory.wait(first)
    memory.wait(first)
    memory.wait(second)
    memory.forget(second)
    memory.forget(second)
    assert calls == []
    memory.give(1 << 19)
    assert calls == ["first"]
    memory.give(1 << 12)
    assert calls == ["first"]


def test_pipesAreReusedWhenEmptyAndClosedWhenNot() -> None:
    """No descriptor is left, and nobody's octets go to another."""
    before = descriptors()
    pipes = Pipes(kept=2)
    one = pipes.take()
    assert one is not None
    pipes.give(one, True)
    assert pipes.take() == one
    os.write(one[1], b"left over")
    pipes.give(one, False)
    assert descriptors() <= before
    many = [pipes.take() for _ in range(5)]
    assert len(descriptors() - before) == 10
    for each in many:
        assert each is not None
        with pytest.raises(BlockingIOError):
            os.read(each[0], 1)
        pipes.give(each, True)
    assert len(descriptors() - before) == 4
    pipes.close()
    assert descriptors() <= before


def test_withoutADescriptorThereIsNoPipe(monkeypatch: pytest.MonkeyPatch) -> None:
    """L{None}, and no exception."""

    def full(flags: int) -> tuple[int, int]:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(os, "pipe2", full)
    assert Pipes().take() is None
