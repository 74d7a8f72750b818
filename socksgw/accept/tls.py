"""
The transport of a client on a TCP socket with TLS.

Each turn reads a bounded number of octets and hands them to OpenSSL record by
record (L{socksgw.system.tls.Stream}), whatever the client sends. A bulk transfer costs
half as much CPU as through Twisted's transport for TLS, and an idle session holds
no more than a record's buffers.
"""

from __future__ import annotations

import socket
from collections import deque
from typing import Any, Final, final
from typing import Protocol as Seam

from OpenSSL import SSL
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IConsumer, IPushProducer, ISSLTransport
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from socksgw.accept.certificates import ServerTLS
from socksgw.accept.identity import CertificateIdentity, Unacceptable
from socksgw.errors import CertificateRefused, ProtocolViolated, SocksError
from socksgw.system.sockets import resetting
from socksgw.system.tls import AT_ONCE, Excessive, Stream
from socksgw.system.watch import GONE, READ, WRITE, Watcher
from socksgw.wire.codes import SOCKS4, SOCKS5
from socksgw.wire.server import lookOf

__all__ = ["TLSTransport"]

_log = Logger()

#: Octets read in one turn, at first and at most. Octets of a handshake cost the
#: most: in one of the smallest records each, these are some 700 calls of OpenSSL.
#: And many clients may send on behind their request before there is a relay.
_OPENING: Final = 1 << 12
_CHUNK: Final = 1 << 16
#: Where they are read.
_BUFFER: Final = bytearray(_CHUNK)
_VIEW: Final = memoryview(_BUFFER)
#: The first octet of every handshake (RFC 8446 section 5.1).
_HANDSHAKE: Final = b"\x16"
#: Octets that tell what a client speaks that does not speak TLS.
_LOOK: Final = 6
#: How version 2 of a PROXY header begins.
_PROXY2: Final = b"\r\n\r\n"
#: Octets that a client may go on sending that was refused.
_LINGER_OCTETS: Final = 1 << 20


def _clear(first: bytes) -> str:
    """
    Say what came in the place of TLS, and what to do; empty where that is nothing
    that is known (scanners send much).
    """
    if first[0] == SOCKS4 or (first[0] == SOCKS5 and first[1:2] < b"\x10"):
        return (
            f"SOCKS {first[0]} without TLS, which is wanted here: use a client with "
            "TLS (stunnel, socat), or a listener without"
        )
    if first[:3].isalpha() or first.startswith(_PROXY2):
        return f"TLS is wanted here, and this is {lookOf(first)}"
    return ""


class SecuredProtocol(Seam):
    """What the transport needs of the client's protocol."""

    identity: CertificateIdentity | None

    def makeConnection(self, transport: Any) -> None: ...

    def refused(self, failure: SocksError) -> None: ...

    def end(self, failure: SocksError) -> None: ...

    def dataReceived(self, data: bytes) -> None: ...

    def readConnectionLost(self) -> None: ...

    def departed(self) -> None: ...

    def connectionLost(self, reason: Failure) -> None: ...


