"""
How many may be in.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socksgw.accept.admission import Admission, Census
from socksgw.limits.board import Board
from socksgw.limits.shared import SharedCounters
from socksgw.wire.address import Address

A, B, C = (Address.parse(f"192.0.2.{number}") for number in (1, 2, 3))


class Client:
    """
    One that has not made its request.

    @ivar displaced: called when another takes its place.
    """

    def __init__(self, source: Address, admission: Admission | None = None) -> None:
        self.source = source
        self._admission = admission
        self.gone = False

    def displaced(self) -> None:
        assert not self.gone
        self.gone = True
        assert self._admission is not None
        self._admission.requested(self)
        self._admission.census.left(self.source)


def numbered(count: int, prefix: str = "10.0.0.0") -> list[Address]:
    """So many IPv4 addresses."""
    first = int(ip_address(prefix))
    return [Address((first + n).to_bytes(4, "big")) for n in range(count)]


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
    came = numbered(2 * census.most)
    while census.entered(came[census.clients]):
        pass
    assert said == ["pause"]
    assert (census.clients, census.refused, census.pauses) == (census.most, 1, 1)
    while census.clients:
        census.left(came[census.clients - 1])
    assert said == ["pause", "resume"]
    assert not census.paused


def test_itPausesBeforeTheLastPlaceIsTaken() -> None:
    """What waits then stays in the kernel's backlog, unharmed."""
    census, said = counted(1024)
    came = numbered(census.most)
    while not said:
        assert census.entered(came[census.clients])
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


def test_oneSourceLeavesRoomForOthers() -> None:
    """It has three quarters of the places, however many addresses of its /64."""
    for text in ("192.0.2.1", "2001:db8:0:7::1"):
        census, _ = counted(1024)
        source = Address.parse(text)
        while census.entered(source):
            pass
        assert census.clients == census.most * 3 // 4
        sibling = Address.parse("2001:db8:0:7::2" if source.version == 6 else text)
        assert not census.entered(sibling)
        assert census.entered(Address.parse("2001:db8:0:8::1"))
        census.left(source)
        assert census.entered(sibling)


def test_thisHostsClientsAreManyUsers() -> None:
    """They may have all places."""
    census, _ = counted(1024)
    while census.entered(Address.parse("127.0.0.1")):
        pass
    assert census.clients == census.most


def test_halfOpenClientsPerSource() -> None:
    """At N they come in, at N+1 they do not; refusals are counted."""
    census = Census(1024)
    admission = Admission(census, 10, 2)
    first, second = Client(A), Client(A)
    assert admission.admit(first)
    assert admission.admit(second)
    assert not admission.admit(Client(A))
    assert admission.admit(Client(B))
    assert (admission.halfOpen, census.refused, census.clients) == (3, 1, 3)
    admission.requested(first)
    assert admission.admit(Client(A))


def test_aNetworkOfIPv6IsOneSource() -> None:
    """A host has a whole /64 to itself."""
    admission = Admission(Census(1024), 10, 2)
    for number, expected in ((1, True), (2, True), (3, False)):
        source = Address.parse(f"2001:db8:0:7::{number}")
        assert admission.admit(Client(source)) is expected
    assert admission.admit(Client(Address.parse("2001:db8:0:8::1")))


def test_atTheMarkTheOldestOfTheLargestSourceGoes() -> None:
    """So whoever opens many shuts itself out, and nobody else."""
    census = Census(1024)
    admission = Admission(census, 5, 5)
    many = [Client(A, admission) for _ in range(4)]
    few = [Client(B, admission)]
    for each in (*many[:2], *few, *many[2:]):
        assert admission.admit(each)
    assert admission.admit(Client(C, admission))
    assert [each.gone for each in many] == [True, False, False, False]
    assert admission.admit(Client(A, admission))
    assert [each.gone for each in many] == [True, True, False, False]
    assert not few[0].gone
    assert (admission.halfOpen, census.clients, census.refused) == (5, 5, 2)


def test_amongSourcesOfOneClientTheOldestGoes() -> None:
    """There is none that is larger."""
    admission = Admission(Census(1024), 3, 3)
    clients = [Client(source, admission) for source in numbered(4)]
    for each in clients:
        assert admission.admit(each)
    assert [each.gone for each in clients] == [True, False, False, False]


def test_amongManySmallSourcesTheOldestGoes() -> None:
    """
    Users behind one address, of whom some are about to make their requests at any
    time, do not go before the clients of an attacker with many sources, who have
    waited for longer. A source with more than a sixteenth does.
    """
    admission = Admission(Census(1 << 12), 64, 64)
    waiting = [Client(source, admission) for source in numbered(62)]
    users = [Client(A, admission) for _ in range(4)]
    for each in (*waiting[:60], *users, *waiting[60:]):
        assert admission.admit(each)
    assert [each.gone for each in waiting[:3]] == [True, True, False]
    assert not any(each.gone for each in users)
    assert admission.admit(Client(A, admission))
    assert admission.admit(Client(B, admission))
    assert [each.gone for each in users] == [True, False, False, False]
    assert sum(each.gone for each in waiting) == 3


def test_withoutADescriptorNothingIsCounted() -> None:
    """A client that is refused leaves no trace in the counters."""
    census = Census(8)
    admission = Admission(census, 100, 100)
    for source in numbered(100):
        admission.admit(Client(source))
    assert admission.halfOpen == census.clients == census.most


