"""
Turns by source.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socksgw.system.fairly import FairQueue, Places, TooManyWaiting


def drained(queue: FairQueue[int]) -> list[int]:
    """All items, in the order in which they are served."""
    items = []
    while (found := queue.pop()) is not None:
        items.append(found[1])
    return items


def test_inTurn() -> None:
    """One item of each source, then the next of each."""
    queue: FairQueue[int] = FairQueue()
    for number in range(5):
        queue.push(b"flood", number)
    queue.push(b"honest", 10)
    queue.push(b"other", 20)
    assert queue.of(b"flood") == 5
    assert drained(queue) == [0, 10, 20, 1, 2, 3, 4]
    assert len(queue) == queue.of(b"flood") == 0


def test_whoeverFillsItIsDropped() -> None:
    """The last item of the source that has most goes, not the newcomer's."""
    queue: FairQueue[int] = FairQueue()
    for number in range(3):
        queue.push(b"flood", number)
    queue.push(b"honest", 10)
    assert queue.drop(b"honest") == 2
    queue.push(b"flood", 3)
    assert queue.drop(b"flood") == 3
    # Where all have equally many, it is the newcomer's.
    few: FairQueue[int] = FairQueue()
    few.push(b"one", 1)
    few.push(b"two", 2)
    assert few.drop(b"two") == 2


def test_notReady() -> None:
    """A source that may not have its turn keeps its place."""
    queue: FairQueue[int] = FairQueue()
    queue.push(b"one", 1)
    queue.push(b"two", 2)
    assert queue.pop(lambda source: source != b"one") == (b"two", 2)
    assert queue.pop(lambda source: False) is None
    queue.push(b"three", 3)
    queue.pushBack(b"two", 2)
    assert drained(queue) == [2, 1, 3]


def test_remove() -> None:
    """What waits no longer is no one's turn."""
    queue: FairQueue[int] = FairQueue()
    for number in range(3):
        queue.push(b"one", number)
    queue.remove(b"one", 1)
    assert len(queue) == 2
    assert drained(queue) == [0, 2]


@given(st.lists(st.tuples(st.sampled_from(["push", "pop", "drop"]), st.integers(0, 3))))
def test_length(steps: list[tuple[str, int]]) -> None:
    """The length is that of all sources, and none is empty."""
    queue: FairQueue[int] = FairQueue()
    for what, source in steps:
        if what == "push":
            queue.push(bytes([source]), source)
        elif len(queue):
            if what == "pop":
                assert queue.pop() is not None
            else:
                queue.drop(bytes([source]))
        assert len(queue) == sum(queue.of(bytes([each])) for each in range(4))
        assert all(queue._queues.values())


# Places.


def test_aSourceHasSoManyPlacesAndOthersTheirs() -> None:
    """The rest of its calls wait."""
    begun: list[bytes] = []
    turns = Places(10, 3, 100)
    for source in (b"a", b"a", b"a", b"a", b"a", b"b"):
        turns.enter(source, _taking(begun, source))
    assert begun == [b"a", b"a", b"a", b"b"]
    turns.leave(b"a")
    assert begun == [b"a", b"a", b"a", b"b", b"a"]


def _taking(begun: list[bytes], source: bytes) -> Callable[[], bool]:
    def begin() -> bool:
        begun.append(source)
        return True

    return begin


def test_freePlacesGoToTheSourcesInTurn() -> None:
    """Not to the one with the most calls."""
    begun: list[bytes] = []
    turns = Places(2, 2, 100)
    for source in (b"a", b"a", b"a", b"a", b"a", b"b", b"c", b"b"):
        turns.enter(source, _taking(begun, source))
    assert begun == [b"a", b"a"]
    for source in (b"a", b"a", b"b", b"c", b"a"):
        turns.leave(source)
    assert begun[2:] == [b"a", b"b", b"c", b"a", b"b"]


def test_whoNeedsNoneAnyMoreTakesNone() -> None:
    """The next has the place."""
    begun: list[bytes] = []
    turns = Places(1, 1, 100)
    turns.enter(b"a", _taking(begun, b"a"))
    for _ in range(50):
        turns.enter(b"a", lambda: False)
    turns.enter(b"a", _taking(begun, b"a"))
    turns.leave(b"a")
    assert (begun, turns.taken) == ([b"a", b"a"], 1)
    turns.leave(b"a")
    assert turns.taken == 0


def test_whoLeavesAtOnceIsNotTooDeep() -> None:
    """Thousands of calls that are done when they begin."""
    turns = Places(1, 1, 10_000)
    done: list[int] = []

    def begin() -> bool:
        done.append(1)
        turns.leave(b"a")
        return True

    turns.enter(b"a", lambda: True)
    for _ in range(5000):
        turns.enter(b"a", begin)
    turns.leave(b"a")
    assert (len(done), turns.taken) == (5000, 0)


def test_moreThanMayWaitAreRefused() -> None:
    """Those of that source."""
    turns = Places(1, 1, 2)
    for _ in range(3):
        turns.enter(b"a", lambda: True)
    with pytest.raises(TooManyWaiting):
        turns.enter(b"a", lambda: True)
    turns.enter(b"b", lambda: True)
