"""
User and password (RFC 1929, method 02; Basic in HTTP), in the clear on the wire.
"""

from __future__ import annotations

import binascii
from collections.abc import Mapping
from typing import Any, final

from twisted.cred.credentials import IUsernamePassword
from zope.interface import implementer

from socksgw.errors import AuthenticationFailed
from socksgw.interfaces import IAnswering, IAuthMethod, IForgetful
from socksgw.wire import userpass
from socksgw.wire.codes import Method

__all__ = ["method"]


@implementer(IUsernamePassword, IForgetful)
@final
class Credentials:
    """
    A name and a password as they came; never printed.
    """

    __slots__ = ("password", "username")

    def __init__(self, username: bytes, password: bytes) -> None:
        self.username = username
        self.password = password

    def checkPassword(self, password: bytes) -> bool:
        """Return whether this is the password."""
        return self.password == password

    def forget(self) -> None:
        """Drop the password."""
        self.password = b""

    def __repr__(self) -> str:
        return "<Credentials>"


def _malformed() -> AuthenticationFailed:
    return AuthenticationFailed("no user and password", reason="protocol")


@implementer(IAnswering)
@final
class UsernamePassword:
    """
    One message each way (RFC 1929 section 2), or one field (RFC 7617 section 2).
    """

    async def readCredentials(self, exchange: Any) -> Credentials:
        """Read the client's name and password."""
        username, password = await exchange.read(
            userpass.readRequest, userpass.REQUEST_LIMIT
        )
        return Credentials(username, password)

    async def readAnswers(self, answers: Any) -> Credentials:
        """
        Read what Basic has: C{user:password} in base64.

        The first colon ends the name.
        """
        try:
            octets = binascii.a2b_base64(answers.answer, strict_mode=True)
        except binascii.Error:
            raise _malformed() from None
        username, colon, password = octets.partition(b":")
        if not colon:
            raise _malformed()
        return Credentials(username, password)

    async def writeOutcome(
        self, exchange: Any, credentials: Credentials, granted: bool
    ) -> None:
        """Write the status: zero is success."""
        exchange.write(userpass.encodeStatus(0 if granted else 1))


@implementer(IAuthMethod)
@final
class UsernamePasswordMethod:
    """
    The method's declaration.
    """

    name = "userpass"
    code = Method.USERNAME_PASSWORD
    help = "user and password, checked by [auth] checkers (RFC 1929, method 02)"
    anonymous = False
    cleartext = True
    credentials = (IUsernamePassword,)
    serves = "with user and password"
    challenge = 'Basic realm="REALM", charset="UTF-8"'

    def build(self, settings: Mapping[str, Any], reactor: Any) -> UsernamePassword:
        """
        @raise ValueError: there are settings, and it has none.
        """
        if settings:
            raise ValueError("has no settings")
        return UsernamePassword()


method = UsernamePasswordMethod()
