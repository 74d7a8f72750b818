"""
Threads that outlive a configuration.
"""

from __future__ import annotations

import threading

import pytest

from socksgw.interfaces import Settings
from socksgw.login.refusal import busy
from socksgw.threads import threadsFor
from tests.login.test_checkers import ThreadedReactor, reactor

__all__ = ["reactor"]


def test_reloads(reactor: ThreadedReactor) -> None:
    """However often they are asked for, there are as many as the latest says."""
    before = threading.active_count()
    for number in range(20):
        threads = threadsFor(reactor, "pam-ad", 1 + number % 2, 10, busy)
        for _ in range(3):
            assert reactor.result(threads.do(lambda: 7)) == 7
    assert threading.active_count() <= before + 2
    assert len(reactor.atShutdown) == 1
    assert threadsFor(reactor, "pam-other", 1, 1, busy) is not threads
    few = threadsFor(reactor, "pam-ad", 1, 0, busy)
    free = threading.Event()
    under = few.do(free.wait)
    assert reactor.result(few.do(lambda: 7)).reason == "busy"
    free.set()
    assert reactor.result(under) is True


def test_pamOverReloads(reactor: ThreadedReactor) -> None:
    """A checker that is made anew asks in the threads of the one before."""
    pam = pytest.importorskip("socksgw.login.pam")
    made = [pam.pamChecker(Settings({}, name="system"), reactor) for _ in range(3)]
    assert len({each._threads for each in made}) == 1
