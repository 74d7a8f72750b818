"""
Login by the client certificate of TLS.

On the wire it is method 00, no authentication (RFC 1928): TLS has proved already who
the client is.
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
    IVerifiedIdentity,
    IVerifyingMethod,
)
from socksgw.wire.codes import Method

__all__ = ["method"]


@implementer(IAuthenticator, IConditional)
@final
class Certificate:
    """
    Takes what the connection has proved; says nothing.
    """

    def applies(self, exchange: Any) -> bool:
        """Only where a certificate was verified on this very connection."""
        identity = exchange.identity
        return identity is not None and not IAssertedIdentity.providedBy(identity)

    async def readCredentials(self, exchange: Any) -> IVerifiedIdentity:
        """There is nothing to read."""
        identity: IVerifiedIdentity | None = exchange.identity
        if identity is None:
            raise AuthenticationFailed(
                "no client certificate was verified",
                reason="no-certificate",
                counts=False,
            )
        return identity

    async def writeOutcome(
        self, exchange: Any, credentials: IVerifiedIdentity, granted: bool
    ) -> None:
        """There is nothing to say: the method has no messages."""


@implementer(IVerifyingMethod)
@final
class CertificateMethod:
    """
    The method's declaration.
    """

    name = "certificate"
    code = Method.NO_AUTHENTICATION
    help = "the TLS client certificate of [listen.tls] (method 00 on the wire)"
    anonymous = False
    cleartext = False
    credentials = ()
    certificate = True
    serves = "with a client certificate"

    def build(self, settings: Mapping[str, Any], reactor: Any) -> Certificate:
        """
        @raise ValueError: there are settings; they are the listener's.
        """
        if settings:
            raise ValueError("has no settings; they are in [listen.tls]")
        return Certificate()


method = CertificateMethod()
