"""
The look at first octets, with real sockets on loopback and a reactor of the test's
own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from socksgw.interfaces import NOT_MINE, OTHER, UNKNOWN, Finding
from socksgw.relay.inspection import Inspection, Look
from socksgw.relay.inspectors import Inspectors
from socksgw.relay.memory import Memory
from socksgw.system.plain import PlainConnection
from socksgw.system.watch import Watch
from tests.fakes.connections import Client
from tests.fakes.loops import ReactorLoop, Timers
from tests.tools.sockets import pair

MOST = 64


class Word:
    """Knows one word of either side, and cannot tell before it is there."""

    fromClient = fromServer = b"h"
    name = "word"

    def begin(self, client: bool) -> Any:
        word = b"hello" if client else b"howdy"

        def look(octets: Any) -> Finding | int:
            if not word.startswith(bytes(octets[: len(word)])):
                return NOT_MINE
            return Finding("word") if len(octets) >= len(word) else len(word)

        return look


class Near(Client):
    """A client whose connection hands what comes to the look."""

    def take(self, receiver: Any) -> None:
        super().take(receiver)
        if receiver is not None:
            self.connection.take(receiver)


class House(ReactorLoop, Timers):
    """A reactor that is nobody else's, and one look."""

    def __init__(self) -> None:
        ReactorLoop.__init__(self)
        Timers.__init__(self)
        self.memory = Memory(1 << 20)
        self.watch = Watch(self.reactor)
        self.watch.start()
        self.client, near = pair()
        far, self.server = pair()
        self.near = PlainConnection(near, self.watch)
        self.far = PlainConnection(far, self.watch)
        self.found: list[Finding | None] = []

    def look(self, holding: bool, early: bytes = b"", late: bytes = b"") -> Look:
        """Begin."""
        settings = Inspection(
            Inspectors([Word()]), MOST, 2.0, True, True, self.setDeadline, self.memory
        )
        look = Look(settings, holding, Near(self.near), self.far, None, None)
        Deferred.fromCoroutine(look.find(early, late, 40.0)).addCallbacks(
            self.found.append
        )
        return look

    def say(self, side: Any, octets: bytes) -> None:
        """Send octets, and have them taken."""
        side.sendall(octets)
        self.settle()

    def heard(self, side: Any) -> bytes:
        """What has come on one of the sockets."""
        side.setblocking(False)
        try:
            got: bytes = side.recv(1 << 16)
        except BlockingIOError:
            return b""
        return got

    def atBase(self) -> None:
        """Nothing is left of the look."""
        for each in (self.client, self.server):
            each.close()
        self.near.abortConnection()
        self.far.abortConnection()
        self.settle()
        assert self.pending == 0
        assert self.memory.held == 0
        assert self.watch.watched == 0
        self.watch.stop()
        self.closeLoop()


@pytest.fixture
def house() -> Iterator[House]:
    made = House()
    yield made
    made.atBase()


def test_octetsPassWhileTheyAreLookedAt(house: House) -> None:
    """Where nothing depends on them; those that tell what it is go with the relay."""
    look = house.look(holding=False)
    house.say(house.client, b"he")
    house.say(house.server, b"banner")
    assert house.heard(house.server) == b"he"
    assert house.heard(house.client) == b"banner"
    house.say(house.client, b"llo!")
    assert house.found == [Finding("word")]
    assert (look.near.passed, look.far.passed) == (2, 6)
    assert look.dissolve() == (b"llo!", b"")
    assert house.heard(house.server) == b""


def test_octetsAreHeld(house: House) -> None:
    """The client's until it is known what it is; the server's go on if unknown."""
    look = house.look(holding=True)
    house.say(house.client, b"he")
    house.say(house.server, b"banner")
    assert house.heard(house.server) == b""
    assert house.heard(house.client) == b"banner"
    assert house.memory.held == 2
    house.say(house.client, b"llo")
    assert house.found == [Finding("word")]
    # While it is judged more may come.
    house.say(house.client, b", more")
    assert look.dissolve() == (b"hello, more", b"")


