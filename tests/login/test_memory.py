"""
Logins that are remembered, and those that are not.
"""

from __future__ import annotations

from typing import Any

import pytest
from twisted.cred.credentials import (
    Anonymous,
    IUsernameHashedPassword,
    UsernamePassword,
)
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from zope.interface import implementer

from socksgw.errors import AuthenticationFailed
from socksgw.interfaces import IBearerToken
from socksgw.login.groups import Membership
from socksgw.login.identities import Proved
from socksgw.login.portal import Login
from socksgw.login.realm import ANYBODY
from tests.login.logins import (
    GROUPS,
    Bearer,
    ChangingChecker,
    Checker,
    alice,
    login,
    settled,
)


def test_remembered() -> None:
    """A positive login is remembered until its time is over, by the clock."""
    clock, checker = Clock(), Checker(alice=b"sesame")
    remembering = login(checker, clock=clock, seconds=60)
    first = settled(remembering, alice())
    clock.advance(59.9)
    assert settled(remembering, alice()) == first
    assert checker.asked == 1
    clock.advance(0.2)
    assert settled(remembering, alice()) == first
    assert checker.asked == 2
    # Being used does not prolong it: remembered anew for as long.
    clock.advance(59)
    settled(remembering, alice())
    assert checker.asked == 2


def test_notRemembered() -> None:
    """C{cache = 0} remembers nothing."""
    checker = Checker(alice=b"sesame")
    forgetting = login(checker, seconds=0)
    settled(forgetting, alice())
    settled(forgetting, alice())
    assert checker.asked == 2


@pytest.mark.parametrize(
    ("name", "password", "method"),
    [
        (b"alice", b"Sesame", "userpass"),
        (b"alice", b"", "userpass"),
        (b"alices", b"esame", "userpass"),
        (b"alic", b"esesame", "userpass"),
        (b"alicesesame", b"", "userpass"),
        (b"", b"alicesesame", "userpass"),
        (b"alice", b"sesameuserpass", ""),
        (b"alice", b"sesame", "other"),
        (b"alice5:6:", b"sesame", "userpass"),
    ],
)
def test_wholeCredential(name: bytes, password: bytes, method: str) -> None:
    """It is remembered by the whole credential: any other is asked about."""
    checker = Checker(alice=b"sesame")
    remembering = login(checker)
    settled(remembering, alice())
    settled(remembering, UsernamePassword(name, password), method)
    assert checker.asked == 2


def test_failuresAreNotRemembered() -> None:
    """What was wrong is asked about again: it may have become right."""
    checker = Checker()
    remembering = login(checker)
    assert isinstance(settled(remembering, alice()), AuthenticationFailed)
    checker.known[b"alice"] = b"sesame"
    assert settled(remembering, alice()).name == "alice"
    # And what is remembered as right does not make another right.
    assert isinstance(settled(remembering, alice(b"x")), AuthenticationFailed)
    assert checker.asked == 3


class KnowingChecker(ChangingChecker):
    """One that knows who is there."""

    def knows(self, name: bytes) -> bool:
        return name in self.known


def test_inherited() -> None:
    """
    What an earlier one remembers is known to the next, with the groups of its
    own, and for no longer than it remembers itself.
    """
    checker, clock = KnowingChecker(alice=b"sesame", bob=b"x"), Clock()
    before = login(checker, clock=clock)
    settled(before, alice())
    settled(before, UsernamePassword(b"bob", b"x"))
    settled(before, Anonymous(), "none")
    del checker.known[b"bob"]
    after = Login([checker], {"new": ["alice"]}, 30, clock.seconds)
    after.inherit(before)
    found = settled(after, alice())
    assert (found.name, found.groups) == ("alice", frozenset({"new"}))
    assert settled(after, Anonymous(), "none") is ANYBODY
    assert checker.asked == 2
    # Another password, somebody who is gone, or when the time is over: asked.
    assert isinstance(settled(after, alice(b"x")), AuthenticationFailed)
    gone = UsernamePassword(b"bob", b"x")
    assert isinstance(settled(after, gone), AuthenticationFailed)
    assert checker.asked == 4
    clock.advance(31)
    settled(after, alice())
    assert checker.asked == 5


