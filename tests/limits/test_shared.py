"""
Counters that processes share: never more than the limit, and never one too few.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from socksgw.limits.board import Board
from socksgw.limits.counters import Key, ProcessCounters, eventOf, secondsOf
from socksgw.limits.shared import SharedCounters

DAY = 86400.0
OCTETS: Key = ("octets", "user", "", "ann")


def key(who: str, what: str = "sessions") -> Key:
    """Return what counts somebody."""
    return (what, "user", "", who)


class Several:
    """A supervisor (0) and workers, in one process; each has the memory as its own."""

    def __init__(self, workers: int) -> None:
        self.now = 1000.0
        self.wall = 20000 * DAY
        self.first = Board.made(workers)
        self.fds = [self.first.fd]
        self.each = [self._counters(self.first, 0)]
        for column in range(1, workers + 1):
            self.fds.append(self.first.another())
            self.each.append(self.anew(column))

    def anew(self, column: int) -> SharedCounters:
        """Return what a worker begins with."""
        return self._counters(Board(self.fds[column], self.first.columns), column)

    def _counters(self, board: Board, column: int) -> SharedCounters:
        return SharedCounters(board, column, lambda: self.now, lambda: self.wall)

    def close(self) -> None:
        """Close the memory."""
        for fd in self.fds:
            os.close(fd)


@pytest.fixture
def several() -> Iterator[Several]:
    """Two workers."""
    found = Several(2)
    yield found
    found.close()


@pytest.mark.parametrize("seed", range(6))
def test_asOneProcess(seed: int) -> None:
    """
    Whatever workers do, in whatever order, and whoever dies: each answer is that of one
    process that counts all; and in the end nothing is counted.
    """
    chance = random.Random(seed)
    several = Several(3)
    one = ProcessCounters(lambda: several.now, lambda: several.wall)
    most = {key("ann"): 1, key("bob"): 2, key("cy"): 7, key("all"): 12}
    held: dict[int, list[list[Key]]] = {1: [], 2: [], 3: []}
    answers: Counter[bool] = Counter()
    for _ in range(3000):
        column = chance.randint(1, 3)
        counters, mine = several.each[column], held[column]
        what = chance.random()
        if what < 0.55:
            keys = [chance.choice([*most][:3]), key("all")]
            wanted = [(each, most[each]) for each in keys]
            full = counters.take(wanted)
            assert full == one.take(wanted)
            answers[full is None] += 1
            if full is None:
                mine.append(keys)
        elif what < 0.6:
            # A reload counts a live session by other limits.
            if mine:
                before = mine.pop()
                keys = [chance.choice([*most])]
                counters.add(keys)
                one.add(keys)
                counters.give(before)
                one.give(before)
                mine.append(keys)
        elif what < 0.995:
            if mine:
                keys = mine.pop(chance.randrange(len(mine)))
                counters.give(keys)
                one.give(keys)
        else:
            for keys in mine:
                one.give(keys)
            mine.clear()
            assert several.each[0].forget(column)
            several.each[column] = several.anew(column)
        for each in most:
            assert several.each[0].counted(each) == one.counted(each)
    assert min(answers.values()) > 100
    for column, sessions in held.items():
        for keys in sessions:
            several.each[column].give(keys)
    assert [several.each[0].counted(each) for each in most] == [0] * 4
    assert not any(any(column) for column in several.first.live)
    several.close()


@pytest.mark.parametrize("seed", range(4))
def test_events(several: Several, seed: int) -> None:
    """In no second are there more than the limit, whoever has them."""
    chance = random.Random(seed)
    had: list[float] = []
    refused = 0
    for _ in range(3000):
        several.now += chance.expovariate(20)
        at = chance.choice(several.each[1:])
        wanted = [(key("ann", "new sessions"), 7), (key(str(at), "new sessions"), 50)]
        if at.happen(wanted) is None:
            had.append(several.now)
            assert len([each for each in had if several.now - each < 1.0]) <= 7
        else:
            refused += 1
            assert len([e for e in had if several.now - e <= 1 + 1 / 16]) >= 7
    assert refused > 500


@pytest.mark.parametrize("seed", range(4))
def test_eventsOfSeveralTimes(several: Several, seed: int) -> None:
    """As often in each time as it says; keys that are reused bring nothing along."""
    chance = random.Random(seed)
    times = {1.0: 4, 10.0: 8, 60.0: 30}
    had: list[float] = []
    refused: set[float] = set()
    for turn in range(3000):
        several.now += chance.expovariate(1)
        at = chance.choice(several.each[1:])
        wanted = [(key("ann", eventOf(each)), most) for each, most in times.items()]
        wanted.append((key(str(turn), eventOf(chance.choice([1.0, 3600.0]))), 1))
        full = at.happen(wanted)
        if full is None:
            had.append(several.now)
            for seconds, most in times.items():
                assert sum(several.now - each < seconds for each in had[-40:]) <= most
        else:
            seconds = secondsOf(full)
            refused.add(seconds)
            late = seconds + seconds / 16
            assert sum(several.now - e <= late for e in had[-40:]) >= times[seconds]
    assert refused >= {10.0, 60.0}


def test_aSlotOfAnotherTime(several: Several, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose events count no longer is that of another key, from the beginning."""
    monkeypatch.setattr(type(several.first.events), "make", lambda *_: 0)
    worker = several.each[1]
    for seconds, most in ((1.0, 3), (60.0, 2), (3600.0, 2), (1.0, 3)):
        wanted = [(key("ann", eventOf(seconds)), most)]
        assert [worker.happen(wanted) is None for _ in range(4)] == [
            n < most for n in range(4)
        ]


