"""
Login by what another gateway has signed.

On the wire it is method 00, no authentication (RFC 1928): the header before it has
told who the client is, and the listener has verified that.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

from zope.interface import implementer

from socksgw.errors import AuthenticationFailed
from socksgw.interfaces import (
    IAssertedIdentity,
    IAuthenticator,
    IConditional,
    IVerifyingMethod,
)
from socksgw.wire.codes import Method

__all__ = ["method"]


@implementer(IAuthenticator, IConditional)
@final
class Asserted:
    """
    Takes what the other gateway has signed; says nothing.
    """

    def applies(self, exchange: Any) -> bool:
        """Only where a signed identity came on this very connection."""
        return bool(IAssertedIdentity.providedBy(exchange.identity))

    async def readCredentials(self, exchange: Any) -> IAssertedIdentity:
        """There is nothing to read."""
        identity: Any = exchange.identity
        if not IAssertedIdentity.providedBy(identity):
            raise AuthenticationFailed(
                "no gateway has signed who the client is",
                reason="no-identity",
                counts=False,
            )
        found: IAssertedIdentity = identity
        return found

    async def writeOutcome(
        self, exchange: Any, credentials: IAssertedIdentity, granted: bool
    ) -> None:
        """There is nothing to say: the method has no messages."""


@implementer(IVerifyingMethod)
@final
class GatewayMethod:
    """
    The method's declaration.
    """

    name = "gateway"
    code = Method.NO_AUTHENTICATION
    help = "who logged in at the gateway before this one, which has signed it"
    anonymous = False
    cleartext = False
    credentials = ()
    serves = "as the gateway before this one says"

    def build(self, settings: Mapping[str, Any], reactor: Any) -> Asserted:
        """
        @raise ValueError: there are settings; they are the listener's.
        """
        if settings:
            raise ValueError("has no settings; the keys are in listen.identity_keys")
        return Asserted()


method = GatewayMethod()
