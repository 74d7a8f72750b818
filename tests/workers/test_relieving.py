"""
Workers that take the places of others at one moment; real ones are in
tests/interop/test_restart_workers.py.
"""

from __future__ import annotations

import time
from typing import Any

from twisted.internet.defer import Deferred

from socksgw.metrics.merging import packed
from socksgw.metrics.snapshot import Snapshot
from socksgw.system.channel import ChannelGone
from socksgw.workers.relieving import Together


class Child:
    """A worker that is built, as a supervisor sees it."""

    def __init__(self, number: int) -> None:
        self.number = number
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
        one: Any = Child(1)
        two: Any = Child(2)
        self.one, self.two = self.each = one, two
        self.started: list[Any] = []
        self.failed: list[Any] = []
        self.lost: list[Snapshot] = []
        self.together: Any = Together(
            2,
            {"numbers": [2, 1], "counted": [packed(Snapshot(2.0)), None]},
            lambda child, answer: self.started.append((child, answer)),
            lambda child, _: self.failed.append(child),
            self.lost.append,
        )
        self.together.built(self.one)
        assert self.one.orders == []
        self.together.built(self.two)
        assert [each.orders for each in self.each] == [["take"], ["take"]]


def test_atOneMoment() -> None:
    """Whoever has a place waits for the other; the time of both is told."""
    two = Two()
    first, second = (
        {"counted": {}, "since": time.monotonic() - n, "lost": False} for n in (5, 1)
    )
    two.two.answer.callback(first)
    assert two.started == []
    assert two.two.orders == ["take"]
    two.one.answer.callback(second)
    assert [each.orders for each in two.each] == [["take", "accept"]] * 2
    assert two.started == [(two.two, first), (two.one, second)]
    assert two.together.paused >= 5
    assert two.lost == []


def test_oneBeforeHasDied() -> None:
    """What it had counted is told, where it had counted anything by then."""
    two = Two()
    for each in two.each:
        each.answer.callback({"counted": {}, "since": 0.0, "lost": True})
    assert len(two.started) == 2
    assert [each.at for each in two.lost] == [2.0]


def test_orNever() -> None:
    """One that cannot, or that has ended, is told of, and no other has clients."""
    problems = {"problems": [["", "", "it is stuck"]]}
    for result in (problems, ChannelGone("it has ended")):
        two = Two()
        two.one.answer.callback({"counted": {}, "since": 0.0, "lost": False})
        if isinstance(result, Exception):
            two.two.answer.errback(result)
        else:
            two.two.answer.callback(result)
        assert (two.started, two.failed) in (
            ([(two.two, problems)], []),
            ([], [two.two]),
        )
        assert two.one.orders == ["take"]
