"""
Long work in steps: the same all at once and in turns, and given up in order.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from socksgw.system.steps import Steps, Unwanted, Work, atOnce, inTurns

_PLACE: ContextVar[str] = ContextVar("place", default="nowhere")


class Reactor:
    """
    Does work in a thread, when the test says so.

    @ivar waiting: what is to be done.
    """

    def __init__(self) -> None:
        self.waiting: list[tuple[Deferred[object], Work]] = []

    def elsewhere(self, work: Work) -> Deferred[object]:
        """Keep it until it is done."""
        self.waiting.append((Deferred(), work))
        return self.waiting[-1][0]

    def do(self) -> None:
        """Do what waits, in a thread, and tell of it."""
        ((told, work),) = self.waiting
        self.waiting.clear()
        found: list[BaseException] = []

        def run() -> None:
            try:
                work()
            except Exception as e:
                found.append(e)

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        if found:
            told.errback(found[0])
        else:
            told.callback(None)


class Job:
    """Work of which is known who did what, and where."""

    def __init__(self) -> None:
        self.done: list[tuple[str, bool, str]] = []
        self.closed = False
        self.supposed = False

    def note(self, what: str) -> None:
        """Have done something."""
        here = threading.current_thread() is threading.main_thread()
        self.done.append((what, here, _PLACE.get()))

    @contextmanager
    def supposing(self) -> Iterator[None]:
        """Suppose something, while others cannot see it."""
        assert not self.supposed
        self.supposed = True
        try:
            yield
        finally:
            self.supposed = False

    def steps(self, fails: bool = False) -> Steps[str]:
        """Three steps, the second of which any thread may do."""
        try:
            assert self.supposed
            token = _PLACE.set("work")
            self.note("first")
            yield None
            yield self.fail if fails else (lambda: self.note("second"))
            assert self.supposed
            self.note("third")
            _PLACE.reset(token)
            return "result"
        finally:
            self.closed = True

    def fail(self) -> None:
        """Fail, in a thread."""
        raise KeyError("a defect")


@pytest.fixture
def job() -> Job:
    return Job()


def begun(
    job: Job, reactor: Reactor, wanted: Callable[[], bool], fails: bool = False
) -> list[Any]:
    """Begin it in turns; the list has its result once it is there."""
    found: list[Any] = []
    steps = inTurns(job.steps(fails), reactor.elsewhere, wanted, job.supposing)
    Deferred.fromCoroutine(steps).addBoth(found.append)
    return found


def test_theSameBothWays(job: Job) -> None:
    """
    It is done in the same order with the same variables; only the threads differ. What
    is supposed holds in its own turns and not between them.
    """
    assert atOnce(job.steps(), job.supposing) == "result"
    other, reactor = Job(), Reactor()
    found = begun(other, reactor, lambda: True)
    while not found:
        assert not other.supposed
        assert _PLACE.get() == "nowhere"
        reactor.do()
    assert found == ["result"]
    assert [(what, where) for what, _, where in job.done] == [
        (what, where) for what, _, where in other.done
    ]
    assert [here for _, here, _ in job.done] == [True, True, True]
    assert [here for _, here, _ in other.done] == [True, False, True]


def test_whatIsWantedNoLonger(job: Job) -> None:
    """It goes no further, and what it holds is released."""
    reactor, wanted = Reactor(), [True]
    found = begun(job, reactor, lambda: wanted[0])
    wanted[0] = False
    assert not job.closed
    reactor.do()
    (failure,) = found
    assert failure.check(Unwanted)
    assert job.closed
    assert "third" not in [what for what, _, _ in job.done]


def test_workThatFails(job: Job) -> None:
    """Its failure is that of all."""
    reactor = Reactor()
    found = begun(job, reactor, lambda: True, fails=True)
    reactor.do()
    (failure,) = found
    assert failure.check(KeyError)
    assert job.closed


def test_nobodyWaitsForLong(job: Job) -> None:
    """Many short steps take as many turns as they take time."""
    reactor, found = Reactor(), list[Any]()

    def steps() -> Steps[int]:
        for _ in range(30):
            ends = time.monotonic() + 0.001
            while time.monotonic() < ends:
                pass
            yield None
        return 30

    running = inTurns(steps(), reactor.elsewhere, lambda: True)
    Deferred.fromCoroutine(running).addCallback(found.append)
    turns = 1
    while not found:
        reactor.do()
        turns += 1
    # Each of them takes a millisecond or more, and a turn three.
    assert turns >= 10
