"""
What limits count, in one process.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from socksgw.limits.counters import Key, ProcessCounters

DAY = 86400.0


def key(who: str, what: str = "sessions") -> Key:
    return (what, "user", "", who)


A, B, C = map(key, "abc")


class Counted:
    """
    Counters on clocks of the test's own.

    @ivar wall: seconds since the epoch.
    """

    def __init__(self, windows: int = 100) -> None:
        self.clock = Clock()
        self.wall = 1_000 * DAY
        self.counters = ProcessCounters(self.clock.seconds, lambda: self.wall, windows)

    @property
    def keys(self) -> set[Key]:
        return set(self.counters.keys)


def test_allOrNothing() -> None:
    """When one of the keys is full, none is counted."""
    counters = Counted().counters
    assert counters.take([(A, 2), (B, 1)]) is None
    assert counters.take([(A, 2), (B, 1)]) == B
    assert counters.take([(C, 5), (A, 1)]) == A
    assert counters.take([(A, 2)]) is None
    assert counters.take([(A, 2)]) == A
    counters.give([A, B])
    assert counters.take([(A, 2), (B, 1)]) is None


def test_whatWasNeverTakenCannotBeGiven() -> None:
    """A count that would drift is a defect, and shows."""
    counters = Counted().counters
    with pytest.raises(KeyError):
        counters.give([A])


def test_addingKnowsNoLimit() -> None:
    """What lives is counted, also beyond a limit that came later."""
    counters = Counted().counters
    counters.add([A])
    counters.add([A])
    assert counters.take([(A, 2)]) == A
    counters.give([A])
    assert counters.take([(A, 2)]) is None


@given(
    st.lists(st.tuples(st.booleans(), st.sampled_from([A, B, C]), st.integers(0, 3)))
)
def test_nothingIsLeft(steps: list[tuple[bool, Key, int]]) -> None:
    """However keys are taken and given, in the end there are none."""
    counted = Counted()
    taken: list[Key] = []
    for takes, which, most in steps:
        if takes:
            if counted.counters.take([(which, most)]) is None:
                taken.append(which)
            else:
                assert taken.count(which) >= most
        elif taken:
            counted.counters.give([taken.pop(0)])
    assert counted.keys == set(taken)
    counted.counters.give(taken)
    assert counted.keys == set()


@given(st.integers(1, 4), st.lists(st.floats(0, 1.2, allow_nan=False), max_size=40))
def test_eventsInAnyOneSecond(most: int, pauses: list[float]) -> None:
    """
    Never more than N in any one second, wherever it begins; and none is
    refused that this would allow.
    """
    counted = Counted()
    happened: list[float] = []
    for pause in pauses:
        counted.clock.advance(pause)
        now = counted.clock.seconds()
        room = sum(now - at < 1.0 for at in happened) < most
        assert (counted.counters.happen([(A, most)]) is None) is room
        if room:
            happened.append(now)


def test_noEventAtAll() -> None:
    """`new_sessions = 0`."""
    assert Counted().counters.happen([(A, 0)]) == A


def test_eventsAllOrNothing() -> None:
    """When one key is full, nothing has happened."""
    counters = Counted().counters
    assert counters.happen([(A, 1)]) is None
    for _ in range(5):
        assert counters.happen([(B, 1), (A, 1)]) == A
    assert counters.happen([(B, 1)]) is None


def test_anotherNumberOfEvents() -> None:
    """After a reload more, or fewer, may happen; what has happened counts."""
    counters = Counted().counters
    assert counters.happen([(A, 1)]) is None
    for _ in range(2):
        assert counters.happen([(A, 3)]) is None
    assert counters.happen([(A, 3)]) == A
    assert counters.happen([(A, 2)]) == A


def test_eventsAreForgotten() -> None:
    """Once they count no longer."""
    counted = Counted()
    counted.counters.happen([(A, 9)])
    counted.clock.advance(0.6)
    counted.counters.happen([(B, 9)])
    counted.clock.advance(0.6)
    counted.counters.sweep()
    assert counted.keys == {B}
    counted.clock.advance(0.6)
    counted.counters.sweep()
    assert counted.keys == set()


def test_windows() -> None:
    """They begin at their multiples since the epoch, each by itself."""
    counted = Counted()
    counters = counted.counters
    counters.spend(A, DAY, 70)
    counters.spend(A, 3600.0, 7)
    counters.spend(B, DAY, 1)
    assert (counters.spent(A, DAY), counters.spent(A, 3600.0)) == (70, 7)
    counted.wall += 3600
    assert (counters.spent(A, DAY), counters.spent(A, 3600.0)) == (70, 0)
    counted.wall = 1_001 * DAY - 1
    assert counters.spent(A, DAY) == 70
    counted.wall = 1_001 * DAY
    assert counters.spent(A, DAY) == 0
    counters.spend(A, DAY, 5)
    assert counters.spent(A, DAY) == 5


@pytest.mark.parametrize("back", [2, 2 * DAY, 365 * DAY])
def test_aClockThatIsSetBack(back: float) -> None:
    """
    It gives nobody their window again, however far; when it is set right
    again all is as before.
    """
    counted = Counted()
    counters = counted.counters
    counters.spend(A, DAY, 5)
    counted.wall -= back
    assert counters.spent(A, DAY) == 5
    counters.spend(A, DAY, 5)
    counters.sweep()
    assert counters.spent(A, DAY) == 10
    counted.wall += back
    assert counters.spent(A, DAY) == 10
    counted.wall += DAY
    assert counters.spent(A, DAY) == 0


def test_aClockThatStaysSetBack() -> None:
    """What moved before it was set back counts for a window more, not for years."""
    counted = Counted()
    counters = counted.counters
    counters.spend(A, DAY, 5)
    counters.spend(B, DAY, 5)
    counted.wall -= 365 * DAY
    counters.sweep()
    for seconds, left in ((DAY - 1, 5), (2, 0)):
        counted.wall += seconds
        counted.clock.advance(seconds)
        assert counters.spent(A, DAY) == left
    counters.spend(A, DAY, 7)
    counters.sweep()
    assert counted.keys == {A}
    counted.wall += DAY
    assert counters.spent(A, DAY) == 0


def test_eventsOfManySources() -> None:
    """
    Those that are past make room as others come: not only when somebody
    sweeps.
    """
    counted = Counted()
    for number in range(5000):
        assert counted.counters.happen([(key(f"s{number}"), 9)]) is None
        counted.clock.advance(0.01)
    assert len(counted.keys) <= 102


def test_windowsThatAreOverAreForgotten() -> None:
    """By themselves."""
    counted = Counted()
    counted.counters.spend(A, DAY, 5)
    counted.counters.spend(B, 2 * DAY, 5)
    counted.wall += DAY
    counted.counters.sweep()
    assert counted.keys == {B}


def test_tooManyWindows() -> None:
    """
    The table is bounded: what is over goes first, then whoever has spent
    least; nobody gets much back by making many.
    """
    counted = Counted(windows=64)
    counters = counted.counters
    counters.spend(A, 3600.0, 10**9)
    counted.wall += 3600
    counters.spend(B, DAY, 10**9)
    counters.spend(C, DAY, 10**6)
    for number in range(1000):
        counters.spend(key(f"x{number}"), DAY, number % 7)
        assert len(counted.keys) <= 64
    assert counters.spent(B, DAY) == 10**9
    assert counters.spent(C, DAY) == 10**6
    assert A not in counted.keys


def test_windowsAreRestored() -> None:
    """As they were."""
    counted, other = Counted(), Counted()
    octets = key("a", "octets")
    counted.counters.spend(octets, DAY, 5)
    before = counted.counters.changes
    counted.counters.spend(key("b", "octets"), 3600.0, 6)
    assert counted.counters.changes > before
    other.counters.restore(counted.counters.rows())
    assert other.counters.spent(octets, DAY) == 5
    assert other.counters.rows() == counted.counters.rows()


def test_tooManyWindowsAreRestored() -> None:
    """The table is bounded, whatever a file says; who has spent most stays."""
    counted = Counted(windows=64)
    counted.counters.restore(
        ("user", "", f"x{number}", DAY, 1000, number) for number in range(1000)
    )
    assert len(counted.keys) <= 64
    assert counted.counters.spent(key("x999", "octets"), DAY) == 999
