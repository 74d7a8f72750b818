"""
No authentication (RFC 1928, method 00): the user is C{anonymous}.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

from twisted.cred.credentials import Anonymous, IAnonymous
from zope.interface import implementer

from socksgw.interfaces import IAuthenticator, IAuthMethod
from socksgw.wire.codes import Method

__all__ = ["method"]


@implementer(IAuthenticator)
@final
class NoAuthentication:
    """
    Ask for nothing and say nothing.
    """

    async def readCredentials(self, exchange: Any) -> IAnonymous:
        """Return nothing: the method has no messages."""
        return Anonymous()

    async def writeOutcome(
        self, exchange: Any, credentials: IAnonymous, granted: bool
    ) -> None:
        """Do nothing: the method has no messages."""


@implementer(IAuthMethod)
@final
class NoAuthenticationMethod:
    """
    The method's declaration.
    """

    name = "none"
    code = Method.NO_AUTHENTICATION
    help = "no login; the user is anonymous (RFC 1928, method 00)"
    anonymous = True
    cleartext = False
    credentials = ()
    serves = "without login"

    def build(self, settings: Mapping[str, Any], reactor: Any) -> NoAuthentication:
        """
        @raise ValueError: there are settings, and it has none.
        """
        if settings:
            raise ValueError("has no settings")
        return NoAuthentication()


method = NoAuthenticationMethod()
