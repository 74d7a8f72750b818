"""
Connections from outside, to a port of a SOCKS proxy (BIND).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, final

from twisted.internet.defer import Deferred

from socksgw.client.carrier import TransportLink
from socksgw.client.endpoint import TIMEOUT, socksProxy
from socksgw.client.logins.login import Login
from socksgw.client.proxy import Accepted
from socksgw.client.reach import asked, within
from socksgw.client.session import Session
from socksgw.client.socks import Binding
from socksgw.wire.address import Address
from socksgw.wire.codes import SOCKS5

__all__ = ["Listening", "bind"]


@final
class Listening:
    """
    A port of the proxy that awaits one connection.

    @ivar address: the address and port to tell the peer: those of the proxy, as it
        told them. Where it told no address, the address of the connection to it.
    @ivar peer: fires with the program's protocol when the peer has connected, or fails
        with a L{ProxyError<socksgw.client.errors.ProxyError>}. To cancel it closes the
        port.
    @ivar peerAddress: the address and port of the peer, when it has connected.
    """

    def __init__(
        self, reactor: Any, link: TransportLink, binding: Binding, factory: Any
    ) -> None:
        self._link = link
        self._factory = factory
        self.address = _addressOf(link, binding.bound)
        self.peerAddress: tuple[str, int] | None = None
        self.peer: Deferred[Any] = within(
            reactor, None, self._await(binding), self._came
        )

    async def _await(self, binding: Binding) -> Accepted:
        try:
            return await binding.peer()
        except BaseException:
            self._link.abandon()
            raise

    def _came(self, accepted: Accepted, told: Deferred[Any]) -> None:
        host, port = accepted.bound
        self.peerAddress = host.text, port
        try:
            protocol = self._link.handOver(self._factory, accepted.protection)
        except BaseException:
            self._link.abandon()
            raise
        told.callback(protocol)
        self._link.deliver()


def _addressOf(link: TransportLink, bound: tuple[Address, int]) -> tuple[str, int]:
    """Return an address that the proxy has told, or its own where that is none."""
    host, port = bound
    if host.isUnspecified:
        return getattr(link.transport.getPeer(), "host", host.text), port
    return host.text, port


def bind(
    reactor: Any,
    proxyEndpoint: Any,
    protocolFactory: Any,
    host: str = "0.0.0.0",
    port: int = 0,
    *,
    login: Login | Iterable[Login] | None = None,
    version: int = SOCKS5,
    userId: str | bytes = b"",
    session: Session | None = None,
    timeout: float | None = TIMEOUT,
) -> Deferred[Listening]:
    """
    Have a SOCKS proxy listen for one connection from outside.

    @param protocolFactory: makes the protocol of that connection.
    @param host: the address of the peer, as far as it is known. Many proxies want that
        of a peer that the program is connected to already.
    @param port: its port; 0 where it is not known.
    @param login: as of L{SocksClientEndpoint<socksgw.client.SocksClientEndpoint>}, as
        all that follow.
    @return: fires with a L{Listening}.
    @raise ValueError: C{host} is no address.
    """
    proxy = socksProxy(version, login, userId, session=session)
    expected = Address.parse(host)

    async def ask(proxy: Any, link: TransportLink) -> Binding:
        found: Binding = await proxy.bind(link, expected, port)
        return found

    def done(found: tuple[TransportLink, Binding], told: Deferred[Any]) -> None:
        told.callback(Listening(reactor, *found, protocolFactory))

    dialogue = asked(proxyEndpoint, protocolFactory, proxy, ask)
    return within(reactor, timeout, dialogue, done)
