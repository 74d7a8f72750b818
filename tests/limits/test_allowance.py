"""
What a session may move at the moment: rates and their fair shares, as a
simulation on a clock of the test's own.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.logger import capturedLogs

from socksgw.limits.allowance import TICK, Allowance, Allowances, Bucket, Window
from tests.fakes.quota import Quota

MIB = 1 << 20


class World:
    """
    All buckets of one clock.
    """

    def __init__(self) -> None:
        self.clock = Clock()
        self.all = Allowances(self.clock, self.clock.seconds)

    def allowance(
        self, buckets: Sequence[Bucket], windows: Sequence[Window] = ()
    ) -> Allowance:
        made = self.all.allowance(buckets, windows)
        assert made is not None
        return made

    def advance(self, seconds: float, step: float = 0.001) -> None:
        for _ in range(round(seconds / step)):
            self.clock.advance(step)


class Bulk:
    """
    Moves all it can.

    @ivar moved: octets so far.
    @ivar calls: how often it was woken.
    """

    def __init__(
        self, world: World, buckets: Sequence[Bucket], windows: Sequence[Window] = ()
    ) -> None:
        self.allowance = world.allowance(buckets, windows)
        self.moved = self.calls = 0
        self.go()

    def go(self) -> None:
        self.calls += 1
        while room := self.allowance.room(MIB):
            self.allowance.spend(room)
            self.moved += room
        self.allowance.wait(self.go)


def within(part: float, moved: float, expected: float) -> bool:
    return (1 - part) * expected <= moved <= (1 + part) * expected


RATES = [1000, 100_000, 1_000_000, 1_000_000_000]


@pytest.mark.parametrize("sessions", [1, 8])
@pytest.mark.parametrize("rate", RATES)
def test_theRateIsHeld(rate: int, sessions: int) -> None:
    """Within ±10 % over three seconds, and the sessions have equal parts."""
    world = World()
    bucket = world.all.bucket("somebody", rate)
    several = [Bulk(world, [bucket]) for _ in range(sessions)]
    world.advance(3)
    assert within(0.1, sum(each.moved for each in several), 3 * rate)
    for each in several:
        assert within(0.15, each.moved, 3 * rate / sessions)


@pytest.mark.parametrize("step", [0.05, 0.3])
def test_alsoWhenTheTimerIsLate(step: float) -> None:
    """A busy process loses nothing of the rate, nor of the fairness."""
    world = World()
    bucket = world.all.bucket("somebody", 10**6)
    several = [Bulk(world, [bucket]) for _ in range(4)]
    world.advance(3, step)
    assert within(0.1, sum(each.moved for each in several), 3 * 10**6)
    for each in several:
        assert within(0.2, each.moved, 3 * 10**6 / 4)


def test_eachKeyHasItsOwn() -> None:
    """One user's sessions take nothing of another's."""
    world = World()
    one, other = (world.all.bucket(who, 10**6) for who in ("one", "other"))
    several = [Bulk(world, [one]) for _ in range(5)]
    alone = Bulk(world, [other])
    world.advance(2)
    assert within(0.1, alone.moved, 2 * 10**6)
    assert within(0.1, sum(each.moved for each in several), 2 * 10**6)


def test_severalRatesTogether() -> None:
    """
    A user's rate below everybody's: who has less than an equal part leaves
    the rest to the others.
    """
    world = World()
    everybody = world.all.bucket("all", 10**7)
    user = world.all.bucket("user", 10**6)
    bound = [Bulk(world, [everybody, user]) for _ in range(2)]
    free = [Bulk(world, [everybody]) for _ in range(3)]
    world.advance(3)
    for each in bound:
        assert within(0.1, each.moved, 1.5 * 10**6)
    for each in free:
        assert within(0.1, each.moved, 9 * 10**6)


def test_whoComesLaterGetsAnEqualPart() -> None:
    """And whoever goes leaves theirs to the rest, at once."""
    world = World()
    bucket = world.all.bucket("somebody", 10**6)
    first = Bulk(world, [bucket])
    world.advance(1)
    second = Bulk(world, [bucket])
    before = first.moved
    world.advance(1)
    assert within(0.1, first.moved - before, 500_000)
    assert within(0.1, second.moved, 500_000)
    second.allowance.close()
    before = first.moved
    world.advance(1)
    assert within(0.1, first.moved - before, 10**6)


def test_shortMessagesDoNotWait() -> None:
    """
    Beside somebody who takes all there is, a short message goes at once; both
    together stay within the rate.
    """
    world = World()
    bucket = world.all.bucket("somebody", 10**6)
    bulk = Bulk(world, [bucket])
    quiet = world.allowance([bucket])
    for _ in range(50):
        world.advance(0.06)
        assert quiet.room(500) == 500
        quiet.spend(500)
    assert within(0.1, bulk.moved + 50 * 500, 3 * 10**6)


def test_manyShortMessagesStarveNobody() -> None:
    """Whoever asks for more than an equal part waits, also in small pieces."""
    world = World()
    bucket = world.all.bucket("somebody", 10**6)
    bulk = Bulk(world, [bucket])
    many = [world.allowance([bucket]) for _ in range(9)]
    moved = [0] * 9
    for _ in range(3000):
        for number, each in enumerate(many):
            room = each.room(300)
            each.spend(room)
            moved[number] += room
        world.advance(0.001)
    assert within(0.1, bulk.moved + sum(moved), 3 * 10**6)
    assert within(0.15, bulk.moved, 300_000)
    for octets in moved:
        assert within(0.15, octets, 300_000)


@pytest.mark.parametrize("rate", [10**6, 10**7])
def test_aCrowdIsNotWokenForNothing(rate: int) -> None:
    """
    Where many share a rate each has its turn a few times a second, with
    something to move in it; the rate, and their equal parts, are held.
    """
    world = World()
    bucket = world.all.bucket("everybody", rate)
    several = [Bulk(world, [bucket]) for _ in range(500)]
    world.advance(1, TICK)
    before = [each.moved for each in several]
    for each in several:
        each.calls = 0
    world.advance(3, TICK)
    moved = [each.moved - was for each, was in zip(several, before, strict=True)]
    assert within(0.1, sum(moved), 3 * rate)
    # Who began before there was a crowd owes for that.
    assert within(0.1, min(moved[20:]), 3 * rate / 500)
    assert within(0.1, max(moved), 3 * rate / 500)
    assert max(each.calls for each in several) <= 3 * 6


def test_waitingElsewhereSavesNothingUp() -> None:
    """
    Whoever waits for one rate leaves another as it is: nothing gathers there.
    """
    world = World()
    everybody = world.all.bucket("everybody", 10**6)
    Bulk(world, [everybody, world.all.bucket("slow", 100)])
    world.advance(10, TICK)
    other = world.allowance([everybody])
    moved = 0
    while room := other.room(MIB):
        other.spend(room)
        moved += room
    assert moved <= 4 * TICK * 10**6


def test_theTimerRunsOnlyWhileSomebodyOwes() -> None:
    """Whoever stays below the rate costs no timer."""
    world = World()
    bucket = world.all.bucket("somebody", 10**6)
    allowance = world.allowance([bucket])
    for _ in range(10):
        allowance.spend(allowance.room(1000))
        assert not world.clock.getDelayedCalls()
        world.advance(0.01)
    allowance.spend(allowance.room(MIB))
    assert len(world.clock.getDelayedCalls()) == 1
    world.advance(1)
    assert not world.clock.getDelayedCalls()


def test_comingAgainIsNoWayOut() -> None:
    """One session after the other has no more than one that stays."""
    world = World()
    moved = 0
    for _ in range(300):
        allowance = world.allowance([world.all.bucket("somebody", 10**6)])
        while room := allowance.room(MIB):
            allowance.spend(room)
            moved += room
        allowance.close()
        world.all.sweep()
        world.advance(0.01)
    assert within(0.1, moved, 3 * 10**6)


def test_whatIsOwedIsPaidBeforeTheNext() -> None:
    """Octets that had come already count, and whoever comes next waits."""
    world = World()
    allowance = world.allowance([world.all.bucket("somebody", 10_000)])
    assert allowance.charge(bytes(20_000)) == bytes(20_000)
    allowance.close()
    woken: list[float] = []
    other = world.allowance([world.all.bucket("somebody", 10_000)])
    assert other.room(1) == 0
    other.wait(lambda: woken.append(world.clock.seconds()))
    world.advance(3)
    assert len(woken) == 1
    assert within(0.1, woken[0], 2)


def test_bucketsVanish() -> None:
    """When nobody uses them, and they are as they were."""
    world = World()
    allowance = world.allowance([world.all.bucket("somebody", 10**6)])
    allowance.spend(allowance.room(MIB))
    world.all.sweep()
    assert world.all.buckets == 1
    allowance.close()
    world.all.sweep()
    assert world.all.buckets == 1
    world.advance(0.1)
    world.all.sweep()
    assert world.all.buckets == 0


def test_anotherRate() -> None:
    """It counts from now on, for who lives as for who comes."""
    world = World()
    bucket = world.all.bucket("somebody", 10**6)
    bulk = Bulk(world, [bucket])
    world.advance(1)
    assert world.all.bucket("somebody", 3 * 10**6) is bucket
    before = bulk.moved
    world.advance(1)
    assert within(0.1, bulk.moved - before, 3 * 10**6)


@pytest.mark.parametrize("rate", [None, 10**6])
def test_aWindowIsExact(rate: int | None) -> None:
    """Not an octet more, of any number of sessions together."""
    world = World()
    buckets = [] if rate is None else [world.all.bucket("somebody", rate)]
    quota = Quota(1_234_567)
    several = [Bulk(world, buckets, [quota]) for _ in range(3)]
    world.advance(3)
    assert sum(each.moved for each in several) == 1_234_567
    assert quota.left() == 0
    assert several[0].allowance.charge(b"more") == b""


def test_whatHasComeIsCutAtTheWindowsEnd() -> None:
    """As much as is left; all windows count."""
    world = World()
    few, many = Quota(3), Quota(10)
    allowance = world.allowance([], [many, few])
    assert allowance.charge(b"hello") == b"hel"
    assert (few.left(), many.left()) == (0, 7)
    # Who has lost octets does not go on, whatever comes back.
    assert (few.ended, many.ended) == (True, False)


def test_datagrams() -> None:
    """
    Whole or not at all, and at the rate; one that a window is too short for
    uses it up.
    """
    world = World()
    allowance = world.allowance([world.all.bucket("somebody", 100_000)])
    passed = 0
    for _ in range(3000):
        passed += allowance.passes(1000)
        world.advance(0.001)
    assert within(0.1, passed * 1000, 300_000)
    quota = Quota(2500)
    allowance = world.allowance([], [quota])
    assert [allowance.passes(1000) for _ in range(3)] == [True, True, False]
    assert quota.left() == 0


def test_datagramsBesideABulkTransfer() -> None:
    """A call's datagrams have their part, and none of them is lost."""
    world = World()
    bucket = world.all.bucket("somebody", 10**6)
    bulk = Bulk(world, [bucket])
    call = world.allowance([bucket])
    for _ in range(150):
        world.advance(0.02)
        assert call.passes(200)
    assert within(0.1, bulk.moved + 150 * 200, 3 * 10**6)


