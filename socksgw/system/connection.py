"""
The seam between what moves octets and what carries them.

It is one connection, of a client or to a destination, with anything between its
octets and the wire. A connection declares what it can do. Nothing is concluded from its class, or
from the methods that it happens to have.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from twisted.python.failure import Failure

from socksgw.errors import SocksError
from socksgw.wire.address import Address

if TYPE_CHECKING:
    # It loads OpenSSL, which clients without TLS do not need.
    from socksgw.system.tlssession import TLSSession

__all__ = ["Connection", "Producer", "Receiver", "SocketName"]


class SocketName(NamedTuple):
    """
    One end of a connection.

    @ivar address: its address; loopback, where it has none (a Unix socket).
    @ivar port: its port; 0 where it has none.
    @ivar scope: the number of the interface, where the address is link-local
        (sin6_scope_id, RFC 3493 section 3.3); else 0.
    """

    address: Address
    port: int
    scope: int = 0


class Receiver(Protocol):
    """What takes the octets that come on a connection, and hears of its end."""

    def dataReceived(self, data: Any) -> None:
        """
        Take octets.

        @param data: C{bytes}, or a view of a buffer that holds them during this
            call only.
        """

    def readConnectionLost(self) -> None:
        """Hear that the peer ended its side, and that all it sent was told."""

    def departed(self) -> None:
        """
        Hear that the peer ended its side while the connection is not read.

        Octets that it sent before may wait.
        """

    def violated(self, failure: SocksError) -> None:
        """
        Hear that the peer breaks the rules of TLS, or of what else is below.

        Nothing more is read. The receiver aborts the connection.
        """

    def connectionLost(self, reason: Failure) -> None:
        """Hear that the connection is gone; nothing follows."""


class Producer(Protocol):
    """What writes much, and pauses while the connection is full."""

    def pauseProducing(self) -> None:
        """Write nothing for the time being."""

    def resumeProducing(self) -> None:
        """Write on."""

    def stopProducing(self) -> None:
        """Hear that the connection is gone."""


class Connection(Protocol):
    """
    One connection, of a client or of a destination.

    It is plain TCP, TLS, what a login protects, or a transport of Twisted's. Flow
    control has Twisted's names and meaning (C{IConsumer}, C{IPushProducer}).
    Before L{take} nothing is read.

    @ivar bufferSize: the most octets that are read at once.
    """

    bufferSize: int

    @property
    def plain(self) -> socket.socket | None:
        """
        The socket, while octets written to it are what the peer reads next.

        L{None} where something stands in between, or octets wait to be sent.
        """

    @property
    def halfCloses(self) -> bool:
        """
        Whether L{loseWriteConnection} leaves the peer's side open.

        Where it is false, only L{loseConnection} ends our side.
        """

    @property
    def secured(self) -> str:
        """How octets are protected on the wire (L{socksgw.wire.levels})."""

    @property
    def tls(self) -> TLSSession | None:
        """What TLS with the peer has agreed on; L{None} where there is none."""

    @property
    def local(self) -> SocketName:
        """Our end."""

    @property
    def peer(self) -> SocketName:
        """The other end."""

    @property
    def atOnce(self) -> int:
        """The most octets that are best written at once."""

    @property
    def receiver(self) -> Receiver | None:
        """What takes what comes."""

    def take(self, receiver: Receiver) -> None:
        """
        Read, and hand what comes to this receiver from now on.
        """

    def release(self) -> int:
        """
        Give up the reading of L{plain}: the caller reads it from now on.

        Closing stays here.

        @return: what has been told of the socket and not been acted upon; the caller
            takes it over (L{socksgw.system.watch.Watcher.hand}).
            L{socksgw.system.watch.UNWATCHED} where it is not registered.
        """

    def write(self, data: bytes | memoryview) -> None:
        """
        Send octets, after what was written before.

        What the kernel does not take now is kept. Where the connection is gone they
        are dropped.

        @param data: as of L{Receiver.dataReceived}: good for this call only.
        """

    def registerProducer(self, producer: Producer, streaming: bool) -> None:
        """
        Pause a producer while octets wait to be sent, and resume it then.

        @param streaming: C{True}: whether the producer goes on by itself.
        """

    def unregisterProducer(self) -> None:
        """Forget the producer."""

    def pauseProducing(self) -> None:
        """Read nothing for the time being."""

    def resumeProducing(self) -> None:
        """Read on."""

    def loseWriteConnection(self) -> None:
        """End our side after what was written; the peer may go on."""

    def loseConnection(self) -> None:
        """Close in order, after what was written."""

    def cut(self) -> None:
        """
        Close after what was written, and not as if it were the orderly end.

        Where the connection cannot tell the two apart, it is L{loseConnection}.
        """

    def abortConnection(self) -> None:
        """Close with a reset; what was written and not sent is lost."""
