"""
A UDP port that the kernel diverts datagrams to (C{tproxy}).

What comes from one address and port is one client. It is answered from the addresses
that it sent to.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, final

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from socksgw.accept.admission import LastingAdmission
from socksgw.accept.answers import DivertedConnection
from socksgw.accept.inbound import Inbound
from socksgw.accept.layers import Layer
from socksgw.accept.listener import Listener
from socksgw.accept.seams import Budget
from socksgw.accept.transparent import DIRECT, TRANSPARENT, Host, undiverted
from socksgw.config.listening import parseListenAddress
from socksgw.interfaces import Timer
from socksgw.system.domains import Domain
from socksgw.system.plain import socketName
from socksgw.system.sockets import FAMILIES, roomy
from socksgw.system.transparent import (
    bindForeign,
    foreign,
    originalOfDatagram,
    receiveOriginals,
)
from socksgw.system.watch import READ, Watcher
from socksgw.wire.address import Address
from socksgw.wire.dialect import Dialect
from socksgw.wire.given import GivenConversation
from socksgw.wire.transparent import datagrams

__all__ = ["DivertedPort", "listenForDatagrams"]

_log: Final = Logger()

#: The most datagrams that are taken before others have a turn.
_BATCH: Final = 64
_BUFFER: Final = bytearray(1 << 16)
_VIEW: Final = memoryview(_BUFFER)
_INTO: Final = (_BUFFER,)
#: Room for a sockaddr_in6.
_ANCILLARY: Final = socket.CMSG_SPACE(28)
#: Octets of a socket's buffer that the kernel is asked for.
_RECEIVE: Final = 1 << 20
#: Seconds in which datagrams of a refused client are dropped without a session.
_DEAF: Final = 1.0
#: A foreign address and a low port, to see whether answers can be sent from there
#: (RFC 5737, RFC 3849).
_TRIAL: Final = {4: ("192.0.2.1", 1), 6: ("2001:db8::1", 1)}


@final
class _Side:
    """
    What holds for the clients of a listener that send datagrams.

    As L{socksgw.accept.inbound.Listening}.
    """

    layers: Sequence[Layer] = ()

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self.name = listener.name
        self.admission = LastingAdmission(
            listener.admission.census, 0, 0, f"{self.name} datagrams"
        )
        self.memory: Budget = listener.memory
        self.serve = listener.serve
        self.clock = listener.clock
        self.opened = listener.opened

    @property
    def dialects(self) -> Mapping[int, Dialect]:
        return {}

    @property
    def domain(self) -> Domain:
        return self._listener.domain

    @property
    def handshake(self) -> float:
        return self._listener.handshake

    @property
    def closing(self) -> bool:
        return self._listener.closing

    def setDeadline(self, seconds: float, call: Callable[[], None]) -> Timer:
        return self._listener.setDeadline(seconds, call)

    def admit(self, source: Address, port: int) -> Inbound | None:
        """
        Return a new client, if there is room for it.

        However many sources are made up, half of the descriptors are left to others.
        """
        most, mostPerSource = self._listener.bounds
        half = self.admission.census.most // 2
        self.admission.limit(min(most, half), min(mostPerSource, half))
        client = Inbound(self, source, port)
        return client if self.admission.admit(client) else None

    def closed(self, client: Inbound) -> None:
        self.admission.gone(client)
        self._listener.closed(client)


@final
class DivertedPort:
    """
    Where datagrams come that a C{tproxy} rule diverts.

    It has what L{socksgw.gateway.listeners} needs of a port.
    """

    def __init__(
        self,
        bound: socket.socket,
        listener: Listener,
        watch: Watcher,
        host: Host,
    ) -> None:
        """
        Begin to take datagrams.

        @param bound: the socket; it is closed here.
        """
        self._socket = bound
        self._watch = watch
        self._side = _Side(listener)
        self._listener = listener
        self._host = host
        self._clients: dict[Any, DivertedConnection] = {}
        self._paused = False
        self.fileno = bound.fileno
        watch.add(bound.fileno(), READ, self._ready)

    def getHost(self) -> IPv4Address | IPv6Address:
        """Return where it is, as Twisted's ports do."""
        return self.hostOf(self._socket)

    @staticmethod
    def hostOf(bound: socket.socket) -> IPv4Address | IPv6Address:
        """Return where a socket is."""
        host, port = bound.getsockname()[:2]
        make = IPv6Address if bound.family == socket.AF_INET6 else IPv4Address
        return make("UDP", host, port)

    def stopReading(self) -> None:
        """Take no datagrams of new clients for the time being."""
        if not self._paused:
            self._paused = True
            self._watch.change(self._socket.fileno(), 0)

    def startReading(self) -> None:
        """Take datagrams again."""
        if self._paused:
            self._paused = False
            self._watch.change(self._socket.fileno(), READ)

    def stopListening(self) -> Deferred[None]:
        """
        Close. Clients are served to their end, as far as they were answered.
        """
        self._watch.remove(self._socket.fileno())
        self._socket.close()
        self._listener.doStop()
        return succeed(None)

    def surrender(self) -> None:
        """As L{socksgw.accept.endpoints.ListeningPort.surrender}."""
        self.stopListening()

    def _ready(self, events: int) -> None:
        receive, family = self._socket.recvmsg_into, self._socket.family
        for _ in range(_BATCH):
            if self._paused:
                return
            try:
                length, ancillary, _, peer = receive(_INTO, _ANCILLARY)
            except OSError:
                # There is no more.
                return
            found = originalOfDatagram(ancillary, family)
            if found is None:
                continue
            client = self._clients.get(peer)
            if client is None:
                client = self._begin(peer, found)
            if client is not None:
                client.came(found, _VIEW[:length])

    def _begin(
        self, peer: Any, found: tuple[Address, int]
    ) -> DivertedConnection | None:
        """Begin with a client that has sent its first datagram."""
        source = socketName(peer)
        client = None
        try:
            client = self._side.admit(source.address, source.port)
            if client is None:
                return None
            connection = self._clients[peer] = DivertedConnection(
                self._watch, peer, found, self._gone, self._side.memory
            )
            client.makeConnection(connection)
        except Exception as e:
            # No memory: nothing that comes from here may reach the reactor.
            _log.error(
                "a client could not be taken: {kind}: {error}",
                kind=type(e).__name__,
                error=str(e),
            )
            if client is not None:
                client.abandon()
            self._clients.pop(peer, None)
            return None
        if self._host.isListener(*found):
            client.converse(GivenConversation(TRANSPARENT, None))
            client.refused(undiverted(DIRECT))
        else:
            client.converse(GivenConversation(TRANSPARENT, datagrams(*found)))
            client.begin()
        return connection

    def _gone(self, peer: Any, served: bool) -> None:
        """
        Forget a client.

        One that was refused is deaf for a moment: a session for each of its
        datagrams would cost much more than the client.
        """
        if served:
            del self._clients[peer]
        else:
            self._listener.setDeadline(_DEAF, lambda: self._forget(peer))

    def _forget(self, peer: Any) -> None:
        self._clients.pop(peer, None)


