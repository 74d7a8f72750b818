"""
The connection of a client with TLS.

Each turn reads a bounded number of octets and hands them to OpenSSL record by
record (L{socksgw.system.tls.Stream}), whatever the client sends. A bulk transfer costs
half as much CPU as through Twisted's transport for TLS, and an idle session holds
no more than a record's buffers.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from enum import Enum
from typing import Any, Final, final

from OpenSSL import SSL
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.logger import Logger
from twisted.python.failure import Failure

from socksgw.accept.certificates import ServerTLS
from socksgw.accept.identity import Unacceptable
from socksgw.accept.layers import Client, Upwards
from socksgw.errors import CertificateRefused, ProtocolViolated, SocksError
from socksgw.system.assertionkeys import bindingOf
from socksgw.system.backlog import Backlog
from socksgw.system.connection import Connection, Producer, Receiver, SocketName
from socksgw.system.halves import WATCHED, Incoming, Outgoing
from socksgw.system.plain import OPENING, socketName
from socksgw.system.sockets import resetting
from socksgw.system.tls import AT_ONCE, Excessive, Stream
from socksgw.system.tlssession import TLSSession, sessionOf
from socksgw.system.watch import GONE, READ, UNWATCHED, WRITE, Watcher
from socksgw.wire.levels import CONFIDENTIALITY
from socksgw.wire.looks import LOOKED_AT, insteadOfTLS

__all__ = ["TLSConnection", "TLSLayer"]

_log = Logger()

#: The most octets read in one turn. During a handshake it is L{OPENING}: in one
#: of the smallest records each, these are some 700 calls of OpenSSL.
_CHUNK: Final = 1 << 16
#: Where they are read.
_BUFFER: Final = bytearray(_CHUNK)
_VIEW: Final = memoryview(_BUFFER)
#: The first octet of every handshake (RFC 8446 section 5.1).
_HANDSHAKE: Final = b"\x16"
#: Octets that a client may go on sending that was refused.
_LINGER_OCTETS: Final = 1 << 20


class _Phase(Enum):
    """How far TLS has come."""

    SILENT = "the client has said nothing, and there is no TLS yet"
    HANDSHAKE = "the two agree on it"
    ESTABLISHED = "the client is accepted, and octets go both ways"
    DRAINING = "it is over, and what the client still sends is thrown away"
    CLOSED = "the connection is gone"


_SILENT, _SHAKING, _ESTABLISHED, _DRAINING, _CLOSED = _Phase
_UNREAD, _OPEN, _PAUSED, _DEPARTED, _ENDED = Incoming
_WRITABLE, _ENDING, _CLOSING, _CUTTING, _SHUT, _BROKEN = Outgoing
#: In these our side still has something to say when all that waits has gone.
_UNSAID: Final = frozenset({_ENDING, _CLOSING, _CUTTING})


@final
class TLSConnection:
    """
    A L{socksgw.system.connection.Connection} of a client, with TLS.

    The handshake begins with the client's first octet, so one that never says
    anything costs no more than without TLS. Each side's end is its own
    (close_notify, RFC 8446 section 6.1): what the other has to say still
    arrives. A connection that ends without one was cut off.
    """

    __slots__ = (
        "_backlog", "_draining", "_events", "_fd", "_incoming", "_outgoing", "_phase",
        "_sealed", "_socket", "_stream", "_tls", "_watch", "bufferSize",
        "receiver",
    )  # fmt: skip

    plain: Final = None
    halfCloses: Final = True
    secured: Final = CONFIDENTIALITY
    atOnce: Final = _CHUNK

    def __init__(self, accepted: socket.socket, watch: Watcher, tls: ServerTLS) -> None:
        """
        Wait for the client's first octet, once there is a receiver.

        @param accepted: the client's socket, which does not block; it is closed
            here.
        """
        self._socket = accepted
        self._fd = accepted.fileno()
        self._watch = watch
        self._tls = tls
        self.receiver: Any = None
        self._stream: Stream | None = None
        self._phase = _SILENT
        self._incoming = _UNREAD
        self._outgoing = _WRITABLE
        #: What is to be sent: not sealed yet, and sealed.
        self._backlog = Backlog()
        self._sealed: bytes | memoryview = b""
        #: Octets that are still thrown away.
        self._draining = _LINGER_OCTETS
        self._events = 0
        self.bufferSize = OPENING

    @property
    def local(self) -> SocketName:
        """As L{Connection.local}."""
        return socketName(self._socket.getsockname())

    @property
    def peer(self) -> SocketName:
        """As L{Connection.peer}."""
        return socketName(self._socket.getpeername())

    @property
    def tls(self) -> TLSSession | None:
        """As L{Connection.tls}; also of a client whose certificate is refused."""
        stream = self._stream
        if stream is None:
            return None
        refused = stream.connection.get_app_data()
        if refused is not None:
            return sessionOf(stream.connection, refused.leaf)
        return sessionOf(stream.connection) if stream.established else None

    @property
    def binding(self) -> bytes:
        """What only the two ends of this connection know (RFC 9266)."""
        assert self._stream is not None
        return bindingOf(self._stream.connection)

    # Readiness.

    def take(self, receiver: Receiver) -> None:
        """As L{Connection.take}; the first receiver is a L{Client} or L{Preface}."""
        self.receiver = receiver
        if self._incoming is _UNREAD:
            self._incoming = _OPEN
            self._events = READ
            self._watch.add(self._fd, READ, self._ready)
        else:
            self.resumeProducing()

    def release(self) -> int:
        """Never come here: L{plain} is L{None}."""
        raise NotImplementedError

    def _ready(self, events: int) -> None:
        watched = self._events
        try:
            if (
                events == READ == watched
                and self._phase is _ESTABLISHED
                and self._outgoing is not _BROKEN
            ):
                self._read()
            elif self._phase is _DRAINING:
                self._drain()
            elif self._outgoing is _BROKEN or (
                not watched & (READ | WRITE) and events & ~GONE
            ):
                # It was reset, also where nobody reads or writes at the moment.
                self._lose(ConnectionLost())
            else:
                if watched & GONE and events & GONE:
                    self._incoming = _DEPARTED
                    self.receiver.departed()
                if watched & WRITE and events & ~(READ | GONE):
                    self._flush()
                if watched & READ and events & ~WRITE and self._phase is not _CLOSED:
                    self._read()
        except Exception:
            # No octet goes on from where something failed.
            _log.failure("what takes a client's octets failed")
            self._lose(ConnectionLost())
        self._rewatch()

    def _rewatch(self) -> None:
        """Watch for what is of interest now: a reset always is."""
        phase = self._phase
        if phase is _CLOSED or self._incoming is _UNREAD:
            return
        wanted = WATCHED[self._incoming] if phase is _ESTABLISHED else READ
        if self._sealed or (phase is _ESTABLISHED and self._outgoing in _UNSAID):
            wanted |= WRITE
        if wanted != self._events:
            self._events = wanted
            self._watch.change(self._fd, wanted)

    # The handshake.

    def _peeked(self) -> Stream | None:
        """Begin, where the client has sent its first octets."""
        try:
            first = self._socket.recv(LOOKED_AT, socket.MSG_PEEK)
        except BlockingIOError:
            return None
        except OSError:
            first = b""
        return self._begins(first)

    def _begins(self, first: bytes) -> Stream | None:
        """Begin, where the client's first octet is that of a handshake."""
        if first.startswith(_HANDSHAKE):
            self._phase = _SHAKING
            self._stream = Stream(self._tls.connection())
            return self._stream
        why = insteadOfTLS(first) if first else ""
        if why:
            self._refuse(ProtocolViolated(why, reason="not-tls"))
        else:
            self._lose(ConnectionLost())
        return None

    def _opened(self, stream: Stream) -> bool:
        """
        Go on from the handshake.

        @return: whether the client is accepted.
        """
        try:
            self.receiver.identity = self._tls.identityOf(stream.connection)
        except Unacceptable as e:
            self._refuse(
                CertificateRefused(f"the client's certificate is not accepted: {e}")
            )
            return False
        self._phase = _ESTABLISHED
        self._flush()
        return self._phase is _ESTABLISHED

    def _failed(self, stream: Stream, error: SSL.Error) -> None:
        """Refuse the client, whose handshake has failed."""
        refused = stream.connection.get_app_data()
        if refused is not None:
            self._refuse(
                CertificateRefused(
                    f"the client's certificate is not accepted: {refused.why}"
                )
            )
        elif "peer did not return a certificate" in str(error):
            self._refuse(CertificateRefused("the client has shown no certificate"))
        else:
            # Nobody who could be named: a scanner, or a TLS of old.
            self._linger()

    def _refuse(self, failure: SocksError) -> None:
        receiver = self.receiver
        self._linger()
        receiver.refused(failure)

    def _linger(self) -> None:
        """
        End our side, and read what still comes, up to the receiver's deadline.

        Closing with input unread would send a reset, which destroys an alert in
        flight.
        """
        self._phase = _DRAINING
        self._push()
        self._sealed = b""
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            self._lose(ConnectionLost())

    def _drain(self) -> None:
        try:
            count = self._socket.recv_into(_BUFFER)
        except BlockingIOError:
            return
        except OSError:
            count = 0
        self._draining -= count
        if not count or self._draining <= 0:
            self._lose(ConnectionLost())

    # Reading.

    def begin(self, early: bytes) -> None:
        """
        Take the client's first octets, which somebody else has read.
        """
        try:
            stream = self._begins(early[:LOOKED_AT])
            if stream is not None:
                self._came(stream, memoryview(early))
        except Exception:
            _log.failure("what takes a client's octets failed")
            self._lose(ConnectionLost())
        self._rewatch()

    def _read(self) -> None:
        stream = self._stream or self._peeked()
        if stream is None:
            return
        try:
            count = self._socket.recv_into(
                _BUFFER, self.bufferSize if self._phase is _ESTABLISHED else OPENING
            )
        except BlockingIOError:
            return
        except OSError:
            count = 0
        self._came(stream, _VIEW[:count])

    def _came(self, stream: Stream, octets: memoryview) -> None:
        """Have TLS take what the client sent; nothing is its end."""
        established = self._phase is _ESTABLISHED
        data = stream.receive(octets)
        error = stream.failure
        if data and established and error is None and not stream.ended:
            self.receiver.dataReceived(data)
            return
        count = len(octets)
        if not (established and (data or stream.ended)) or error is not None:
            # An answer to what was no data: the handshake's, an alert. Tickets could
            # wait for what is sent next; but they tell a client's kernel that its
            # Finished has come, without which Nagle's algorithm holds its first
            # message back for 40 ms.
            self._sealed = bytes(self._sealed) + stream.outgoing()
            self._push()
        if not stream.established:
            if error is not None:
                self._failed(stream, error)
            elif not count:
                self._lose(ConnectionLost())
            return
        if not established and not self._opened(stream):
            return
        if stream.ended:
            self._incoming = _ENDED
        if data:
            self.receiver.dataReceived(data)
        if self._phase is _CLOSED:
            return
        if isinstance(error, Excessive):
            self.receiver.violated(ProtocolViolated(str(error), reason="tls"))
        elif error is not None or (not count and not stream.ended):
            self._lose(ConnectionLost())
        elif stream.ended:
            self.receiver.readConnectionLost()

    def pauseProducing(self) -> None:
        """As L{Connection.pauseProducing}."""
        if self._incoming is _OPEN:
            self._incoming = _PAUSED
            self._rewatch()

    def resumeProducing(self) -> None:
        """As L{Connection.resumeProducing}."""
        if self._incoming is _PAUSED or self._incoming is _DEPARTED:
            self._incoming = _OPEN
            self._rewatch()

    # Writing.

    def write(self, data: bytes | memoryview) -> None:
        """As L{Connection.write}."""
        if self._outgoing is not _WRITABLE or not data:
            return
        parts, stream = self._backlog.parts, self._stream
        if parts or self._sealed or stream is None or self._phase is not _ESTABLISHED:
            parts.append(bytes(data))
        elif self._seal(stream, data):
            return
        self._backlog.filled()
        self._rewatch()

    def _seal(self, stream: Stream, data: bytes | memoryview) -> bool:
        """
        Seal and send octets as far as the socket takes them, and keep the rest.

        Nothing waits before them.

        @return: whether all of them went.
        """
        view, length, start = memoryview(data), len(data), 0
        try:
            while start < length:
                # Each part is sent as it was sealed: joined they would be copied.
                sealed = stream.send(
                    data if length <= AT_ONCE else view[start : start + AT_ONCE]
                )
                start += AT_ONCE
                try:
                    sent = self._socket.send(sealed)
                except BlockingIOError:
                    sent = 0
                if sent < len(sealed):
                    self._sealed = memoryview(sealed)[sent:]
                    if start < length:
                        # What was given is good for this call only.
                        self._backlog.parts.append(bytes(view[start:]))
                    return False
        except (SSL.Error, OSError):
            self._break()
            return False
        return True

    def _push(self) -> bool:
        """
        Send what is sealed.

        @return: whether all of it went.
        """
        if self._sealed and self._outgoing is not _BROKEN:
            try:
                sent = self._socket.send(self._sealed)
            except BlockingIOError:
                return False
            except OSError:
                self._break()
                return False
            if sent == len(self._sealed):
                self._sealed = b""
            else:
                # Without a copy of the rest.
                self._sealed = memoryview(self._sealed)[sent:]
        return not self._sealed

    def _flush(self) -> None:
        """Seal and send what waits, and then our side's end, as far as it goes."""
        stream, parts = self._stream, self._backlog.parts
        if stream is None or not self._push() or self._phase is not _ESTABLISHED:
            return
        try:
            while parts:
                part = parts.popleft()
                if len(part) > AT_ONCE:
                    # Each is sent as it was sealed: joined they would be copied.
                    view = memoryview(part)
                    part = view[:AT_ONCE]
                    parts.appendleft(view[AT_ONCE:])
                self._sealed = stream.send(part)
                if not self._push():
                    return
            if self._outgoing is _CUTTING:
                self._linger()
                return
            if self._outgoing in _UNSAID:
                self._sealed = stream.end()
                if self._outgoing is _ENDING:
                    self._outgoing = _SHUT
                if not self._push():
                    return
        except SSL.Error:
            self._break()
            return
        if self._outgoing is _CLOSING:
            self._lose(ConnectionDone())
        else:
            self._backlog.drained()

    def _break(self) -> None:
        """
        Take note that nothing can be written any more.

        The receiver is told by the loop, since what writes does not expect a call.
        """
        self._outgoing = _BROKEN
        self._backlog.drop()
        self._sealed = b""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def registerProducer(self, producer: Producer, streaming: bool) -> None:
        """As L{Connection.registerProducer}."""
        if not streaming:
            raise NotImplementedError("only producers that push")
        if self._phase is _CLOSED:
            producer.stopProducing()
            return
        self._backlog.register(producer)
        if self._backlog.parts or self._sealed:
            self._backlog.filled()

    def unregisterProducer(self) -> None:
        """As L{Connection.unregisterProducer}."""
        self._backlog.unregister()

    # The end.

    def loseWriteConnection(self) -> None:
        """As L{Connection.loseWriteConnection}."""
        if self._outgoing is _WRITABLE:
            self._outgoing = _ENDING
            self._flush()
            self._rewatch()

    def loseConnection(self) -> None:
        """As L{Connection.loseConnection}."""
        self._close(_CLOSING)

    def cut(self) -> None:
        """
        Close after what was written, without a close_notify (RFC 8446 section 6.1).

        What the client still sends is read for a moment.
        """
        self._close(_CUTTING)

    def _close(self, way: Outgoing) -> None:
        if self._phase is _DRAINING or self._phase is _CLOSED:
            # A refused client has a moment to read why.
            return
        if self._phase is not _ESTABLISHED or self._outgoing is _BROKEN:
            self._lose(ConnectionDone())
        elif self._outgoing is not _CLOSING and self._outgoing is not _CUTTING:
            # What has ended in order cannot be cut off any more.
            self._outgoing = _CLOSING if self._outgoing is _SHUT else way
            self._flush()
            self._rewatch()

    def abortConnection(self) -> None:
        """As L{Connection.abortConnection}."""
        if self._phase is not _CLOSED:
            resetting(self._socket)
            self._lose(ConnectionAborted())

    def _lose(self, reason: Exception) -> None:
        if self._phase is _CLOSED:
            return
        self._phase = _CLOSED
        self._incoming, self._outgoing = _ENDED, _BROKEN
        self._watch.closing(self._fd)
        self._socket.close()
        self._stream = None
        self._sealed = b""
        self._backlog.lost()
        # What the session held is free at once, without the garbage collector.
        receiver, self.receiver = self.receiver, None
        if receiver is not None:
            receiver.connectionLost(Failure(reason))


@final
class TLSLayer:
    """
    TLS as a layer: it takes the place of the plain connection on the client's socket.
    """

    __slots__ = ("_tls", "_watch")

    def __init__(self, tls: ServerTLS, watch: Watcher) -> None:
        self._tls = tls
        self._watch = watch

    def over(
        self, below: Connection, client: Client, upwards: Upwards, early: bytes
    ) -> None:
        """
        As L{socksgw.accept.layers.Layer.over}.

        What is above may write before the handshake is done: it waits.
        """
        accepted = below.plain
        assert accepted is not None
        if below.release() != UNWATCHED:
            self._watch.remove(accepted.fileno())
        above = TLSConnection(accepted, self._watch, self._tls)
        upwards(above, b"")
        if early:
            above.begin(early)
