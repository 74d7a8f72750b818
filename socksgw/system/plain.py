"""
A connection on a plain socket, of a client or to a destination.

Twisted's own transport does far more than a handshake needs, and bulk moves on
the bare socket anyway (L{socksgw.relay.splice}).
"""

from __future__ import annotations

import errno
import socket
from typing import Any, Final

from twisted.internet.error import (
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
    getConnectError,
)
from twisted.logger import Logger
from twisted.python.failure import Failure

from socksgw.system.backlog import Backlog
from socksgw.system.connection import Producer, Receiver, SocketName
from socksgw.system.halves import Incoming, Outgoing
from socksgw.system.sockets import resetting
from socksgw.system.watch import (
    DUPLEX,
    FAILED,
    GONE,
    READ,
    STAYS,
    STREAM,
    UNWATCHED,
    WRITE,
    Watcher,
)
from socksgw.wire.address import Address
from socksgw.wire.levels import CLEAR

__all__ = ["AT_ONCE", "OPENING", "PlainConnection", "socketName"]

_log = Logger()

#: Octets read at once while a client says what it wants: more than the messages
#: of most logins and the request, and few enough to hold for each of many clients
#: that send on behind it.
OPENING: Final = 1 << 12
#: The most octets that are read at once.
AT_ONCE: Final = 1 << 16
_BUFFER: Final = bytearray(AT_ONCE)
_VIEW: Final = memoryview(_BUFFER)
_ZEROS: Final = bytes(OPENING)

_LOOPBACK: Final = Address(b"\x7f\x00\x00\x01")
_DONE: Final = Failure(ConnectionDone())


_UNREAD, _OPEN, _PAUSED, _DEPARTED, _ENDED = Incoming
_WRITABLE, _ENDING, _CLOSING, _, _SHUT, _BROKEN = Outgoing
_NOWHERE: Final = -1
#: What tells that there is room to write, or that writing fails.
_ROOM: Final = WRITE | FAILED
#: What a connect fails with that the first write has begun (TCP Fast Open). The last
#: two may come later, too, if the way to the other side ends.
_UNREACHED: Final = (errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH)
#: What tells of an end.
_ENDS: Final = GONE | FAILED


def socketName(name: Any) -> SocketName:
    """
    Return the end of a connection that Python's sockets call so.

    @param name: what C{getsockname} or C{getpeername} has returned.
    """
    if not isinstance(name, tuple):
        return SocketName(_LOOPBACK, 0)
    if len(name) == 2:
        return SocketName(Address(socket.inet_aton(name[0])), name[1])
    host = name[0].partition("%")[0]
    return SocketName(
        Address(socket.inet_pton(socket.AF_INET6, host)), name[1], name[3]
    )


def _lost(error: OSError) -> Exception:
    """Return what the receiver is told of a failure."""
    if error.errno in _UNREACHED:
        found: Exception = getConnectError(error)
        return found
    return ConnectionLost()


