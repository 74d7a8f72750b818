"""
What all workers are asked together; real ones are in tests/workers/test_workforce.py.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from socksgw.workers.questions import Questions
from socksgw.workers.relieving import moved


def test_howLongIsWaited() -> None:
    """
    A view leaves out who says nothing; the end of a restart counts everybody's sessions,
    however late they have moved.
    """
    clock = Clock()
    answers: list[Deferred[Any]] = []

    def ask(_: Any) -> Deferred[Any]:
        answers.append(Deferred())
        return answers[-1]

    each: Any = SimpleNamespace(ask=ask, serves=True)
    questions = Questions(clock, lambda: iter([each, each]))
    found: list[Any] = []
    questions.ask({"do": "part"}).addCallback(found.append)
    answers.pop().callback({"left": 1})
    clock.advance(10)
    assert found == [[{"left": 1}]]

    answers.clear()
    questions.ask({"do": "leave"}, None).addCallback(moved).addCallback(found.append)
    answers.pop().callback({"moved": 2510, "left": 1})
    clock.advance(100)
    assert len(found) == 1
    answers.pop().callback({"moved": 2490, "left": 2})
    assert found[1:] == [(5000, 3)]
