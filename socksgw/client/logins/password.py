"""
User and password: RFC 1929 in SOCKS 5, Basic (RFC 7617) in HTTP.
"""

from __future__ import annotations

from base64 import b64encode
from typing import final

from socksgw.client.errors import LoginRefused
from socksgw.client.logins.login import HTTPAttempt, Login, LoginExchange
from socksgw.client.logins.secret import Secret, constant
from socksgw.wire import userpass
from socksgw.wire.codes import Method
from socksgw.wire.protection import Protection

__all__ = ["PasswordLogin"]


@final
class PasswordLogin(Login):
    """Log in by a user's name and password."""

    methods = bytes((Method.USERNAME_PASSWORD,))
    scheme = "basic"
    called = "user and password"

    def __init__(self, user: str | bytes, password: str | bytes | Secret) -> None:
        """
        Keep a name and a password.

        @param user: text is encoded as UTF-8; 1 to 255 octets in SOCKS 5.
        @param password: likewise; or what returns it, each time that it is asked for.
        """
        self._user = user.encode() if isinstance(user, str) else user
        self._password = constant(password)

    async def socks5(self, method: int, exchange: LoginExchange) -> Protection | None:
        """As L{Login.socks5} (RFC 1929 section 2)."""
        try:
            message = userpass.encodeRequest(self._user, self._password())
        except ValueError as e:
            raise LoginRefused(f"{e} in SOCKS 5 (RFC 1929)") from None
        exchange.write(message)
        if await exchange.read(userpass.readStatus, userpass.STATUS_LIMIT):
            raise LoginRefused("the proxy does not accept the user and password")
        return None

    def http(self) -> HTTPAttempt:
        """As L{Login.http} (RFC 7617 section 2)."""
        if b":" in self._user:
            raise LoginRefused("a user's name in HTTP has no colon (RFC 7617)")
        return _Basic(self._user + b":" + self._password())


@final
class _Basic(HTTPAttempt):
    """One login by Basic: it has one answer."""

    def __init__(self, credentials: bytes) -> None:
        self._credentials = credentials

    async def answer(self, challenge: str) -> str:
        """As L{HTTPAttempt.answer}."""
        credentials, self._credentials = self._credentials, b""
        if not credentials:
            raise LoginRefused("the proxy does not accept the user and password")
        return "Basic " + b64encode(credentials).decode("ascii")
