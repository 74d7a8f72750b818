"""
Connections to a directory: several servers, TLS that is verified, and a short
memory of servers that do not answer.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Final, TypeVar, final
from urllib.parse import urlsplit

from attrs import frozen
from ldaptor.protocols import pureldap
from ldaptor.protocols.ldap.ldapclient import (
    LDAPClient,
    LDAPClientConnectionLostException,
)
from OpenSSL import SSL
from service_identity import VerificationError
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.error import ConnectError, ConnectionClosed, DNSLookupError
from twisted.internet.interfaces import IHandshakeListener
from twisted.internet.protocol import Factory, connectionDone
from twisted.internet.ssl import TLSVersion, optionsForClientTLS
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from socksgw.login.refusal import Refused
from socksgw.login.remote import Unavailable, isLoopback, within

__all__ = ["Entry", "Link", "Links", "ResultError", "Server", "Servers", "serversOf"]

_log = Logger()

T = TypeVar("T")

#: Octets of one message at most.
_LONGEST: Final = 1 << 20
#: Seconds that a server rests which did not answer.
_REST: Final = 5.0
#: Seconds that a connection is kept which nobody uses.
_IDLE: Final = 60.0
#: Seconds between the first tries at the addresses of one server.
_DELAY: Final = 0.1
#: How much of the time that is left goes to the servers: what they do not
#: use is for saying that they did not answer.
_SHARE: Final = 0.9
#: Result codes (RFC 4511 section 4.1.9).
SUCCESS: Final = 0
_IN_PROGRESS: Final = 14
_BUSY: Final = frozenset({51, 52})


class ResultError(Exception):
    """
    The directory answered, and it was not success.

    @ivar code: RFC 4511 section 4.1.9.
    """

    def __init__(self, code: int) -> None:
        super().__init__(f"the directory answers with result code {code}")
        self.code = code


class NotServed(Exception):
    """A server cannot do its service."""


@frozen
class Entry:
    """
    What was found.

    @ivar dn: its distinguished name, as the directory wrote it.
    @ivar values: its attributes, by their names in lower case.
    """

    dn: str
    values: dict[str, list[bytes]]


@frozen
class Server:
    """
    One server.

    @ivar url: as the configuration has it.
    @ivar tls: how its certificate is verified; L{None} without TLS.
    @ivar startTLS: whether TLS begins by request (RFC 4511 section 4.14).
    """

    url: str
    host: str
    port: int
    tls: Any
    startTLS: bool


def serversOf(
    urls: Iterable[str], startTLS: bool, trust: Any, cleartext: bool
) -> list[Server]:
    """
    @param trust: which certificates are believed (C{IOpenSSLTrustRoot}).
    @param cleartext: whether passwords may cross a network without TLS.
    @raise ValueError: one cannot be.
    """
    servers = []
    for url in urls:
        try:
            parts = urlsplit(url)
            host, scheme, port = parts.hostname, parts.scheme, parts.port
        except ValueError:
            host = None
        if not host or scheme not in ("ldap", "ldaps"):
            raise ValueError(f'"{url}" is not of the form ldaps://host or ldap://host')
        if parts.path.strip("/") or parts.query or parts.username is not None:
            raise ValueError(f'"{url}": only host and port stand in it')
        starts = startTLS and scheme == "ldap"
        secure = starts or scheme == "ldaps"
        if not secure and not cleartext and not isLoopback(host):
            raise ValueError(
                f'"{url}" would send passwords in the clear; use ldaps://, or say '
                "start_tls = true, or cleartext = true to accept that"
            )
        options = None
        if secure:
            options = optionsForClientTLS(
                host,
                trustRoot=trust,
                extraCertificateOptions={"raiseMinimumTo": TLSVersion.TLSv1_2},
            )
        port = port or (636 if scheme == "ldaps" else 389)
        servers.append(Server(url, host, port, options, starts))
    return servers


@implementer(IHandshakeListener)
@final
class Link(LDAPClient):  # type: ignore[misc]
    """
    One connection; one question at a time.

    @ivar retiring: closes it when nobody uses it for long.
    @ivar host: the server's name.
    """

    retiring: Any = None
    connected: Any
    host = ""

    def __init__(self) -> None:
        super().__init__()
        self._secured: Deferred[None] = Deferred()
        self._failure: Failure | None = None

    # What comes.

    def dataReceived(self, octets: bytes) -> None:
        """Octets from the directory; whatever is wrong with them ends the link."""
        try:
            if len(self.buffer) + len(octets) > _LONGEST:
                raise ValueError("a message is too long")
            super().dataReceived(octets)
        except Exception as e:
            # The library raises whatever its decoding runs into.
            self._failure = Failure(NotServed(f"no LDAP: {type(e).__name__}"))
            self.abort()

    def unsolicitedNotification(self, message: Any) -> None:
        """The server says that it will close (RFC 4511 section 4.4.1)."""
        self.abort()

    def handshakeCompleted(self) -> None:
        """TLS stands, and the certificate is the server's own."""
        # A certificate that was refused ends in connectionLost.
        if not self.transport.disconnecting and not self._secured.called:
            self._secured.callback(None)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Nothing comes any more."""
        super().connectionLost(self._failure or reason)
        if not self._secured.called:
            self._failure = self._failure or reason
            self._secured.callback(None)

    # What is asked.

    def abort(self) -> None:
        """Close at once."""
        if self.connected:
            self.connected = 0
            self.transport.abortConnection()

    async def secured(self) -> None:
        """
        Wait for TLS.

        @raise Exception: the connection was lost, or the certificate refused.
        """
        await self._secured
        if self._failure is not None:
            self._failure.raiseException()

    async def startTLS(self, options: Any) -> None:
        """
        Ask for TLS, and wait for it (RFC 4511 section 4.14).

        @raise ResultError: the server has none.
        """
        answer = await self.send(pureldap.LDAPStartTLSRequest())
        _succeeded(answer, pureldap.LDAPExtendedResponse)
        if self.buffer:
            # Somebody on the way would like to have it taken for the server's.
            raise NotServed("octets between the answer to StartTLS and TLS")
        self.transport.startTLS(options)
        await self.secured()

    async def bind(self, dn: str, password: bytes) -> None:
        """
        Become somebody (RFC 4511 section 4.2).

        @raise ResultError: the directory says no.
        """
        if not dn or not password:
            # That would be another kind of bind, which succeeds for anybody
            # (RFC 4513 sections 5.1.1 and 5.1.2).
            raise ValueError("a bind needs a name and a password")
        answer = await self.send(
            pureldap.LDAPBindRequest(dn=dn.encode(), auth=password)
        )
        _succeeded(answer, pureldap.LDAPBindResponse)

    async def sasl(self, mechanism: str, token: bytes, last: bool = False) -> bytes:
        """
        One step of another kind of bind.

        @param last: whether the directory has to be content.
        @return: its own token.
        @raise ResultError: the directory says no.
        """
        request = pureldap.LDAPBindRequest(dn="", auth=(mechanism, token), sasl=True)
        answer = await self.send(request)
        if not isinstance(answer, pureldap.LDAPBindResponse):
            raise NotServed("an answer to another question")
        if answer.resultCode != (SUCCESS if last else _IN_PROGRESS):
            raise ResultError(answer.resultCode)
        return answer.serverSaslCreds or b""

    async def search(
        self, base: str, subtree: bool, node: Any, attributes: Sequence[str], most: int
    ) -> list[Entry]:
        """
        Find entries (RFC 4511 section 4.5). References to other servers are
        not followed.

        @param most: how many are wanted at most.
        @raise ResultError: the directory says no, or there are more.
        """
        found: list[Entry] = []
        done: Deferred[Any] = Deferred()

        def came(message: Any) -> bool:
            if isinstance(message, pureldap.LDAPSearchResultEntry):
                found.append(_entry(message))
                if len(found) > most:
                    raise ValueError("more entries than asked for")
                return False
            if isinstance(message, pureldap.LDAPSearchResultReference):
                return False
            done.callback(message)
            return True

        request = pureldap.LDAPSearchRequest(
            baseObject=base,
            scope=pureldap.LDAP_SCOPE_wholeSubtree
            if subtree
            else pureldap.LDAP_SCOPE_baseObject,
            sizeLimit=most,
            filter=node,
            attributes=attributes,
        )
        self.send_multiResponse(request, came).addErrback(done.errback)
        _succeeded(await done, pureldap.LDAPSearchResultDone)
        return found


def _entry(message: Any) -> Entry:
    """
    @raise UnicodeDecodeError: its name is no UTF-8.
    """
    values = {
        name.decode("ascii").lower(): list(values)
        for name, values in message.attributes
    }
    return Entry(message.objectName.decode("utf-8"), values)


def _succeeded(answer: Any, kind: type) -> None:
    if not isinstance(answer, kind):
        raise NotServed("an answer to another question")
    code: int = answer.resultCode  # type: ignore[attr-defined]
    if code in _BUSY:
        raise NotServed(f"it is busy, or unavailable (result code {code})")
    if code != SUCCESS:
        raise ResultError(code)


#: What another server may do better.
_FAILURES: Final = (
    ConnectError,
    ConnectionClosed,
    DNSLookupError,
    LDAPClientConnectionLostException,
    NotServed,
    OSError,
    SSL.Error,
    VerificationError,
)


@final
class Servers:
    """
    The servers of one directory, in the order of preference.
    """

    def __init__(self, reactor: Any, servers: Sequence[Server]) -> None:
        self.reactor = reactor
        self._servers = tuple(servers)
        self._resting: dict[Server, float] = {}

    def live(self) -> list[Server]:
        """Those that are worth asking."""
        now = self.reactor.seconds()
        return [s for s in self._servers if self._resting.get(s, now) <= now]

    def answered(self, server: Server) -> None:
        """It did."""
        if self._resting and self._resting.pop(server, None) is not None:
            _log.info("the directory {url} answers again", url=server.url)

    def died(self, server: Server, error: Exception) -> None:
        """It did not: let it be for a while."""
        if server not in self._resting:
            _log.warn(
                "the directory {url} does not answer: {why}",
                url=server.url,
                why=_why(error),
            )
        self._resting[server] = self.reactor.seconds() + _REST

    async def open(self, server: Server) -> Link:
        """
        A new connection, with TLS where it is wanted.

        @raise Exception: it cannot be had.
        """
        endpoint: Any = HostnameEndpoint(
            self.reactor, server.host, server.port, attemptDelay=_DELAY
        )
        if server.tls is not None and not server.startTLS:
            endpoint = wrapClientTLS(server.tls, endpoint)
        factory = Factory.forProtocol(Link)
        factory.noisy = False
        link: Link = await endpoint.connect(factory)
        link.host = server.host
        try:
            if server.startTLS:
                try:
                    await link.startTLS(server.tls)
                except ResultError as e:
                    raise NotServed(f"it has no StartTLS: {e}") from None
            elif server.tls is not None:
                await link.secured()
        except BaseException:
            link.abort()
            raise
        return link


def _why(error: Exception) -> str:
    """What went wrong with a connection; no secret is ever in it."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, SSL.Error) and error.args and error.args[0]:
        return f"TLS: {error.args[0][0][-1]}"
    if isinstance(error, VerificationError):
        return "TLS: the certificate is not for this name"
    return str(error) or type(error).__name__


