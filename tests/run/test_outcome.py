"""
What becomes of a coroutine that takes its time.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock

from socksgw.run.outcome import Outcome
from socksgw.system.coroutines import Awaited, Running


class Timed:
    """Deadlines by a clock."""

    def __init__(self) -> None:
        self.clock = Clock()

    def set(self, seconds: float, call: Any) -> Any:
        """As L{SetDeadline}."""
        later = self.clock.callLater(seconds, call)

        class Timer:
            def clear(self) -> None:
                if later.active():
                    later.cancel()

        return Timer()


async def doing(what: Deferred[Any]) -> Any:
    """Wait for something."""
    return await what


def got(running: Running[Any]) -> Any:
    """What a coroutine has returned, or how it failed."""
    found: list[Any] = []
    running.addBoth(found.append)
    [result] = found
    return result


def test_soon() -> None:
    """It ends in time, and its result is there."""
    timed, waiting = Timed(), Awaited[int]()
    outcome = Outcome(doing(waiting))
    soon = Running(outcome.within(timed.set, 1.0))
    waiting.callback(7)
    assert got(soon) is True
    assert got(Running(outcome.result())) == 7
    assert timed.clock.getDelayedCalls() == []


def test_late() -> None:
    """It takes longer; it is waited for again, and fails."""
    timed, waiting = Timed(), Awaited[int]()
    outcome = Outcome(doing(waiting))
    soon = Running(outcome.within(timed.set, 1.0))
    timed.clock.advance(1)
    assert got(soon) is False
    result = Running(outcome.result())
    waiting.errback(ValueError("why"))
    assert got(result).check(ValueError)


def test_atOnce() -> None:
    """What has ended already needs no wait."""

    async def seven() -> int:
        return 7

    timed = Timed()
    outcome = Outcome(seven())
    assert got(Running(outcome.within(timed.set, 1.0))) is True
    assert timed.clock.getDelayedCalls() == []


def test_cancel() -> None:
    """To cancel it cancels what it waits for."""
    waiting = Awaited[int]()
    outcome = Outcome(doing(waiting))
    outcome.cancel()
    assert outcome.decided
    assert got(Running(outcome.result())).check(CancelledError)
    # What has ended is left alone.
    outcome.cancel()
