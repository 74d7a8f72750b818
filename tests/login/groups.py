"""
Follow the groups of a directory on a clock of the test's own.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from socksgw.login.groups import DirectoryGroups
from socksgw.login.realm import SocksUser
from tests.fakes.loops import Timers

GROUPS = {"contractors": ["CN=Contractors", "CN=External"], "staff": ["CN=Staff"]}


class World:
    """A source, its clock, and what the journal was told."""

    def __init__(self, *sources: Any, hold: float = 0, groups: Any = GROUPS) -> None:
        self.clock = Clock()
        self.hold = hold
        self.groups = groups
        self.told: list[tuple[str, str, str]] = []
        self.directory = self.follower(*sources)

    def follower(self, *sources: Any) -> DirectoryGroups:
        return DirectoryGroups(
            sources, self.groups, 60, self.hold, 5, self.clock.seconds,
            Timers(self.clock).setDeadline,
            lambda *line: self.told.append(line),
        )  # fmt: skip

    def of(self, name: str) -> Any:
        """The groups of a user, which must be known without waiting."""
        return self.membership(name).groups

    def membership(self, name: str) -> Any:
        """The same, with what is not known."""
        results: list[Any] = []
        Deferred.fromCoroutine(self.directory.of(name)).addBoth(results.append)
        assert results, "it waits"
        return results[0]


def who(name: str, *groups: str) -> SocksUser:
    """Somebody who is in."""
    return SocksUser(name, frozenset(groups), "userpass")
