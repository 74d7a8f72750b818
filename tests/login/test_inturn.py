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
from zope.interface import implementer

from socksgw.errors import AuthenticationFailed
from socksgw.login.refusal import Refused
from tests.login.logins import login, settled


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
