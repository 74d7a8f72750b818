"""
The transport of a client on a plain TCP socket.

Twisted's own transport does far more than a handshake needs, and the relay
works on the bare socket anyway. This one reads, pauses and closes; as soon
as octets have to be buffered it hands over to Twisted's.
"""

from __future__ import annotations

import socket
import struct
from typing import Any, Final, final

from twisted.internet import tcp
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import ITransport
from twisted.internet.protocol import Protocol
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from socksgw.interfaces import Watcher
from socksgw.watch import READ

__all__ = ["RESET", "PlainTransport"]

_log = Logger()

#: Octets read at once.
_CHUNK: Final = 1 << 16
#: SO_LINGER with no time at all: close() sends a reset.
RESET: Final = struct.pack("ii", 1, 0)


@implementer(ITransport)
@final
class PlainTransport:
    """
    A client's connection until the relay takes its socket.
    """

    __slots__ = ("_fd", "_port", "_protocol", "_reading", "_socket",
                 "_watch", "disconnecting")  # fmt: skip

    def __init__(
        self, accepted: socket.socket, protocol: Protocol, port: Any, watch: Watcher
    ) -> None:
        """
        @param accepted: the client's socket.
        @param port: the C{tcp.Port} that it came through.
        """
        accepted.setblocking(False)
        self._socket = accepted
        self._fd = accepted.fileno()
        self._protocol = protocol
        self._port = port
        self._watch = watch
        self._reading = False
        self.disconnecting = False
        self.resumeProducing()
        protocol.makeConnection(self)

    def _ready(self, events: int) -> None:
        try:
            self._read()
        except Exception:
            _log.failure("a client's protocol failed")
            self.connectionLost(Failure(ConnectionLost()))

    def _read(self) -> None:
        try:
            octets = self._socket.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError:
            self.connectionLost(Failure(ConnectionLost()))
            return
        if octets:
            self._protocol.dataReceived(octets)
        else:
            self.pauseProducing()
            self._protocol.readConnectionLost()  # type: ignore[attr-defined]

    def pauseProducing(self) -> None:
        """Read nothing for the time being."""
        if self._reading:
            self._reading = False
            self._watch.remove(self._fd)

    def resumeProducing(self) -> None:
        """Read on."""
        if not self._reading and not self.disconnecting:
            self._reading = True
            self._watch.add(self._fd, READ, self._ready)

    def release(self) -> bool:
        """
        Somebody else reads the socket from here on.

        @return: whether it is watched for that (L{Watcher.hand}).
        """
        reading, self._reading = self._reading, False
        return reading

    def handOver(self) -> Any:
        """
        From here on the connection is one of Twisted's.

        @return: its transport, or L{None} when the connection is gone.
        """
        self.pauseProducing()
        protocol, port = self._protocol, self._port
        try:
            peer = self._socket.getpeername()
        except OSError:
            self.connectionLost(Failure(ConnectionLost()))
            return None
        transport = tcp.Server(self._socket, protocol, peer, port, 0, port.reactor)
        protocol.transport = transport
        return transport

    def write(self, data: bytes) -> None:
        """Octets that the kernel does not take now."""
        transport = self.handOver()
        if transport is not None:
            transport.write(data)

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Who writes much has to be told when there is no room."""
        transport = self.handOver()
        if transport is not None:
            transport.registerProducer(producer, streaming)

    def unregisterProducer(self) -> None:
        """There is none."""

    def writeSequence(self, data: Any) -> None:
        """As L{write}."""
        self.write(b"".join(data))

    def getHandle(self) -> socket.socket:
        """The socket."""
        return self._socket

    def getHost(self) -> Any:
        """Our address."""
        return self._port._buildAddr(self._socket.getsockname())

    def getPeer(self) -> Any:
        """The client's address."""
        return self._port._buildAddr(self._socket.getpeername())

    def loseConnection(self) -> None:
        """Close; nothing is buffered here."""
        self.connectionLost(Failure(ConnectionDone()))

    def abortConnection(self) -> None:
        """Close with a reset."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.connectionLost(Failure(ConnectionAborted()))

    def connectionLost(self, reason: Failure) -> None:
        """
        Close, and tell the protocol.
        """
        if not self.disconnecting:
            self.disconnecting = True
            self.pauseProducing()
            self._socket.close()
            self._protocol.connectionLost(reason)
