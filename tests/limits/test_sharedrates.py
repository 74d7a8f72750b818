"""
Rates that processes keep together: never more than one process would move, hardly
less, and the same parts; as a simulation on a clock of the test's own.
"""

from __future__ import annotations

import fcntl
import os
import random
from collections.abc import Iterator

import pytest
from twisted.internet.task import Clock

from socksgw.limits.allowance import TICK, Allowances
from socksgw.limits.board import Board
from socksgw.limits.counters import Key
from socksgw.limits.sharedrates import SharedRates

KEY: Key = ("sent", "user", "", "ann")
MIB = 1 << 20
#: Seconds of a rate that may move beyond it: what is saved up, and is owed.
_BEYOND = 0.2
#: The same of what a worker owed that died.
_LOST = 0.05


class Worker:
    """One process."""

    def __init__(self, board: Board, column: int, clock: Clock) -> None:
        self.board = board
        self.all = Allowances(clock, clock.seconds, SharedRates(board, column).bucket)


class World:
    """
    A supervisor's memory and workers, in one process; each has the memory as its own.

    @ivar moved: octets in all.
    @ivar deaths: how many workers have died.
    """

    def __init__(self, workers: int) -> None:
        self.clock = Clock()
        self.clock.advance(1000)
        self.board = Board.made(workers)
        self.fds = [self.board.fd]
        self.each = [self.worker(column) for column in range(1, workers + 1)]
        self.moved = self.deaths = 0
        self._began = self.clock.seconds()

    def worker(self, column: int) -> Worker:
        """Start one."""
        self.fds.append(self.board.another())
        board = Board(self.fds[-1], self.board.columns)
        return Worker(board, column, self.clock)

    def advance(self, seconds: float, step: float = 0.001) -> None:
        """Let time go by."""
        for _ in range(round(seconds / step)):
            self.clock.advance(step)

    def within(self, rate: float) -> bool:
        """Tell whether no more has moved than a rate allows."""
        gone = self.clock.seconds() - self._began
        return self.moved <= rate * (gone + _BEYOND + self.deaths * _LOST)

    def close(self) -> None:
        """Close the memory."""
        for fd in self.fds:
            os.close(fd)


@pytest.fixture
def world() -> Iterator[World]:
    """Two workers."""
    found = World(2)
    yield found
    found.close()


class Bulk:
    """
    Moves all it can.

    @ivar moved: octets so far.
    """

    def __init__(self, world: World, worker: Worker, rate: int, most: int = 0) -> None:
        """
        @param most: moves no more than so many octets at a time, and asks for more at
            the next look only; 0: as many as it can.
        """
        bucket = worker.all.bucket(KEY, rate)
        allowance = worker.all.allowance([bucket], [])
        assert allowance is not None
        self.allowance = allowance
        self.moved = 0
        self._world = world
        self._most = most
        if not most:
            self.go()

    def go(self) -> None:
        """Move."""
        while room := self.allowance.room(self._most or MIB):
            self.allowance.spend(room)
            self.moved += room
            self._world.moved += room
            if self._most:
                return
        if not self._most:
            self.allowance.wait(self.go)


def near(part: float, moved: float, expected: float) -> bool:
    """Tell whether that much has moved, more or less."""
    return (1 - part) * expected <= moved <= (1 + part) * expected


@pytest.mark.parametrize("sessions", [(1, 0), (1, 1), (1, 4), (8, 8)])
@pytest.mark.parametrize("rate", [1000, 100_000, 1_000_000, 1_000_000_000])
def test_oneRateForAll(world: World, rate: int, sessions: tuple[int, int]) -> None:
    """All have the rate, whichever worker they are at, and each has an equal part."""
    several = [
        Bulk(world, worker, rate)
        for worker, count in zip(world.each, sessions, strict=True)
        for _ in range(count)
    ]
    for _ in range(30):
        world.advance(0.1)
        assert world.within(rate)
    assert near(0.1, world.moved, 3 * rate)
    for each in several:
        assert near(0.2, each.moved, 3 * rate / len(several))


@pytest.mark.parametrize("step", [0.05, 0.3])
def test_alsoWhenTheyAreLate(world: World, step: float) -> None:
    """Busy processes lose nothing of the rate."""
    for worker in (*world.each, *world.each):
        Bulk(world, worker, 10**6)
    world.advance(3, step)
    assert near(0.1, world.moved, 3 * 10**6)


