"""
Lists of very many sessions are made in pieces: none keeps the reactor long.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred, succeed

from socksgw.admin.api import sessions
from socksgw.admin.table import Answer, Asked, Caller
from socksgw.audit.record import SessionRecord
from socksgw.gateway.role import Role
from socksgw.gateway.sessions import Sessions
from socksgw.session.stage import Stage
from socksgw.wire.address import Address

MANY = 5000
#: How many sessions one turn of the reactor may look at, tell of, and end.
MOST = {"looked": 1000, "told": 1000, "ended": 100}


class Turns:
    """
    A reactor that runs what was due before a turn in that turn, and no more.

    @ivar done: how much of each of L{MOST} was done in this turn.
    @ivar count: how many turns there were.
    """

    def __init__(self) -> None:
        self._due: list[Any] = []
        self.done = Counter[str]()
        self.count = 0

    def callLater(self, _: float, call: Any, *arguments: Any) -> None:
        self._due.append((call, arguments))

    def until(self, found: list[Any], count: int = 1) -> None:
        """Take turns until so much is found; none does too much."""
        while True:
            self.count += 1
            for what, done in self.done.items():
                assert done <= MOST[what], (what, done)
            self.done.clear()
            if len(found) == count:
                return
            due, self._due = self._due, []
            for call, arguments in due:
                call(*arguments)


class Client:
    """A client that is ended once."""

    def __init__(self, source: Address, reactor: Turns, ended: list[str]) -> None:
        self.source = source
        self.port = 1234
        self._reactor = reactor
        self._ended = ended

    def end(self, failure: Exception) -> None:
        self._reactor.done["ended"] += 1
        self._ended.append(str(failure))


class Looked:
    """A table of live sessions that counts how many are looked at."""

    def __init__(self, reactor: Turns) -> None:
        self._reactor = reactor
        self._live = Sessions()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._live, name)

    def __len__(self) -> int:
        return len(self._live)

    def __iter__(self) -> Iterator[Any]:
        for each in self._live:
            self._reactor.done["looked"] += 1
            yield each


class Told(SimpleNamespace):
    """A session that counts how often its stage is read, as a list does for each."""

    @property
    def stage(self) -> Stage:
        self.reactor.done["told"] += 1
        return Stage.RELAY


def crowd(reactor: Turns, ended: list[str]) -> Any:
    """Return a gateway with many sessions."""
    live = Looked(reactor)

    def made(number: int) -> Any:
        source = Address(number.to_bytes(4, "big"))
        record = SessionRecord(number, "main", source, 1234, float(number))
        record.user, record.asked, record.port = f"user{number % 7}", b"db.example", 443
        record.name, record.rule = "db.example", "all"
        return Told(
            record=record,
            client=Client(source, reactor, ended),
            reactor=reactor,
            moved=(number % 1000, 5),
        )

    for _ in range(MANY):
        live.begin(made)
    # No process before it has sessions.
    relief = SimpleNamespace(predecessors={}, ask=lambda message: succeed([]))
    return SimpleNamespace(
        role=Role(), sessions=live, clock=lambda: 6000.0, relief=relief
    )


def turned(reactor: Turns, made: Any) -> Answer:
    """Return what a handler answers, in turns that none of them takes too much of."""
    found: list[Any] = []
    Deferred.fromCoroutine(made).addBoth(found.append)
    reactor.until(found)
    assert isinstance(found[0], Answer), found
    return found[0]


def asked(gateway: Any, reactor: Turns, **query: Any) -> Asked:
    """Return what a handler is given."""
    caller = Caller("uid:0", frozenset({"operate"}))
    return Asked(gateway, reactor, SimpleNamespace(), caller, {}, query, {})


def test_list() -> None:
    """Sorted and filtered, with the longest page there is."""
    reactor = Turns()
    gateway = crowd(reactor, [])
    for query in (
        {"sort": "octets", "order": "desc", "limit": 1000, "offset": 4000},
        {"sort": "destination", "limit": 1000, "source": "0.0.0.0/1"},
        {"user": "user3", "destination": "*.example", "older": 10.0},
    ):
        answer = turned(reactor, sessions._list(asked(gateway, reactor, **query)))
        assert isinstance(answer.body, bytes)
        assert len(json.loads(answer.body)["sessions"]) in (1000, 100)


def test_kill() -> None:
    """Each is ended once, a few in each turn."""
    ended: list[str] = []
    reactor = Turns()
    gateway = crowd(reactor, ended)
    this = asked(gateway, reactor, all=True)
    turned(reactor, sessions._kill(this))
    assert ended == ["by uid:0"] * MANY
    assert this.result == f"{MANY} sessions ended"


def test_manyAtOnce() -> None:
    """Who asks together takes no more of a turn than who asks alone."""
    reactor = Turns()
    gateway = crowd(reactor, [])
    answers: list[Any] = []
    for _ in range(20):
        this = asked(gateway, reactor, sort="octets", limit=1000)
        Deferred.fromCoroutine(sessions._list(this)).addBoth(answers.append)
    reactor.until(answers, 20)
    assert {len(json.loads(each.body)["sessions"]) for each in answers} == {1000}
