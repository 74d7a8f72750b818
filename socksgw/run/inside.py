"""
Datagrams inside the connection to a gateway, where they would go in the clear beside it.

The framing is hev's (command 05): a gateway serves it by C{tunnels} of
C{[listen.udp]}.
"""

from __future__ import annotations

from typing import Any, final

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from socksgw.errors import SocksError
from socksgw.relay.framing import FRAMINGS, Frames
from socksgw.system.connection import Connection, Receiver
from socksgw.system.dropping import Dropping
from socksgw.wire.address import Address
from socksgw.wire.datagram import Datagram
from socksgw.wire.reader import WireError

__all__ = ["Inside"]


@final
class Inside(Dropping, Receiver):
    """
    An association inside its connection, an L{Associated} of L{Bundle}.
    """

    def __init__(self, connection: Connection, protocol: Any) -> None:
        """
        Carry datagrams from L{begin} on.

        @param connection: behind the gateway's reply.
        @param protocol: a C{DatagramProtocol}; it hears datagrams alone.
        """
        self._connection = connection
        self._protocol = protocol
        self._framing = FRAMINGS["hev"]
        self._frames = Frames(self._framing.read)
        self._over = False
        self.ended: Deferred[BaseException | None] = Deferred()

    def begin(self, late: bytes) -> None:
        """
        Take what the gateway sends.

        @param late: what it has sent already.
        """
        self._connection.registerProducer(self, True)
        self._connection.take(self)
        if late:
            self.dataReceived(late)

    def write(self, datagram: bytes, addr: tuple[str, int]) -> None:
        """
        Send a datagram; while the gateway does not read, it is dropped.

        @param addr: where it goes: an address, or a name that the gateway looks up;
            and a port.
        """
        if self.full or self._over:
            return
        host: Address | str = addr[0]
        try:
            host = Address.parse(addr[0])
        except ValueError:
            # A name.
            pass
        self._connection.write(self._framing.encode(host, addr[1], datagram))

    def stopListening(self) -> None:
        """End it."""
        self._end()

    # As Receiver.

    def dataReceived(self, data: bytes | memoryview) -> None:
        """Hand on the datagrams that are whole."""
        try:
            for datagram in self._frames.receive(data):
                if datagram is not None:
                    self._came(datagram)
        except WireError:
            # The stream cannot be followed any further.
            self._end()

    def _came(self, datagram: Datagram) -> None:
        source = str(datagram.host), datagram.port
        if isinstance(datagram.host, Address):
            self._protocol.datagramReceived(bytes(datagram.payload), source)

    def readConnectionLost(self) -> None:
        """End: the gateway has ended the association."""
        self._end()

    def departed(self) -> None:
        """End, as L{readConnectionLost}."""
        self._end()

    def violated(self, failure: SocksError) -> None:
        """End, as L{readConnectionLost}."""
        self._end()

    def connectionLost(self, reason: Failure) -> None:
        """End, as L{readConnectionLost}."""
        self._end()

    def _end(self) -> None:
        if not self._over:
            self._over = True
            self._connection.unregisterProducer()
            self._connection.abortConnection()
            self.ended.callback(None)

    # As Producer.