def test_whatOneDoesNotNeed(world: World) -> None:
    """A session that wants a tenth gets that, and one at the other worker the rest."""
    rate = 10**6
    little = Bulk(world, world.each[0], rate, 2000)
    much = Bulk(world, world.each[1], rate)
    for _ in range(150):
        little.go()
        world.advance(TICK)
    assert near(0.02, little.moved, 150 * 2000)
    assert near(0.1, much.moved, 3 * rate - little.moved)
    assert world.within(rate)


def test_whoGoesLeavesTheRestTheirPart(world: World) -> None:
    """At once; and so does a worker that dies, when that is known."""
    rate = 10**6
    first = Bulk(world, world.each[0], rate)
    second = Bulk(world, world.each[1], rate)
    world.advance(1)
    second.allowance.close()
    before = first.moved
    world.advance(1)
    assert near(0.1, first.moved - before, rate)
    third = Bulk(world, world.each[1], rate)
    world.advance(1)
    assert near(0.1, third.moved, rate / 2)
    # It dies: nobody hears of it any more.
    world.each[1].all.stop()
    third.allowance.forget()
    assert world.board.forget(2)
    before = first.moved
    world.advance(1)
    assert near(0.1, first.moved - before, rate)
    assert world.within(rate)


def test_anotherWorkerIsNoWayOut(world: World) -> None:
    """What a session owes that has gone, those who come elsewhere pay."""
    rate = 1000
    for turn in range(300):
        worker = world.each[turn % 2]
        bucket = worker.all.bucket(KEY, rate)
        allowance = worker.all.allowance([bucket], [])
        assert allowance is not None
        room = allowance.room(MIB)
        allowance.spend(room)
        world.moved += room
        allowance.close()
        world.advance(0.001)
    assert world.within(rate)


@pytest.mark.parametrize("seed", range(6))
def test_comingAndGoing(seed: int) -> None:
    """
    Never more than the rate, and never much less while somebody wants it, whoever
    comes and goes, and through deaths.
    """
    chance = random.Random(seed)
    rate = chance.choice([5000, 10**6, 10**8])
    world = World(3)
    live: list[tuple[int, Bulk]] = [(0, Bulk(world, world.each[0], rate))]
    try:
        for _ in range(200):
            what = chance.random()
            index = chance.randrange(3)
            if what < 0.5:
                live.append((index, Bulk(world, world.each[index], rate)))
            elif what < 0.9 and len(live) > 1:
                _, gone = live.pop(chance.randrange(1, len(live)))
                gone.allowance.close()
            elif index:
                world.each[index].all.stop()
                for at, each in live:
                    if at == index:
                        each.allowance.forget()
                live = [each for each in live if each[0] != index]
                assert world.board.forget(index + 1)
                world.deaths += 1
                world.each[index] = world.worker(index + 1)
            world.advance(chance.choice([0.001, 0.02, 0.1]))
            assert world.within(rate)
        seconds = world.clock.seconds() - 1000
        assert world.moved > 0.8 * rate * seconds
    finally:
        world.close()


def test_reloaded(world: World) -> None:
    """Another rate holds from now on, for all."""
    several = [Bulk(world, worker, 10**6) for worker in world.each]
    world.advance(1)
    for worker in world.each:
        worker.all.bucket(KEY, 10**5)
    # What is owed is paid first.
    world.advance(1)
    before = world.moved
    world.advance(1)
    assert near(0.1, world.moved - before, 10**5)
    assert all(each.moved for each in several)


def test_whoStandsStill(world: World) -> None:
    """Nothing moves beyond what is here already, and all goes on afterwards."""
    several = [Bulk(world, worker, 10**5) for worker in world.each]
    world.advance(0.5)
    fcntl.flock(world.board.fd, fcntl.LOCK_EX)
    before = world.moved
    world.advance(0.2, 0.02)
    assert world.moved - before < 10**4
    fcntl.flock(world.board.fd, fcntl.LOCK_UN)
    world.advance(1)
    assert near(0.1, world.moved, 1.7 * 10**5)
    for each in several:
        each.allowance.close()


def test_whatIsNotUsedIsFree(world: World) -> None:
    """A key of which nothing is owed any more has no slot that others need."""
    bulk = Bulk(world, world.each[0], 10**6)
    world.advance(0.1)
    bulk.allowance.close()
    world.advance(1)
    world.each[0].all.sweep()
    assert world.each[0].all.buckets == 0
    board = world.each[1].board
    board.moment = world.clock.seconds()
    names = [slot for slot in range(1 << 16) if board.fulls[slot]]
    assert [board.rates._isFree(slot) for slot in names] == [True]
