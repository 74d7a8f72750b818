"""
One try at logging in.
"""

from __future__ import annotations

from collections.abc import Awaitable
from traceback import format_tb
from typing import Any, Final, final

from twisted.cred.credentials import IAnonymous
from twisted.internet.defer import CancelledError
from twisted.logger import Logger

from socksgw.errors import AuthenticationFailed, SocksError
from socksgw.negotiate.methods import OfferedMethod
from socksgw.wire.events import Event
from socksgw.wire.reader import WireError

__all__ = ["Attempt", "attempt", "defect"]

_log = Logger()

#: Octets of a name in the record of a failed login.
_CLAIMED: Final = 1024


@final
class Attempt:
    """
    One try at logging in: the credentials are read, the outcome is not told yet.

    @ivar method: the policy's name of the method.
    @ivar credentials: what the method read; L{None} where it refused by itself.
    @ivar failure: why it refused.
    @ivar told: whether the client has been told the outcome.
    @ivar holds: whether the login is that of the connection, and of all requests on
        it that bring no other (RFC 4559 section 6).
    @ivar event: the client's message that brought it here: its request, where that
        came first.
    """

    __slots__ = (
        "_authenticator", "_exchange", "credentials", "event", "failure", "holds",
        "method", "told",
    )  # fmt: skip

    def __init__(
        self,
        method: str,
        authenticator: Any,
        exchange: Any,
        credentials: Any,
        event: Event,
        failure: AuthenticationFailed | None = None,
    ) -> None:
        self.method = method
        self.credentials = credentials
        self.event = event
        self.failure = failure
        self.told = False
        self.holds = False
        self._authenticator = authenticator
        self._exchange = exchange

    @property
    def claimed(self) -> bytes:
        """The name that the client gave, for the record of a failure."""
        name = getattr(self.credentials, "username", b"")
        realm: str = getattr(self.credentials, "realm", "")
        if not isinstance(name, bytes):
            name = str(name).encode("utf-8", "backslashreplace")
        if realm:
            name += b"@" + realm.encode("utf-8", "backslashreplace")
        # A method's names have no bound of their own; the record's has.
        return name[:_CLAIMED]

    async def report(self, granted: bool) -> None:
        """
        Tell the client the outcome, once.

        A method can fail to let in a client that the Portal has let in. Then this
        is called again, with C{granted} false.

        @raise WireError: the client broke the protocol.
        @raise AuthenticationFailed: the method does not let the client in, or has a
            defect.
        """
        try:
            await self._authenticator.writeOutcome(
                self._exchange, self.credentials, granted
            )
        except AuthenticationFailed:
            self.told = not granted
            raise
        except (WireError, SocksError, CancelledError):
            raise
        except Exception as e:
            self.told = True
            raise defect(self.method, e) from None
        self.told = True


def defect(method: str, error: Exception) -> AuthenticationFailed:
    """
    Log where a method's code failed.

    Neither the exception's text nor any value is logged: both may hold a secret.

    @return: the failure of the login.
    """
    _log.error(
        "the authentication method {method} failed: {kind} at\n{where}",
        method=method,
        kind=type(error).__qualname__,
        where="".join(format_tb(error.__traceback__)),
    )
    return AuthenticationFailed(
        "the method failed", reason="method-failed", counts=False
    )


async def attempt(
    method: OfferedMethod,
    authenticator: Any,
    exchange: Any,
    event: Event,
    reading: Awaitable[Any],
) -> Attempt:
    """
    Have a method read credentials, up to the point where the Portal decides.

    @param authenticator: tells the client the outcome.
    @param event: the client's message that the method was chosen by.
    @param reading: what reads them.
    """
    credentials, failure = None, None
    try:
        credentials = await reading
    except AuthenticationFailed as e:
        failure = e
    if IAnonymous.providedBy(credentials) and not method.capabilities.anonymous:
        # The examination of the configuration has relied on the declaration.
        credentials = None
        failure = AuthenticationFailed(
            f'"{method.name}" lets in without a login, which its plug-in does not '
            "declare",
            reason="method-failed",
            counts=False,
        )
    return Attempt(method.name, authenticator, exchange, credentials, event, failure)
