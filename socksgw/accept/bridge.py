"""
Connections that Twisted made.

Their clients come by an endpoint string, or by an endpoint of a program that embeds
the gateway.
"""

from __future__ import annotations

import socket
from typing import Any, Final, final
from typing import Protocol as Seam

from OpenSSL import SSL
from twisted.internet.abstract import FileDescriptor
from twisted.internet.interfaces import (
    IAddress,
    IHalfCloseableDescriptor,
    IHalfCloseableProtocol,
    IProtocolFactory,
    ISSLTransport,
    ITCPTransport,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from socksgw.system.connection import Producer, Receiver, SocketName
from socksgw.system.plain import AT_ONCE, socketName
from socksgw.system.tlssession import TLSSession, sessionOf
from socksgw.system.watch import GONE, UNWATCHED, Watcher
from socksgw.wire.levels import CLEAR, CONFIDENTIALITY

__all__ = ["TwistedConnection", "TwistedFactory", "TwistedProtocol"]

_NOWHERE: Final = -1


class Client(Receiver, Seam):
    """What becomes of a client here."""

    def makeConnection(self, connection: TwistedConnection) -> None: ...


class Clients(Seam):
    """Where clients come from."""

    def buildProtocol(self, addr: IAddress | None) -> Client | None: ...

    def doStart(self) -> None: ...

    def doStop(self) -> None: ...


@final
class TwistedConnection:
    """
    A L{socksgw.system.connection.Connection} on a transport of Twisted's.

    What the transport can do is found out here, once. Twisted's TLS hands the
    names that it does not know on to the transport below, whose half-close would
    pass it by.
    """

    __slots__ = (
        "_fd", "_plain", "_transport", "_watch", "_watched", "halfCloses", "receiver",
        "secured",
    )  # fmt: skip

    atOnce: Final = AT_ONCE

    def __init__(self, transport: Any, watch: Watcher, receiver: Receiver) -> None:
        """
        Find out what the transport can do.

        @param watch: tells of a client that ends its side while it is not read,
            where the transport has a descriptor.
        """
        self._transport = transport
        self._watch = watch
        self._watched = False
        self.receiver: Any = receiver
        tls = ISSLTransport.providedBy(transport)
        self.secured = CONFIDENTIALITY if tls else CLEAR
        self.halfCloses = not tls and IHalfCloseableDescriptor.providedBy(transport)
        handle = getattr(transport, "getHandle", lambda: None)()
        self._plain = handle if isinstance(handle, socket.socket) and not tls else None
        # Also TLS's: that of the transport below it.
        fileno = getattr(transport, "fileno", None)
        self._fd = _NOWHERE if fileno is None else fileno()

    def prompt(self) -> None:
        """
        Set the socket options that our own listening sockets pass on.
        """
        if ITCPTransport.providedBy(self._transport):
            self._transport.setTcpNoDelay(True)
            self._transport.setTcpKeepAlive(True)

    @property
    def plain(self) -> socket.socket | None:
        """As L{Connection.plain}."""
        return self._plain

    @property
    def tls(self) -> TLSSession | None:
        """As L{Connection.tls}."""
        if self.secured == CLEAR:
            return None
        handle = self._transport.getHandle()
        return sessionOf(handle) if isinstance(handle, SSL.Connection) else None

    @property
    def local(self) -> SocketName:
        """As L{Connection.local}."""
        return self._named(self._transport.getHost())

    @property
    def peer(self) -> SocketName:
        """As L{Connection.peer}."""
        return self._named(self._transport.getPeer())

    def _named(self, address: Any) -> SocketName:
        host = getattr(address, "host", None)
        if not host:
            return socketName("")
        host, scoped, interface = host.partition("%")
        if ":" not in host:
            return socketName((host, address.port))
        scope = socket.if_nametoindex(interface) if scoped else 0
        return socketName((host, address.port, 0, scope))

    @property
    def bufferSize(self) -> int:
        """As L{Connection.bufferSize}."""
        size: int = self._transport.bufferSize
        return size

    @bufferSize.setter
    def bufferSize(self, size: int) -> None:
        self._transport.bufferSize = size

    # Reading.

    def take(self, receiver: Receiver) -> None:
        """As L{Connection.take}."""
        self.receiver = receiver
        self.resumeProducing()

    def release(self) -> int:
        """As L{Connection.release}."""
        self._unwatch()
        self._transport.pauseProducing()
        return UNWATCHED

    def pauseProducing(self) -> None:
        """As L{Connection.pauseProducing}."""
        self._transport.pauseProducing()
        if not self._watched and self._fd != _NOWHERE and not self._closing:
            self._watched = True
            self._watch.add(self._fd, GONE, self._gone)

    def resumeProducing(self) -> None:
        """As L{Connection.resumeProducing}."""
        self._unwatch()
        self._transport.resumeProducing()

    @property
    def _closing(self) -> bool:
        return bool(self._transport.disconnecting)

    def _unwatch(self) -> None:
        if self._watched:
            self._watched = False
            self._watch.remove(self._fd)

    def _gone(self, events: int) -> None:
        self._unwatch()
        self.receiver.departed()

    # Writing.

    def write(self, data: bytes | memoryview) -> None:
        """As L{Connection.write}."""
        plain = self._plain
        if plain is not None:
            try:
                sent = plain.send(data)
            except BlockingIOError:
                sent = 0
            except OSError:
                # Broken: the transport notices, and tells.
                return
            if sent == len(data):
                return
            # From here on the transport keeps the order.
            self._plain = None
            data = data[sent:]
        self._transport.write(bytes(data))

    def registerProducer(self, producer: Producer, streaming: bool) -> None:
        """As L{Connection.registerProducer}."""
        self._plain = None
        self._transport.registerProducer(producer, streaming)
        lowest: Any = self._transport
        while not isinstance(lowest, FileDescriptor) and hasattr(lowest, "transport"):
            lowest = lowest.transport
        if (
            isinstance(lowest, FileDescriptor)
            and lowest.producer is not None
            and (lowest.dataBuffer or lowest._tempDataLen)
        ):
            # Of what waits already, Twisted would tell at the next write.
            lowest.producerPaused = True
            # TLS has put its own between, which passes that on.
            registered: Any = lowest.producer
            registered.pauseProducing()

    def unregisterProducer(self) -> None:
        """As L{Connection.unregisterProducer}."""
        self._transport.unregisterProducer()

    # The end.

    def loseWriteConnection(self) -> None:
        """As L{Connection.loseWriteConnection}."""
        self._plain = None
        self._transport.loseWriteConnection()

    def loseConnection(self) -> None:
        """As L{Connection.loseConnection}."""
        self._unwatch()
        self._transport.loseConnection()

    #: Twisted's transports know one end only.
    cut = loseConnection

    def abortConnection(self) -> None:
        """As L{Connection.abortConnection}."""
        self._unwatch()
        self._transport.abortConnection()

    def closed(self) -> None:
        """Let go of the transport's descriptor: it is closed already."""
        self._plain = None
        if self._watched:
            self._watched = False
            self._watch.closing(self._fd)
        self._fd = _NOWHERE


@implementer(IHalfCloseableProtocol)
@final
class TwistedProtocol(Protocol):
    """
    What Twisted calls a protocol, below a client.
    """

    connection: TwistedConnection | None = None

    def __init__(self, client: Client, watch: Watcher, ours: bool = True) -> None:
        """
        @param ours: whether the listening socket's options are of our making.
        """
        self.client = client
        self._watch = watch
        self._ours = ours

    def connectionMade(self) -> None:
        """Begin with the client."""
        connection = TwistedConnection(self.transport, self._watch, self.client)
        self.connection = connection
        if not self._ours:
            connection.prompt()
        self.client.makeConnection(connection)

    def dataReceived(self, data: bytes) -> None:
        """Hand octets on."""
        if self.connection is not None:
            self.connection.receiver.dataReceived(data)

    def readConnectionLost(self) -> None:
        """Tell that the client ended its side."""
        if self.connection is not None:
            self.connection.receiver.readConnectionLost()

    def writeConnectionLost(self) -> None:
        """Take note that our side has ended: whoever ended it knows."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Tell that the connection is gone."""
        connection, self.connection = self.connection, None
        if connection is not None:
            receiver, connection.receiver = connection.receiver, None
            connection.closed()
            receiver.connectionLost(reason)


@implementer(IProtocolFactory)
@final
class TwistedFactory:
    """
    What a port of Twisted's asks for clients.
    """

    def __init__(self, clients: Clients, watch: Watcher, ours: bool = True) -> None:
        """
        @param ours: as of L{TwistedProtocol}.
        """
        self._watch = watch
        self._clients = clients
        self._ours = ours
        self.doStart = clients.doStart
        self.doStop = clients.doStop

    def buildProtocol(self, addr: IAddress | None) -> TwistedProtocol | None:
        """
        Return the protocol of one client; L{None} closes the connection.
        """
        client = self._clients.buildProtocol(addr)
        if client is None:
            return None
        return TwistedProtocol(client, self._watch, self._ours)
