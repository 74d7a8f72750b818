"""
An identity as a method proves it.
"""

from __future__ import annotations

from typing import Any

from zope.interface import implementer

from socksgw.interfaces import IVerifiedIdentity
from socksgw.login.portal import Login
from tests.login import logins


@implementer(IVerifiedIdentity)
class Identity:
    """As a method would make it."""

    def __init__(
        self, username: bytes, realm: str = "", expires: float | None = None
    ) -> None:
        self.username = username
        self.realm = realm
        self.expires = expires


def settled(login: Login, credentials: Any) -> Any:
    """The user, or the exception."""
    return logins.settled(login, credentials, "gssapi")
