"""
Tokens of HTTP (C{Bearer}, RFC 6750). In SOCKS there is no such method.
"""

from __future__ import annotations

import re
from typing import Final, final

from socksgw.client.errors import LoginRefused
from socksgw.client.logins.login import HTTPAttempt, Login
from socksgw.client.logins.secret import Secret, constant

__all__ = ["TokenLogin", "isToken"]

#: A token on the wire (b64token, RFC 6750 section 2.1).
_TOKEN: Final = re.compile(rb"[A-Za-z0-9\-._~+/]+=*")


def isToken(octets: bytes) -> bool:
    """Return whether octets can be sent as a token."""
    return _TOKEN.fullmatch(octets) is not None


@final
class TokenLogin(Login):
    """Log in by a token that somebody else has issued."""

    scheme = "bearer"
    called = "token"

    def __init__(self, token: str | bytes | Secret) -> None:
        """@param token: or what returns it, each time that it is asked for."""
        self._token = constant(token)

    def http(self) -> HTTPAttempt:
        """As L{Login.http}."""
        token = self._token()
        if not isToken(token):
            raise LoginRefused("the token cannot be sent (RFC 6750 section 2.1)")
        return _Bearer(token)


@final
class _Bearer(HTTPAttempt):
    """One login: it has one answer."""

    def __init__(self, token: bytes) -> None:
        self._token = token

    async def answer(self, challenge: str) -> str:
        """As L{HTTPAttempt.answer}."""
        token, self._token = self._token, b""
        if not token:
            raise LoginRefused("the proxy does not accept the token")
        return f"Bearer {token.decode('ascii')}"
