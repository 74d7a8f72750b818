"""
The choice of the authentication method, and its sub-negotiation.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from traceback import format_tb
from typing import Any, Final, Protocol, TypeVar, final

from twisted.cred.credentials import IAnonymous
from twisted.internet.defer import CancelledError
from twisted.logger import Logger
from zope.interface import implementer

from socksgw.errors import AuthenticationFailed, NoAcceptableMethod, SocksError
from socksgw.interfaces import IConditional, IExchange, Protection
from socksgw.negotiate.capabilities import UNDECLARED, Capabilities
from socksgw.wire.address import Address
from socksgw.wire.codes import methodsText
from socksgw.wire.events import Decoded, Event
from socksgw.wire.levels import CONFIDENTIALITY
from socksgw.wire.reader import Reader, WireError
from socksgw.wire.server import ServerConversation

__all__ = ["Attempt", "Choice", "Client", "Methods", "OfferedMethod", "negotiate"]

_log = Logger()

T = TypeVar("T")

#: Octets of a name in the record of a failed login.
_CLAIMED: Final = 1024
#: The protection of TLS.


class Client(Protocol):
    """What the negotiation needs of the client's connection."""

    conversation: ServerConversation
    source: Address

    @property
    def identity(self) -> Any: ...

    @property
    def secured(self) -> str: ...

    def protect(self, protection: Protection) -> None: ...

    def next(self) -> Awaitable[Event]: ...

    def send(self, octets: bytes) -> None: ...


@final
class OfferedMethod:
    """
    A method that a generation can use.

    @ivar name: the policy's name of it.
    @ivar codes: its numbers on the wire, best first.
    @ivar authenticator: an L{socksgw.interfaces.IAuthenticator}, or an
        L{socksgw.interfaces.IWrapper}.
    @ivar inner: the methods inside, of an C{IWrapper}.
    @ivar capabilities: what it declares of itself.
    """

    __slots__ = (
        "_applies", "authenticator", "capabilities", "codes", "inner", "name",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        codes: int | tuple[int, ...],
        authenticator: Any,
        inner: Sequence[OfferedMethod] = (),
        capabilities: Capabilities = UNDECLARED,
    ) -> None:
        self.name = name
        self.capabilities = capabilities
        self.codes = (codes,) if isinstance(codes, int) else codes
        self.authenticator = authenticator
        self.inner = tuple(inner)
        self._applies = (
            authenticator.applies if IConditional.providedBy(authenticator) else None
        )

    def isFor(self, exchange: Exchange) -> bool:
        """Whether it can serve this connection."""
        return self._applies is None or self._applies(exchange)


@final
class Choice:
    """
    One C{[[auth.choose]]}: which methods clients of some listeners and
    sources are offered, in order of preference.
    """

    __slots__ = ("_listeners", "_sources", "methods")

    def __init__(
        self,
        methods: Sequence[OfferedMethod],
        listeners: frozenset[str] | None,
        sources: Callable[[Address], bool] | None,
    ) -> None:
        self.methods = tuple(methods)
        self._listeners = listeners
        self._sources = sources

    def isFor(self, listener: str) -> bool:
        """Whether it is for clients of a listener."""
        return self._listeners is None or listener in self._listeners

    def matches(self, listener: str, source: Address) -> bool:
        """Whether it is for this client."""
        return self.isFor(listener) and (self._sources is None or self._sources(source))


@final
class Methods:
    """
    What the clients of one generation may use to log in.

    @ivar choices: what is offered to whom; the first that matches counts.
    """

    __slots__ = ("choices",)

    def __init__(self, choices: Sequence[Choice]) -> None:
        self.choices = tuple(choices)

    @property
    def authenticators(self) -> list[Any]:
        """Every one that is offered to somebody, also inside another."""
        methods = [each for choice in self.choices for each in choice.methods]
        for each in methods:
            methods += each.inner
        return list(dict.fromkeys(each.authenticator for each in methods))

    def wanted(self, listener: str, source: Address) -> tuple[OfferedMethod, ...]:
        """
        The methods acceptable from this client, best first; none when no
        choice is for it.
        """
        for choice in self.choices:
            if choice.matches(listener, source):
                return choice.methods
        return ()


@implementer(IExchange)
@final
class Exchange:
    """A sub-negotiation's view of its connection."""

    __slots__ = ("_client",)

    def __init__(self, client: Client) -> None:
        self._client = client

    async def read(self, decoder: Callable[[Reader], T], limit: int) -> T:
        self._client.conversation.expect(decoder, limit)
        event = await self._client.next()
        assert isinstance(event, Decoded)
        message: T = event.message
        return message

    def write(self, octets: bytes) -> None:
        self._client.send(octets)

    def protect(self, protection: Protection) -> None:
        self._client.protect(protection)

    @property
    def identity(self) -> Any:
        """What the connection itself has proved."""
        return self._client.identity


@final
class Attempt:
    """
    One try at logging in: credentials read, the outcome not told yet.

    @ivar credentials: L{None} where the method refused of its own accord.
    @ivar failure: why it did.
    @ivar told: whether the client has heard what became of it.
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
        """
        The name that the client gave, for the record of a failure.
        """
        name = getattr(self.credentials, "username", b"")
        realm: str = getattr(self.credentials, "realm", "")
        if not isinstance(name, bytes):
            name = str(name).encode("utf-8", "backslashreplace")
        if realm:
            name += b"@" + realm.encode("utf-8", "backslashreplace")
        # Whatever a method takes for a name: the record has its beginning.
        return name[:_CLAIMED]

    async def report(self, granted: bool) -> None:
        """
        Tell the client what became of it. Once; but whom a method does not
        let in, although the Portal did, is to be told that, too.

        @raise WireError: the client broke the protocol.
        @raise AuthenticationFailed: the method does not let the client in; or
            it failed by a defect of its own.
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
    A method's code failed: tell its author where, but neither the
    exception's text nor any value, since both may hold a secret.
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
    """
    Why no method was chosen, for the one who looks after the gateway.
    """
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
    The best method that the client offered and that can serve this connection
    (RFC 1928 section 3), with its number.

    A method that could protect the connection has nothing to add where all of it
    is inside TLS. There it gives way to a later one that reads a credential:
    programs on libcurl that have a password offer both, and cannot fall back.
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
    Lead the sub-negotiation of a method.
    """
    credentials, failure = None, None
    try:
        credentials = await method.authenticator.readCredentials(exchange)
    except AuthenticationFailed as e:
        failure = e
    if IAnonymous.providedBy(credentials) and not method.capabilities.anonymous:
        # What a configuration exposes was judged by the declaration.
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

    The best method that the client offered is taken (RFC 1928 section 3). A client
    whose protocol has no logins can be somebody only by what the connection has
    proved, which needs no messages: a certificate.

    A method that only protects has the client choose again, inside it.

    @return: the try; where the method refused the client of its own accord,
        with that as its C{failure}.
    @param event: the client's first message.
    @param wanted: the acceptable methods, best first.
    @param chosen: told the name of the method before its sub-negotiation, in
        which the client may go away.
    @raise NoAcceptableMethod: there is none; nothing has been sent.
    @raise WireError: the client broke the protocol.
    @raise AuthenticationFailed: the method failed by a defect of its own.
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
