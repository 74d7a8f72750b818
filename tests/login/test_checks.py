"""
Checks under way: one for equal credentials, and none of a store that was replaced.
"""

from __future__ import annotations

import gc
import itertools
from typing import Any

import pytest
from twisted.cred.checkers import (
    ICredentialsChecker,
)
from twisted.cred.credentials import (
    IUsernamePassword,
    UsernamePassword,
)
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from zope.interface import implementer

from socksgw.config.schema import Throttle
from socksgw.errors import AuthenticationFailed
from socksgw.login.checks import Checks
from socksgw.login.throttle import LoginThrottle
from socksgw.system.threads import NeverBegun
from tests.login.logins import (
    CANARY,
    HERE,
    ChangingChecker,
    Checker,
    Secretive,
    alice,
    login,
    settled,
    settling,
)


class Slow(ChangingChecker):
    """Answers when the test does."""

    def __init__(self, **known: bytes) -> None:
        super().__init__(**known)
        self.answers: list[Deferred[bytes]] = []

    def requestAvatarId(self, credentials: Any) -> Deferred[Any]:
        self.asked += 1
        self.answers.append(Deferred())
        return self.answers[-1]


def test_changedWhileItWasAsked() -> None:
    """
    A store that changes while a login is verified against the old one makes
    that login forgotten too.
    """
    checker = Slow()
    remembering = login(checker)
    _, slow = settling(remembering, alice())
    checker.changes = 1
    _, other = settling(remembering, UsernamePassword(b"bob", b"x"))
    checker.answers[0].callback(b"alice")
    checker.answers[1].callback(b"bob")
    assert slow[0].name == "alice"
    assert other[0].name == "bob"
    _, again = settling(remembering, alice())
    assert checker.asked == 3, "the login of the old store is remembered"
    checker.answers[2].errback(UnauthorizedLogin())
    assert isinstance(again[0], AuthenticationFailed)


def test_changedAndNobodyElseCame() -> None:
    """Nor is it remembered when nobody came in the meantime."""
    checker = Slow()
    remembering = login(checker)
    settling(remembering, alice())
    checker.changes = 1
    checker.answers[0].callback(b"alice")
    settling(remembering, alice())
    assert checker.asked == 2


@pytest.mark.parametrize("right", [True, False])
def test_oneCheck(right: bool) -> None:
    """
    Equal credentials that are being checked are not checked again; what
    comes of it is for all who wait, and a failure for nobody else.
    """
    checker = Slow()
    remembering = login(checker)
    outcomes = [settling(remembering, alice())[1] for _ in range(3)]
    assert checker.asked == 1
    if right:
        checker.answers[0].callback(b"alice")
        assert [outcome[0].name for outcome in outcomes] == ["alice"] * 3
    else:
        checker.answers[0].errback(UnauthorizedLogin())
        for outcome in outcomes:
            assert isinstance(outcome[0], AuthenticationFailed)
    settling(remembering, alice())
    assert checker.asked == (1 if right else 2)


def test_checksOfOthers() -> None:
    """Others, and other methods, are checked by themselves."""
    checker = Slow()
    remembering = login(checker)
    outcomes = [
        settling(remembering, credentials, method)[1]
        for credentials, method in [
            (alice(), "userpass"),
            (alice(b"x"), "userpass"),
            (UsernamePassword(b"alices", b"esame"), "userpass"),
            (alice(), "other"),
        ]
    ]
    assert checker.asked == 4
    checker.answers[0].callback(b"alice")
    assert [len(outcome) for outcome in outcomes] == [1, 0, 0, 0]
    for answer in checker.answers[1:]:
        answer.errback(UnauthorizedLogin())


def test_oneOfTwoGoes() -> None:
    """A check goes on while anybody waits for it, and is given up after."""
    checker = Slow()
    remembering = login(checker)
    first, gone = settling(remembering, alice())
    _, stays = settling(remembering, alice())
    first.cancel()
    assert type(gone[0]).__name__ == "CancelledError"
    assert not stays
    checker.answers[0].callback(b"alice")
    assert stays[0].name == "alice"
    both = [settling(remembering, alice(b"x")) for _ in range(2)]
    both[0][0].cancel()
    assert not checker.answers[1].called
    both[1][0].cancel()
    assert checker.answers[1].called
    assert len(gone) == len(stays) == 1
    _, later = settling(remembering, alice(b"x"))
    assert checker.asked == 3
    checker.answers[2].errback(UnauthorizedLogin())
    assert isinstance(later[0], AuthenticationFailed)


def test_oneEndsTheOther() -> None:
    """What the first does on being let in may end another who waits."""
    checker = Slow()
    remembering = login(checker)
    first, _ = settling(remembering, alice())
    second, ended = settling(remembering, alice())
    first.addCallback(lambda _: second.cancel())
    checker.answers[0].callback(b"alice")
    assert type(ended[0]).__name__ == "CancelledError"


def test_checkOfTheOldStoreIsGivenUp() -> None:
    """Also a check of a store that has changed ends with who waits for it."""
    checker = Slow()
    remembering = login(checker)
    waiting, _ = settling(remembering, alice())
    checker.changes = 1
    remembering.look()
    settling(remembering, UsernamePassword(b"bob", b"x"))
    waiting.cancel()
    assert [answer.called for answer in checker.answers] == [True, False]