def test_whoWaitsIsCalledOnce() -> None:
    """And not at all once it is forgotten, or closed."""
    world = World()
    bucket = world.all.bucket("somebody", 10**6)
    calls: list[str] = []

    def waiting(name: str) -> Allowance:
        allowance = world.allowance([bucket])
        while room := allowance.room(MIB):
            allowance.spend(room)
        allowance.wait(lambda: calls.append(name))
        return allowance

    waiting("called")
    forgotten, closed = waiting("forgotten"), waiting("closed")
    assert forgotten.forget() is not None
    assert forgotten.forget() is None
    closed.close()
    woken = waiting("woken")
    woken.wake()
    assert calls == ["woken"]
    world.advance(1)
    assert calls == ["woken", "called"]
    assert not world.all.waiting


def test_aFailingCallKeepsNobodyFromTheirs() -> None:
    """It is logged."""
    world = World()
    bucket = world.all.bucket("somebody", 10**6)
    fails, lives = (world.allowance([bucket]) for _ in range(2))
    called: list[bool] = []

    def failing() -> None:
        raise ZeroDivisionError

    fails.spend(10**5)
    fails.wait(failing)
    lives.wait(lambda: called.append(True))
    with capturedLogs() as logged:
        world.advance(1)
    assert called == [True]
    assert [event["log_failure"].type for event in logged] == [ZeroDivisionError]