def _bound(address: Address, port: int, joining: bool = False) -> socket.socket:
    """
    Open a socket that may be bound to foreign addresses.

    @raise OSError: the kernel does not let us.
    """
    opened = socket.socket(
        FAMILIES[address.version], socket.SOCK_DGRAM | socket.SOCK_NONBLOCK
    )
    try:
        foreign(opened)
        if joining:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if address.version == 6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bindForeign(opened, address, port)
    except OSError:
        opened.close()
        raise
    return opened


def boundForDatagrams(text: str, joining: bool = False) -> socket.socket:
    """
    Return a socket for the datagrams that are diverted to an C{address}.

    @param joining: whether others have the same address.
    @raise OSError: the kernel does not let us, or would not let us answer.
    """
    address, port = parseListenAddress(text)
    foreigner, low = _TRIAL[address.version]
    _bound(Address.parse(foreigner), low).close()
    bound = _bound(address, port, joining)
    try:
        receiveOriginals(bound)
        roomy(bound, _RECEIVE)
    except OSError:
        bound.close()
        raise
    return bound


def listenForDatagrams(
    text: str,
    listener: Listener,
    watch: Watcher,
    host: Host,
    given: socket.socket | None = None,
) -> DivertedPort:
    """
    Take the datagrams that are diverted to an C{address} of the configuration.

    @param given: the socket, where there is one already.
    @raise OSError: the kernel does not let us, or would not let us answer.
    """
    return DivertedPort(given or boundForDatagrams(text), listener, watch, host)
