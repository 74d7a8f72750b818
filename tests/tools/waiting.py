"""
Wait until something is so, and fail when it does not become so in time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import Deferred

from socksgw.policy.decision import Decision

__all__ = ["until"]


def until(
    condition: Callable[..., Any],
    seconds: float = 30.0,
    turn: Callable[[], object] = lambda: time.sleep(0.02),
    seen: Callable[[], object] = lambda: "",
) -> Any:
    """
    Wait until C{condition()} is true, and return what it returned.

    @param turn: what is done between two looks; the turn of a reactor that is
        the test's own.
    @param seen: what there is instead, for the message.
    @raise AssertionError: it was not true within so many seconds.
    """
    end = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < end, f"it did not come in time {seen()}"
        turn()
    return result


def run(coroutine: Coroutine[Any, Any, Decision]) -> Decision:
    """Run a coroutine that waits for nothing, and return its result."""
    results: list[Decision] = []
    Deferred.fromCoroutine(coroutine).addCallback(results.append)
    assert results
    return results[0]
