"""
The seam between whoever moves octets and what carries them: one connection, of
a client or to a destination, with anything between its octets and the wire.

A connection declares what it can do. Nothing is concluded from its class, or
from the methods that it happens to have.
"""

from __future__ import annotations

import socket
from typing import Any, NamedTuple, Protocol

from twisted.python.failure import Failure

from socksgw.errors import SocksError
from socksgw.wire.address import Address

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
        Hear that the peer ended its side while the connection is not read: octets
        that it sent before may wait.
        """

    def violated(self, failure: SocksError) -> None:
        """
        Hear that what came is nothing that TLS, or whatever else is below, allows:
        nothing more is read. The receiver aborts the connection.
        """

    def connectionLost(self, reason: Failure) -> None:
        """Hear that the connection is gone; nothing follows."""


class Producer(Protocol):
    """What writes much, and pauses while the connection is full."""

    def pauseProducing(self) -> None: ...

    def resumeProducing(self) -> None: ...

    def stopProducing(self) -> None:
        """Hear that the connection is gone."""


class Connection(Protocol):
    """
    One connection. Of a client and of a destination alike: plain TCP, TLS, what
    a login protects, a transport of Twisted's.

    Flow control has Twisted's names and meaning (C{IConsumer},
    C{IPushProducer}). Before L{take} nothing is read.

    @ivar plain: the socket, while octets that are written to it are what the
        peer reads next: nothing stands in between, and nothing is buffered. Else
        L{None}.
    @ivar halfCloses: whether L{loseWriteConnection} leaves the peer's side open.
        Where it is false, only L{loseConnection} ends our side.
    @ivar secured: how the octets are protected on the wire: C{clear},
        C{integrity} or C{confidentiality}.
    @ivar local: our end.
    @ivar peer: the other end.
    @ivar bufferSize: the most octets that are read at once.
    @ivar atOnce: the most octets that are best written at once.
    @ivar receiver: what takes what comes.
    """

    @property
    def plain(self) -> socket.socket | None: ...

    @property
    def halfCloses(self) -> bool: ...

    @property
    def secured(self) -> str: ...

    @property
    def local(self) -> SocketName: ...

    @property
    def peer(self) -> SocketName: ...

    bufferSize: int

    @property
    def atOnce(self) -> int: ...

    @property
    def receiver(self) -> Receiver | None: ...

    def take(self, receiver: Receiver) -> None:
        """
        Hand what comes to a receiver from now on, in the place of any other, and
        read.
        """

    def release(self) -> bool:
        """
        Give up the reading of L{plain}, which whoever asks reads from now on;
        closing stays here.

        @return: whether the socket is watched already for what there is to read
            (L{socksgw.system.watch.Watcher.hand}).
        """

    def write(self, data: bytes | memoryview) -> None:
        """
        Send octets, after what was written before; what the kernel does not take
        now is kept. Where the connection is gone they are dropped.

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
        Close after what was written, so that the peer does not take it for the
        orderly end, where the connection can tell the two apart.
        """

    def abortConnection(self) -> None:
        """Close with a reset; what was written and not sent is lost."""