@implementer(ISSLTransport, IPushProducer, IConsumer)
@final
class TLSTransport:
    """
    A client's connection.

    The handshake begins with the client's first octet, so one that never says
    anything costs no more than without TLS. Each side's end is its own
    (close_notify, RFC 8446 section 6.1): what the other has to say still
    arrives. A connection that ends without one was cut off.
    """

    __slots__ = (
        "_broken", "_cut", "_departed", "_draining", "_ended", "_ending", "_established",
        "_fd", "_out", "_paused", "_port", "_producer", "_protocol", "_readEnded",
        "_reading", "_sealed", "_socket", "_stream", "_tls", "_watch", "_watched",
        "bufferSize", "disconnected", "disconnecting",
    )  # fmt: skip

    def __init__(
        self,
        accepted: socket.socket,
        protocol: SecuredProtocol,
        port: Any,
        watch: Watcher,
        tls: ServerTLS,
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
        self._tls = tls
        self._stream: Stream | None = None
        #: Whether the handshake is done, and the client accepted.
        self._established = False
        #: Octets of a refused client that are still thrown away.
        self._draining = 0
        #: Whether the protocol wants octets, and whether more will come.
        self._reading = True
        self._readEnded = False
        #: Whether the protocol knows that the client ended its side unread.
        self._departed = False
        #: What is to be sent: sealed already, and not.
        self._sealed: bytes | memoryview = b""
        self._out: deque[bytes | memoryview] = deque()
        self._producer: Any = None
        self._paused = False
        #: Whether our side is to be ended, and whether it is.
        self._ending = False
        self._ended = False
        self._broken = False
        #: Whether our side ends without TLS's word for it.
        self._cut = False
        #: As Twisted's transports have it: octets read at once; to be closed, and
        #: closed.
        self.bufferSize = _OPENING
        self.disconnecting = False
        self.disconnected = False
        self._watched = READ
        watch.add(self._fd, READ, self._ready)
        protocol.makeConnection(self)

    # Readiness.

    def _ready(self, events: int) -> None:
        watched = self._watched
        try:
            if self._draining:
                self._drain()
            elif not watched & (READ | WRITE) and events & ~GONE:
                # Nobody reads or writes at the moment, and it was reset.
                self._lose(ConnectionLost())
            else:
                if watched & GONE and events & GONE:
                    self._departed = True
                    self._protocol.departed()
                if watched & WRITE and events & ~(READ | GONE):
                    self._flush()
                if watched & READ and events & ~WRITE and not self.disconnected:
                    self._read()
        except Exception:
            # No octet goes on from where something failed.
            _log.failure("a client's protocol failed")
            self._lose(ConnectionLost())
        self._rewatch()

    def _rewatch(self) -> None:
        """Watch for what is of interest now: a reset always is."""
        if self.disconnected:
            return
        if self._draining or not self._established:
            wanted = READ
        else:
            wanted = 0
            if self._reading:
                wanted = 0 if self._readEnded else READ
            elif not self._departed:
                wanted = GONE
        if self._sealed or (self._established and self._ending > self._ended):
            wanted |= WRITE
        if wanted != self._watched:
            self._watched = wanted
            self._watch.change(self._fd, wanted)

    # The handshake.

    def _begins(self) -> bool:
        """Whether the client's first octet is that of a handshake."""
        try:
            first = self._socket.recv(_LOOK, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            first = b""
        if not first:
            self._lose(ConnectionLost())
            return False
        if not first.startswith(_HANDSHAKE):
            why = _clear(first)
            if why:
                self._refuse(ProtocolViolated(why, reason="not-tls"))
            else:
                self._lose(ConnectionLost())
            return False
        self._stream = Stream(self._tls.connection())
        return True

    def _opened(self, stream: Stream) -> bool:
        """
        The handshake is done.

        @return: whether the client is accepted.
        """
        try:
            self._protocol.identity = self._tls.identityOf(stream.connection)
        except Unacceptable as e:
            self._refuse(
                CertificateRefused(f"the client's certificate is not accepted: {e}")
            )
            return False
        self._established = True
        self._flush()
        return not self.disconnected

    def _failed(self, stream: Stream, error: SSL.Error) -> None:
        """The handshake has failed."""
        why = stream.connection.get_app_data()
        if why is not None:
            self._refuse(
                CertificateRefused(f"the client's certificate is not accepted: {why}")
            )
        elif "peer did not return a certificate" in str(error):
            self._refuse(CertificateRefused("the client has shown no certificate"))
        else:
            # Nobody who could be named: a scanner, or a TLS of old.
            self._linger()

    def _refuse(self, failure: SocksError) -> None:
        protocol = self._protocol
        self._linger()
        protocol.refused(failure)

    def _linger(self) -> None:
        """
        Read what still comes, up to the handshake's deadline: closing with
        input unread would send a reset, and that destroys an alert in flight.
        """
        self._draining = _LINGER_OCTETS
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

    def _read(self) -> None:
        if self._stream is None and not self._begins():
            return
        stream = self._stream
        assert stream is not None
        size = self.bufferSize if self._established else _OPENING
        try:
            count = self._socket.recv_into(_BUFFER, size)
        except BlockingIOError:
            return
        except OSError:
            count = 0
        data = stream.receive(_VIEW[:count])
        error = stream.failure
        if not self._established or not data or error is not None:
            self._sealed = bytes(self._sealed) + stream.outgoing()
            self._push()
        if not stream.established:
            if error is not None:
                self._failed(stream, error)
            elif not count:
                self._lose(ConnectionLost())
            return
        if not self._established and not self._opened(stream):
            return
        self._readEnded = stream.ended
        if data:
            self._protocol.dataReceived(data)
        if self.disconnected:
            return
        if isinstance(error, Excessive):
            self._protocol.end(ProtocolViolated(str(error), reason="tls"))
        elif error is not None or (not count and not stream.ended):
            self._lose(ConnectionLost())
        elif stream.ended:
            self._protocol.readConnectionLost()

    def pauseProducing(self) -> None:
        """Read nothing for the time being."""
        self._reading = False
        self._rewatch()

    def resumeProducing(self) -> None:
        """Read on."""
        self._reading = True
        self._rewatch()

    def stopProducing(self) -> None:
        """Nobody wants what comes."""
        self.loseConnection()

    # Writing.

    def write(self, data: bytes) -> None:
        """Send octets, or keep them until there is room."""
        if not data or self.disconnected or self._ending or self._broken:
            return
        if len(data) <= AT_ONCE:
            self._out.append(data)
        else:
            # Each part is sent as it was sealed: joined they would be copied.
            view = memoryview(data)
            starts = range(0, len(data), AT_ONCE)
            self._out.extend([view[start : start + AT_ONCE] for start in starts])
        if self._established and not self._sealed:
            self._flush()
        if self._unsent and self._producer is not None and not self._paused:
            self._paused = True
            self._producer.pauseProducing()
        self._rewatch()

    def writeSequence(self, data: Any) -> None:
        """As L{write}."""
        self.write(b"".join(data))

    @property
    def _unsent(self) -> bool:
        """Whether the socket has not taken all that was written."""
        return bool(self._out or self._sealed)

    def _push(self) -> bool:
        """
        Send what is sealed.

        @return: whether all of it went.
        """
        if self._sealed and not self._broken:
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
        out, stream = self._out, self._stream
        if stream is None or not self._push() or not self._established:
            return
        try:
            while out:
                self._sealed = stream.send(out.popleft())
                if not self._push():
                    return
            if self._ending > self._ended:
                self._ended = True
                if self._cut:
                    self._linger()
                    return
                self._sealed = stream.end()
                if not self._push():
                    return
        except SSL.Error:
            self._break()
            return
        if self._ended and self.disconnecting:
            self._lose(ConnectionDone())
        elif self._paused:
            self._paused = False
            self._producer.resumeProducing()

    def _break(self) -> None:
        """
        It cannot be written to any more; told from the reactor, since who
        writes does not expect it.
        """
        self._broken = True
        self._out.clear()
        self._sealed = b""
        self._port.reactor.callLater(0, self._lose, ConnectionLost())

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Who writes much is told when there is no room."""
        if not streaming:
            raise NotImplementedError("only producers that push")
        if self.disconnected:
            producer.stopProducing()
            return
        self._producer = producer
        if self._unsent:
            self._paused = True
            producer.pauseProducing()

    def unregisterProducer(self) -> None:
        """It writes no more."""
        self._producer = None
        self._paused = False

    # The end.

    def loseWriteConnection(self) -> None:
        """End our side, after what is buffered; the client may go on."""
        self._ending = True
        if self._established:
            self._flush()
        self._rewatch()

    def loseConnection(self) -> None:
        """Close in order, after what is buffered."""
        if self._draining or self.disconnected:
            # A refused client has a moment to read why.
            return
        self.disconnecting = True
        if self._established and not self._broken:
            self.loseWriteConnection()
            if self._ended and not self._draining and not self._sealed:
                self._lose(ConnectionDone())
        else:
            self._lose(ConnectionDone())

    def cutOff(self) -> None:
        """
        Close after what is buffered, without TLS's word for the end: nobody
        shall take that for all there was (RFC 8446 section 6.1).
        """
        self._cut = True
        self.loseConnection()

    def abortConnection(self) -> None:
        """Close with a reset."""
        if not self.disconnected:
            resetting(self._socket)
            self._lose(ConnectionAborted())

    def _lose(self, reason: Exception) -> None:
        if self.disconnected:
            return
        self.disconnected = self.disconnecting = True
        self._watch.closing(self._fd)
        self._socket.close()
        self._stream = None
        self._out.clear()
        self._sealed = b""
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.stopProducing()
        # What the session held is free at once, without the garbage collector.
        protocol, self._protocol = self._protocol, None
        protocol.connectionLost(Failure(reason))

    # What it is.

    def getHandle(self) -> SSL.Connection | None:
        """The connection, as OpenSSL has it."""
        return None if self._stream is None else self._stream.connection

    def getPeerCertificate(self) -> Any:
        """The client's certificate, or L{None}."""
        connection = self.getHandle()
        return None if connection is None else connection.get_peer_certificate()

    def getHost(self) -> Any:
        """Our address."""
        return self._port._buildAddr(self._socket.getsockname())

    def getPeer(self) -> Any:
        """The client's address."""
        return self._port._buildAddr(self._socket.getpeername())

    def getTcpNoDelay(self) -> bool:
        """Whether short messages are sent at once."""
        option = self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        return bool(option)

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Whether short messages shall be sent at once."""
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, enabled)

    def getTcpKeepAlive(self) -> bool:
        """Whether a silent client is asked whether it is there."""
        option = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        return bool(option)

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """Whether a silent client shall be asked whether it is there."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, enabled)