@given(st.lists(st.tuples(st.sampled_from([A, B, C]), st.booleans()), max_size=60))
def test_countersReturnToNothing(steps: list[tuple[Address, bool]]) -> None:
    """However clients come, make their requests and go."""
    census = Census(40)
    share = census.most * 3 // 4
    admission = Admission(census, 5, 3)
    halfOpen: list[Client] = []
    served: list[Address] = []
    for source, comes in steps:
        sources = [each.source for each in halfOpen]
        if comes:
            client = Client(source, admission)
            full = sources.count(source) >= 3
            if not full and len(halfOpen) >= 5:
                largest = max(map(sources.count, sources))
                # Of the largest, some source's oldest.
                oldest = [halfOpen[sources.index(x)] for x in set(sources)
                          if sources.count(x) == largest]  # fmt: skip
            there = served.count(source)
            admitted = admission.admit(client)
            gone = [each for each in halfOpen if each.gone]
            halfOpen = [each for each in halfOpen if not each.gone]
            if not full and len(sources) >= 5:
                assert len(gone) == 1
                assert gone[0] in oldest
            else:
                assert not gone
            there += sum(each.source == source for each in halfOpen)
            room = len(halfOpen) + len(served) < census.most and there < share
            assert admitted is (not full and room)
            if admitted:
                halfOpen.append(client)
        elif halfOpen:
            client = halfOpen.pop(0)
            admission.requested(client)
            served.append(client.source)
        assert admission.halfOpen == len(halfOpen)
        assert census.clients == len(halfOpen) + len(served)
    for client in halfOpen:
        admission.requested(client)
        served.append(client.source)
    for source in served:
        census.left(source)
    assert (admission.halfOpen, admission._bySource, census.clients) == (0, {}, 0)
    assert (admission._byCount, census._bySource) == (None, {})


def test_aUserOfThisMachineLeavesRoomForOthers() -> None:
    """
    Clients of 127.0.0.1 are many users, and may have all places; of one user are
    three quarters.
    """
    for source, all_ in (
        (Address.parse("127.0.0.1"), True),
        (Address.ofUser(0), False),
    ):
        census, _ = counted(1024)
        while census.entered(source):
            pass
        assert census.clients == (census.most if all_ else census.most * 3 // 4)
        assert census.entered(Address.ofUser(1000)) != all_


# Several processes.


class Several:
    """
    A listener of several processes, each with the memory as its own.

    @ivar clients: who is half-open, by process.
    """

    def __init__(self, workers: int, most: int, mostPerSource: int) -> None:
        self.board = Board.made(workers)
        self.fds = [self.board.fd]
        self.bounds = most, mostPerSource
        self.clients: list[list[Client]] = [[] for _ in range(workers)]
        self.each = [self.admission(column) for column in range(1, workers + 1)]

    def admission(self, column: int) -> Admission:
        """Return that of a process that begins."""
        self.fds.append(self.board.another())
        board = Board(self.fds[-1], self.board.columns)
        census = Census(1 << 14)
        census.commons = SharedCounters(board, column, time.monotonic)
        return Admission(census, *self.bounds, "main")

    def come(self, index: int, source: Address) -> bool:
        """Have a client come to a process; return whether it is let in."""
        client = Client(source, self.each[index])
        if not self.each[index].admit(client):
            return False
        self.clients[index] = [each for each in self.clients[index] if not each.gone]
        self.clients[index].append(client)
        return True

    def go(self, index: int, at: int) -> None:
        """Have a client make its request."""
        client = self.clients[index].pop(at)
        if not client.gone:
            self.each[index].left(client)

    def die(self, index: int) -> None:
        """Kill a process; another one takes its place."""
        self.clients[index] = []
        assert self.board.forget(index + 1)
        self.each[index] = self.admission(index + 1)

    @property
    def sources(self) -> Counter[Address]:
        """How many each source has."""
        return Counter(each.source for of in self.clients for each in of)

    def close(self) -> None:
        """Close the memory."""
        for fd in self.fds:
            os.close(fd)


@pytest.mark.parametrize("seed", range(6))
def test_neverMoreInAll(seed: int) -> None:
    """Neither in all nor of one source, whoever comes where, and through deaths."""
    chance = random.Random(seed)
    most, mostPerSource = chance.choice([(40, 15), (3, 2), (100, 100)])
    several = Several(3, most, mostPerSource)
    try:
        for _ in range(600):
            index = chance.randrange(3)
            what = chance.random()
            if what < 0.7:
                several.come(index, chance.choice([A, A, B, C]))
            elif what < 0.99:
                here = several.clients[index]
                if here:
                    several.go(index, chance.randrange(len(here)))
            else:
                several.die(index)
            sources = several.sources
            assert sum(sources.values()) <= most
            assert all(count <= mostPerSource for count in sources.values())
        for index, here in enumerate(several.clients):
            while here:
                several.go(index, 0)
        assert [each._borrowed for each in several.each] == [{}, {}, {}]
        assert not any(map(any, several.board.live))
    finally:
        several.close()


def test_oneProcessMayHaveMost() -> None:
    """
    Seven of eight, of two; what another one has as its own stays free for it. When it
    needs room, one of its own clients goes, or else nobody comes.
    """
    several = Several(2, 80, 80)
    try:
        assert sum(several.come(0, source) for source in numbered(100)) == 100
        assert sum(several.sources.values()) == 70
        assert sum(several.come(1, A) for _ in range(10)) == 10
        assert several.come(1, B)
        assert sum(several.sources.values()) == 80
    finally:
        several.close()
    few = Several(2, 3, 3)
    try:
        assert [few.come(0, source) for source in (A, B, C)] == [True] * 3
        assert not few.come(1, A)
        few.go(0, 0)
        assert few.come(1, A)
    finally:
        few.close()
