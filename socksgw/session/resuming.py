"""
Requests that go on with a login, and logins that are to be gone on with.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from time import time
from typing import NoReturn, Protocol

from socksgw.errors import AuthenticationFailed
from socksgw.interfaces import User
from socksgw.negotiate.methods import OfferedMethod
from socksgw.negotiate.resumption import Resumption, Resumptions
from socksgw.session.case import Case
from socksgw.session.facts import userOf, userTold
from socksgw.wire.dialect import Login

__all__ = ["begun", "ended", "resumed"]


class Gateway(Protocol):
    """What they need of the running gateway."""

    @property
    def resumptions(self) -> Resumptions:
        """The logins that can be gone on with."""


def ended(case: Case, gateway: Gateway, login: Login) -> None:
    """Forget the login of a request that wants it to end."""
    if login.ends is not None:
        gateway.resumptions.end(login.ends, case.record.listener, case.client.source)


async def resumed(
    case: Case, gateway: Gateway, login: Login, wanted: Sequence[OfferedMethod]
) -> User:
    """
    Return the user of a request that goes on with a login.

    @param wanted: the methods that the client may log in by now.
    @raise AuthenticationFailed: there is no such login any more, or the request has been
        made before.
    """
    client, record = case.client, case.record
    assert login.resumes is not None
    found = gateway.resumptions.find(login.resumes, record.listener, client.source)
    tag, user = ("", None) if found is None else _told(found.facts, client.secured)
    user = None if user is None else await case.generation.login.again(user)
    if (
        found is None
        or user is None
        or (user.expires is not None and user.expires <= time())
        or not any(method.name == user.method for method in wanted)
    ):
        login.unknown()
        raise AuthenticationFailed(
            "there is no such session of the client", reason="no-session", counts=False
        )
    if tag:
        record.tag = tag
    record.claimed = user.name.encode()
    if login.token is not None:
        if not gateway.resumptions.spend(found, login.token):
            _replayed(login)
        login.spent(True)
    login.resumed()
    _windows(login, gateway, found)
    return user


def begun(case: Case, gateway: Gateway, login: Login, user: User) -> None:
    """
    Have a login gone on with, if the client asks for that and it can be.

    Else it is told nothing. A login that is the connection's own is not gone on with by
    another connection, and neither is one whose password an upstream wants, or is to be
    checked each time.

    @raise AuthenticationFailed: it spends a token that it cannot have.
    """
    generation = case.generation
    if not login.begins or generation.handsOn or not generation.login.remembers(user):
        return
    client, record = case.client, case.record
    if client.identity is not None or client.program is not None:
        return
    facts = json.dumps([record.tag, client.secured, userTold(user)]).encode()
    made = gateway.resumptions.begin(facts, record.listener, client.source)
    if made is None:
        return
    key, found = made
    if login.token is not None:
        # There was no window to have it from.
        gateway.resumptions.end(key, record.listener, client.source)
        _replayed(login)
    login.begun(key)
    _windows(login, gateway, found)


def _told(facts: bytes, secured: str) -> tuple[str, User | None]:
    """
    Return the tag and the user of a login.

    @param secured: how the connection is protected that goes on with it.
    @return: no user where that of the login was protected otherwise: a reload may have
        taken TLS from the listener, without which the method lets nobody in.
    """
    tag, was, user = json.loads(facts)
    return tag, userOf(user) if was == secured else None


def _replayed(login: Login) -> NoReturn:
    """
    Refuse a request whose token cannot be spent.

    @raise AuthenticationFailed: always.
    """
    login.spent(False)
    raise AuthenticationFailed(
        "its token is spent, or was never given: it may be a replay of another one",
        reason="replayed",
        counts=False,
    )


def _windows(login: Login, gateway: Gateway, found: Resumption) -> None:
    """Give a window of tokens to a client that asks for one, and tell of it."""
    if login.window and found.window is None:
        gateway.resumptions.give(found, login.window)
    if found.window is not None:
        login.windowed(found.window.base, found.window.size)