@final
class Links:
    """
    Connections that serve one purpose, kept for the next who has it.
    """

    def __init__(
        self, servers: Servers, prepare: Callable[[Link], Awaitable[None]] | None = None
    ) -> None:
        """
        @param prepare: done with a new connection.
        """
        self._servers = servers
        self._reactor = servers.reactor
        self._prepare = prepare
        self._idle: dict[Server, list[Link]] = {}

    async def run(self, work: Callable[[Link], Awaitable[T]], until: float) -> T:
        """
        Do something with a connection: with the next server when one does not
        answer.

        @param until: when it must be over, in the reactor's seconds.
        @raise ResultError: from C{work}, as L{Refused}.
        @raise Unavailable: no server answers.
        """
        live = self._servers.live()
        why = "none of its servers answered a moment ago"
        for i, server in enumerate(live):
            left = _SHARE * (until - self._reactor.seconds()) / (len(live) - i)
            try:
                result = await within(
                    self._reactor, max(left, 0), self._at(server, work)
                )
            except _FAILURES as e:
                self._servers.died(server, e)
                why = f"{server.url}: {_why(e)}"
            except (ResultError, Refused):
                self._servers.answered(server)
                raise
            else:
                self._servers.answered(server)
                return result
        raise Unavailable(why)

    async def _at(self, server: Server, work: Callable[[Link], Awaitable[T]]) -> T:
        link = self._kept(server)
        if link is not None:
            try:
                return await self._use(server, link, work)
            except (ConnectionClosed, LDAPClientConnectionLostException):
                # Closed while nobody looked.
                pass
        link = await self._servers.open(server)
        try:
            if self._prepare is not None:
                await self._prepare(link)
        except BaseException:
            link.abort()
            raise
        return await self._use(server, link, work)

    async def _use(
        self, server: Server, link: Link, work: Callable[[Link], Awaitable[T]]
    ) -> T:
        try:
            result = await work(link)
        except (ResultError, Refused):
            self._keep(server, link)
            raise
        except BaseException:
            # Whoever comes next must not get the answer to this question.
            link.abort()
            raise
        self._keep(server, link)
        return result

    def _kept(self, server: Server) -> Link | None:
        idle = self._idle.get(server, [])
        while idle:
            link = idle.pop()
            if link.retiring.active():
                link.retiring.cancel()
                if link.connected:
                    return link
        return None

    def _keep(self, server: Server, link: Link) -> None:
        if link.connected:
            self._idle.setdefault(server, []).append(link)
            link.retiring = self._reactor.callLater(_IDLE, link.abort)
