"""
PAM, where its modules do not come back. The real PAM is asked in
C{tests/interop/test_stores.py}.
"""

from __future__ import annotations

import threading
from contextvars import copy_context
from typing import Any

import pytest
from twisted.cred.credentials import UsernamePassword
from twisted.internet.defer import Deferred

from socksgw.system.fairly import ASKING
from tests.fakes.threads import ClockedReactor, ThreadedReactor

pam = pytest.importorskip("socksgw.login.stores.pam")


@pytest.fixture
def clocked(reactor: ThreadedReactor) -> ClockedReactor:
    """A reactor whose time is the test's."""
    made = ClockedReactor()
    made.calls, made.atShutdown = reactor.calls, reactor.atShutdown
    return made


class Modules:
    """
    Lets everybody in; hangs for names that begin with C{slow}.

    @ivar asked: the names.
    """

    def __init__(self) -> None:
        self.free = threading.Event()
        self.asked: list[bytes] = []
        self.slow = threading.Semaphore(0)

    def ask(self, service: str, name: bytes, password: bytes) -> tuple[bytes, int]:
        self.asked.append(name)
        if name.lower().startswith(b"slow"):
            self.slow.release()
            assert self.free.wait(60)
        return name, 0


def asking(checker: Any, name: bytes, source: bytes) -> Deferred[Any]:
    """A login of a source."""

    def ask() -> Deferred[Any]:
        ASKING.set(source)
        waiting: Deferred[Any] = checker.requestAvatarId(UsernamePassword(name, b"x"))
        return waiting

    return copy_context().run(ask)


def test_namesThatHang(
    clocked: ClockedReactor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Eight names of one source for which modules hang do not hold up another
    source, then or after the time-out; a name that hangs is not asked about
    again, in no spelling, until the module has come back.
    """
    modules = Modules()
    monkeypatch.setattr(pam, "_ask", modules.ask)
    checker = pam.PAMChecker("system", clocked, "gate", 8.0, 8)
    hanging = [asking(checker, b"slow%d" % n, b"bad") for n in range(8)]
    assert clocked.result(asking(checker, b"alice", b"good")) == b"alice"
    for _ in range(4):
        assert modules.slow.acquire(timeout=60)
    clocked.clock.advance(8)
    for each in hanging:
        assert clocked.result(each).reason == "store-unavailable"
    asked = list(modules.asked)
    for name in (b"slow0", b"SLOW0"):
        failure = clocked.result(asking(checker, name, b"other"))
        assert failure.reason == "store-unavailable"
    assert modules.asked == asked
    assert clocked.result(asking(checker, b"bob", b"good")) == b"bob"
    modules.free.set()
    while checker._hanging:
        clocked.pump()
    assert clocked.result(asking(checker, b"slow0", b"other")) == b"slow0"
