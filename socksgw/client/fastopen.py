"""
Connections to proxies that begin with what is said first (TCP Fast Open, RFC 7413).
"""

from __future__ import annotations

import socket
from typing import Any, final

from twisted.internet import tcp
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint

from socksgw.system.sockets import fastConnect
from socksgw.wire.address import Address

__all__ = ["overFastOpen"]


@final
class _Client(tcp.Client):
    """A transport whose SYN carries the octets that are written first."""

    def createInternetSocket(self) -> socket.socket:
        """Return the socket."""
        created: socket.socket = super().createInternetSocket()  # type: ignore[no-untyped-call]
        fastConnect(created)
        return created


@final
class _Connector(tcp.Connector):
    """A connector whose transports are L{_Client}."""

    def _makeTransport(self) -> _Client:
        place = self.host, self.port, self.bindAddress
        return _Client(*place, self, self.reactor)  # type: ignore[no-untyped-call]


@final
class _Reactor:
    """A reactor that connects with L{_Connector}."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor

    def connectTCP(
        self, host: str, port: int, factory: Any, timeout: float, bindAddress: Any
    ) -> _Connector:
        """Begin to connect."""
        made = _Connector(host, port, factory, timeout, bindAddress, self._reactor)
        made.connect()
        return made


def overFastOpen(reactor: Any, address: str, port: int, timeout: float = 30) -> Any:
    """
    Return an endpoint whose first packet carries what is said first, where it can.

    That saves a round trip if the kernel has a cookie of the host, which it gets with
    the first connection there; else the connection is as usual. With a cookie the
    endpoint connects at once, and a proxy that cannot be reached is told later, as one
    that has closed the connection.

    A network may deliver a first packet twice, and the proxy gets a request of version
    6 twice then: with C{initial} the destination gets these octets twice, in two
    connections. Use it for what may arrive twice, or with TLS
    (L{socksgw.client.overTLS} around it), where nothing does (section 10 of the draft),
    or in a session with tokens (L{socksgw.client.Session}).

    @param reactor: the program's, on sockets (C{IReactorTCP}).
    @param address: a literal of IPv4 or IPv6.
    @param timeout: seconds for a connection as usual.
    @return: a C{IStreamClientEndpoint}.
    @raise ValueError: it is no address.
    """
    kind: Any = TCP4ClientEndpoint
    if Address.parse(address).version == 6:
        kind = TCP6ClientEndpoint
    return kind(_Reactor(reactor), address, port, timeout=timeout)
