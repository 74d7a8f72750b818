"""
Challenge and response: draft-ietf-aft-socks-chap-01 in SOCKS 5.
"""

from __future__ import annotations

from typing import Final, final

from socksgw.client.errors import LoginRefused, ProtocolBroken
from socksgw.client.logins.login import Login, LoginExchange
from socksgw.client.logins.secret import Secret, constant
from socksgw.wire.chap import (
    HMAC_MD5,
    MESSAGE_LIMIT,
    SUCCESS,
    Attribute,
    encodeMessage,
    readMessage,
    respond,
)
from socksgw.wire.codes import Method
from socksgw.wire.protection import Protection

__all__ = ["ChapLogin"]

_ALGORITHM: Final = bytes((HMAC_MD5,))


@final
class ChapLogin(Login):
    """
    Log in by a user's name and a password that does not travel.

    The proxy is not asked to prove that it knows the password, too.
    """

    methods = bytes((Method.CHAP,))
    called = "CHAP"

    def __init__(self, user: str, password: str | bytes | Secret) -> None:
        """
        Keep a name and a password.

        @param user: 1 to 255 octets in UTF-8.
        @param password: text is encoded as UTF-8; or what returns it, each time that
            it is asked for.
        @raise ValueError: the name is too short, or too long.
        """
        self._user = user.encode()
        if not 0 < len(self._user) < 256:
            raise ValueError("a user's name in CHAP has 1 to 255 octets")
        self._password = constant(password)

    async def socks5(self, method: int, exchange: LoginExchange) -> Protection | None:
        """As L{Login.socks5} ("Message Exchange")."""
        exchange.write(encodeMessage({Attribute.ALGORITHMS: _ALGORITHM}))
        chosen = await exchange.read(readMessage, MESSAGE_LIMIT)
        if chosen.get(Attribute.ALGORITHMS) != _ALGORITHM:
            raise LoginRefused("the proxy does not know HMAC-MD5")
        asked = chosen
        if Attribute.CHALLENGE not in asked:
            asked = await exchange.read(readMessage, MESSAGE_LIMIT)
        challenge = asked.get(Attribute.CHALLENGE)
        if not challenge:
            raise ProtocolBroken("the proxy breaks the protocol: no challenge")
        exchange.write(
            encodeMessage({
                Attribute.USER_IDENTITY: self._user,
                Attribute.RESPONSE: respond(self._password(), challenge),
            })
        )  # fmt: skip
        status = await exchange.read(readMessage, MESSAGE_LIMIT)
        if status.get(Attribute.STATUS) != SUCCESS:
            raise LoginRefused("the proxy does not accept the user and password")
        return None
