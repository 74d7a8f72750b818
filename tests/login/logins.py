"""
Checkers that know some passwords, and logins by them.
"""

from __future__ import annotations

from typing import Any

from twisted.cred.checkers import (
    ICredentialsChecker,
)
from twisted.cred.credentials import (
    IUsernamePassword,
    UsernamePassword,
)
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.logger import eventAsText
from zope.interface import implementer

from socksgw.interfaces import IBearerToken, IChangingStore, IForgetful
from socksgw.login.portal import Login
from socksgw.wire.address import Address

HERE = Address.parse("192.0.2.7")
GROUPS = {"staff": ["alice", "bob"], "admins": ["alice"], "empty": []}


@implementer(ICredentialsChecker)
class Checker:
    """
    Knows some passwords, and counts how often it is asked.
    """

    credentialInterfaces = (IUsernamePassword,)

    def __init__(self, **known: bytes) -> None:
        self.known = {name.encode(): password for name, password in known.items()}
        self.asked = 0

    def requestAvatarId(self, credentials: Any) -> Deferred[Any]:
        self.asked += 1
        if self.known.get(credentials.username) == credentials.password:
            return succeed(credentials.username)
        return fail(UnauthorizedLogin())


@implementer(IChangingStore)
class ChangingChecker(Checker):
    """One whose store may change."""

    changes: Any = 0

    def stamp(self) -> object:
        return self.changes

    def knows(self, name: bytes) -> bool:
        return name in self.known


@implementer(IBearerToken)
class Bearer:
    """A client with a token."""

    def __init__(self, token: bytes) -> None:
        self.username, self.token = b"", token


def login(*checkers: Any, clock: Clock | None = None, seconds: float = 60) -> Login:
    """A login by these checkers."""
    return Login(checkers, GROUPS, seconds, (clock or Clock()).seconds)


def settled(login: Login, credentials: Any, method: str = "userpass") -> Any:
    """The user, or the exception."""
    results: list[Any] = []
    settling = Deferred.fromCoroutine(login.settle(credentials, method, HERE))
    settling.addBoth(results.append)
    assert results, "it waits"
    return getattr(results[0], "value", results[0])


def alice(password: bytes = b"sesame") -> UsernamePassword:
    """Alice's credentials."""
    return UsernamePassword(b"alice", password)


def settling(
    login: Login, credentials: Any, method: str = "userpass"
) -> tuple[Deferred[Any], list[Any]]:
    """A login under way, and what comes of it."""
    results: list[Any] = []
    waiting = Deferred.fromCoroutine(login.settle(credentials, method, HERE))
    waiting.addBoth(lambda result: results.append(getattr(result, "value", result)))
    return waiting, results


CANARY = "canary-9c1e"


def everything(events: Any) -> str:
    """All that anybody could make of these events, tracebacks included."""
    return "\n".join(f"{event!r}\n{eventAsText(event)}" for event in events)


@implementer(IForgetful, IUsernamePassword)
class Secretive(UsernamePassword):
    """Credentials that can drop their password."""

    def forget(self) -> None:
        self.password = b""
