"""
Several checkers for the same kind of credentials.
"""

from __future__ import annotations

from typing import Any

import pytest
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword, UsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from zope.interface import implementer

from socksgw.config.schema import Throttle
from socksgw.errors import AuthenticationFailed
from socksgw.interfaces import IBearerToken
from socksgw.login.identities import Proved
from socksgw.login.portal import Login
from socksgw.login.refusal import WRONG, Refused
from socksgw.login.throttle import LoginThrottle
from socksgw.login.tokens import subjectIn
from tests.login.logins import login, settled, settling
from tests.tools.tokens import encoded


@implementer(ICredentialsChecker)
class Knows:
    """Lets one name in; fails for others with what it was made with."""

    credentialInterfaces = (IUsernamePassword,)

    def __init__(self, name: bytes, error: Exception) -> None:
        self.name = name
        self.error = error
        self.asked = 0

    def requestAvatarId(self, credentials: Any) -> Deferred[Any]:
        self.asked += 1
        if credentials.username == self.name:
            return succeed(self.name)
        return fail(self.error)


def tried(*checkers: Any, name: bytes) -> Any:
    return settled(login(*checkers), UsernamePassword(name, b"x"))


def test_inTurn() -> None:
    """The first that says yes is the last that is asked."""
    checkers = [Knows(name, UnauthorizedLogin()) for name in (b"a", b"b", b"c")]
    assert tried(*checkers, name=b"b").name == "b"
    assert [each.asked for each in checkers] == [1, 1, 0]
    assert isinstance(tried(*checkers, name=b"x"), AuthenticationFailed)
    assert [each.asked for each in checkers] == [2, 2, 1]


@pytest.mark.parametrize("first", [True, False])
def test_reason(first: bool) -> None:
    """Of several refusals the journal has the one that says most."""
    wrong = Knows(b"a", Refused("wrong-credentials"))
    down = Knows(b"b", Refused("store-unavailable"))
    order = [down, wrong] if first else [wrong, down]
    assert tried(*order, name=b"x").reason == "store-unavailable"
    # A store that cannot be asked keeps nobody out whom another one knows.
    assert tried(*order, name=b"a").name == "a"


def test_defect() -> None:
    """A checker that fails otherwise lets nobody in, and asks nobody else."""
    broken, other = Knows(b"a", ValueError()), Knows(b"b", UnauthorizedLogin())
    assert tried(broken, other, name=b"b").reason == "checker-failed"
    assert other.asked == 0


@implementer(ICredentialsChecker)
class Issuer:
    """
    Takes tokens, and judges those of one subject.
    """

    credentialInterfaces = (IBearerToken, IUsernamePassword)

    def __init__(self, subject: str, good: bool = True) -> None:
        self.subject = subject
        self.good = good
        self.asked = 0

    def requestAvatarId(self, credentials: Any) -> Any:
        self.asked += 1
        if subjectIn(credentials.password) != self.subject.encode():
            raise Refused(WRONG)
        if not self.good:
            raise Refused("bad-token", "it is", counts=True, final=True)
        return Proved(self.subject, None)


def _token(subject: str) -> bytes:
    return encoded({"alg": "x"}) + b"." + encoded({"sub": subject}) + b".x"


def test_tokens() -> None:
    """
    No other store learns a token that an issuer knows for its own, wherever they stand;
    what no issuer knows may be a password.
    """
    passwords = Knows(b"x", UnauthorizedLogin())
    bad, good = Issuer("bad", good=False), Issuer("good")
    there = login(passwords, bad, good)

    def tried(password: bytes) -> Any:
        return settled(there, UsernamePassword(b"x", password))

    assert tried(_token("good")).name == "good"
    for _ in range(2):
        assert tried(_token("bad")).reason == "bad-token"
    assert passwords.asked == 0
    assert tried(_token("other")).name == "x"
    asked = bad.asked
    assert tried(b"hunter2").name == "x"
    assert (passwords.asked, bad.asked) == (2, asked)


def test_tokensAreNotRememberedAsWrong() -> None:
    """A token that is refused may be good in a moment, when its key is known."""
    clock = Clock()
    throttle = LoginThrottle(clock.seconds, clock.callLater)
    throttle.configure(Throttle())
    issuer: Any = Issuer("a", good=False)
    there = Login((issuer,), {}, 60, clock.seconds, throttle)
    for good in (False, True):
        issuer.good = good
        _, results = settling(there, UsernamePassword(b"token", _token("a")))
        clock.advance(1)
        assert getattr(results[0], "name", "") == ("a" if good else "")