class Directory:
    """What the portal asks of a directory; says the groups that it is told."""

    def __init__(self, *groups: str) -> None:
        self.groups = frozenset(groups)

    async def of(self, name: str) -> Membership:
        return Membership(self.groups)

    def lately(self, user: Any) -> Membership:
        return Membership(self.groups)

    def knows(self, name: str) -> bool:
        return True


def test_aDirectorysGroupsAreNotInherited() -> None:
    """These have a time of their own: who leaves one is out of it."""
    checker, directory = KnowingChecker(alice=b"sesame"), Directory("contractors")
    logins = [
        Login([checker], GROUPS, 60, Clock().seconds, directory=directory)  # type: ignore[arg-type]
        for _ in range(2)
    ]
    first = settled(logins[0], alice())
    assert first.groups == {"staff", "admins", "contractors"}
    logins[1].inherit(logins[0])
    directory.groups = frozenset()
    assert settled(logins[1], alice()).groups == {"staff", "admins"}
    assert checker.asked == 1


def test_nothingIsInheritedOfAnotherStore() -> None:
    """When the store has changed, everybody is asked about."""
    checker = KnowingChecker(alice=b"sesame")
    before = login(checker)
    settled(before, alice())
    checker.changes = 1
    after = login(checker)
    after.inherit(before)
    settled(after, alice())
    assert checker.asked == 2


def test_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only so many are remembered, the oldest are forgotten first."""
    monkeypatch.setattr("socksgw.login.memory._REMEMBERED", 3)
    checker = Checker(**{f"u{i}": b"x" for i in range(5)})
    remembering = login(checker)
    users = [UsernamePassword(b"u%d" % i, b"x") for i in range(5)]
    for user in users:
        settled(remembering, user)
    assert checker.asked == 5
    for user in users[2:]:
        settled(remembering, user)
    assert checker.asked == 5
    settled(remembering, users[0])
    assert checker.asked == 6


def test_otherCredentialsAreNotRemembered() -> None:
    """What cannot be digested whole is asked about each time."""

    @implementer(IUsernameHashedPassword)
    class Hashed:
        username = b"alice"

        def checkPassword(self, password: bytes) -> bool:
            return True

    checker: Any = Checker()
    checker.credentialInterfaces = (IUsernameHashedPassword,)
    checker.requestAvatarId = counted = Counted()
    remembering = login(checker)
    for _ in range(2):
        assert settled(remembering, Hashed(), "hashed").name == "alice"
    assert counted.asked == 2


class Counted:
    """A C{requestAvatarId} that says yes, and counts."""

    asked = 0

    def __call__(self, credentials: Any) -> Deferred[bytes]:
        self.asked += 1
        return succeed(b"alice")


class Proving:
    """
    Takes every token, and says until when.

    @ivar asked: how often it was asked.
    """

    credentialInterfaces = (IBearerToken,)

    def __init__(self, expires: float) -> None:
        self.expires = expires
        self.asked = 0

    def requestAvatarId(self, credentials: Any) -> Proved:
        self.asked += 1
        return Proved("build", self.expires)


def test_notBeyondItsEnd() -> None:
    """A token is remembered as other credentials are, and not when it has ended."""
    now = 1000.0
    checker: Any = Proving(1030.0)
    remembering = Login((checker,), {}, 60, Clock().seconds, wall=lambda: now)
    for _ in range(2):
        user = settled(remembering, Bearer(b"a"), "token")
        assert (user.name, user.expires) == ("build", 1030.0)
    assert checker.asked == 1
    settled(remembering, Bearer(b"b"), "token")
    assert checker.asked == 2
    now = 1029.9
    settled(remembering, Bearer(b"a"), "token")
    assert checker.asked == 2
    # Also where the clock of the memory stands still.
    now = 1030.0
    settled(remembering, Bearer(b"a"), "token")
    assert checker.asked == 3