def test_atTheEndNobodyIsCalled() -> None:
    """The timer is gone."""
    world = World()
    Bulk(world, [world.all.bucket("somebody", 10**6)])
    world.all.stop()
    assert not world.clock.getDelayedCalls()


Step = tuple[str, int, int]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["move", "burst", "close", "pass", "wait"]),
        st.integers(0, 5),
        st.integers(1, 40),
    ),
    max_size=60,
)


@settings(max_examples=60)
@given(STEPS, st.sampled_from([5_000, 10**6]))
def test_neverMoreThanFlowedIn(steps: list[Step], rate: int) -> None:
    """
    However sessions come, move, owe and go: what moved for want of nothing is
    no more than the rate, and what a bucket holds.
    """
    world = World()
    bucket = world.all.bucket("somebody", rate)
    several: dict[int, Allowance] = {}
    moved = extra = 0
    for what, who, amount in steps:
        allowance = several.get(who) or world.allowance([bucket])
        several[who] = allowance
        if what == "close":
            several.pop(who).close()
        elif what == "burst":
            extra += len(allowance.charge(bytes(amount * 100)))
        elif what == "wait":
            allowance.wait(lambda: None)
        elif what == "pass":
            moved += amount * 100 * allowance.passes(amount * 100)
            extra += amount * 100
        else:
            room = allowance.room(MIB)
            allowance.spend(room)
            moved += room
        world.clock.advance(amount / 1000)
    flowed = rate * world.clock.seconds()
    # Each may owe its part, and there are six.
    assert moved - extra <= flowed + rate * TICK * (2 + 2 * 2.45) + 6
    assert all(share.debt > 0 for share in bucket.turn)
    for allowance in several.values():
        allowance.close()
    world.advance(MIB / rate + 1, 0.05)
    world.all.sweep()
    assert world.all.buckets == 0
    assert not world.clock.getDelayedCalls()
