"""
Threads that outlive a configuration.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import copy_context
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs, eventAsText
from twisted.python.failure import Failure

from socksgw.interfaces import Settings
from socksgw.login.refusal import busy
from socksgw.system.fairly import ASKING
from socksgw.system.threads import DaemonPool, Pool, Threads, inPool, threadsFor
from socksgw.system.usage import Holding, UsagePool
from tests.fakes.threads import ClockedReactor, ThreadedReactor
from tests.tools.waiting import until


def askedBy(source: bytes, threads: Threads, work: Callable[[], Any]) -> Deferred[Any]:
    """Work for a source."""

    def ask() -> Deferred[Any]:
        ASKING.set(source)
        return threads.do(work)

    return copy_context().run(ask)


def reasons(waiting: list[Deferred[Any]]) -> list[str]:
    """Why those have failed that have."""
    found: list[str] = []

    def failed(failure: Failure) -> None:
        found.append(getattr(failure.value, "reason", ""))

    for each in waiting:
        each.addErrback(failed)
    return found


def test_reloads(reactor: ThreadedReactor) -> None:
    """However often they are asked for, there are as many as the latest says."""
    before = threading.active_count()
    for number in range(20):
        threads = threadsFor(reactor, "pam-ad", 1 + number % 2, 10, busy)
        for _ in range(3):
            assert reactor.result(threads.do(lambda: 7)) == 7
    assert threading.active_count() <= before + 2
    assert len(reactor.atShutdown) == 1
    other = threadsFor(reactor, "pam-other", 1, 1, busy)
    assert other.threads is not threads.threads
    few = threadsFor(reactor, "pam-ad", 1, 0, busy)
    free = threading.Event()
    under = few.do(free.wait)
    assert reactor.result(few.do(lambda: 7)).reason == "busy"
    free.set()
    assert reactor.result(under) is True


def test_whatIsRefusedChangesNothing(reactor: ThreadedReactor) -> None:
    """Who is made with another number counts only once it asks."""
    threads, free = threadsFor(reactor, "pam-ad", 1, 2, busy), threading.Event()
    under = threads.do(free.wait)
    few = threadsFor(reactor, "pam-ad", 1, 0, busy)
    waits = threads.do(lambda: 7)
    assert not waits.called
    assert reactor.result(few.do(lambda: 7)).reason == "busy"
    free.set()
    assert reactor.result(under) is True


def test_theyEndWithTheLastUser(reactor: ThreadedReactor) -> None:
    """
    When no generation has them any more the threads go, once their calls are
    done, and are no matter of the shutdown any longer.
    """
    before, pool = threading.active_count(), UsagePool()
    users, free = [Holding(pool), Holding(pool)], threading.Event()
    for user in users:
        with user.building():
            threads = threadsFor(reactor, "pam-ad", 2, 10, busy)
    under = threads.do(free.wait)
    users[0].release()
    assert len(reactor.atShutdown) == 1
    users[1].release()
    assert len(reactor.atShutdown) == 1
    free.set()
    assert reactor.result(under) is True
    assert reactor.atShutdown == []
    until(lambda: threading.active_count() == before)


def test_pamOverReloads(reactor: ThreadedReactor) -> None:
    """A checker that is made anew asks in the threads of the one before."""
    pam = pytest.importorskip("socksgw.login.stores.pam")
    made = [pam.pamChecker(Settings({}, name="system"), reactor) for _ in range(3)]
    assert len({each._threads.threads for each in made}) == 1


# Turns.


def test_whoeverFillsTheQueueIsRefused(reactor: ThreadedReactor) -> None:
    """
    A flood of one source takes neither the turns nor the places of another
    one: that is served second, and the flood is refused as busy.
    """
    threads, free = Threads(reactor, "work", 1, 8, busy), threading.Event()
    served: list[bytes] = []
    flood = [askedBy(b"flood", threads, free.wait)]
    flood += [
        askedBy(b"flood", threads, lambda: served.append(b"flood")) for _ in range(100)
    ]
    refused = reasons(flood)
    assert refused == ["busy"] * 92
    honest = [
        askedBy(b"honest", threads, lambda: served.append(b"honest")) for _ in range(2)
    ]
    assert refused == ["busy"] * 94
    free.set()
    for each in honest:
        reactor.result(each)
    assert served[:4] == [b"flood", b"honest"] * 2


def test_callsThatHang(reactor: ThreadedReactor) -> None:
    """
    Where calls may never come back, one source has half of the threads at
    most, and a thread is started in place of one that is stuck.
    """
    clocked = ClockedReactor()
    clocked.calls, clocked.atShutdown = reactor.calls, reactor.atShutdown
    threads, free = Threads(clocked, "pam", 4, 20, busy, 8.0), threading.Event()
    hanging = [askedBy(b"bad", threads, free.wait) for _ in range(6)]
    assert clocked.result(askedBy(b"good", threads, lambda: 7)) == 7
    others = [askedBy(b"worse", threads, free.wait) for _ in range(2)]
    late = askedBy(b"good", threads, lambda: 8)
    assert clocked.calls.empty()
    clocked.clock.advance(8)
    assert clocked.result(late) == 8
    assert threads._running == 4
    free.set()
    for each in (*hanging, *others):
        assert clocked.result(each) is True
    assert (threads._running, threads._stuck, len(threads._held)) == (0, 0, 0)
    assert not clocked.clock.getDelayedCalls()


# Threads that cannot be started.


class Full(threading.Thread):
    """What pthread_create(3) answers with EAGAIN."""

    def start(self) -> None:
        raise RuntimeError("can't start new thread")


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> None:
    """No thread can be started any more."""
    monkeypatch.setattr(DaemonPool, "threadFactory", Full)
    monkeypatch.setattr(Pool, "threadFactory", Full)


def test_noThread(reactor: ThreadedReactor, full: None) -> None:
    """Where there is no thread at all, calls fail at once; it is said once."""
    threads = Threads(reactor, "passwords", 2, 8, busy)
    with capturedLogs() as events:
        assert reasons([threads.do(int) for _ in range(3)]) == ["busy"] * 3
    assert ["no thread for passwords" in eventAsText(e) for e in events] == [True]
    assert (threads._running, len(threads._queue), len(threads._held)) == (0, 0, 0)


def test_noFurtherThread(
    reactor: ThreadedReactor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there is one, the others wait for that."""
    threads, free = Threads(reactor, "passwords", 2, 8, busy), threading.Event()
    under = threads.do(free.wait)
    with monkeypatch.context() as patch:
        patch.setattr(DaemonPool, "threadFactory", Full)
        waiting = [threads.do(lambda: 7) for _ in range(3)]
    free.set()
    assert reactor.result(under) is True
    assert [reactor.result(each) for each in waiting] == [7, 7, 7]


def test_noThreadInAPool(reactor: ThreadedReactor, full: None) -> None:
    """A pool that has no thread answers, and can be stopped."""
    for made in (Pool(0, 1, "quotas"), DaemonPool(0, 1, "lookups")):
        made.start()
        failure = reactor.result(inPool(reactor, made, int))
        assert isinstance(failure, RuntimeError)
        made.stop()
