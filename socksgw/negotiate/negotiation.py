"""
The choice of the authentication method, and its sub-negotiation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from traceback import format_tb
from typing import Any, Final, final

from twisted.cred.credentials import IAnonymous
from twisted.internet.defer import CancelledError
from twisted.logger import Logger

from socksgw.errors import AuthenticationFailed, NoAcceptableMethod, SocksError
from socksgw.negotiate.exchange import Client, Exchange
from socksgw.negotiate.methods import OfferedMethod
from socksgw.wire.codes import methodsText
from socksgw.wire.events import Event
from socksgw.wire.levels import CONFIDENTIALITY
from socksgw.wire.reader import WireError

__all__ = ["Attempt", "negotiate"]

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
    """

    __slots__ = (
        "_authenticator", "_exchange", "credentials", "failure", "method", "told",
    )  # fmt: skip

    def __init__(
        self,
        method: str,
        authenticator: Any,
        exchange: Exchange,
        credentials: Any,
        failure: AuthenticationFailed | None = None,
    ) -> None:
        self.method = method
        self.credentials = credentials
        self.failure = failure
        self.told = False
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
            raise _defect(self.method, e) from None
        self.told = True


def _defect(method: str, error: Exception) -> AuthenticationFailed:
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


def _unmet(offered: bytes, wanted: Sequence[OfferedMethod]) -> str:
    """Say why no method was chosen, for the journal."""
    for method in wanted:
        if any(code in offered for code in method.codes):
            return (
                f'"{method.name}" is wanted here, and this connection lacks what '
                "it needs"
            )
    theirs = f"the client offered {methodsText(offered)}"
    if not wanted:
        return (
            "nobody may log in here: no [[auth.choose]] is for this client; " + theirs
        )
    names = ", ".join(f"{m.name} = {methodsText(m.codes[:1])}" for m in wanted)
    return f"none of the methods offered is wanted here: {names} wanted; {theirs}"


def _chosen(
    offered: bytes, wanted: Sequence[OfferedMethod], exchange: Exchange, client: Client
) -> tuple[OfferedMethod, int] | None:
    """
    Choose the best method that can serve this connection (RFC 1928 section 3).

    The client has to have offered it. A method that protects the connection adds nothing where all of it is inside
    TLS. There a later one that reads a credential is preferred: programs on libcurl
    that have a password offer both, and cannot fall back.

    @return: the method, and its number; L{None} where there is none.
    """
    found: tuple[OfferedMethod, int] | None = None
    for method in wanted:
        for code in method.codes:
            if code in offered:
                break
        else:
            continue
        if not method.isFor(exchange):
            continue
        if found is not None:
            if method.capabilities.credentials:
                return method, code
            continue
        found = method, code
        if not method.capabilities.protects or client.secured != CONFIDENTIALITY:
            break
    return found


async def _read(method: OfferedMethod, exchange: Exchange) -> Attempt:
    """
    Lead the sub-negotiation of a method, up to the point where the Portal decides.
    """
    credentials, failure = None, None
    try:
        credentials = await method.authenticator.readCredentials(exchange)
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
    return Attempt(method.name, method.authenticator, exchange, credentials, failure)


async def negotiate(
    client: Client,
    event: Event,
    wanted: Sequence[OfferedMethod],
    chosen: Callable[[str], None] | None = None,
) -> Attempt:
    """
    Choose a method and lead its sub-negotiation.

    The best method that the client offered is taken (RFC 1928 section 3). Where the
    client's protocol has no logins, only a method without messages can log it in,
    such as one by the certificate that the connection has proved. After a method
    that only protects, the client chooses again, inside it.

    @param event: the client's first message.
    @param wanted: the acceptable methods, best first.
    @param chosen: told the name of the method before its sub-negotiation, in
        which the client may go away.
    @return: the try; where the method refused the client by itself, with C{failure}.
    @raise NoAcceptableMethod: the client offered none of them, or none that can
        serve the connection; nothing has been sent.
    @raise WireError: the client broke the protocol.
    @raise AuthenticationFailed: the method has a defect.
    """
    exchange, conversation = Exchange(client), client.conversation
    dialect = conversation.dialect
    offered = dialect.offered(event)
    found = _chosen(offered, wanted, exchange, client)
    if found is None:
        why = dialect.loginless or _unmet(offered, wanted)
        raise NoAcceptableMethod(why, dialect.denial)
    method, code = found
    if chosen is not None:
        chosen(method.name)
    answer = conversation.answerOffer(code)
    if answer:
        client.send(answer)
    try:
        if method.inner:
            await method.authenticator.wrap(exchange)
        else:
            return await _read(method, exchange)
    except (WireError, SocksError, CancelledError):
        raise
    except Exception as e:
        raise _defect(method.name, e) from None
    conversation.selectAgain()
    return await negotiate(client, await client.next(), method.inner, chosen)
