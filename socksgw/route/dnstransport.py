"""
One question to one name server, by UDP or TCP.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from typing import Any, Final, Protocol, final

from twisted.internet import tcp
from twisted.internet.interfaces import IReactorTCP
from twisted.internet.protocol import ClientFactory
from twisted.protocols.basic import Int16StringReceiver
from twisted.python.failure import Failure

from socksgw.errors import SocksError
from socksgw.route.dnsmessages import LONGEST
from socksgw.system.domains import HERE, Sockets
from socksgw.system.watch import READ, Watcher

__all__ = ["DATAGRAM", "Datagrams", "Stream", "SocketAddress", "Talk", "socketAddress"]

#: Octets of a datagram that are read: more than was asked for (EDNS).
DATAGRAM: Final = 4096
#: Datagrams read at once.
_AT_ONCE: Final = 16

SocketAddress = tuple[Any, ...]


def socketAddress(host: str, port: int) -> tuple[socket.AddressFamily, SocketAddress]:
    """
    Return the family and the socket address of an address and a port.

    @param host: an address, which may have a zone id.
    @raise ValueError: it is none.
    """
    try:
        found = socket.getaddrinfo(
            host, port, type=socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST
        )
    except OSError as e:
        raise ValueError(str(e)) from None
    family, _, _, _, where = found[0]
    return family, where


class Talk(Protocol):
    """A question that was sent."""

    def close(self) -> None:
        """Read nothing more. It may be called again."""


@final
class Datagrams:
    """
    A question that is sent by UDP.

    It has a socket, and so a port, of its own, which receives only from the server's
    address and port (RFC 5452 section 9.2).
    """

    def __init__(
        self,
        watch: Watcher,
        where: tuple[socket.AddressFamily, SocketAddress],
        octets: bytes,
        came: Callable[[bytes], None],
        lost: Callable[[], None],
        sockets: Sockets = HERE,
    ) -> None:
        """
        Send the question.

        @param came: called with each datagram.
        @param lost: called when the server cannot be reached.
        @param sockets: where its socket comes from.
        @raise BlockingIOError: there is no socket at the moment.
        @raise OSError: nothing could be sent.
        @raise ConnectFailed: the routing domain cannot be used.
        """
        self._watch = watch
        self._came = came
        self._lost = lost
        self._socket = found = sockets.open(where[0], socket.SOCK_DGRAM)
        try:
            found.connect(where[1])
            found.send(octets)
            watch.add(found.fileno(), READ, self._ready)
        except BaseException:
            found.close()
            raise

    def _ready(self, events: int) -> None:
        for _ in range(_AT_ONCE):
            if self._socket.fileno() < 0:
                return
            try:
                octets = self._socket.recv(DATAGRAM)
            except BlockingIOError:
                return
            except OSError:
                # ICMP says that no server is there (RFC 1122 section 4.1.3.3).
                self.close()
                self._lost()
                return
            self._came(octets)

    def close(self) -> None:
        """As L{Talk.close}."""
        fd = self._socket.fileno()
        if fd >= 0:
            self._watch.closing(fd)
            self._socket.close()


class _Messages(Int16StringReceiver):
    """DNS messages with their lengths (RFC 1035 section 4.2.2)."""

    MAX_LENGTH = LONGEST
    factory: Stream

    def connectionMade(self) -> None:
        """Send the question."""
        self.sendString(self.factory.octets)  # type: ignore[no-untyped-call]

    def stringReceived(self, string: bytes) -> None:
        """Hand on a message."""
        self.factory.came(string)

    def lengthLimitExceeded(self, length: int) -> None:
        """Give up: the answer is longer than is read."""
        self.factory.failed()

    def connectionLost(self, reason: Failure | None = None) -> None:
        """Give up: nothing more will come."""
        self.factory.failed()


class _Client(tcp.Client):
    """A connection whose socket comes from a routing domain."""

    def createInternetSocket(self) -> socket.socket:
        """
        Return the socket.

        @raise OSError: there is none.
        """
        connector: Any = self.connector
        try:
            opened: socket.socket = connector.sockets.open(
                self.addressFamily, socket.SOCK_STREAM
            )
        except SocksError as e:
            raise OSError(errno.ENETDOWN, str(e)) from None
        return opened


class _Connector(tcp.Connector):
    """
    A connector of Twisted's, for a routing domain.

    @ivar sockets: where the socket comes from.
    """

    sockets: Sockets

    def _makeTransport(self) -> _Client:
        make: Any = _Client
        made: _Client = make(self.host, self.port, self.bindAddress, self, self.reactor)
        return made


@final
class Stream(ClientFactory):
    """
    A question that is sent by TCP.
    """

    noisy = False
    protocol = _Messages  # type: ignore[assignment]

    def __init__(
        self,
        reactor: IReactorTCP,
        where: tuple[socket.AddressFamily, SocketAddress],
        octets: bytes,
        seconds: float,
        came: Callable[[bytes], None],
        lost: Callable[[], None],
        sockets: Sockets = HERE,
    ) -> None:
        """
        Begin to connect; the question is sent then.

        @param seconds: for the connection to be made.
        @param came: called with each message.
        @param lost: called when there will be no more.
        @param sockets: where its socket comes from.
        """
        self.octets = octets
        self.came = came
        self._lost: Callable[[], None] | None = lost
        host, port = where[1][:2]
        if where[0] == socket.AF_INET6 and where[1][3]:
            host = f"{host.partition('%')[0]}%{where[1][3]}"
        self._connector: Any
        if sockets is HERE:
            self._connector = reactor.connectTCP(host, port, self, timeout=seconds)
        else:
            self._connector = _Connector(host, port, self, seconds, None, reactor)
            self._connector.sockets = sockets
            self._connector.connect()

    def failed(self) -> None:
        """Tell that nothing more will come, once."""
        lost, self._lost = self._lost, None
        if lost is not None:
            self.close()
            lost()

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
        """Give up: there is no connection."""
        self.failed()

    def close(self) -> None:
        """As L{Talk.close}."""
        self._lost = None
        self._connector.disconnect()
