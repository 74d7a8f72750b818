"""
Lists of very many sessions are made in pieces: none keeps the reactor long.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.defer import Deferred, succeed

from socksgw.admin.api import sessions
from socksgw.admin.table import Answer, Asked, Caller
from socksgw.audit.record import SessionRecord
from socksgw.gateway.role import Role
from socksgw.gateway.sessions import Sessions
from socksgw.session.stage import Stage
from socksgw.system.aside import collectorAside
from socksgw.wire.address import Address

MANY = 5000
#: Seconds that one turn of the reactor may take.
TURN = 0.05


@pytest.fixture(autouse=True)
def _alone() -> Iterator[None]:
    """The collector looks at all there is when it wants to: that is not measured."""
    with collectorAside():
        yield


class Turns:
    """A reactor that runs what was due before a turn in that turn, and no more."""

    def __init__(self) -> None:
        self._due: list[Any] = []

    def callLater(self, _: float, call: Any, *arguments: Any) -> None:
        self._due.append((call, arguments))

    def turn(self) -> None:
        due, self._due = self._due, []
        for call, arguments in due:
            call(*arguments)


class Client:
    """A client that is ended once."""

    def __init__(self, source: Address, ended: list[str]) -> None:
        self.source = source
        self.port = 1234
        self._ended = ended

    def end(self, failure: Exception) -> None:
        self._ended.append(str(failure))


def crowd(ended: list[str]) -> Any:
    """Return a gateway with many sessions."""
    live = Sessions()

    def made(number: int) -> Any:
        source = Address(number.to_bytes(4, "big"))
        record = SessionRecord(number, "main", source, 1234, float(number))
        record.user, record.asked, record.port = f"user{number % 7}", b"db.example", 443
        record.name, record.rule = "db.example", "all"
        return SimpleNamespace(
            record=record,
            client=Client(source, ended),
            stage=Stage.RELAY,
            moved=(number % 1000, 5),
        )

    for _ in range(MANY):
        live.begin(made)
    # No process before it has sessions.
    relief = SimpleNamespace(predecessors={}, ask=lambda message: succeed([]))
    return SimpleNamespace(
        role=Role(), sessions=live, clock=lambda: 6000.0, relief=relief
    )


def turned(reactor: Turns, made: Any) -> tuple[Answer, float]:
    """Return what a handler answers, and the longest turn that it took."""
    found: list[Any] = []
    began = time.thread_time()
    Deferred.fromCoroutine(made).addBoth(found.append)
    longest = time.thread_time() - began
    turns = 1
    while not found:
        began = time.thread_time()
        reactor.turn()
        longest = max(longest, time.thread_time() - began)
        turns += 1
    assert isinstance(found[0], Answer), found
    assert turns >= MANY / 1000
    return found[0], longest


def asked(gateway: Any, reactor: Turns, **query: Any) -> Asked:
    """Return what a handler is given."""
    caller = Caller("uid:0", frozenset({"operate"}))
    return Asked(gateway, reactor, SimpleNamespace(), caller, {}, query, {})


@pytest.mark.alone
def test_list() -> None:
    """Sorted and filtered, with the longest page there is."""
    reactor, gateway = Turns(), crowd([])
    for query in (
        {"sort": "octets", "order": "desc", "limit": 1000, "offset": 4000},
        {"sort": "destination", "limit": 1000, "source": "0.0.0.0/1"},
        {"user": "user3", "destination": "*.example", "older": 10.0},
    ):
        answer, longest = turned(
            reactor, sessions._list(asked(gateway, reactor, **query))
        )
        assert isinstance(answer.body, bytes)
        assert len(json.loads(answer.body)["sessions"]) in (1000, 100)
        assert longest < TURN, query


@pytest.mark.alone
def test_kill() -> None:
    """Each is ended once, a few in each turn."""
    ended: list[str] = []
    reactor, gateway = Turns(), crowd(ended)
    this = asked(gateway, reactor, all=True)
    _, longest = turned(reactor, sessions._kill(this))
    assert ended == ["by uid:0"] * MANY
    assert this.result == f"{MANY} sessions ended"
    assert longest < TURN


@pytest.mark.alone
def test_manyAtOnce() -> None:
    """Who asks together takes no more of a turn than who asks alone."""
    reactor, gateway = Turns(), crowd([])
    answers: list[Any] = []
    longest, began = 0.0, time.thread_time()
    for _ in range(20):
        this = asked(gateway, reactor, sort="octets", limit=1000)
        Deferred.fromCoroutine(sessions._list(this)).addBoth(answers.append)
    while len(answers) < 20:
        longest = max(longest, time.thread_time() - began)
        began = time.thread_time()
        reactor.turn()
    assert {len(json.loads(each.body)["sessions"]) for each in answers} == {1000}
    assert longest < TURN
