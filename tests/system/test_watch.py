"""
Readiness of plain sockets, told in the reactor's turn.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.interfaces import IReadDescriptor
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from zope.interface.verify import verifyObject

from socksgw.system.watch import DUPLEX, GONE, READ, STREAM, WRITE, Watch, Watcher
from tests.fakes.loops import Watcher as FakeWatcher
from tests.tools.sockets import descriptors, pair
from tests.tools.waiting import until


class Reactor:
    """Who reads; the test reads in its place."""

    def __init__(self) -> None:
        self.readers: list[Any] = []
        self.addReader = self.readers.append
        self.removeReader = self.readers.remove
        self.clock = Clock()
        self.callLater = self.clock.callLater


@pytest.fixture
def watch() -> Iterator[Watch]:
    """One that is read by a reactor, and leaves nothing."""
    before = descriptors()
    reactor = Reactor()
    made = Watch(reactor)
    verifyObject(IReadDescriptor, made)
    made.start()
    assert reactor.readers == [made]
    yield made
    made.stop()
    assert (reactor.readers, reactor.clock.getDelayedCalls()) == ([], [])
    assert descriptors() <= before


def test_readiness(watch: Watch) -> None:
    """Told to whoever watches the descriptor now, and to nothing else later."""
    one, other = pair()
    told: list[str] = []
    watch.add(one.fileno(), READ, lambda events: told.append("first"))
    watch.doRead()
    assert told == []
    other.send(b"x")
    watch.doRead()
    assert told[0] == "first"
    watch.hand(one.fileno(), lambda events: told.append("second"))
    watch.doRead()
    assert told[-1] == "second"
    watch.change(one.fileno(), 0)
    told.clear()
    watch.doRead()
    watch.remove(one.fileno())
    watch.doRead()
    assert (told, watch.watched) == ([], 0)
    for each in (one, other):
        each.close()


def test_stopped() -> None:
    """Who waited then may take itself away later: nothing is watched any more."""
    one, other = pair()
    watch = Watch(Reactor())
    watch.start()
    with one, other:
        watch.add(one.fileno(), READ, lambda events: None)
        watch.stop()
        watch.remove(one.fileno())
    assert watch.watched == 0


def test_aCallThatFails(watch: Watch) -> None:
    """It is logged, and the others are called all the same."""
    pairs = [pair() for _ in range(3)]
    told: list[int] = []
    for one, other in pairs:
        other.send(b"x")

        def ready(events: int, one: Any = one) -> None:
            told.append(one.fileno())
            watch.remove(one.fileno())
            raise OSError

        watch.add(one.fileno(), READ, ready)
    with capturedLogs() as events:
        watch.doRead()
    assert sorted(told) == sorted(one.fileno() for one, _ in pairs)
    assert [each["log_failure"].type for each in events] == [OSError] * 3
    for both in pairs:
        for each in both:
            each.close()


def test_aNumberThatIsUsedAgain(watch: Watch) -> None:
    """An event of the descriptor before is not told of the one that has its number."""
    pairs = [pair() for _ in range(2)]
    idle = pair()
    told: list[str] = []

    def first(events: int) -> None:
        # Both are ready: the other one is closed, and its number used again.
        for one, _ in pairs:
            watch.closing(one.fileno())
        told.append("first")
        number = pairs[1][0].fileno()
        os.dup2(idle[0].fileno(), number)
        watch.add(number, READ, lambda events: told.append("the next"))
        watch.hand(pairs[0][0].fileno(), lambda events: None)

    for one, other in pairs:
        other.send(b"x")
        watch.add(one.fileno(), READ, first)
    watch.doRead()
    assert told == ["first"]
    idle[1].send(b"x")
    watch.doRead()
    assert told[1] == "the next"
    for both in (*pairs, idle):
        for each in both:
            watch.closing(each.fileno())
            each.close()


class Turning:
    """
    A L{Watcher}, and its turns: of the gateway, and what tests have in its place.
    """

    def __init__(self, kind: str) -> None:
        self.watcher: Any
        if kind == "real":
            reactor = Reactor()
            self.watcher = Watch(reactor)
            self.watcher.start()
            self.turn = self._real
            self.close = self.watcher.stop
            self._clock = reactor.clock
        else:
            self.watcher = FakeWatcher()
            self.turn = self.watcher.turn
            self.close = self.watcher.close

    def _real(self) -> None:
        self.watcher.doRead()
        self._clock.advance(0)


@pytest.fixture(params=["real", "fake"])
def turning(request: Any) -> Iterator[Turning]:
    """Leaves nothing."""
    before = descriptors()
    made = Turning(request.param)
    yield made
    made.close()
    assert descriptors() <= before


def test_anEdge(turning: Turning) -> None:
    """Told once, whatever is left; what comes then is another one."""
    one, other = pair()
    told: list[int] = []
    watcher: Watcher = turning.watcher
    watcher.add(one.fileno(), STREAM, told.append)
    other.send(b"x")
    for _ in range(3):
        turning.turn()
    assert told == [READ]
    other.send(b"y")
    turning.turn()
    other.shutdown(socket.SHUT_WR)
    turning.turn()
    turning.turn()
    assert told == [READ, READ, READ | GONE]
    watcher.closing(one.fileno())
    for each in (one, other):
        each.close()


def test_onceMore(turning: Turning) -> None:
    """Told as often as it is asked for, also by the call itself, and not after."""
    one, other = pair()
    told: list[int] = []
    watcher: Watcher = turning.watcher

    def ready(events: int) -> None:
        told.append(events)
        if len(told) < 3:
            watcher.again(one.fileno())
        if len(told) == 3:
            watcher.again(one.fileno(), WRITE)
            watcher.again(one.fileno(), READ)

    watcher.add(one.fileno(), STREAM, ready)
    turning.turn()
    assert told == []
    watcher.again(one.fileno(), WRITE)
    for _ in range(5):
        turning.turn()
    assert told == [WRITE, 0, 0, READ | WRITE]
    watcher.again(one.fileno())
    watcher.remove(one.fileno())
    turning.turn()
    watcher.add(one.fileno(), STREAM, ready)
    watcher.again(one.fileno())
    watcher.closing(one.fileno())
    turning.turn()
    assert len(told) == 4
    for each in (one, other):
        each.close()


def test_handedOver(turning: Turning) -> None:
    """
    The next owner is told what comes then, and not what the one before was told: it is
    given that, and asks to be called.
    """
    one, other = pair()
    before: list[int] = []
    after: list[int] = []
    watcher: Watcher = turning.watcher
    watcher.add(one.fileno(), STREAM, before.append)
    other.send(b"x")
    turning.turn()
    watcher.hand(one.fileno(), after.append)
    turning.turn()
    assert (before, after) == ([READ], [])
    watcher.again(one.fileno(), before[0])
    turning.turn()
    other.send(b"y")
    turning.turn()
    assert (before, after) == ([READ], [READ, READ])
    watcher.closing(one.fileno())
    for each in (one, other):
        each.close()


def test_roomToWrite(turning: Turning) -> None:
    """
    Told when it is asked for and is there, and then after a write that found none.
    """
    one, other = pair(buffer=4096)
    told: list[int] = []
    watcher: Watcher = turning.watcher
    watcher.add(one.fileno(), STREAM, told.append)
    turning.turn()
    assert told == []
    watcher.change(one.fileno(), DUPLEX)
    turning.turn()
    turning.turn()
    assert told == [WRITE]
    with suppress(BlockingIOError):
        while True:
            one.send(b"x" * 65536)
    turning.turn()
    assert told == [WRITE]

    def taken() -> bool:
        with suppress(BlockingIOError):
            while True:
                other.recv(65536)
        turning.turn()
        return len(told) > 1

    until(taken)
    assert told == [WRITE, WRITE]
    watcher.closing(one.fileno())
    for each in (one, other):
        each.close()


def test_whatIsToldOnceMoreTakesTurns(watch: Watch) -> None:
    """One that always asks for more keeps nobody from being told, nor the reactor."""
    (one, _one), (two, other) = pairs = pair(), pair()
    told: list[str] = []

    def more(events: int) -> None:
        told.append("more")
        watch.again(one.fileno())

    watch.add(one.fileno(), STREAM, more)
    watch.add(two.fileno(), STREAM, lambda events: told.append("other"))
    watch.again(one.fileno())
    watch.doRead()
    assert set(told) == {"more"}
    assert len(told) < 10
    other.send(b"x")
    told.clear()
    watch.doRead()
    assert "other" in told[:2]
    watch.closing(one.fileno())
    watch.closing(two.fileno())
    for both in pairs:
        for each in both:
            each.close()


class Reading:
    """A descriptor that the reactor itself watches."""

    def __init__(self, plain: socket.socket) -> None:
        self.fileno = plain.fileno
        self._plain = plain
        self.came = b""

    def doRead(self) -> None:
        self.came += self._plain.recv(100)

    def connectionLost(self, reason: object) -> None: ...

    def logPrefix(self) -> str:
        return "-"


@pytest.fixture
def reactor() -> Iterator[Any]:
    """One with epoll, which nothing else uses."""
    before = descriptors()
    made: Any = EPollReactor()
    yield made
    waker = made.waker
    made.removeReader(waker)
    os.close(waker.i)
    os.close(waker.o)
    made._poller.close()
    assert descriptors() <= before


def turns(reactor: Any, condition: Any) -> int:
    """How many turns of the reactor it takes, each of which waits for something."""
    for count in range(1, 100):
        reactor.runUntilCurrent()
        if condition():
            return count
        left = reactor.timeout()
        began = time.monotonic()
        reactor.doIteration(5.0 if left is None else left)
        assert time.monotonic() - began < 4.0
        if condition():
            return count
    raise AssertionError("it did not come")


def test_oneWaking(reactor: Any) -> None:
    """One wait of the reactor tells what both watch, and wakes for what is due."""
    (one, other), (their, its) = pairs = pair(), pair()
    watch = Watch(reactor)
    watch.start()
    told: list[int] = []
    reading = Reading(their)
    reactor.addReader(reading)
    watch.add(one.fileno(), STREAM, told.append)
    other.send(b"x")
    assert turns(reactor, lambda: told) == 1
    its.send(b"theirs")
    assert turns(reactor, lambda: reading.came) == 1
    watch.again(one.fileno(), WRITE)
    assert turns(reactor, lambda: len(told) == 2) == 1
    called: list[str] = []
    reactor.callLater(0.01, called.append, "late")
    assert turns(reactor, lambda: called) <= 3
    reactor.callFromThread(called.append, "thread")
    assert turns(reactor, lambda: "thread" in called) <= 3
    reactor.removeReader(reading)
    watch.closing(one.fileno())
    assert watch.watched == 0
    watch.stop()
    assert reactor.doIteration.__func__ is EPollReactor.doPoll
    for both in pairs:
        for each in both:
            each.close()


def test_twoOnOneReactor(reactor: Any) -> None:
    """Both are told; the second is one of the reactor's own descriptors."""
    (one, other), (two, another) = pairs = pair(), pair()
    first, second = Watch(reactor), Watch(reactor)
    first.start()
    second.start()
    told: list[str] = []
    first.add(one.fileno(), STREAM, lambda _: told.append("first"))
    second.add(two.fileno(), STREAM, lambda _: told.append("second"))
    another.send(b"x")
    assert turns(reactor, lambda: told == ["second"]) == 1
    second.again(two.fileno())
    turns(reactor, lambda: told == ["second"] * 2)
    other.send(b"x")
    assert turns(reactor, lambda: told[2:] == ["first"]) == 1
    first.closing(one.fileno())
    first.stop()
    another.send(b"y")
    assert turns(reactor, lambda: told[3:] == ["second"]) == 1
    second.closing(two.fileno())
    second.stop()
    for both in pairs:
        for each in both:
            each.close()