def test_theServersOctetsAreHeldThatMayTell(house: House) -> None:
    """They tell what it is, too, and go to the client only then."""
    look = house.look(holding=True)
    house.say(house.server, b"how")
    assert house.heard(house.client) == b""
    house.say(house.server, b"dy")
    assert house.found == [Finding("word")]
    assert look.dissolve() == (b"", b"howdy")


def test_whatNoInspectorKnows(house: House) -> None:
    """The client's first octet can say it, and so may octets behind its request."""
    look = house.look(holding=True, early=b"x")
    assert house.found == [Finding(OTHER)]
    assert look.dissolve() == (b"x", b"")


def test_theServersWordIsFirst(house: House) -> None:
    """What was read of it already tells what it is; the client's is kept."""
    look = house.look(holding=True, early=b"hello", late=b"howdy")
    assert house.found == [Finding("word")]
    assert look.dissolve() == (b"hello", b"howdy")


@pytest.mark.parametrize("holding", [False, True])
def test_itTakesTooLong(house: House, holding: bool) -> None:
    """The time counts from the first octet; then it cannot be told."""
    look = house.look(holding)
    house.settle()
    house.advance(30)
    assert house.found == []
    house.say(house.client, b"h")
    house.advance(1.5)
    house.say(house.client, b"e")
    house.advance(1)
    assert house.found == [Finding(UNKNOWN, hidden=True)]
    assert look.dissolve() == (b"he" if holding else b"", b"")


def test_nothingComes(house: House) -> None:
    """It ends as any session that is idle."""
    look = house.look(holding=True)
    house.advance(41)
    assert (house.found, look.reason) == ([None], "idle")
    look.dissolve()


def test_aServerSendsOnAndOn(house: House) -> None:
    """Where something depends on the client's octets, it is read no further."""
    look = house.look(holding=True)
    for _ in range(4):
        house.say(house.server, b"." * MOST)
    assert look.far.passed <= 3 * MOST
    house.advance(3)
    assert house.found == [Finding(UNKNOWN, hidden=True)]
    look.dissolve()


def test_aServerSendsOnAndOnAndNothingDependsOnIt(house: House) -> None:
    """Then the relay takes over."""
    look = house.look(holding=False)
    house.say(house.server, b"." * (MOST + 1))
    assert house.found == [Finding(OTHER)]
    look.dissolve()


@pytest.mark.parametrize(
    ("said", "application"), [(b"", OTHER), (b"h", UNKNOWN)], ids=["nothing", "some"]
)
def test_theClientEndsItsSide(house: House, said: bytes, application: str) -> None:
    """It says no more: what it has said is all there is to look at."""
    look = house.look(holding=True, early=said)
    house.settle()
    house.client.close()
    house.settle()
    (found,) = house.found
    assert found is not None
    assert found.application == application
    look.dissolve()


def test_theServerEndsItsSide(house: House) -> None:
    """The client may speak still; the relay is told of the end."""
    look = house.look(holding=False)
    house.settle()
    house.server.shutdown(1)
    house.settle()
    assert house.found == [Finding(OTHER)]
    assert look.far.ended
    look.dissolve()


def test_theServerIsLost(house: House) -> None:
    """There is nothing to judge."""
    look = house.look(holding=True, early=b"h")
    house.settle()
    house.far.abortConnection()
    assert (house.found, look.reason) == ([None], "destination-lost")
    look.dissolve()


def test_tooManyOctets(house: House) -> None:
    """Octets that still may be anything, and are as many as are looked at."""

    class Never(Word):
        def begin(self, client: bool) -> Any:
            return lambda octets: len(octets) + 1

    settings = Inspection(
        Inspectors([Never()]), MOST, 2.0, True, True, house.setDeadline, house.memory
    )
    look = Look(settings, True, Near(house.near), house.far, None, None)
    Deferred.fromCoroutine(look.find(b"", b"", 40.0)).addCallbacks(house.found.append)
    house.say(house.client, b"h" * (MOST - 1))
    assert house.found == []
    house.say(house.client, b"h")
    assert house.found == [Finding(UNKNOWN, hidden=True)]
    look.dissolve()
