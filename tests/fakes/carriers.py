"""
Connections of every kind on loopback, and the peers that a test plays, which all
look alike: one place for what has to hold whatever carries the octets.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory

from socksgw.accept.bridge import TwistedProtocol
from socksgw.accept.certificates import ServerTLS
from socksgw.accept.tls import TLSConnection
from socksgw.config.schema import ListenTLS
from socksgw.system.plain import PlainConnection
from socksgw.system.protected import ProtectedConnection
from socksgw.system.tlsclient import ClientTLS
from socksgw.system.tlscontext import Own, serverContext
from socksgw.system.watch import Watch
from socksgw.wire.levels import INTEGRITY
from tests.fakes.connections import Recorder
from tests.fakes.loops import ReactorLoop
from tests.tools.certificates import Authority, pemOf, server
from tests.tools.sockets import RESET, pair

__all__ = ["CARRIERS", "HOPS", "OWN", "ROOT", "Carried", "Peer", "Terminal"]

ROOT = Authority()
OWN = server(ROOT)


class Peer:
    """The other end of a plain connection."""

    def __init__(self, plain: socket.socket) -> None:
        self.plain = plain

    def send(self, octets: bytes) -> int:
        """Send some; raises C{BlockingIOError}."""
        return self.plain.send(octets)

    def recv(self) -> bytes:
        """Take some, none at the end; raises C{BlockingIOError}."""
        return self.plain.recv(1 << 16)

    def flush(self) -> None:
        """Send what has been taken and not sent, as far as it goes."""

    def end(self) -> None:
        """End this side."""
        self.plain.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Go without a word."""
        self.plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.plain.close()


class TLSPeer(Peer):
    """The other end of one with TLS."""

    def __init__(self, plain: socket.socket) -> None:
        super().__init__(plain)
        self._tls = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), plain)
        self._tls.set_connect_state()

    def shaken(self) -> bool:
        """Shake hands, and return whether that is done."""
        try:
            self._tls.do_handshake()
        except SSL.WantReadError:
            return False
        return True

    def send(self, octets: bytes) -> int:
        try:
            return self._tls.send(octets)
        except SSL.WantWriteError:
            raise BlockingIOError from None

    def recv(self) -> bytes:
        try:
            return self._tls.recv(1 << 16)
        except SSL.WantReadError:
            raise BlockingIOError from None
        except SSL.ZeroReturnError:
            return b""
        except SSL.Error as e:
            raise ConnectionResetError(e) from None

    def end(self) -> None:
        self._tls.shutdown()


class Terminal(Peer):
    """
    A server's TLS, over another peer's octets.
    """

    def __init__(self, below: Peer, context: SSL.Context | None = None) -> None:
        """@param context: where it is no usual server."""
        super().__init__(below.plain)
        self._below = below
        context = context or serverContext(Own(OWN.chain, OWN.key))
        self._tls = SSL.Connection(context, None)
        self._tls.set_accept_state()
        self._unsent = b""

    def flush(self) -> None:
        with suppress(BlockingIOError):
            self._flush()
        self._below.flush()

    def _flush(self) -> None:
        """Send what TLS has to say; raises C{BlockingIOError}."""
        with suppress(SSL.WantReadError):
            self._unsent += self._tls.bio_read(1 << 20)
        while self._unsent:
            sent = self._below.send(self._unsent[:16384])
            self._unsent = self._unsent[sent:]

    def shaken(self) -> bool:
        """Shake hands, and return whether that is done."""
        with suppress(BlockingIOError):
            self._tls.bio_write(self._below.recv())
        try:
            self._tls.do_handshake()
            done = True
        except SSL.WantReadError:
            done = False
        self._flush()
        return done

    def send(self, octets: bytes) -> int:
        self._flush()
        sent = self._tls.send(octets)
        self.flush()
        return sent

    def recv(self) -> bytes:
        self.flush()
        while True:
            try:
                return self._tls.recv(1 << 16)
            except SSL.ZeroReturnError:
                return b""
            except SSL.WantReadError:
                came = self._below.recv()
                if not came:
                    raise ConnectionResetError("cut off") from None
                self._tls.bio_write(came)

    def end(self) -> None:
        self._tls.shutdown()
        self._flush()


