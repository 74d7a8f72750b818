"""
What checkers have in common that ask somebody else.
"""

from __future__ import annotations

import gc
from contextvars import copy_context
from functools import partial
from pathlib import Path
from typing import Any
from weakref import ref

import pytest
from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, eventAsText

from socksgw.config.settings import Settings
from socksgw.login.refusal import Refused
from socksgw.login.stores import remote
from socksgw.login.stores.remote import (
    Evenly,
    Turns,
    Unavailable,
    isLoopback,
    nameOf,
    trustIn,
)
from socksgw.system.fairly import ASKING
from tests.tools.certificates import Authority, pemOf
from tests.tools.editors import EDITED, wide


class Asked:
    """Questions that are answered when the test does."""

    def __init__(self, atOnce: int = 2) -> None:
        self.clock = Clock()
        self.turns = Turns(self.clock, "ad", atOnce, 5)
        self.running: list[Deferred[Any]] = []

    def ask(self) -> tuple[Deferred[Any], list[Any]]:
        """One more, and what comes of it."""

        async def work() -> Any:
            self.running.append(Deferred())
            return await self.running[-1]

        results: list[Any] = []
        asking = self.turns.ask(work)
        asking.addBoth(lambda r: results.append(getattr(r, "value", r)))
        return asking, results


def test_soManyAtOnce() -> None:
    """Others wait for their turn; who gives up takes nobody's place."""
    asked = Asked()
    first, second, third, fourth = (asked.ask() for _ in range(4))
    assert len(asked.running) == 2
    third[0].cancel()
    assert isinstance(third[1][0], CancelledError)
    asked.running[0].callback("a")
    assert first[1] == ["a"]
    assert len(asked.running) == 3
    second[0].cancel()
    assert asked.running[1].called
    asked.running[2].callback("d")
    assert fourth[1] == ["d"]
    assert not asked.clock.getDelayedCalls()


def test_soManyInAll(monkeypatch: pytest.MonkeyPatch) -> None:
    """Above that whoever comes is refused at once; there is room again after."""
    monkeypatch.setattr(remote, "_MOST", 256)
    asked = Asked()
    waiting = [asked.ask() for _ in range(256)]
    refused = asked.ask()[1]
    assert isinstance(refused[0], Refused)
    assert refused[0].reason == "busy"
    waiting[7][0].cancel()
    assert not asked.ask()[1]
    for asking, _ in waiting:
        asking.cancel()


def test_inTime() -> None:
    """
    The time for an answer includes the waiting; the work is given up. It is
    logged when that begins and when it ends, not each time.
    """
    asked = Asked(atOnce=1)
    with capturedLogs() as events:
        both = [asked.ask(), asked.ask()]
        asked.clock.advance(4.9)
        assert not both[0][1] + both[1][1]
        asked.clock.advance(0.2)
        for _, results in both:
            assert isinstance(results[0], Unavailable)
            assert results[0].reason == "store-unavailable"
        assert all(each.called for each in asked.running)
        asked.ask()
        asked.running[-1].errback(Refused("wrong-credentials"))
        asked.ask()
        asked.running[-1].callback(None)
    assert [eventAsText(e, includeTimestamp=False, includeSystem=False) for e in events] == [
        "ad cannot be asked: no answer in time",
        "ad can be asked again",
    ]  # fmt: skip


def test_refusalsAreEven() -> None:
    """
    A refusal that comes soon is told as late as the slowest was, for an hour
    or so; who is let in, gives up, or meets a dead directory waits for nothing.
    """
    clock = Clock()
    evenly = Evenly(clock)

    def took(seconds: float, error: Exception | None) -> float:
        """Seconds until it is told."""
        began, asking, told = clock.seconds(), Deferred[None](), list[float]()
        evenly(asking).addBoth(lambda _: told.append(clock.seconds()))
        clock.advance(seconds)
        asking.callback(None) if error is None else asking.errback(error)
        clock.pump([0.001] * (0 if told else 400))
        return told[0] - began

    wrong = Refused("wrong-credentials")
    assert took(0.125, wrong) == 0.125
    assert took(0.0, wrong) == pytest.approx(0.125, abs=0.002)
    assert took(0.0, None) == 0.0
    assert took(0.0, Unavailable("down")) == 0.0
    assert took(0.0, CancelledError()) == 0.0
    # Within bounds.
    assert took(5.0, wrong) == 5.0
    assert took(0.0, wrong) == pytest.approx(0.25, abs=0.002)
    clock.advance(3000)
    assert took(0.0, wrong) == pytest.approx(0.25, abs=0.002)
    clock.advance(10_000)
    assert took(0.0, wrong) == 0.0


@pytest.mark.parametrize("octets", [b"", b"a\0", b"\xff", b"a\n", "a\u200b".encode()])
def test_noName(octets: bytes) -> None:
    """What cannot be a name is wrong like any other."""
    with pytest.raises(Refused) as raised:
        nameOf(octets)
    assert raised.value.reason == "wrong-credentials"


def test_name() -> None:
    """Names are text in UTF-8."""
    assert nameOf("renée o'neill".encode()) == "renée o'neill"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_loopback(host: str) -> None:
    """Where no network listens."""
    assert isLoopback(host)
    assert not isLoopback(f"{host}.example")


@pytest.mark.parametrize("edited", EDITED)
def test_authoritiesOfAnyEditor(tmp_path: Path, edited: str) -> None:
    """A byte-order mark and other line ends change nothing of C{ca}."""
    octets = pemOf(Authority().certificate) + pemOf(Authority().certificate)
    (tmp_path / "ca.pem").write_bytes(EDITED[edited](octets))
    trustIn(Settings({"ca": "ca.pem"}, tmp_path))
    (tmp_path / "ca.pem").write_bytes(wide(octets))
    with pytest.raises(ValueError, match="ca: is not a file of certificates in PEM"):
        trustIn(Settings({"ca": "ca.pem"}, tmp_path))


def test_turnsBySource(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A flood of one source takes neither the turns nor the places of another one.
    """
    monkeypatch.setattr(remote, "_MOST", 256)
    asked = Asked()

    def ask(source: bytes) -> list[Any]:
        def asking() -> list[Any]:
            ASKING.set(source)
            return asked.ask()[1]

        return copy_context().run(asking)

    flood = [ask(b"flood") for _ in range(300)]
    assert sum(bool(results) for results in flood) == 44
    honest = ask(b"honest")
    assert not honest
    # It is the flood's own last question that had to make room.
    assert [results[0].reason for results in flood if results] == ["busy"] * 45
    for running in asked.running[:2]:
        running.callback(None)
    asked.running[3].callback("in")
    assert honest == ["in"]


@pytest.mark.parametrize("how", ["failed", "fails", "cancelled", "late"])
def test_noFailureKeepsTheQuestion(how: str) -> None:
    """A password in it is gone when the answer comes, without the garbage collector."""

    class Question:
        """What has the password."""

    clock = Clock()
    seen: list[Any] = []
    turns = Turns(clock, "corp", 1, 5.0)
    held: Deferred[None] = fail(ValueError()) if how == "failed" else Deferred()

    async def work(question: Question) -> None:
        try:
            await held
        finally:
            assert question

    gc.disable()
    try:
        question = Question()
        kept = ref(question)
        asking = turns.ask(partial(work, question))
        asking.addErrback(lambda failure: seen.append(failure.type))
        del question
        if how == "fails":
            held.errback(ValueError())
        elif how == "cancelled":
            asking.cancel()
        elif how == "late":
            clock.advance(6.0)
        assert len(seen) == 1
        assert kept() is None
    finally:
        gc.enable()
