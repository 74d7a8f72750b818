"""
Connections to a directory of several servers.

TLS is verified, and servers that do not answer are left alone for a while.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Final, Protocol, TypeVar, final
from urllib.parse import urlsplit

from attrs import evolve, frozen
from ldaptor.protocols.ldap.ldapclient import (
    LDAPClientConnectionLostException,
)
from OpenSSL import SSL
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.error import ConnectError, ConnectionClosed, DNSLookupError
from twisted.internet.protocol import Factory
from twisted.logger import Logger

from socksgw.login.refusal import Refused
from socksgw.login.stores.ldaplinks import Link, NotServed, ResultError, TooMuch
from socksgw.login.stores.remote import Unavailable, isLoopback, within
from socksgw.system.tlsname import PeerRefused
from socksgw.system.tlspeer import TLSPeer

__all__ = [
    "Links",
    "Naming",
    "NoServers",
    "Server",
    "Servers",
    "serversOf",
    "unsecured",
]

_log = Logger()

T = TypeVar("T")

#: The port of LDAP without TLS.
_PLAIN: Final = 389
#: Seconds that a server rests which did not answer.
_REST: Final = 5.0
#: Seconds that an unused connection is kept.
_IDLE: Final = 60.0
#: Seconds between the first tries at the addresses of one server.
_DELAY: Final = 0.1
#: Seconds after which a connection that was kept has to answer before it is
#: used, and how much of a question's time that may take.
_TRUSTED: Final = 1.0
_KEPT: Final = 0.4
#: How much of the time that is left goes to the servers: what they do not
#: use is for saying that they did not answer.
_SHARE: Final = 0.9


@frozen
class Server:
    """
    One server.

    @ivar url: as the configuration has it.
    @ivar tls: the name that its certificate must have; L{None} without TLS.
    @ivar startTLS: whether TLS begins by request (RFC 4511 section 4.14).
    """

    url: str
    host: str
    port: int
    tls: TLSPeer | None
    startTLS: bool


def serversOf(
    urls: Iterable[str], startTLS: bool, trust: Any, cleartext: bool
) -> list[Server]:
    """
    Make the servers of a directory.

    @param trust: which certificates are believed (C{IOpenSSLTrustRoot}).
    @param cleartext: whether passwords may cross a network without TLS.
    @raise ValueError: one of the URLs is wrong.
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
        peer = TLSPeer(host, trust) if secure else None
        port = port or (636 if scheme == "ldaps" else 389)
        servers.append(Server(url, host, port, peer, starts))
    return servers


def unsecured(server: Server) -> Server:
    """
    Return the same server, without TLS: Kerberos protects what is said.

    That is at the port of C{ldap://} where TLS is at another one.
    """
    if server.tls is None or server.startTLS:
        return evolve(server, tls=None, startTLS=False)
    return evolve(
        server, url=f"ldap://{server.host}", port=_PLAIN, tls=None, startTLS=False
    )


#: What another server may do better.
_FAILURES: Final = (
    ConnectError,
    ConnectionClosed,
    DNSLookupError,
    LDAPClientConnectionLostException,
    NotServed,
    OSError,
    PeerRefused,
    SSL.Error,
)


class NoServers(Exception):
    """Nothing names a server; the text says why."""


class Naming(Protocol):
    """What names the servers of a directory when they are asked."""

    async def servers(self) -> Sequence[Server]:
        """
        Return the servers in the order in which they are tried.

        @raise NoServers: there are none.
        """


@final
class Servers:
    """
    The servers of one directory, in the order of preference.
    """

    def __init__(self, reactor: Any, servers: Sequence[Server] | Naming) -> None:
        """
        Connect to none yet.

        @param servers: these, or what names them when they are asked.
        """
        self.reactor = reactor
        self._naming = None if isinstance(servers, Sequence) else servers
        self._servers = tuple(servers) if isinstance(servers, Sequence) else ()
        self._resting: dict[Server, float] = {}

    async def all(self) -> Sequence[Server]:
        """
        Return every server.

        @raise Unavailable: it cannot be found out which there are.
        """
        if self._naming is not None:
            try:
                self._servers = tuple(await self._naming.servers())
            except NoServers as e:
                raise Unavailable(str(e)) from None
        return self._servers

    async def live(self) -> list[Server]:
        """
        Return the servers that are worth asking.

        @raise Unavailable: as L{all}.
        """
        await self.all()
        now = self.reactor.seconds()
        return [s for s in self._servers if self._resting.get(s, now) <= now]

    def answered(self, server: Server) -> None:
        """Take note that the server answers."""
        if self._resting and self._resting.pop(server, None) is not None:
            _log.info("the directory {url} answers again", url=server.url)

    def died(self, server: Server, error: Exception) -> None:
        """Take note that the server does not answer, and leave it alone for a while."""
        if server not in self._resting:
            _log.warn(
                "the directory {url} does not answer: {why}",
                url=server.url,
                why=_why(error),
            )
        self._resting[server] = self.reactor.seconds() + _REST

    async def open(self, server: Server) -> Link:
        """
        Open a connection, with TLS where it is wanted.

        @raise Exception: there is none to be had.
        """
        endpoint: Any = HostnameEndpoint(
            self.reactor, server.host, server.port, attemptDelay=_DELAY
        )
        tls = server.tls
        if tls is not None and not server.startTLS:
            endpoint = tls.over(endpoint)
        factory = Factory.forProtocol(Link)
        factory.noisy = False
        link: Link = await endpoint.connect(factory)
        link.host = server.host
        try:
            if tls is not None and server.startTLS:
                try:
                    await link.startTLS(tls)
                except ResultError as e:
                    raise NotServed(f"it has no StartTLS: {e}") from None
        except BaseException:
            link.abort()
            raise
        return link


