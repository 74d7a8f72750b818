"""
How many may be in.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from socksgw.accept.admission import Admission, Census
from socksgw.wire.address import Address

A, B, C = (Address.parse(f"192.0.2.{number}") for number in (1, 2, 3))


def counted(descriptors: int) -> tuple[Census, list[str]]:
    census = Census(descriptors)
    said: list[str] = []
    census.pause = lambda: said.append("pause")
    census.resume = lambda: said.append("resume")
    return census, said


def test_eachClientHasRoomForTwoConnections() -> None:
    """And descriptors are kept for the journal, look-ups and the reactor."""
    for descriptors in (8, 64, 256, 1024, 20_000, 1 << 30):
        census = Census(descriptors)
        assert census.most >= 1
        assert 2 * census.most < descriptors
    assert 2 * Census(1024).most >= 900


def test_atTheMarkItPausesAndAfterwardsGoesOn() -> None:
    """Each once, however many come and go around the mark."""
    census, said = counted(1024)
    while census.entered():
        pass
    assert said == ["pause"]
    assert (census.clients, census.refused, census.pauses) == (census.most, 1, 1)
    while census.clients:
        census.left()
    assert said == ["pause", "resume"]
    assert not census.paused


def test_itPausesBeforeTheLastPlaceIsTaken() -> None:
    """What waits then stays in the kernel's backlog, unharmed."""
    census, said = counted(1024)
    while not said:
        assert census.entered()
    assert census.clients < census.most
    assert census.refused == 0


def test_exhaustionOfTheSystemPausesToo() -> None:
    """Told twice, it pauses once."""
    census, said = counted(1024)
    census.exhausted()
    census.exhausted()
    assert (said, census.pauses) == (["pause"], 1)
    census.recovered()
    census.recovered()
    assert said == ["pause", "resume"]


def test_halfOpenClientsInAllAndPerSource() -> None:
    """At N they come in, at N+1 they do not; refusals are counted."""
    census = Census(1024)
    admission = Admission(census, 3, 2)
    assert admission.admit(A)
    assert admission.admit(A)
    assert not admission.admit(A)
    assert admission.admit(B)
    assert not admission.admit(C)
    assert (admission.halfOpen, census.refused, census.clients) == (3, 2, 3)
    admission.requested(A)
    assert admission.admit(C)
    assert not admission.admit(A)


def test_withoutADescriptorNothingIsCounted() -> None:
    """A client that is refused leaves no trace in the counters."""
    census = Census(8)
    admission = Admission(census, 100, 100)
    while admission.admit(A):
        pass
    assert admission.halfOpen == census.clients == census.most


@given(st.lists(st.tuples(st.sampled_from([A, B, C]), st.booleans()), max_size=60))
def test_countersReturnToNothing(steps: list[tuple[Address, bool]]) -> None:
    """However clients come, make their requests and go."""
    census = Census(40)
    admission = Admission(census, 5, 3)
    halfOpen: list[Address] = []
    served = 0
    for source, comes in steps:
        if comes:
            expected = (
                len(halfOpen) < 5
                and halfOpen.count(source) < 3
                and len(halfOpen) + served < census.most
            )
            assert admission.admit(source) is expected
            if expected:
                halfOpen.append(source)
        elif halfOpen:
            admission.requested(halfOpen.pop(0))
            served += 1
        assert admission.halfOpen == len(halfOpen)
        assert census.clients == len(halfOpen) + served
    for source in halfOpen:
        admission.requested(source)
    for _ in range(census.clients):
        census.left()
    assert (admission.halfOpen, admission._bySource, census.clients) == (0, {}, 0)