@pytest.mark.parametrize("nested", [True, False])
def test_afterTheEvents(reactor: Any, nested: bool) -> None:
    """
    Called once all that is at hand has been told, and before the next is waited for;
    one that fails keeps nothing else from it.
    """
    pairs = [pair() for _ in range(3)]
    if not nested:
        reactor.doIteration = reactor.doIteration
    watch = Watch(reactor)
    watch.start()
    told: list[str] = []

    def later() -> None:
        told.append("after")
        watch.soon(lambda: told.append("after that"))
        raise OSError

    def ready(events: int) -> None:
        if not told:
            watch.soon(later)
        told.append("event")

    for one, other in pairs:
        watch.add(one.fileno(), STREAM, ready)
        other.send(b"x")
    with capturedLogs() as events:
        assert turns(reactor, lambda: "after" in told) == 1
        assert told[:4] == ["event"] * 3 + ["after"]
        turns(reactor, lambda: "after that" in told)
    assert len([each for each in events if "log_failure" in each]) == 1
    watch.soon(lambda: told.append("in a turn"))
    turns(reactor, lambda: "in a turn" in told)
    for one, other in pairs:
        watch.closing(one.fileno())
        one.close()
        other.close()
    watch.stop()
    if not nested:
        del reactor.doIteration


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("ending", ["stop", "crash", "watch"])
def test_turnsThatAreLeftOut(reactor: Any, ending: str, known: bool) -> None:
    """
    A running reactor has few turns while it has nothing to do, and one at once when a
    call is due, when a thread has one, and when it or the watch is stopped.

    One that does not tell whether it has anything to do has all of them.
    """
    if not known:
        # As it might be kept by a Twisted that does things in another way.
        reactor._justStopped = 0
    one, other = pair()
    watch = Watch(reactor)
    watch.start()
    events: list[str] = []
    counted = 0
    turn = reactor.runUntilCurrent

    def counting() -> None:
        nonlocal counted
        counted += 1
        turn()

    def called(what: str) -> None:
        events.append(what)
        other.send(b"x")

    def ready(_: int) -> None:
        one.recv(1)
        events.append("told")
        count = events.count("told")
        if count < 40:
            other.send(b"x")
        elif count == 40:
            events.append(str(counted))
            reactor.callLater(0, called, "due")
        elif count == 41:
            reactor.callLater(0.01, called, "late")
        elif count == 42:
            reactor.callFromThread(called, "thread")
        else:
            watch.closing(one.fileno())
            if ending == "watch":
                watch.stop()
                reactor.callLater(0.05, reactor.stop)
            else:
                getattr(reactor, ending)()

    reactor.runUntilCurrent = counting
    watch.add(one.fileno(), STREAM, ready)
    other.send(b"x")
    # Whatever is not seen at once is waited for until this is due.
    guard = reactor.callLater(60, reactor.crash)
    with capturedLogs() as logged:
        reactor.run(installSignalHandlers=False)
    assert reactor.seconds() < guard.getTime()
    guard.cancel()
    assert not [each for each in logged if "log_failure" in each]
    assert (int(events.pop(40)) < 10) is known
    assert events[40:] == ["due", "told", "late", "told", "thread", "told"]
    if ending != "watch":
        watch.stop()
    one.close()
    other.close()


def test_aTurnWithoutWaiting(reactor: Any) -> None:
    """Who has a running reactor look, and not wait, gets what there is, and goes on."""
    one, other = pair()
    watch = Watch(reactor)
    watch.start()
    told: list[bytes] = []
    watch.add(one.fileno(), STREAM, lambda _: told.append(one.recv(1)))
    # Whatever waits does so until this is due.
    guard = reactor.callLater(60, reactor.crash)

    def look() -> None:
        other.send(b"x")
        reactor.iterate()
        told.append(b"looked")
        reactor.stop()

    reactor.callWhenRunning(look)
    reactor.run(installSignalHandlers=False)
    assert reactor.seconds() < guard.getTime()
    guard.cancel()
    assert told == [b"x", b"looked"]
    watch.closing(one.fileno())
    watch.stop()
    one.close()
    other.close()
