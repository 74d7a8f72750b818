"""
The transport of a client on a plain TCP socket.

Twisted's own transport does far more than a handshake needs, and the relay
works on the bare socket anyway. This one reads, pauses and closes; as soon
as octets have to be buffered it hands over to Twisted's.
"""

from __future__ import annotations

import socket
from typing import Any, Final, final
from typing import Protocol as Seam

from twisted.internet import tcp
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import ITransport
from twisted.logger import Logger
from twisted.protocols.policies import ProtocolWrapper
from twisted.python.failure import Failure
from zope.interface import implementer

from socksgw.system.sockets import resetting
from socksgw.system.watch import GONE, READ, Watcher

__all__ = ["PlainTransport", "watching"]

_log = Logger()

#: Octets read at once: more than the messages of most logins and the request,
#: and little to hold for each of many clients that send on behind it.
_CHUNK: Final = 1 << 12
_BUFFER: Final = bytearray(_CHUNK)
_VIEW: Final = memoryview(_BUFFER)
_ZEROS: Final = bytes(_CHUNK)


class ClientProtocol(Seam):
    """What a transport of ours needs of the client's protocol."""

    transport: Any
    taken: Any

    def makeConnection(self, transport: Any) -> None: ...

    def dataReceived(self, data: bytes) -> None:
        """
        Octets came.

        @param data: from L{PlainTransport} a view of a buffer, which holds them
            during this call only.
        """

    def readConnectionLost(self) -> None:
        """The client ended its side, and all it sent has been read."""

    def departed(self) -> None:
        """The client ended its side while its connection is not read."""

    def connectionLost(self, reason: Failure) -> None: ...


class _Watching(tcp.Connection):
    """
    A transport of Twisted's, which learns also while it does not read that its
    client ended its side.

    @ivar watch: tells of that.
    """

    watch: Watcher
    _watched = False

    def pauseProducing(self) -> None:
        super().pauseProducing()  # type: ignore[no-untyped-call]
        # A relay learns of it by reading on.
        if self._client().taken is None and not self._watched and self.connected:
            self._watched = True
            self.watch.add(self.fileno(), GONE, self._departed)

    def resumeProducing(self) -> None:
        self._unwatch()
        super().resumeProducing()  # type: ignore[no-untyped-call]

    def release(self) -> bool:
        """As L{PlainTransport.release}: it is not watched for that."""
        self._unwatch()
        super().pauseProducing()  # type: ignore[no-untyped-call]
        return False

    def connectionLost(self, reason: Failure) -> None:
        self._unwatch()
        super().connectionLost(reason)

    def _client(self) -> ClientProtocol:
        """The client's protocol, which may be inside that of TLS."""
        protocol: Any = self.protocol
        while isinstance(protocol, ProtocolWrapper):
            protocol = protocol.wrappedProtocol
        found: ClientProtocol = protocol
        return found

    def _unwatch(self) -> None:
        if self._watched:
            self._watched = False
            self.watch.remove(self.fileno())

    def _departed(self, events: int) -> None:
        self._unwatch()
        self._client().departed()


class _Buffering(_Watching, tcp.Server):
    """What a L{PlainTransport} becomes."""


def watching(port: Any, watch: Watcher) -> None:
    """
    Have a port of Twisted's make transports that learn also while they do not
    read that their client ended its side, where it makes any of Twisted's.
    """
    made = getattr(port, "transport", None)
    if isinstance(made, type) and issubclass(made, tcp.Connection):
        port.transport = type("Watching", (_Watching, made), {"watch": watch})


@implementer(ITransport)
@final
class PlainTransport:
    """
    A client's connection until the relay takes its socket.

    After the end it refers to nothing that refers to it: what a session held
    is free at once, and not when the garbage collector comes by.
    """

    __slots__ = ("_fd", "_port", "_protocol", "_reading", "_socket",
                 "_watch", "_watched", "disconnecting")  # fmt: skip

    def __init__(
        self,
        accepted: socket.socket,
        protocol: ClientProtocol,
        port: Any,
        watch: Watcher,
    ) -> None:
        """
        @param accepted: the client's socket.
        @param port: the C{tcp.Port} that it came through.
        """
        accepted.setblocking(False)
        self._socket = accepted
        self._fd = accepted.fileno()
        self._protocol: Any = protocol
        self._port = port
        self._watch = watch
        self._reading = self._watched = True
        self.disconnecting = False
        watch.add(self._fd, READ, self._ready)
        protocol.makeConnection(self)

    def _ready(self, events: int) -> None:
        try:
            if self._reading:
                self._read()
            elif events & ~GONE:
                # Nothing is read, and the connection was reset.
                self.connectionLost(Failure(ConnectionLost()))
            else:
                self._watch.change(self._fd, 0)
                self._protocol.departed()
        except Exception:
            _log.failure("a client's protocol failed")
            self.connectionLost(Failure(ConnectionLost()))

    def _read(self) -> None:
        try:
            came = self._socket.recv_into(_BUFFER)
        except BlockingIOError:
            return
        except OSError:
            self.connectionLost(Failure(ConnectionLost()))
            return
        if came:
            try:
                self._protocol.dataReceived(_VIEW[:came])
            finally:
                # It may hold a password.
                _VIEW[:came] = _ZEROS[:came]
        else:
            self._reading = False
            self._watch.change(self._fd, 0)
            self._protocol.readConnectionLost()

    def pauseProducing(self) -> None:
        """
        Read nothing for the time being; the protocol is told when the client
        ends its side meanwhile.
        """
        if self._reading:
            self._reading = False
            self._watch.change(self._fd, GONE)

    def resumeProducing(self) -> None:
        """Read on."""
        if self._reading or self.disconnecting:
            return
        self._reading = True
        if self._watched:
            self._watch.change(self._fd, READ)
        else:
            self._watched = True
            self._watch.add(self._fd, READ, self._ready)

    def release(self) -> bool:
        """
        Somebody else reads the socket from here on.

        @return: whether it is watched for that (L{Watcher.hand}).
        """
        reading, self._reading = self._reading, False
        if not reading and self._watched:
            self._watch.remove(self._fd)
        self._watched = False
        return reading

    def handOver(self) -> Any:
        """
        From here on the connection is one of Twisted's.

        @return: its transport, or L{None} when the connection is gone.
        """
        protocol, port, reading = self._protocol, self._port, self._reading
        try:
            peer = self._socket.getpeername()
        except OSError:
            self.connectionLost(Failure(ConnectionLost()))
            return None
        if self._watched:
            self._reading = self._watched = False
            self._watch.remove(self._fd)
        transport: Any = _Buffering(self._socket, protocol, peer, port, 0, port.reactor)
        transport.watch = self._watch
        if not reading:
            transport.pauseProducing()
        self._protocol = None
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
        resetting(self._socket)
        self.connectionLost(Failure(ConnectionAborted()))

    def connectionLost(self, reason: Failure) -> None:
        """
        Close, and tell the protocol.
        """
        if not self.disconnecting:
            self.disconnecting = True
            if self._watched:
                self._reading = self._watched = False
                self._watch.closing(self._fd)
            self._socket.close()
            protocol, self._protocol = self._protocol, None
            protocol.connectionLost(reason)