@pytest.mark.parametrize("old", [True, False])
def test_checkOfTheOldStore(old: bool) -> None:
    """
    Who comes after the store changed is not told what the old one said, be it
    yes or no.
    """
    checker = Slow()
    remembering = login(checker)
    _, before = settling(remembering, alice())
    checker.changes = 1
    remembering.look()
    _, after = settling(remembering, alice())
    assert checker.asked == 2
    if old:
        checker.answers[0].callback(b"alice")
        checker.answers[1].errback(UnauthorizedLogin())
    else:
        checker.answers[0].errback(UnauthorizedLogin())
        checker.answers[1].callback(b"alice")
    users = [getattr(outcome[0], "name", None) for outcome in (before, after)]
    assert users == (["alice", None] if old else [None, "alice"])


def test_notShared() -> None:
    """
    What one process remembers is nothing to another, and there is no
    password in it.
    """
    checker = Checker(alice=CANARY.encode())
    one, other = login(checker), login(checker)
    settled(one, alice(CANARY.encode()))
    settled(other, alice(CANARY.encode()))
    assert checker.asked == 2
    assert not set(one._memory._right) & set(other._memory._right)
    seen: set[int] = set()
    left: list[Any] = [one._memory._right]
    while left:
        found = left.pop()
        if id(found) in seen or isinstance(found, type):
            continue
        seen.add(id(found))
        if isinstance(found, (str, bytes)):
            assert CANARY not in str(found)
        left += gc.get_referents(found)


def test_equalCredentialsAreCheckedOnce() -> None:
    """
    Clients that log in with the same credential at the same time wait for one
    check; it is given up when the last of them is gone, and not before.
    """
    checks: list[Deferred[bytes]] = []

    @implementer(ICredentialsChecker)
    class Slow:
        credentialInterfaces = (IUsernamePassword,)

        def requestAvatarId(self, credentials: Any) -> Deferred[Any]:
            checks.append(Deferred())
            return checks[-1]

    logins = login(Slow())
    results: list[Any] = []
    waiting = [
        Deferred.fromCoroutine(logins.settle(alice(), "userpass", HERE))
        for _ in range(3)
    ]
    for each in waiting:
        each.addBoth(results.append)
    assert len(checks) == 1
    waiting[0].cancel()
    assert not checks[0].called
    checks[0].callback(b"alice")
    assert [getattr(r, "name", None) for r in results] == [None, "alice", "alice"]

    others = login(Slow())
    alone = Deferred.fromCoroutine(others.settle(alice(), "userpass", HERE))
    alone.addErrback(results.append)
    alone.cancel()
    assert checks[1].called


def test_passwordOfASharedCheck() -> None:
    """
    The client is gone by whose credentials a check goes on for another one:
    they hold the password as long as the check.
    """

    @implementer(ICredentialsChecker)
    class Slow:
        credentialInterfaces = (IUsernamePassword,)
        waiting: Deferred[Any] = Deferred()

        async def requestAvatarId(self, credentials: Any) -> Any:  # type: ignore[override]
            await self.waiting
            return b"alice" if credentials.password == b"sesame" else ()

    shared = login(Slow())
    results: list[Any] = []
    both = [Secretive(b"alice", b"sesame") for _ in range(2)]
    waiting = [
        Deferred.fromCoroutine(shared.settle(each, "userpass", HERE)) for each in both
    ]
    waiting[1].addBoth(results.append)
    waiting[0].addErrback(lambda failure: None)
    waiting[0].cancel()
    assert both[0].password == b"sesame"
    Slow.waiting.callback(None)
    assert results[0].name == "alice"
    assert [each.password for each in both] == [b"", b""]


@pytest.mark.parametrize(
    ("why", "counts"), [(CancelledError, True), (NeverBegun, False)]
)
@pytest.mark.parametrize("released", [False, True])
def test_givenUpByAll(why: type[CancelledError], counts: bool, released: bool) -> None:
    """
    A check that is given up counts as a guess; one whose turn has not come does not.

    Either way the password is dropped afterwards, and not before it is counted.
    """
    refused: list[Any] = []

    async def ask(*_: Any) -> Any:
        await Deferred(lambda waiting: waiting.errback(why()))

    def refuse(key: object, credentials: Any, source: Any, answer: Any) -> None:
        refused.append((credentials.password, answer))

    checks = Checks(ask, refuse, None)
    credentials = Secretive(b"alice", b"sesame")
    waiting = checks.of(b"key", credentials, "userpass", HERE)
    waiting.addErrback(lambda _: None)
    if released:
        checks.release(credentials)
    waiting.cancel()
    checks.release(credentials)
    assert refused == ([(b"sesame", None)] if counts else [])
    assert not credentials.password
    assert len(checks) == 0


@pytest.mark.parametrize("backwards", [False, True])
def test_theOldestGoOn(backwards: bool) -> None:
    """
    Of more deserted checks than may go on, those that came last are given up, in
    whatever order the clients go: their turn has not come, and nothing is counted.
    """
    clock = Clock()
    throttle = LoginThrottle(clock.seconds, clock.callLater)
    throttle.configure(Throttle())
    refused: list[Any] = []
    begun, numbers = 2, itertools.count()
    answers: list[Deferred[Any]] = []

    async def ask(*_: Any) -> Any:
        why = CancelledError if next(numbers) < begun else NeverBegun
        answers.append(Deferred(lambda waiting: waiting.errback(why())))
        return await answers[-1]

    checks = Checks(ask, lambda *what: refused.append(what), throttle)
    waiting = []
    for number in range(40):
        credentials = Secretive(b"u%d" % number, b"sesame")
        waiting.append(checks.of(number, credentials, "userpass", HERE))
        waiting[-1].addErrback(lambda _: None)
    for each in reversed(waiting) if backwards else waiting:
        each.cancel()
    assert not refused
    assert [n for n, each in enumerate(answers) if not each.called] == [*range(16)]
    for answer in answers[:16]:
        answer.callback(None)
    assert len(checks) == 0
    assert not clock.getDelayedCalls()
