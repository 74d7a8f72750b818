"""
Endpoints that lead through a proxy, for any Twisted program.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IStreamClientEndpoint
from zope.interface import implementer

from socksgw.client.carrier import TransportLink
from socksgw.client.http import HTTPProxy
from socksgw.client.logins.login import Login
from socksgw.client.proxy import Accepted, Proxy
from socksgw.client.reach import asked, within
from socksgw.client.session import Session
from socksgw.client.socks import Socks4Proxy, Socks5Proxy
from socksgw.client.socks6 import Socks6Proxy
from socksgw.wire.address import Address, BadHost, parseHost
from socksgw.wire.codes import SOCKS4, SOCKS5, SOCKS6
from socksgw.wire.stacks import Stack

__all__ = [
    "TIMEOUT",
    "HTTPClientEndpoint",
    "SocksClientEndpoint",
    "destination",
    "socksProxy",
]

#: Seconds for all that comes before the connection is open.
TIMEOUT: Final = 30.0


def destination(host: str | bytes) -> Address | str:
    """
    Return a host as proxies are told it.

    @param host: a strict literal, or a host name; others than ASCII as IDNA 2008 and
        UTS 46 have them.
    @raise ValueError: it is neither.
    """
    octets = host
    if isinstance(octets, str):
        if not octets.isascii():
            import idna

            try:
                octets = idna.encode(octets, uts46=True)
            except idna.IDNAError as e:
                raise ValueError(f"{host!r} is no host name: {e}") from None
        else:
            octets = octets.encode("ascii")
    found = parseHost(octets)
    if isinstance(found, BadHost):
        raise ValueError(f"{host!r} is no host: {found.why}")
    return found


def _logins(login: Login | Iterable[Login] | None) -> tuple[Login, ...]:
    if login is None:
        return ()
    return (login,) if isinstance(login, Login) else tuple(login)


def socksProxy(
    version: int,
    login: Login | Iterable[Login] | None,
    userId: str | bytes,
    initial: bytes = b"",
    stack: Sequence[Stack] = (),
    session: Session | None = None,
) -> Socks4Proxy | Socks5Proxy | Socks6Proxy:
    """
    Return what speaks with a SOCKS proxy.

    @raise ValueError: this version does not have that.
    """
    logins = _logins(login)
    if userId and version != SOCKS4:
        raise ValueError(f"SOCKS {version} has no user id: log in by user and password")
    if version == SOCKS6:
        return Socks6Proxy(*logins, initial=initial, stack=stack, session=session)
    if session is not None:
        raise ValueError(f"SOCKS {version} has no sessions: use version 6")
    if stack:
        raise ValueError(f"SOCKS {version} has no stack options: use version 6")
    if initial:
        raise ValueError(f"SOCKS {version} has no initial data: use version 6")
    if version == SOCKS5:
        return Socks5Proxy(*logins)
    if version != SOCKS4:
        raise ValueError("SOCKS has the versions 4 (and 4a), 5 and 6")
    if logins:
        raise ValueError("SOCKS 4 has no login: use version 5")
    octets = userId.encode() if isinstance(userId, str) else userId
    if b"\0" in octets or len(octets) > 255:
        raise ValueError("a user id has at most 255 octets, and no NULL")
    return Socks4Proxy(octets)


@implementer(IStreamClientEndpoint)
class _ProxyEndpoint:
    """What endpoints through any kind of proxy have in common."""

    def __init__(
        self,
        reactor: Any,
        host: str | bytes,
        port: int,
        proxyEndpoint: Any,
        proxy: Proxy,
        timeout: float | None,
    ) -> None:
        if not 0 < port <= 0xFFFF:
            raise ValueError("a port is within 1 to 65535")
        self._reactor = reactor
        self._host = destination(host)
        self._port = port
        self._endpoint = proxyEndpoint
        self._proxy = proxy
        self._timeout = timeout

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__} {self._host}:{self._port} by {self._endpoint!r}>"
        )

    def connect(self, protocolFactory: Any) -> Deferred[Any]:
        """
        Connect, as C{IStreamClientEndpoint}.

        The protocol's transport is that of the connection to the proxy: C{getPeer}
        tells the proxy's address.

        @return: fires with the protocol when the destination is reached, before any
            octet of it is told. To cancel it closes the connection, at any step. It
            fails with a L{ProxyError<socksgw.client.errors.ProxyError>}, or with
            C{NoProtocol} where the factory makes none.
        """

        def done(found: tuple[TransportLink, Accepted], told: Deferred[Any]) -> None:
            link, accepted = found
            try:
                self._granted(accepted)
                protocol = link.handOver(protocolFactory, accepted.protection)
            except BaseException:
                link.abandon()
                raise
            told.callback(protocol)
            link.deliver()

        dialogue = asked(self._endpoint, protocolFactory, self._proxy, self._ask)
        return within(self._reactor, self._timeout, dialogue, done)

    def _granted(self, accepted: Accepted) -> None:
        """Take note of what the proxy has answered."""

    async def _ask(self, proxy: Proxy, link: TransportLink) -> Accepted:
        return await proxy.connect(link, self._host, self._port)


class SocksClientEndpoint(_ProxyEndpoint):
    """
    Connects through a SOCKS proxy, of version 5, 4a or 6.

    An endpoint may be the C{proxyEndpoint} of another one: that is a chain.
    """

    def __init__(
        self,
        reactor: Any,
        host: str | bytes,
        port: int,
        proxyEndpoint: Any,
        *,
        login: Login | Iterable[Login] | None = None,
        version: int = SOCKS5,
        userId: str | bytes = b"",
        initial: bytes = b"",
        stack: Sequence[Stack] = (),
        stacked: Callable[[Sequence[Stack]], object] | None = None,
        session: Session | None = None,
        timeout: float | None = TIMEOUT,
    ) -> None:
        """
        Make an endpoint for one destination.

        @param reactor: what tells the time (C{IReactorTime}).
        @param host: the destination: an address, or a name that the proxy looks up.
        @param port: its port.
        @param proxyEndpoint: leads to the proxy (C{IStreamClientEndpoint}); for TLS
            L{socksgw.client.overTLS} around one.
        @param login: how to log in, or several ways in order of preference. Only what
            the proxy chooses of them is used. With L{None} the proxy has to let the
            client in without.
        @param version: 5, 4 (which is 4a where the host is a name), or 6.
        @param userId: a claim that SOCKS 4 has instead of a login.
        @param initial: octets that version 6 sends with its request, 16 KiB at most.
            The destination gets them before the protocol knows of the connection: it
            does not write them again.
        @param stack: how version 6 wants IP and TCP of the proxy's connections to be
            (L{socksgw.wire.stacks.Stack}); the proxy may do otherwise.
        @param stacked: called with what the proxy tells of them, in version 6, before
            the protocol is made; not where it refuses.
        @param session: of version 6: what the endpoints of one proxy and one login
            have in common, so that the first of them logs in alone
            (L{socksgw.client.Session}).
        @param timeout: seconds for all that comes before the connection is open;
            L{None} leaves that to the caller, who may cancel.
        @raise ValueError: the host, the port, or the login is none that can be asked
            for.
        """
        proxy = socksProxy(version, login, userId, initial, stack, session)
        super().__init__(reactor, host, port, proxyEndpoint, proxy, timeout)
        self._stacked = stacked

    def _granted(self, accepted: Accepted) -> None:
        """Tell the program how the stacks are."""
        if self._stacked is not None:
            self._stacked(accepted.stack)


class HTTPClientEndpoint(_ProxyEndpoint):
    """
    Connects through an HTTP proxy, by CONNECT.
    """

    def __init__(
        self,
        reactor: Any,
        host: str | bytes,
        port: int,
        proxyEndpoint: Any,
        *,
        login: Login | Iterable[Login] | None = None,
        timeout: float | None = TIMEOUT,
    ) -> None:
        """
        Make an endpoint for one destination: as L{SocksClientEndpoint}.
        """
        proxy = HTTPProxy(*_logins(login))
        super().__init__(reactor, host, port, proxyEndpoint, proxy, timeout)
