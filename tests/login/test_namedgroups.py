"""
Groups that the configuration names and no directory has.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, eventAsText
from zope.interface import implementer

from socksgw.interfaces import IGroupCatalogue, IGroupSource
from socksgw.login.namedgroups import NamedGroups
from socksgw.login.stores.remote import Unavailable
from tests.login.groups import World, who

GROUPS = {"staff": ["CN=Staff"], "partners": ["CN=Partners", "CN=External"]}


@implementer(IGroupCatalogue)
class Catalogue:
    """A directory that has some groups."""

    name = "ad"

    def __init__(self, *has: str) -> None:
        self.has: Any = set(has)
        self.asked = 0
        self._expected: set[str] = set()

    def normal(self, name: str) -> str:
        if not name.startswith("CN="):
            raise ValueError("no name of a group")
        self._expected.add(name.lower())
        return name.lower()

    def missing(self) -> Deferred[frozenset[str]]:
        self.asked += 1
        if isinstance(self.has, Exception):
            return fail(self.has)
        return succeed(frozenset(self._expected - self.has))

    def groupsOf(self, name: str) -> Deferred[Any]:
        return succeed({"cn=external"} if name == "alice" else None)


@implementer(IGroupSource)
class Service:
    """A source that takes every name for a group's, and cannot list them."""

    name = "service"

    def normal(self, name: str) -> str:
        return name

    def groupsOf(self, name: str) -> Deferred[Any]:
        return succeed(None)


def named(*sources: Any) -> tuple[NamedGroups, Clock, list[int]]:
    clock, altered = Clock(), list[int]()
    groups = NamedGroups(sources, GROUPS, 60, clock.seconds, lambda: altered.append(1))
    return groups, clock, altered


def told(look: Callable[[], None]) -> str:
    with capturedLogs() as events:
        look()
    return "\n".join(map(eventAsText, events))


def test_missing() -> None:
    """
    A name that the directory does not have is said once, and so is that it has
    it again; between looks nobody is asked.
    """
    source = Catalogue("cn=staff", "cn=partners")
    groups, clock, altered = named(source)
    text = told(groups.look)
    assert 'group "partners": no directory has "CN=External"' in text
    assert groups.lost == {"partners"}
    assert groups.doubt == 'no directory has "CN=External"'
    assert told(groups.look) == ""
    assert (source.asked, altered) == (1, [1])
    clock.advance(61)
    assert told(groups.look) == ""
    source.has |= {"cn=external"}
    clock.advance(61)
    assert 'group "partners": its directory has it' in told(groups.look)
    assert (groups.lost, groups.doubt, altered) == (set(), "", [1, 1])


def test_notAsked() -> None:
    """A directory that cannot be asked has not said that there is no group."""
    source = Catalogue()
    source.has = Unavailable("down")
    groups, clock, _ = named(source)
    assert told(groups.look) == ""
    assert not groups.lost
    clock.advance(11)
    source.has = {"cn=partners"}
    groups.look()
    assert groups.lost == set(GROUPS)
    clock.advance(61)
    source.has = Unavailable("down")
    groups.look()
    assert groups.lost == set(GROUPS)


@pytest.mark.parametrize(
    ("sources", "lost"),
    [
        ([Catalogue("cn=staff"), Catalogue("cn=partners", "cn=external")], set()),
        ([Catalogue("cn=staff"), Catalogue("cn=partners")], {"partners"}),
        ([Catalogue(), Service()], set()),
    ],
    ids=["another's", "nobody's", "maybe"],
)
def test_several(sources: list[Any], lost: set[str]) -> None:
    """Only what every source lacks that could have it is missing."""
    groups, _, _ = named(*sources)
    groups.look()
    assert groups.lost == lost


def test_membership() -> None:
    """
    Nobody knows who is in a group that is gone: its rules are read as for one
    that is not known, for those whom a directory knows.
    """
    source = Catalogue("cn=contractors", "cn=external")
    world = World(source)
    assert world.of("alice") == {"contractors"}
    found = world.membership("alice")
    assert found.unsure == {"staff"}
    assert found.doubt == 'no directory has "CN=Staff"'
    assert world.directory.lately(who("alice")) == found
    assert not world.membership("bob").unsure
    source.has |= {"cn=staff"}
    world.clock.advance(61)
    world.directory.refresh(())
    assert world.directory.changed >= {"alice"}
    assert not world.membership("alice").unsure
