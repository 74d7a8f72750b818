"""
Workers that take the places of others at one moment; real ones are in
tests/interop/test_restart_workers.py.
"""

from __future__ import annotations

import time
from typing import Any

from twisted.internet.defer import Deferred

from socksgw.system.channel import ChannelGone
from socksgw.workers.relieving import Together


class Child:
    """A worker that is built, as a supervisor sees it."""

    def __init__(self) -> None:
        self.orders: list[str] = []
        self.answer: Deferred[Any] = Deferred()

    def ask(self, message: dict[str, Any]) -> Deferred[Any]:
        self.orders.append(message["do"])
        return self.answer

    def tell(self, message: dict[str, Any]) -> None:
        self.orders.append(message["do"])


class Two:
    """Two of them."""

    def __init__(self) -> None:
        one: Any = Child()
        two: Any = Child()
        self.one, self.two = self.each = one, two
        self.started: list[Any] = []
        self.failed: list[Any] = []
        self.together: Any = Together(
            2,
            lambda child, answer: self.started.append((child, answer)),
            lambda child, _: self.failed.append(child),
        )
        self.together.built(self.one)
        assert self.one.orders == []
        self.together.built(self.two)
        assert [each.orders for each in self.each] == [["take"], ["take"]]


def test_atOneMoment() -> None:
    """Whoever has a place waits for the other; the time of both is told."""
    two = Two()
    first, second = ({"counted": {}, "since": time.monotonic() - n} for n in (5, 1))
    two.two.answer.callback(first)
    assert two.started == []
    assert two.two.orders == ["take"]
    two.one.answer.callback(second)
    assert [each.orders for each in two.each] == [["take", "accept"]] * 2
    assert two.started == [(two.two, first), (two.one, second)]
    assert two.together.paused >= 5


def test_orNever() -> None:
    """One that cannot, or that has ended, is told of, and no other has clients."""
    problems = {"problems": [["", "", "it is stuck"]]}
    for result in (problems, ChannelGone("it has ended")):
        two = Two()
        two.one.answer.callback({"counted": {}, "since": 0.0})
        if isinstance(result, Exception):
            two.two.answer.errback(result)
        else:
            two.two.answer.callback(result)
        assert (two.started, two.failed) in (
            ([(two.two, problems)], []),
            ([], [two.two]),
        )
        assert two.one.orders == ["take"]
