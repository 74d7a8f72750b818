"""
Ways by an address that is chosen for each session.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from socksgw.interfaces import Asker
from socksgw.login.realm import ANYBODY
from socksgw.route import chosen as module
from socksgw.route.chosen import Chosen
from socksgw.route.leaving import LeaveBy
from socksgw.system.connection import SocketName
from socksgw.system.outgoing import Near
from socksgw.wire.address import Address
from tests.fakes.policy import loggedIn

FOURS = [Address.parse(f"192.0.2.{n}") for n in range(1, 9)]
ADDRESS = Address.parse("198.51.100.1")


def session(
    user: str = "", source: str = "203.0.113.1", local: Address | None = None
) -> Any:
    """A session of a user, or of a client without a login."""
    return SimpleNamespace(
        asker=Asker(loggedIn(user) if user else ANYBODY, Address.parse(source), "lan"),
        local=None if local is None else SocketName(local, 1080),
    )


class Direct:
    """Takes note of what it is asked for."""

    def __init__(self, near: Near) -> None:
        self.near = near
        self.asked: list[str] = []

    def reached(self, *_: Any) -> None:
        self.asked.append("reached")

    def connect(self, *_: Any) -> str:
        self.asked.append("connect")
        return "outlet"

    def reach(self, *_: Any) -> str:
        self.asked.append("reach")
        return "outlet"

    async def listen(self, *_: Any) -> str:
        self.asked.append("listen")
        return "listening"

    async def datagrams(self, *_: Any) -> str:
        self.asked.append("datagrams")
        return "datagrams"


def ways(leaveBy: LeaveBy) -> Any:
    make: Any = Direct
    return Chosen(leaveBy, make)


def test_bySession() -> None:
    """A user has one address wherever it comes from; without a login, a source has."""
    chosen = ways(LeaveBy(FOURS))
    alice = {chosen.of(session("alice", f"203.0.113.{n}")).near for n in range(9)}
    assert len(alice) == 1
    users = {chosen.of(session(f"user{n}")).near for n in range(60)}
    sources = {chosen.of(session("", f"203.0.113.{n}")).near for n in range(60)}
    assert len(users) == len(sources) == len(FOURS)
    # A host has a whole /64 to itself.
    six = {chosen.of(session("", f"2001:db8::{n:x}")).near for n in range(60)}
    assert len(six) == 1


def test_sameAddress() -> None:
    """Sessions that came to one address share their ways."""
    chosen = ways(LeaveBy((), same=True))
    first = chosen.of(session("alice", local=FOURS[0]))
    assert first is chosen.of(session("bob", local=FOURS[0]))
    assert first.near == Near(FOURS[0], None, True)
    assert chosen.of(session("alice", local=FOURS[1])).near.four == FOURS[1]


def test_notTooMany(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host with a whole network of addresses does not fill the memory."""
    monkeypatch.setattr(module, "_MOST", 3)
    chosen = ways(LeaveBy((), same=True))
    for each in FOURS:
        assert chosen.of(session(local=each)).near.four == each
    assert len(chosen._made) <= 3


def test_everyCommand() -> None:
    """Each goes the way of its session."""
    chosen, alice = ways(LeaveBy(FOURS)), session("alice")
    direct: Any = chosen.of(alice)
    admit: Any = None
    near, options = SocketName(FOURS[0], 1080), admit
    found: list[Any] = [chosen.connect((ADDRESS,), 7, admit, alice)]
    found.append(chosen.reach("db.example", 7, None, alice))
    for waiting in (
        chosen.listen("whose", ADDRESS, False, near, options, alice),
        chosen.datagrams(None, options, None, alice),
    ):
        Deferred.fromCoroutine(waiting).addCallback(found.append)
    chosen.reached("whose", ADDRESS)
    assert found == ["outlet", "outlet", "listening", "datagrams"]
    assert direct.asked == ["connect", "reach", "listen", "datagrams", "reached"]
