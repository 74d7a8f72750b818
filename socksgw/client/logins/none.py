"""
No login.
"""

from __future__ import annotations

from typing import Final, final

from socksgw.client.logins.login import Login, LoginExchange
from socksgw.wire.codes import Method
from socksgw.wire.protection import Protection

__all__ = ["NO_LOGIN", "NoLogin"]


@final
class NoLogin(Login):
    """The proxy lets the client in without a login (RFC 1928 section 3: 00)."""

    methods = bytes((Method.NO_AUTHENTICATION,))
    called = "no login"

    async def socks5(self, method: int, exchange: LoginExchange) -> Protection | None:
        """As L{Login.socks5}: there is nothing to say."""
        return None


NO_LOGIN: Final = NoLogin()
