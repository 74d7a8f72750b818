"""
Negotiate (RFC 4559): GSSAPI in HTTP, which protects nothing of what follows.
"""

from __future__ import annotations

import binascii
from typing import final

from socksgw.client.errors import LoginRefused, ProtocolBroken
from socksgw.client.logins.gssapi import ROUNDS
from socksgw.client.logins.initiator import Initiator
from socksgw.client.logins.login import HTTPAttempt, Login

__all__ = ["NegotiateLogin"]


@final
class NegotiateLogin(Login):
    """Log in by a ticket of Kerberos."""

    scheme = "negotiate"
    called = "Negotiate"

    def __init__(self, initiator: Initiator, service: str) -> None:
        """@param service: the proxy's, as C{HTTP@gw2.example}."""
        self._initiator = initiator
        self._service = service

    def http(self) -> HTTPAttempt:
        """As L{Login.http}."""
        return _Negotiation(self._initiator, self._service)


@final
class _Negotiation(HTTPAttempt):
    """One login, of one or more rounds (section 5)."""

    def __init__(self, initiator: Initiator, service: str) -> None:
        self._context = initiator.begin(service, negotiated=True)
        self._rounds = 0

    async def answer(self, challenge: str) -> str:
        """As L{HTTPAttempt.answer}: the token for the one in the challenge."""
        self._rounds += 1
        begins = self._rounds == 1
        if self._rounds > ROUNDS or begins == bool(challenge):
            # A bare scheme behind a token: the login begins anew, that is, has failed.
            raise LoginRefused("the proxy does not accept the login")
        token = await self._context.step(_token(challenge))
        if not token:
            raise LoginRefused("the proxy goes on with a login that is done")
        return "Negotiate " + binascii.b2a_base64(token, newline=False).decode("ascii")

    def concluded(self, challenge: str) -> None:
        """
        As L{HTTPAttempt.concluded}: what proves the proxy's name, if it sends that.

        Many do not: the name is proved by TLS then, or by nothing.
        """
        if challenge:
            self._context.conclude(_token(challenge))


def _token(challenge: str) -> bytes:
    try:
        return binascii.a2b_base64(challenge.encode("ascii"), strict_mode=True)
    except (binascii.Error, UnicodeEncodeError):
        raise ProtocolBroken("the proxy's token is not in base64") from None
