"""
Tokens of HTTP clients (C{Proxy-Authorization: Bearer}, RFC 6750).

In SOCKS there is no such method: a token that is short enough is a password there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, final

from zope.interface import implementer

from socksgw.errors import AuthenticationFailed
from socksgw.interfaces import IAnswering, IAuthMethod, IBearerToken, IForgetful

__all__ = ["method"]

#: A token on the wire (b64token, RFC 6750 section 2.1).
_TOKEN: Final = re.compile(rb"[A-Za-z0-9\-._~+/]+=*\Z")
#: What a client is told whose request is malformed, or whose token is not accepted
#: (RFC 6750 section 3.1). Why it is not is never told.
_REQUEST: Final = 'realm="REALM", error="invalid_request"'
_REFUSED: Final = 'realm="REALM", error="invalid_token"'


@implementer(IBearerToken, IForgetful)
@final
class Credentials:
    """
    A token as it came; never printed.
    """

    __slots__ = ("token", "username")

    def __init__(self, token: bytes) -> None:
        self.username = b""
        self.token = token

    def forget(self) -> None:
        """Drop the token."""
        self.token = b""

    def __repr__(self) -> str:
        return "<Credentials>"


@implementer(IAnswering)
@final
class Token:
    """
    One field of a request.
    """

    async def readAnswers(self, answers: Any) -> Credentials:
        """Read the token."""
        if not _TOKEN.match(answers.answer):
            answers.deny(_REQUEST)
            raise AuthenticationFailed("no token", reason="protocol")
        answers.deny(_REFUSED)
        return Credentials(answers.answer)

    async def readCredentials(self, exchange: Any) -> Credentials:
        """
        Fail: no client of SOCKS can choose this method.

        @raise AuthenticationFailed: always.
        """
        raise AuthenticationFailed(
            "SOCKS has no method for tokens", reason="protocol", counts=False
        )

    async def writeOutcome(
        self, exchange: Any, credentials: Credentials, granted: bool
    ) -> None:
        """There is nothing to say: the answer to the request does."""


@implementer(IAuthMethod)
@final
class TokenMethod:
    """
    The method's declaration.
    """

    name = "token"
    code = None
    help = "tokens of HTTP clients (Bearer), checked by [[auth.checker]] (RFC 6750)"
    anonymous = False
    cleartext = True
    credentials = (IBearerToken,)
    serves = "with a token"
    challenge = 'Bearer realm="REALM"'

    def build(self, settings: Mapping[str, Any], reactor: Any) -> Token:
        """
        @raise ValueError: there are settings, and it has none.
        """
        if settings:
            raise ValueError("has no settings")
        return Token()


method = TokenMethod()