class PlainConnection:
    """
    A connection on a socket with nothing above it.

    As L{socksgw.system.connection.Connection}. After the end it refers to nothing
    that refers to it: what a session held is free then, and not when the garbage
    collector runs.

    Connections of clients and to destinations are of one class: the interpreter finds
    the attributes of one class at once, and those of two by a search.

    @ivar address: of a connection to a destination, the literal that was dialled.
    @ivar port: its port.
    @ivar bound: our address and port on it.
    """

    __slots__ = (
        "_backlog", "_fd", "_incoming", "_outgoing", "_registered", "_socket",
        "_told", "_watch", "address", "bound", "bufferSize", "port", "receiver",
    )  # fmt: skip

    address: Address
    port: int
    bound: tuple[Address, int]
    #: No upstream is between.
    path: Final = ""
    halfCloses: Final = True
    secured: Final = CLEAR
    tls: Final = None
    atOnce: Final = AT_ONCE

    def __init__(
        self, connected: socket.socket, watch: Watcher, told: int = UNWATCHED
    ) -> None:
        """
        Take charge of a socket.

        @param connected: the socket, non-blocking; it is closed here.
        @param told: what has been told of it, where it is registered for
            L{DUPLEX}, for this to take over.
        """
        self._socket = connected
        self._fd = connected.fileno()
        self._watch = watch
        self.receiver: Any = None
        self._incoming = _UNREAD
        self._outgoing = _WRITABLE
        self._backlog: Backlog | None = None
        #: What the socket is registered for; 0 where it is not.
        self._registered = 0
        #: What has been told, and may hold still (L{STAYS}).
        self._told = 0
        self.bufferSize = OPENING
        if told != UNWATCHED:
            self._registered = DUPLEX
            self._told = told & STAYS
            watch.hand(self._fd, self._ready)

    # What it is.

    @property
    def plain(self) -> socket.socket | None:
        """As L{Connection.plain}."""
        if self._backlog is not None and self._backlog.parts:
            return None
        return None if self._outgoing is _BROKEN else self._socket

    @property
    def local(self) -> SocketName:
        """As L{Connection.local}."""
        return socketName(self._socket.getsockname())

    @property
    def peer(self) -> SocketName:
        """As L{Connection.peer}."""
        return socketName(self._socket.getpeername())

    def surplus(self) -> bytes:
        """Return what came before it was handed over: nothing."""
        return b""

    # Reading.

    def take(self, receiver: Receiver) -> None:
        """As L{Connection.take}."""
        self.receiver = receiver
        self.resumeProducing()

    def release(self) -> int:
        """As L{Connection.release}."""
        told = self._told if self._registered else UNWATCHED
        self._registered = self._told = 0
        self._incoming = _UNREAD
        return told

    def pauseProducing(self) -> None:
        """As L{Connection.pauseProducing}."""
        if self._incoming is _OPEN:
            self._incoming = _PAUSED
            self._heed(_ENDS)

    def resumeProducing(self) -> None:
        """As L{Connection.resumeProducing}."""
        if self._incoming is not _OPEN and self._incoming is not _ENDED:
            self._incoming = _OPEN
            self._heed()

    def _heed(self, what: int = STAYS) -> None:
        """
        Be told of the socket, and again of what has been told already.

        @param what: which of that is of interest now.
        """
        if not self._registered:
            if self._fd != _NOWHERE:
                self._registered = STREAM
                self._watch.add(self._fd, STREAM, self._ready)
        elif self._told & what:
            self._watch.again(self._fd)

    def _ready(self, events: int) -> None:
        told = self._told = self._told | (events & STAYS)
        try:
            if events & _ROOM and self._backlog is not None and self._backlog.parts:
                self._flush()
            if self._incoming is _OPEN:
                if told:
                    self._read()
            elif told & _ENDS:
                self._unreadEnd(told)
        except Exception:
            _log.failure("what takes a connection's octets failed")
            self._lose(Failure(ConnectionLost()))

    def _read(self) -> None:
        size = self.bufferSize
        try:
            came = self._socket.recv_into(_BUFFER, size)
        except BlockingIOError:
            self._told = 0
            return
        except OSError as e:
            self._lose(Failure(_lost(e)))
            return
        if came:
            if came < size:
                self._told &= ~READ
            try:
                self.receiver.dataReceived(_VIEW[:came])
            finally:
                if came <= OPENING:
                    # It may hold a password.
                    _VIEW[:came] = _ZEROS[:came]
            if self._told and self._incoming is _OPEN:
                self._watch.again(self._fd)
        elif self._outgoing is _BROKEN:
            self._lose(Failure(ConnectionLost()))
        else:
            self._incoming = _ENDED
            if self._told & FAILED:
                self._watch.again(self._fd)
            self.receiver.readConnectionLost()

    def _unreadEnd(self, told: int) -> None:
        """Act on an end, or a failure, while nothing is read."""
        if self._incoming is _UNREAD:
            # Whoever reads it will see.
            return
        if told & FAILED and (
            self._incoming is _ENDED
            or self._outgoing is _BROKEN
            or self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        ):
            self._lose(Failure(ConnectionLost()))
        elif self._incoming is _PAUSED:
            self._incoming = _DEPARTED
            self.receiver.departed()

    # Writing.

    def write(self, data: bytes | memoryview) -> None:
        """As L{Connection.write}."""
        backlog = self._backlog
        if backlog is None or not backlog.parts:
            try:
                sent = self._socket.send(data)
            except BlockingIOError:
                sent = 0
            except OSError:
                # Reading will tell; where nothing is read, the watch will.
                self._outgoing = _BROKEN
                return
            if sent == len(data):
                return
            data = data[sent:]
        if self._outgoing is _WRITABLE:
            if backlog is None:
                backlog = self._backlog = Backlog()
            backlog.parts.append(bytes(data))
            backlog.filled()
            self._awaitRoom()

    def _awaitRoom(self) -> None:
        """Be told when there is room to write, which there is not now."""
        if not self._registered & WRITE and self._fd != _NOWHERE:
            before, self._registered = self._registered, DUPLEX
            if before:
                self._watch.change(self._fd, DUPLEX)
            else:
                self._watch.add(self._fd, DUPLEX, self._ready)

    def _flush(self) -> None:
        """Send what waits, as far as it goes."""
        backlog = self._backlog
        assert backlog is not None
        parts = backlog.parts
        while parts:
            part = parts[0]
            try:
                sent = self._socket.send(part)
            except BlockingIOError:
                return
            except OSError:
                self._outgoing = _BROKEN
                backlog.drop()
                # What the peer sent before is still to be read; the end of that
                # will tell.
                if self._incoming is not _OPEN:
                    self._lose(Failure(ConnectionLost()))
                return
            if sent < len(part):
                # A view makes no copy of the rest.
                parts[0] = memoryview(part)[sent:]
            else:
                parts.popleft()
        if self._outgoing is _CLOSING:
            self._lose(_DONE)
            return
        if self._outgoing is _ENDING:
            self._shut()
        backlog.drained()

    def registerProducer(self, producer: Producer, streaming: bool) -> None:
        """As L{Connection.registerProducer}."""
        if not streaming:
            raise NotImplementedError("only producers that push")
        if self._fd == _NOWHERE:
            producer.stopProducing()
            return
        if self._backlog is None:
            self._backlog = Backlog()
        self._backlog.register(producer)
        if self._backlog.parts:
            self._backlog.filled()

    def unregisterProducer(self) -> None:
        """As L{Connection.unregisterProducer}."""
        if self._backlog is not None:
            self._backlog.unregister()

    # The end.

    def loseWriteConnection(self) -> None:
        """As L{Connection.loseWriteConnection}."""
        if self._outgoing is _WRITABLE:
            if self._backlog is not None and self._backlog.parts:
                self._outgoing = _ENDING
            else:
                self._shut()

    def _shut(self) -> None:
        self._outgoing = _SHUT
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            # The connection is gone; reading from it will tell.
            self._outgoing = _BROKEN

    def loseConnection(self) -> None:
        """As L{Connection.loseConnection}."""
        if self._fd != _NOWHERE and self._backlog is not None and self._backlog.parts:
            self._outgoing = _CLOSING
            self._incoming = _ENDED
            if self._told & FAILED:
                self._watch.again(self._fd)
        else:
            self._lose(_DONE)

    #: A plain socket knows one end only.
    cut = loseConnection

    def abortConnection(self) -> None:
        """As L{Connection.abortConnection}."""
        if self._fd != _NOWHERE:
            resetting(self._socket)
            self._lose(Failure(ConnectionAborted()))

    def _lose(self, reason: Failure) -> None:
        """Close, and tell the receiver."""
        fd, self._fd = self._fd, _NOWHERE
        if fd == _NOWHERE:
            return
        if self._registered:
            self._registered = 0
            self._watch.closing(fd)
        self._incoming, self._outgoing = _ENDED, _BROKEN
        self._socket.close()
        backlog, self._backlog = self._backlog, None
        receiver, self.receiver = self.receiver, None
        if backlog is not None:
            backlog.lost()
        if receiver is not None:
            receiver.connectionLost(reason)
