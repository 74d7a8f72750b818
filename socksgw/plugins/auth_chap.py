"""
Challenge-Handshake Authentication (draft-ietf-aft-socks-chap-01, method 03).

The password does not travel. The algorithm is HMAC-MD5.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Callable, Mapping
from typing import Any, Final, final

from twisted.cred.credentials import IUsernameHashedPassword
from zope.interface import implementer

from socksgw.errors import AuthenticationFailed, ClientLost
from socksgw.interfaces import IAuthenticator, IAuthMethod
from socksgw.wire.chap import (
    FAILURE,
    HMAC_MD5,
    MESSAGE_LIMIT,
    SUCCESS,
    Attribute,
    encodeMessage,
    readMessage,
    respond,
)
from socksgw.wire.codes import Method
from socksgw.wire.reader import WireError

__all__ = ["method"]

#: Octets of a challenge.
_CHALLENGE: Final = 32


@implementer(IUsernameHashedPassword)
@final
class ChallengeResponse:
    """
    A name, and the answer to our challenge; never printed.

    @ivar theirs: the client's own challenge, or L{None}.
    @ivar answer: our response to it, once the password is known to be right:
        nobody else is answered, who might have been asked the same elsewhere.
    """

    __slots__ = ("_challenge", "_response", "answer", "theirs", "username")

    def __init__(
        self, username: bytes, challenge: bytes, response: bytes, theirs: bytes | None
    ) -> None:
        self.username = username
        self.theirs = theirs
        self.answer: bytes | None = None
        self._challenge = challenge
        self._response = response

    def checkPassword(self, password: bytes) -> bool:
        """Return whether the response was made with this password, in constant time."""
        expected = respond(password, self._challenge)
        right = hmac.compare_digest(expected, self._response)
        if right and self.theirs is not None:
            self.answer = respond(password, self.theirs)
        return right

    def __repr__(self) -> str:
        return "<ChallengeResponse>"


@implementer(IAuthenticator)
@final
class Chap:
    """
    Exchange algorithms, challenge, response and status.

    In the draft's form the name comes with the response, in PuTTY's it comes first.
    """

    def __init__(self, random: Callable[[int], bytes] = os.urandom) -> None:
        """
        @param random: makes so many unpredictable octets.
        """
        self._random = random

    async def readCredentials(self, exchange: Any) -> ChallengeResponse:
        """Agree on the algorithm, challenge the client, read its response."""
        first = await exchange.read(readMessage, MESSAGE_LIMIT)
        if HMAC_MD5 not in first.get(Attribute.ALGORITHMS, b""):
            # The status is written when that is recorded.
            raise AuthenticationFailed(
                "the client does not know HMAC-MD5", reason="algorithm", counts=False
            )
        challenge = self._random(_CHALLENGE)
        exchange.write(
            encodeMessage({Attribute.ALGORITHMS: bytes((HMAC_MD5,))})
            + encodeMessage({Attribute.CHALLENGE: challenge})
        )
        second = await exchange.read(readMessage, MESSAGE_LIMIT)
        names = {
            message[Attribute.USER_IDENTITY]
            for message in (first, second)
            if Attribute.USER_IDENTITY in message
        }
        if len(names) != 1:
            raise WireError("a CHAP response of nobody, or of two users")
        if Attribute.RESPONSE not in second:
            raise WireError("a CHAP message without response")
        return ChallengeResponse(
            names.pop(),
            challenge,
            second[Attribute.RESPONSE],
            second.get(Attribute.CHALLENGE),
        )

    async def writeOutcome(
        self, exchange: Any, credentials: ChallengeResponse | None, granted: bool
    ) -> None:
        """
        Write the status, with our response where the client asked for one.

        The client's own status follows then, if it is let in ("Mutual Authentication").
        """
        said = {Attribute.STATUS: SUCCESS if granted else FAILURE}
        if granted and credentials is not None and credentials.answer is not None:
            said[Attribute.RESPONSE] = credentials.answer
        exchange.write(encodeMessage(said))
        if Attribute.RESPONSE not in said:
            return
        theirs = await exchange.read(readMessage, MESSAGE_LIMIT)
        if theirs.get(Attribute.STATUS) != SUCCESS:
            raise ClientLost("it does not take us for who we are", None, "distrust")


@implementer(IAuthMethod)
@final
class ChapMethod:
    """
    The method's declaration.
    """

    name = "chap"
    code = Method.CHAP
    help = "challenge and response, HMAC-MD5; needs a secrets: checker (method 03)"
    anonymous = False
    cleartext = False
    credentials = (IUsernameHashedPassword,)
    serves = "with a challenge and its response"

    def build(self, settings: Mapping[str, Any], reactor: Any) -> Chap:
        """
        No settings.

        @raise ValueError: there are some, or MD5 is switched off here.
        """
        for key in settings:
            raise ValueError(f'unknown key "{key}"; there are none')
        try:
            respond(b"", b"")
        except ValueError:
            raise ValueError("this machine's OpenSSL has no MD5 (FIPS mode)") from None
        return Chap()


method = ChapMethod()
