"""
A connection to a destination that goes through upstreams.
"""

from __future__ import annotations

import socket
from typing import final

from socksgw.route.upstreams.trip import Leg
from socksgw.system.connection import Receiver, SocketName
from socksgw.system.tlssession import TLSSession
from socksgw.wire.address import Address

__all__ = ["ThroughOutlet"]


@final
class ThroughOutlet:
    """
    An open connection to a destination (L{socksgw.route.ways.Outlet}).

    It is the connection to the first upstream, or what the others put on it.

    @ivar address: what was judged: an address, or the name that is looked up there.
    @ivar port: the destination's port.
    @ivar bound: the address and port that the last upstream has told.
    @ivar path: the upstreams that it goes through.
    """

    __slots__ = (
        "_connection", "_surplus", "abortConnection", "address", "bound", "cut",
        "loseConnection", "loseWriteConnection", "path", "pauseProducing", "port",
        "registerProducer", "release", "resumeProducing", "take", "unregisterProducer",
        "write",
    )  # fmt: skip

    def __init__(self, leg: Leg, address: Address | str, port: int) -> None:
        self.address = address
        self.port = port
        self.bound = leg.bound
        self.path = leg.path
        self._surplus = leg.surplus
        connection = self._connection = leg.connection
        self.take = connection.take
        self.release = connection.release
        self.write = connection.write
        self.registerProducer = connection.registerProducer
        self.unregisterProducer = connection.unregisterProducer
        self.pauseProducing = connection.pauseProducing
        self.resumeProducing = connection.resumeProducing
        self.loseWriteConnection = connection.loseWriteConnection
        self.loseConnection = connection.loseConnection
        self.cut = connection.cut
        self.abortConnection = connection.abortConnection

    def surplus(self) -> bytes:
        """As L{Outlet.surplus}."""
        octets, self._surplus = self._surplus, b""
        return octets

    @property
    def bufferSize(self) -> int:
        """As L{Connection.bufferSize}."""
        return self._connection.bufferSize

    @bufferSize.setter
    def bufferSize(self, octets: int) -> None:
        self._connection.bufferSize = octets

    @property
    def plain(self) -> socket.socket | None:
        """As L{Connection.plain}."""
        return self._connection.plain

    @property
    def halfCloses(self) -> bool:
        """As L{Connection.halfCloses}."""
        return self._connection.halfCloses

    @property
    def secured(self) -> str:
        """As L{Connection.secured}."""
        return self._connection.secured

    @property
    def tls(self) -> TLSSession | None:
        """As L{Connection.tls}."""
        return self._connection.tls

    @property
    def local(self) -> SocketName:
        """As L{Connection.local}."""
        return self._connection.local

    @property
    def peer(self) -> SocketName:
        """As L{Connection.peer}."""
        return self._connection.peer

    @property
    def atOnce(self) -> int:
        """As L{Connection.atOnce}."""
        return self._connection.atOnce

    @property
    def receiver(self) -> Receiver | None:
        """As L{Connection.receiver}."""
        return self._connection.receiver
