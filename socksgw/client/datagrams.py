"""
Datagrams through a SOCKS proxy (UDP ASSOCIATE), for a C{DatagramProtocol}.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
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
from socksgw.client.session import Session
from socksgw.system.dropping import Dropping
from socksgw.wire.address import Address, BadHost
from socksgw.wire.association import encodeDatagram as encodeMessage
from socksgw.wire.association import readDatagramOf
from socksgw.wire.codes import SOCKS5
from socksgw.wire.datagram import Datagram, encodeDatagram, readDatagram
from socksgw.wire.protection import Protection, StreamProtection
from socksgw.wire.reader import NeedMoreData, Reader, WireError

__all__ = ["Association", "associate"]

#: The longest datagram that is read: any.
_LONGEST: Final = 1 << 16


class Association:
    """
    What a program's C{DatagramProtocol} has as its transport.

    It lives as long as the connection to the proxy on which it was asked for.

    @ivar ended: fires when it has ended, with why the connection has; C{stopProtocol}
        was called.
    """

    def __init__(self, protocol: Any) -> None:
        self._protocol = protocol
        self._connected: tuple[str, int] | None = None
        self._control: Any = None
        self.ended: Deferred[BaseException | None] = Deferred()

    def _begin(self, control: Any) -> None:
        self._control = control
        self._protocol.makeConnection(self)

    # As IUDPTransport.

    def write(self, datagram: bytes, addr: tuple[str, int] | None = None) -> None:
        """
        Send a datagram by the proxy.

        @param addr: where it goes: an address, or a name that the proxy looks up; and
            a port. It may be left out after L{connect}.
        @raise ValueError: the host is none, or the datagram is too long.
        """
        to = addr or self._connected
        if to is None:
            raise ValueError("write() needs an address, unless connect() was called")
        if self._control is not None:
            self._send(destination(to[0]), to[1], datagram)

    def _send(self, host: Address | str, port: int, datagram: bytes) -> None:
        """Send a datagram to a host that is one."""
        raise NotImplementedError

    def connect(self, host: str, port: int) -> None:
        """Send what has no address to this one; others are heard all the same."""
        destination(host)
        self._connected = host, port

    def getHost(self) -> Any:
        """Return where this program's datagrams come from."""
        raise NotImplementedError

    def stopListening(self) -> Deferred[BaseException | None]:
        """
        End the association.

        @return: L{ended}.
        """
        if self._control is not None:
            self._control.transport.loseConnection()
        return self.ended

    # What comes.

    def _take(self, octets: bytes) -> None:
        """Take what comes on the connection: nothing counts there."""

    def _hand(self, datagram: Datagram) -> None:
        """Hand a datagram to the program."""
        if isinstance(datagram.host, BadHost):
            return
        source = str(datagram.host), datagram.port
        self._protocol.datagramReceived(datagram.payload, source)

    def _end(self, reason: Failure) -> None:
        if self._control is not None:
            self._control = None
            self._protocol.doStop()
            self.ended.callback(reason.value)


@final
class _Beside(Association):
    """An association whose datagrams go beside the connection (SOCKS 5)."""

    def __init__(
        self,
        protocol: Any,
        relay: tuple[str, int],
        protection: Protection | None,
        listen: Callable[[Any], Any],
    ) -> None:
        """
        Open nothing yet.

        @param relay: the proxy's address and port for datagrams.
        @param listen: opens the socket for a C{DatagramProtocol}.
        """
        super().__init__(protocol)
        self._listen = listen
        self._relay = relay
        # What protects a stream alone leaves datagrams as they are.
        naked = isinstance(protection, StreamProtection)
        self._protection = None if naked else protection
        self._port: Any = None

    def _begin(self, control: Any) -> None:
        self._port = self._listen(_Face(self))
        super()._begin(control)

    def _send(self, host: Address | str, port: int, datagram: bytes) -> None:
        octets = encodeDatagram(host, port, datagram)
        if self._protection is not None:
            octets = self._protection.wrapDatagram(octets)
        self._port.write(octets, self._relay)

    def getHost(self) -> Any:
        """As L{Association.getHost}."""
        return self._port.getHost()

    def _came(self, octets: bytes, sender: tuple[str, int]) -> None:
        if (sender[0].partition("%")[0], sender[1]) != self._relay:
            return
        try:
            if self._protection is not None:
                octets = self._protection.unwrapDatagram(octets)
            datagram = readDatagram(octets)
        except WireError:
            return
        if not datagram.fragment:
            # Fragments need not be put together (RFC 1928 section 7).
            self._hand(datagram)

    def _end(self, reason: Failure) -> None:
        if self._control is not None:
            self._port.stopListening()
        super()._end(reason)


