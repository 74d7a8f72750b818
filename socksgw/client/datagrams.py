"""
Datagrams through a SOCKS 5 proxy (UDP ASSOCIATE), for a C{DatagramProtocol}.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, final

from twisted.internet.defer import Deferred
from twisted.internet.protocol import DatagramProtocol, Factory, Protocol
from twisted.python.failure import Failure

from socksgw.client.carrier import TransportLink
from socksgw.client.endpoint import TIMEOUT, destination, socksProxy
from socksgw.client.errors import ProtocolBroken
from socksgw.client.logins.login import Login
from socksgw.client.proxy import Accepted
from socksgw.client.reach import asked, within
from socksgw.wire.address import Address, BadHost
from socksgw.wire.codes import SOCKS5
from socksgw.wire.datagram import encodeDatagram, readDatagram
from socksgw.wire.protection import Protection, StreamProtection
from socksgw.wire.reader import WireError

__all__ = ["Association", "associate"]

#: The longest datagram that is read: any.
_LONGEST: Final = 1 << 16


@final
class Association:
    """
    What a program's C{DatagramProtocol} has as its transport.

    It lives as long as the connection to the proxy on which it was asked for.

    @ivar ended: fires when it has ended, with why the connection has; C{stopProtocol}
        was called.
    """

    def __init__(
        self, protocol: Any, relay: tuple[str, int], protection: Protection | None
    ) -> None:
        """@param relay: the proxy's address and port for datagrams."""
        self._protocol = protocol
        self._relay = relay
        # What protects a stream alone leaves datagrams as they are.
        naked = isinstance(protection, StreamProtection)
        self._protection = None if naked else protection
        self._connected: tuple[str, int] | None = None
        self._control: Any = None
        self._port: Any = None
        self.ended: Deferred[BaseException | None] = Deferred()

    def _begin(self, reactor: Any, control: Any, interface: str) -> None:
        self._control = control
        face = _Face(self)
        self._port = reactor.listenUDP(0, face, interface, maxPacketSize=_LONGEST)
        self._protocol.makeConnection(self)

    # As IUDPTransport.

    def write(self, datagram: bytes, addr: tuple[str, int] | None = None) -> None:
        """
        Send a datagram by the proxy.

        @param addr: where it goes: an address, or a name that the proxy looks up; and
            a port. It may be left out after L{connect}.
        @raise ValueError: the host is none.
        """
        to = addr or self._connected
        if to is None:
            raise ValueError("write() needs an address, unless connect() was called")
        if self._port is None:
            return
        octets = encodeDatagram(destination(to[0]), to[1], datagram)
        if self._protection is not None:
            octets = self._protection.wrapDatagram(octets)
        self._port.write(octets, self._relay)

    def connect(self, host: str, port: int) -> None:
        """Send what has no address to this one; others are heard all the same."""
        destination(host)
        self._connected = host, port

    def getHost(self) -> Any:
        """Return where this program's datagrams come from."""
        return self._port.getHost()

    def stopListening(self) -> Deferred[BaseException | None]:
        """
        End the association.

        @return: L{ended}.
        """
        if self._control is not None:
            self._control.transport.loseConnection()
        return self.ended

    # What comes.

    def _came(self, octets: bytes, sender: tuple[str, int]) -> None:
        if (sender[0].partition("%")[0], sender[1]) != self._relay:
            return
        try:
            if self._protection is not None:
                octets = self._protection.unwrapDatagram(octets)
            datagram = readDatagram(octets)
        except WireError:
            return
        if datagram.fragment or isinstance(datagram.host, BadHost):
            # Fragments need not be put together (RFC 1928 section 7).
            return
        source = str(datagram.host), datagram.port
        self._protocol.datagramReceived(datagram.payload, source)

    def _end(self, reason: Failure) -> None:
        port, self._port, self._control = self._port, None, None
        if port is not None:
            port.stopListening()
            self._protocol.doStop()
            self.ended.callback(reason.value)


class _Face(DatagramProtocol):
    """The socket's side of an association."""

    def __init__(self, association: Association) -> None:
        self._association = association

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        """Hand a datagram on."""
        self._association._came(datagram, addr)


class _Control(Protocol):
    """The connection on which an association was asked for."""

    association: Association

    def connectionLost(self, reason: Any = None) -> None:
        """End the association."""
        self.association._end(reason)


def associate(
    reactor: Any,
    proxyEndpoint: Any,
    protocol: Any,
    *,
    login: Login | Iterable[Login] | None = None,
    timeout: float | None = TIMEOUT,
) -> Deferred[Association]:
    """
    Have a SOCKS 5 proxy send and receive datagrams for a program.

    The protocol hears C{datagramReceived(octets, (host, port))} with the peer's own
    address, and writes to a host (also a name) and a port by its transport, which is
    the L{Association}.

    @param protocol: a C{DatagramProtocol}.
    @param login: as of L{SocksClientEndpoint<socksgw.client.SocksClientEndpoint>}, as
        C{timeout}.
    @return: fires with the L{Association}.
    """
    proxy = socksProxy(SOCKS5, login, b"")

    async def ask(proxy: Any, link: TransportLink) -> Accepted:
        found: Accepted = await proxy.associate(link)
        return found

    def done(found: tuple[TransportLink, Accepted], told: Deferred[Any]) -> None:
        link, accepted = found
        try:
            association = _open(reactor, link, accepted, protocol)
        except BaseException:
            link.abandon()
            raise
        told.callback(association)

    dialogue = asked(proxyEndpoint, Factory(), proxy, ask)
    return within(reactor, timeout, dialogue, done)


def _open(
    reactor: Any, link: TransportLink, accepted: Accepted, protocol: Any
) -> Association:
    """
    Open the socket for an association.

    @raise ProtocolBroken: the proxy has told nowhere to send datagrams.
    """
    host, port = accepted.bound
    near = getattr(link.transport.getHost(), "host", "")
    far = getattr(link.transport.getPeer(), "host", "")
    if accepted.name or not port or (host.isUnspecified and not far):
        raise ProtocolBroken("the proxy tells no address for datagrams")
    if host.isUnspecified:
        host = Address.parse(far.partition("%")[0])
    if near and Address.parse(near.partition("%")[0]).version != host.version:
        near = ""
    association = Association(protocol, (host.text, port), accepted.protection)
    control = _Control()
    control.association = association
    factory: Any = Factory.forProtocol(lambda: control)
    link.handOver(factory, accepted.protection)
    association._begin(reactor, control, near or ("::" if host.version == 6 else ""))
    return association
