"""
The controllers of a domain: order, time, and what is not believed. Records of a real
DNS are in C{tests/interop/test_ldaplayers.py}.
"""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from socksgw.login.stores import ldapdomain
from socksgw.login.stores.ldapdomain import Domain, Target, inOrder
from socksgw.login.stores.ldapservers import NoServers, Server

A, B = Target(0, 75, "a.corp.test", 389), Target(0, 25, "b.corp.test", 389)
NONE, LAST = Target(0, 0, "none.corp.test", 389), Target(7, 90, "last.corp.test", 389)


def test_order() -> None:
    """RFC 2782: priority first, then chance by weight; 0 is chosen rarely."""
    random = Random(1)
    orders = [inOrder([LAST, B, NONE, A], random) for _ in range(2000)]
    assert {order[-1] for order in orders} == {LAST}
    assert all(len(set(order)) == 4 for order in orders)
    first = Counter(order[0] for order in orders)
    assert first[A] > 2 * first[B] > 20 * first[NONE]
    assert inOrder([], random) == []


def test_onlyWithin() -> None:
    """DNS leads to no host outside of the domain, and to none whose name only ends so."""
    inside = Target(0, 0, "dc.corp.test", 389)
    others = [Target(0, 0, host, 389) for host in ("dc.evil.test", "xcorp.test")]
    assert ldapdomain._within("Corp.Test", [*others, inside]) == [inside]
    with pytest.raises(NoServers, match=r"outside of corp\.test"):
        ldapdomain._within("corp.test", others)


class Names:
    """DNS that says what it is told to."""

    def __init__(self) -> None:
        self.said: Any = ([A], 100.0)
        self.asked = 0

    def ask(self, domain: str, site: str) -> Any:
        assert (domain, site) == ("corp.test", "")
        self.asked += 1
        if isinstance(self.said, Exception):
            raise self.said
        return self.said


class Here:
    """Does at once what is for threads."""

    async def do(self, work: Any) -> Any:
        return work()


def test_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    An answer counts for its time to live. What was said last counts while DNS says
    nothing, and a controller stays the same while it is named.
    """
    monkeypatch.setattr(ldapdomain, "threadsFor", lambda *_: Here())
    clock, names = Clock(), Names()

    def made(host: str, port: int) -> Server:
        return Server(f"ldaps://{host}", host, 636, None, False)

    domain = Domain(clock, "corp.test", "", made, names.ask, Random(1))

    def hosts() -> list[Server]:
        found: list[Any] = []
        Deferred.fromCoroutine(domain.servers()).addBoth(found.append)
        return list(found[0]) if isinstance(found[0], list) else found

    (first,) = hosts()
    clock.advance(99)
    assert hosts() == [first]
    assert names.asked == 1
    names.said = ([LAST, A], 1.0)
    clock.advance(2)
    found = hosts()
    assert [each.host for each in found] == [A.host, LAST.host]
    assert found[0] is first
    # So short a time would be a question for each login.
    clock.advance(29)
    assert hosts() == found
    assert names.asked == 2
    names.said = NoServers("DNS does not answer")
    clock.advance(2)
    assert hosts() == found
    assert names.asked == 3


def test_neverAnswered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any answer there is no server to ask."""
    monkeypatch.setattr(ldapdomain, "threadsFor", lambda *_: Here())
    names = Names()
    names.said = NoServers("DNS does not answer")
    domain = Domain(Clock(), "corp.test", "", lambda *_: None, names.ask)  # type: ignore[arg-type]
    found: list[Any] = []
    Deferred.fromCoroutine(domain.servers()).addErrback(found.append)
    assert found[0].type is NoServers