@final
class _Inside(Dropping, Association):
    """
    An association whose datagrams go inside the connection (SOCKS 6).
    """

    def __init__(self, protocol: Any, association: bytes) -> None:
        """@param association: the ID."""
        super().__init__(protocol)
        self._association = association
        self._buffer = bytearray()
        self._read = readDatagramOf(association)

    def _begin(self, control: Any) -> None:
        control.transport.registerProducer(self, True)
        super()._begin(control)

    def _send(self, host: Address | str, port: int, datagram: bytes) -> None:
        octets = encodeMessage(self._association, host, port, datagram)
        if not self.full:
            self._control.transport.write(octets)

    def getHost(self) -> Any:
        """As L{Association.getHost}: from the connection's own end."""
        return self._control.transport.getHost()

    def stopListening(self) -> Deferred[BaseException | None]:
        """As L{Association.stopListening}."""
        if self._control is not None:
            # TLS ends no connection before its producer has gone.
            self._control.transport.unregisterProducer()
        return super().stopListening()

    def _take(self, octets: bytes) -> None:
        self._buffer += octets
        reader, start = Reader(bytes(self._buffer)), 0
        try:
            while self._control is not None:
                datagram = self._read(reader)
                start = reader.position
                if datagram is not None:
                    self._hand(datagram)
        except NeedMoreData:
            del self._buffer[:start]
        except WireError:
            # The stream cannot be followed any further.
            self._control.transport.abortConnection()


class _Face(DatagramProtocol):
    """The socket's side of an association."""

    def __init__(self, association: _Beside) -> None:
        self._association = association

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        """Hand a datagram on."""
        self._association._came(datagram, addr)


class _Control(Protocol):
    """The connection on which an association was asked for."""

    association: Association

    def dataReceived(self, data: bytes) -> None:
        """Take messages, where there are any."""
        self.association._take(data)

    def connectionLost(self, reason: Any = None) -> None:
        """End the association."""
        self.association._end(reason)


def associate(
    reactor: Any,
    proxyEndpoint: Any,
    protocol: Any,
    *,
    login: Login | Iterable[Login] | None = None,
    version: int = SOCKS5,
    session: Session | None = None,
    timeout: float | None = TIMEOUT,
) -> Deferred[Association]:
    """
    Have a SOCKS proxy send and receive datagrams for a program.

    The protocol hears C{datagramReceived(octets, (host, port))} with the peer's own
    address, and writes to a host (also a name) and a port by its transport, which is
    the L{Association}.

    @param protocol: a C{DatagramProtocol}.
    @param login: as of L{SocksClientEndpoint<socksgw.client.SocksClientEndpoint>}, as
        C{session} and C{timeout}.
    @param version: 5, where datagrams go beside the connection to the proxy; or 6, where
        they go inside it.
    @return: fires with the L{Association}.
    """
    proxy = socksProxy(version, login, b"", session=session)

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
        link.deliver()

    dialogue = asked(proxyEndpoint, Factory(), proxy, ask)
    return within(reactor, timeout, dialogue, done)


def _open(
    reactor: Any, link: TransportLink, accepted: Accepted, protocol: Any
) -> Association:
    """
    Begin with an association.

    @raise ProtocolBroken: the proxy has told nowhere to send datagrams.
    """
    made: Association
    if accepted.association:
        made = _Inside(protocol, accepted.association)
    else:
        made = _beside(reactor, link, accepted, protocol)
        # What comes on the connection counts for nothing.
        link.surplus = b""
    control = _Control()
    control.association = made
    factory: Any = Factory.forProtocol(lambda: control)
    link.handOver(factory, accepted.protection)
    made._begin(control)
    return made


def _beside(
    reactor: Any, link: TransportLink, accepted: Accepted, protocol: Any
) -> _Beside:
    """
    Return an association that opens a socket.

    @raise ProtocolBroken: as of L{_open}.
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
    interface = near or ("::" if host.version == 6 else "")

    def listen(face: Any) -> Any:
        return reactor.listenUDP(0, face, interface, maxPacketSize=_LONGEST)

    return _Beside(protocol, (host.text, port), accepted.protection, listen)
