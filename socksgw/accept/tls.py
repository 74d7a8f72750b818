"""
The transport of a client on a TCP socket with TLS.

OpenSSL reads and writes the socket itself, without the copies that octets in
memory would cost: a bulk transfer costs half as much CPU as through Twisted's
transport for TLS, and an idle session holds no buffers.
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
from socksgw.accept.transport import RESET
from socksgw.errors import CertificateRefused
from socksgw.interfaces import Watcher
from socksgw.watch import GONE, READ, WRITE

__all__ = ["TLSTransport"]

_log = Logger()

#: The most that one record holds (RFC 8446 section 5.1), and how many are read
#: at once.
_RECORD: Final = 1 << 14
_RECORDS: Final = 4
#: The first octet of every handshake (RFC 8446 section 5.1).
_HANDSHAKE: Final = b"\x16"
#: Octets that a client may go on sending that was refused.
_LINGER_OCTETS: Final = 1 << 20


class SecuredProtocol(Seam):
    """What the transport needs of the client's protocol."""

    identity: CertificateIdentity | None

    def makeConnection(self, transport: Any) -> None: ...

    def refused(self, failure: CertificateRefused) -> None: ...

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
        "_broken", "_connection", "_cut", "_departed", "_draining", "_ended", "_ending", "_established",
        "_fd", "_out", "_paused", "_port", "_producer", "_protocol", "_readBlocked",
        "_readEnded", "_reading", "_socket", "_tls", "_wants", "_watch", "_watched",
        "disconnected", "disconnecting",
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
        self._connection: SSL.Connection | None = None
        #: What the handshake waits for.
        self._wants = READ
        self._established = False
        #: Octets of a refused client that are still thrown away.
        self._draining = 0
        #: Whether the protocol wants octets, and whether more will come.
        self._reading = True
        self._readEnded = False
        #: Whether the protocol knows that the client ended its side unread.
        self._departed = False
        #: OpenSSL cannot read on before it has written (a key update).
        self._readBlocked = False
        #: What is to be written. OpenSSL may hold the first part of the first:
        #: it has to be asked again for the same.
        self._out: deque[bytes] = deque()
        self._producer: Any = None
        self._paused = False
        #: Whether our side is to be ended, and whether it is.
        self._ending = False
        self._ended = False
        self._broken = False
        #: Whether our side ends without TLS's word for it.
        self._cut = False
        #: As Twisted's transports have it: to be closed, and closed.
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
            elif not self._established:
                self._shakeHands()
            elif not watched & (READ | WRITE) and events & ~GONE:
                # Nobody reads or writes at the moment, and it was reset.
                self._lose(ConnectionLost())
            else:
                if watched & GONE and events & GONE:
                    self._departed = True
                    self._protocol.departed()
                if watched & WRITE and events & ~(READ | GONE):
                    self._flush()
                if self._readBlocked or (watched & READ and events & ~WRITE):
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
        if not self._established:
            wanted = self._wants
        elif self._draining:
            wanted = READ
        else:
            wanted = 0
            if self._reading:
                wanted = 0 if self._readEnded else READ
            elif not self._departed:
                wanted = GONE
            if self._out or self._readBlocked or self._ending > self._ended:
                wanted |= WRITE
        if wanted != self._watched:
            self._watched = wanted
            self._watch.change(self._fd, wanted)

    # The handshake.

    def _shakeHands(self) -> None:
        connection = self._connection
        if connection is None:
            try:
                first = self._socket.recv(1, socket.MSG_PEEK)
            except BlockingIOError:
                return
            except OSError:
                first = b""
            if first != _HANDSHAKE:
                # Not TLS, or gone.
                self._lose(ConnectionLost())
                return
            connection = self._connection = self._tls.connection(self._socket)
        try:
            connection.do_handshake()
        except SSL.WantReadError:
            self._wants = READ
            return
        except SSL.WantWriteError:
            self._wants = WRITE
            return
        except SSL.Error as e:
            self._failed(connection, e)
            return
        try:
            self._protocol.identity = self._tls.identityOf(connection)
        except Unacceptable as e:
            self._refuse(f"the client's certificate is not accepted: {e}")
            return
        self._established = True
        self._flush()
        self._read()

    def _failed(self, connection: SSL.Connection, error: SSL.Error) -> None:
        why = connection.get_app_data()
        if why is not None:
            self._refuse(f"the client's certificate is not accepted: {why}")
        elif "peer did not return a certificate" in str(error):
            self._refuse("the client has shown no certificate")
        else:
            # Nobody who could be named: a scanner, or a TLS of old.
            self._linger()

    def _refuse(self, why: str) -> None:
        protocol = self._protocol
        self._linger()
        protocol.refused(CertificateRefused(why))

    def _linger(self) -> None:
        """
        Read what still comes, up to the handshake's deadline: closing with
        input unread would send a reset, and that destroys an alert in flight.
        """
        self._draining = _LINGER_OCTETS
        self._wants = READ
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            self._lose(ConnectionLost())

    def _drain(self) -> None:
        try:
            octets = self._socket.recv(_RECORD)
        except BlockingIOError:
            return
        except OSError:
            octets = b""
        self._draining -= len(octets)
        if not octets or self._draining <= 0:
            self._lose(ConnectionLost())

    # Reading.

    def _read(self) -> None:
        connection = self._connection
        parts: list[bytes] = []
        lost = False
        self._readBlocked = False
        if connection is None or not self._reading or self._readEnded:
            return
        try:
            for _ in range(_RECORDS):
                parts.append(connection.recv(_RECORD))
        except SSL.WantReadError:
            pass
        except SSL.WantWriteError:
            self._readBlocked = True
        except SSL.ZeroReturnError:
            self._readEnded = True
        except SSL.Error:
            lost = True
        if parts:
            self._protocol.dataReceived(
                parts[0] if len(parts) == 1 else b"".join(parts)
            )
        if lost:
            self._lose(ConnectionLost())
        elif self._readEnded and not self.disconnected:
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
        self._out.append(data)
        if len(self._out) == 1 and self._established:
            self._flush()
        if self._out and self._producer is not None and not self._paused:
            self._paused = True
            self._producer.pauseProducing()
        self._rewatch()

    def writeSequence(self, data: Any) -> None:
        """As L{write}."""
        self.write(b"".join(data))

    def _flush(self) -> None:
        out, connection = self._out, self._connection
        if connection is None or self._broken:
            return
        try:
            while out:
                connection.send(out[0])
                out.popleft()
            if self._ending > self._ended:
                self._ended = True
                if self._cut:
                    self._linger()
                    return
                connection.shutdown()
        except SSL.WantWriteError:
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
        self._port.reactor.callLater(0, self._lose, ConnectionLost())

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Who writes much is told when there is no room."""
        if not streaming:
            raise NotImplementedError("only producers that push")
        if self.disconnected:
            producer.stopProducing()
            return
        self._producer = producer
        if self._out:
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
            if self._ended and not self._draining:
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
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            self._lose(ConnectionAborted())

    def _lose(self, reason: Exception) -> None:
        if self.disconnected:
            return
        self.disconnected = self.disconnecting = True
        self._watch.closing(self._fd)
        self._socket.close()
        self._connection = None
        self._out.clear()
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.stopProducing()
        # What the session held is free at once, without the garbage collector.
        protocol, self._protocol = self._protocol, None
        protocol.connectionLost(Failure(reason))

    # What it is.

    def getHandle(self) -> SSL.Connection | None:
        """The connection, as OpenSSL has it."""
        return self._connection

    def getPeerCertificate(self) -> Any:
        """The client's certificate, or L{None}."""
        connection = self._connection
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