@pytest.mark.parametrize("seed", range(4))
def test_octets(several: Several, seed: int) -> None:
    """
    There never move more octets than the quota, whoever moves them and whoever dies;
    in the end each of them has moved, but for what was with the dead.
    """
    chance = random.Random(seed)
    quota, moved, lost = 3_000_000, 0, 0
    for counters in several.each[1:]:
        counters.tell = several.each[0].know
    for turn in range(4000):
        column = chance.randint(1, 2)
        counters = several.each[column]
        wanted = chance.choice([1, 100, 1500, 40_000])
        octets = min(wanted, counters.room(OCTETS, DAY, quota, wanted))
        if octets > 0:
            counters.spend(OCTETS, DAY, octets)
            moved += octets
        assert moved <= quota
        if turn % 50 == 0:
            for each in several.each:
                each.look()
        if turn == 20:
            counted = several.each[0].rows()[0][-1]
            several.each[0].forget(column)
            several.each[column] = several.anew(column)
            several.each[column].tell = several.each[0].know
            lost = counted - moved
    for _ in range(2):
        for each in several.each:
            each.look()
    (row,) = several.each[0].rows()
    assert moved <= row[-1] <= quota
    assert moved >= quota - lost
    assert several.each[1].room(OCTETS, DAY, quota) <= 0
    # Everybody hears that it is used up.
    several.each[2].look()
    assert not several.each[2].look()
    several.wall += DAY
    assert several.each[2].room(OCTETS, DAY, quota, 1500) >= 1500


def test_aUsedUpQuotaIsHeardOf(several: Several) -> None:
    """Whoever has sessions that wait looks again."""
    _, ann, bob = several.each
    assert bob.room(OCTETS, DAY, 100) > 0
    assert not bob.look()
    bob.look()
    assert ann.room(OCTETS, DAY, 100, 100) == 100
    ann.spend(OCTETS, DAY, 100)
    assert ann.room(OCTETS, DAY, 100) == 0
    assert bob.look()
    assert not bob.look()


@pytest.mark.parametrize("quota", [10, 1000, 100_000, 30_000_000])
def test_noOctetIsLeft(several: Several, quota: int) -> None:
    """
    What a worker has in advance comes back when another one needs it, a second later at
    most, and so each octet of a quota moves.
    """
    _, ann, bob = several.each
    taken = bob.room(OCTETS, DAY, quota, 1)
    assert 0 < taken <= quota // 6 + 1
    moved = 0
    while octets := min(5000, ann.room(OCTETS, DAY, quota, 5000)):
        ann.spend(OCTETS, DAY, octets)
        moved += octets
    assert moved == quota - taken
    # It is not over, and nobody hears that it is.
    assert not ann.over(OCTETS, DAY, quota)
    assert not ann.look()
    # Whoever moves some returns the rest at once.
    bob.spend(OCTETS, DAY, 1)
    moved += 1
    assert ann.over(OCTETS, DAY, quota) == (moved == quota)
    while octets := min(5000, ann.room(OCTETS, DAY, quota, 5000)):
        ann.spend(OCTETS, DAY, octets)
        moved += octets
    assert moved == quota
    assert ann.over(OCTETS, DAY, quota)
    assert bob.over(OCTETS, DAY, quota)
    assert bob.look()