def _why(error: Exception) -> str:
    """Return what went wrong with a connection; no secret is ever in it."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, SSL.Error) and error.args and error.args[0]:
        return f"TLS: {error.args[0][0][-1]}"
    if isinstance(error, PeerRefused):
        return f"TLS: {error}"
    return str(error) or type(error).__name__


class _Dead(Exception):
    """
    A server does not answer.

    @ivar error: how that showed.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error


@final
class Links:
    """
    Connections that serve one purpose, kept for the next who has it.
    """

    def __init__(
        self, servers: Servers, prepare: Callable[[Link], Awaitable[None]]
    ) -> None:
        """
        @param prepare: done with a new connection; the server has to answer it.
        """
        self._servers = servers
        self._reactor = servers.reactor
        self._prepare = prepare
        self._idle: dict[Server, list[Link]] = {}

    async def run(self, work: Callable[[Link], Awaitable[T]], until: float) -> T:
        """
        Do something with a connection to the first server that answers.

        A server rests when a connection to it cannot be had. What goes wrong with the
        work itself, such as a search that takes too long, says nothing of the server to
        others.

        @param until: when it must be over, in the reactor's seconds.
        @raise ResultError: from C{work}, as L{Refused} and L{TooMuch}.
        @raise Unavailable: no server answers, or none answers this in time.
        """
        live = await self._servers.live()
        failure = Unavailable("none of its servers answered a moment ago")
        for i, server in enumerate(live):
            left = _SHARE * (until - self._reactor.seconds()) / (len(live) - i)
            try:
                return await self._at(server, work, self._reactor.seconds() + left)
            except _Dead as e:
                self._servers.died(server, e.error)
                failure = Unavailable(f"{server.url}: {_why(e.error)}")
            except TimeoutError:
                # The connection was made, and used: others may have answers.
                failure = Unavailable(f"{server.url}: no answer in time", alone=True)
        raise failure

    async def _at(
        self, server: Server, work: Callable[[Link], Awaitable[T]], until: float
    ) -> T:
        """
        Do the work with a connection to one server.

        @raise _Dead: there is no connection, or not any more.
        @raise TimeoutError: the work takes too long.
        """
        link = self._kept(server)
        if link is not None and await self._lives(link, until):
            try:
                return await within(
                    self._reactor, self._left(until), self._use(server, link, work)
                )
            except TimeoutError:
                raise
            except _FAILURES:
                # It died between two questions.
                pass
        try:
            link = await within(self._reactor, self._left(until), self._open(server))
        except _FAILURES as e:
            raise _Dead(e) from None
        self._servers.answered(server)
        try:
            return await within(
                self._reactor, self._left(until), self._use(server, link, work)
            )
        except TimeoutError:
            raise
        except _FAILURES as e:
            raise _Dead(e) from None

    async def _lives(self, link: Link, until: float) -> bool:
        """
        Return whether a kept connection can be used.

        One that has been idle for a while may have been lost silently, and no password
        is to be sent twice.
        """
        if self._reactor.seconds() - link.kept < _TRUSTED:
            return True
        try:
            await within(self._reactor, _KEPT * self._left(until), link.hello())
        except (*_FAILURES, TooMuch):
            link.abort()
            return False
        except BaseException:
            link.abort()
            raise
        return True

    async def _open(self, server: Server) -> Link:
        """Return a connection on which the server has answered."""
        link = await self._servers.open(server)
        try:
            await self._prepare(link)
        except BaseException:
            link.abort()
            raise
        return link

    def _left(self, until: float) -> float:
        left: float = until - self._reactor.seconds()
        return max(left, 0)

    async def _use(
        self, server: Server, link: Link, work: Callable[[Link], Awaitable[T]]
    ) -> T:
        try:
            result = await work(link)
        except (ResultError, Refused):
            self._keep(server, link)
            self._servers.answered(server)
            raise
        except BaseException:
            # The next question must not get the answer to this one.
            link.abort()
            raise
        self._keep(server, link)
        self._servers.answered(server)
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
            link.kept = self._reactor.seconds()
            link.retiring = self._reactor.callLater(_IDLE, link.abort)