class Flipping:
    """A protection that turns each octet round."""

    level = INTEGRITY

    def unwrap(self, octets: bytes | memoryview) -> bytes:
        return bytes(octet ^ 0xFF for octet in octets)

    wrap = unwrapDatagram = wrapDatagram = unwrap


class FlippingPeer(Peer):
    """The other end of one that is protected so."""

    def send(self, octets: bytes) -> int:
        return super().send(Flipping().wrap(bytes(octets)))

    def recv(self) -> bytes:
        return Flipping().wrap(super().recv())


class Carried:
    """
    What makes a connection and its peer.
    """

    def __init__(
        self, loop: ReactorLoop, watch: Watch, directory: Path, buffer: int = 0
    ) -> None:
        """
        @param directory: for the certificate.
        @param buffer: octets that the kernel keeps; 0 for as many as usual.
        """
        self._loop = loop
        self._watch = watch
        self._directory = directory
        self._buffer = buffer

    def plain(self) -> tuple[Any, Peer]:
        """On the bare socket."""
        peer, ours = pair(buffer=self._buffer)
        return PlainConnection(ours, self._watch), Peer(peer)

    def tls(self) -> tuple[Any, Peer]:
        """With TLS, after the handshake."""
        OWN.write(self._directory, "gw")
        plain, ours = pair(buffer=self._buffer)
        tls = ServerTLS(ListenTLS("gw.pem", "gw.key"), self._directory)
        connection, peer = TLSConnection(ours, self._watch, tls), TLSPeer(plain)
        connection.take(Recorder())
        self._loop.until(peer.shaken)
        self._loop.settle()
        connection.pauseProducing()
        return connection, peer

    def over(self) -> tuple[Any, Peer]:
        """To a server, with TLS, after the handshake."""
        below, peer = self.plain()
        return self._shaken(below, Terminal(peer))

    def twice(self) -> tuple[Any, Peer]:
        """With TLS inside TLS."""
        below, peer = self.over()
        return self._shaken(below, Terminal(peer))

    def _shaken(self, below: Any, server: Terminal) -> tuple[Any, Peer]:
        (self._directory / "ca.pem").write_bytes(pemOf(ROOT.certificate))
        tls = ClientTLS("localhost", self._directory / "ca.pem")
        shaking = Deferred.fromCoroutine(tls.over(below))
        made: list[Any] = []
        shaking.addBoth(made.append)
        self._loop.until(lambda: server.shaken() and made)
        return made[0], server

    def protected(self) -> tuple[Any, Peer]:
        """With something that wraps every octet."""
        below, peer = self.plain()
        connection = ProtectedConnection(below, Flipping(), Recorder())
        connection.pauseProducing()
        return connection, FlippingPeer(peer.plain)

    def twisted(self) -> tuple[Any, Peer]:
        """On a transport of Twisted's."""
        peer, ours = pair(buffer=self._buffer)
        made = TwistedProtocol(_Client(), self._watch)
        factory: Any = Factory.forProtocol(lambda: made)
        factory.noisy = False
        self._loop.reactor.adoptStreamConnection(ours.fileno(), ours.family, factory)
        ours.close()
        connection = made.connection
        assert connection is not None
        connection.pauseProducing()
        return connection, Peer(peer)


class _Client(Recorder):
    """What Twisted's way of making connections leads to."""

    def makeConnection(self, connection: Any) -> None: ...


#: Each kind, by name.
CARRIERS: Final[dict[str, Callable[[Carried], tuple[Any, Peer]]]] = {
    "plain": Carried.plain,
    "tls": Carried.tls,
    "protected": Carried.protected,
    "twisted": Carried.twisted,
}
#: Those to a server of ours, by name.
HOPS: Final[dict[str, Callable[[Carried], tuple[Any, Peer]]]] = {
    "over": Carried.over,
    "twice": Carried.twice,
}