def test_whoIsIdleReturnsItsOctets(several: Several) -> None:
    """It does at its next look; whoever died does not, and is not waited for."""
    supervisor, ann, bob = several.each
    quota = 6000
    assert bob.room(OCTETS, DAY, quota) == 1000
    assert ann.room(OCTETS, DAY, quota, quota) == 5000
    ann.spend(OCTETS, DAY, 5000)
    assert ann.room(OCTETS, DAY, quota) == 0
    assert not ann.over(OCTETS, DAY, quota)
    bob.look()
    # Of the last ones nothing is taken in advance but what is about to move.
    assert bob.room(OCTETS, DAY, quota, 10) == 10
    assert ann.room(OCTETS, DAY, quota, quota) == 990
    ann.spend(OCTETS, DAY, 90)
    assert bob.room(OCTETS, DAY, quota, 900) == 900
    assert ann.room(OCTETS, DAY, quota, 10) == 10
    ann.spend(OCTETS, DAY, 10)
    assert not ann.over(OCTETS, DAY, quota)
    assert supervisor.forget(2)
    assert ann.over(OCTETS, DAY, quota)
    # Another number, and the next window, begin as if nothing had been.
    assert ann.room(OCTETS, DAY, 7000, 900) == 900
    several.wall += DAY
    assert not ann.over(OCTETS, DAY, quota)
    assert ann.room(OCTETS, DAY, quota) == 1000


def test_windowsAreKept(several: Several) -> None:
    """What a file has is counted on; a worker's windows are told by name."""
    supervisor, ann, _ = several.each
    number = int(several.wall // DAY)
    supervisor.restore([("user", "", "ann", DAY, number, 70)])
    ann.tell = supervisor.know
    assert ann.room(OCTETS, DAY, 100, 100) == 30
    before = supervisor.changes
    ann.spend(OCTETS, DAY, 20)
    assert supervisor.changes > before
    ann.spend(("octets", "user", "", "bob"), DAY, 5)
    ann.release()
    assert sorted(supervisor.rows()) == [
        ("user", "", "ann", DAY, number, 90),
        ("user", "", "bob", DAY, number, 5),
    ]
    # A clock that is set back gives nothing back; one that was wrong does, in time.
    several.wall -= DAY
    assert ann.room(OCTETS, DAY, 100, 100) == 10
    several.now += DAY
    assert ann.room(OCTETS, DAY, 100, 100) == 100


def test_whoStandsStill(several: Several) -> None:
    """
    While a worker stands still in its turn, the others let nobody in, and forget
    nothing; when it is dead they go on.
    """
    _, ann, bob = several.each
    assert bob.take([(key("ann"), 2)]) is None
    told, tell = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(told)
        board = Board(several.first.another(), several.first.columns)
        board.turn.take()
        os.write(tell, b"x")
        time.sleep(60)
        os._exit(0)
    try:
        os.close(tell)
        assert os.read(told, 1) == b"x"
        assert ann.take([(key("ann"), 2)]) == key("ann")
        assert ann.happen([(key("ann"), 2)]) == key("ann")
        assert ann.room(OCTETS, DAY, 100) == 0
        ann.spend(OCTETS, DAY, 5)
        ann.add([key("ann")])
        assert ann.counted(key("ann")) == 1
        assert not several.each[0].forget(1)
    finally:
        os.close(told)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    ann.look()
    assert ann.counted(key("ann")) == 2
    assert ann.room(OCTETS, DAY, 100, 100) == 95
    assert ann.take([(key("ann"), 2)]) == key("ann")


def test_processes(several: Several) -> None:
    """Processes that count at the same moment count right."""
    pids = []
    rounds = 5000
    for column in (1, 2):
        pid = os.fork()
        if pid:
            pids.append(pid)
            continue
        wrong = 1
        try:
            board = Board(several.first.another(), several.first.columns)
            mine = SharedCounters(board, column, time.monotonic)
            taken = 0
            for _ in range(rounds):
                if mine.take([(key("ann"), 1), (key("all"), 9)]) is None:
                    taken += 1
                    # Nobody else is there, as the limit is 1.
                    assert mine.counted(key("ann")) == 1
                    mine.give([key("ann"), key("all")])
            wrong = 0 if taken else 2
        finally:
            os._exit(wrong)
    for pid in pids:
        assert os.waitpid(pid, 0)[1] == 0
    assert several.each[0].counted(key("ann")) == 0
