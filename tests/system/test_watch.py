"""
Readiness of plain sockets, told in the reactor's turn.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.interfaces import IReadDescriptor
from twisted.logger import capturedLogs
from zope.interface.verify import verifyObject

from socksgw.system.watch import READ, Watch, Watcher
from tests.fakes.loops import Watcher as FakeWatcher
from tests.tools.sockets import descriptors, pair


class Reactor:
    """Who reads; the test reads in its place."""

    def __init__(self) -> None:
        self.readers: list[Any] = []
        self.addReader = self.readers.append
        self.removeReader = self.readers.remove


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
    assert reactor.readers == []
    assert descriptors() == before


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


def test_theFakeIsOne() -> None:
    """What tests watch with has what L{Watcher} asks for."""
    made: Watcher = FakeWatcher()
    for name in ("add", "hand", "change", "remove", "closing"):
        assert callable(getattr(made, name))
