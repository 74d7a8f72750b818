"""
One person has one name, however the ticket spells it.
"""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from zope.interface import implementer

from socksgw.interfaces import INamingStore
from socksgw.login import canonical
from socksgw.login.canonical import CanonicalNames
from socksgw.login.identities import VerifiedIdentities
from socksgw.login.portal import Login
from socksgw.login.stores.remote import Unavailable
from tests.login.identities import Identity, settled
from tests.login.logins import HERE


@implementer(INamingStore)
class Names:
    """
    A directory that knows alice, however she is spelled, and by another name.
    """

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.error: Exception | None = None
        self.slow: Deferred[None] | None = None

    async def canonicalName(self, name: str) -> str | None:
        self.asked.append(name)
        if self.slow is not None:
            await self.slow
        if self.error is not None:
            raise self.error
        return "Alice" if name.lower() in ("alice", "alice.smith") else None


def named(names: Names, seconds: float = 60) -> tuple[Login, Clock]:
    """A login where that directory is asked."""
    clock = Clock()
    known = CanonicalNames([names], seconds, clock.seconds)
    checker = VerifiedIdentities(["R"], names=known)
    groups = {"staff": ["Alice"]}
    return Login([checker], groups, 60, clock.seconds, wall=clock.seconds), clock


@pytest.mark.parametrize("name", [b"alice", b"ALICE", b"aLiCe", b"alice.smith"])
def test_theDirectorysSpelling(name: bytes) -> None:
    """
    Whatever the ticket says, the user is who the directory says, with that
    user's groups and the ticket's end.
    """
    user = settled(named(Names())[0], Identity(name, "R", 77.0))
    assert (user.name, user.groups, user.expires) == ("Alice", {"staff"}, 77.0)
    assert user.proved


def test_notInTheDirectory() -> None:
    """Whom it does not know does not get in; other realms' it is not asked."""
    names = Names()
    login, _ = named(names)
    failure = settled(login, Identity(b"mallory", "R"))
    assert (failure.reason, failure.counts) == ("unknown-user", False)
    assert settled(login, Identity(b"Bob", "OTHER")).name == "bob@OTHER"
    assert names.asked == ["mallory"]


def test_noDirectory() -> None:
    """While it cannot be asked nobody gets in whose name it has to say."""
    names = Names()
    names.error = Unavailable("down")
    login, _ = named(names)
    assert settled(login, Identity(b"alice", "R")).reason == "store-unavailable"
    names.error = None
    assert settled(login, Identity(b"alice", "R")).name == "Alice"


def test_rememberedNames() -> None:
    """
    The directory is asked once for all that wait, and again when its answer is
    old; whoever goes away leaves nothing behind.
    """
    names = Names()
    login, clock = named(names)
    names.slow = Deferred()
    results: list[Any] = []
    for _ in range(3):
        waiting = Deferred.fromCoroutine(
            login.settle(Identity(b"ALICE", "R"), "gssapi", HERE)
        )
        waiting.addBoth(results.append)
    waiting.cancel()
    slow, names.slow = names.slow, None
    slow.callback(None)
    assert [getattr(r, "name", None) for r in results] == [None, "Alice", "Alice"]
    assert settled(login, Identity(b"ALICE", "R")).name == "Alice"
    assert names.asked == ["ALICE"]
    clock.advance(60)
    assert settled(login, Identity(b"ALICE", "R")).name == "Alice"
    assert names.asked == ["ALICE"] * 2
    never, _ = named(names, seconds=0)
    for _ in range(2):
        assert settled(never, Identity(b"ALICE", "R")).name == "Alice"
    assert names.asked == ["ALICE"] * 4


def test_namesAreBounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """So many names are remembered, the oldest is forgotten first."""
    monkeypatch.setattr(canonical, "_REMEMBERED", 2)
    names = Names()
    login, _ = named(names)
    for name in (b"alice", b"ALICE", b"Alice", b"alice"):
        settled(login, Identity(name, "R"))
    assert names.asked == ["alice", "ALICE", "Alice", "alice"]
