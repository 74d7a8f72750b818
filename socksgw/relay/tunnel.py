"""
UDP inside the control connection, for clients behind firewalls that pass no
UDP: hev's framing (command 05) and gost's (F3).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple, final

from twisted.python.failure import Failure

from socksgw.errors import SocksError
from socksgw.relay.between import Client
from socksgw.relay.flows import VIEW, Flows
from socksgw.wire.datagram import (
    HEADROOM,
    Datagram,
    encodeTunnelled,
    encodeWithLengths,
    readDatagram,
    readTunnelled,
    readWithLengths,
)
from socksgw.wire.reader import NeedMoreData, Reader, WireError

__all__ = ["FRAMINGS", "Framing", "TunnelCarrier"]


class Framing(NamedTuple):
    """
    How datagrams stand in the stream.
    """

    read: Callable[[Reader], Datagram]
    encode: Callable[..., bytes]


#: By the name in C{listen.udp.tunnels}.
FRAMINGS: Final = {
    "hev": Framing(readWithLengths, encodeWithLengths),
    "gost": Framing(readTunnelled, encodeTunnelled),
}


@final
class TunnelCarrier:
    """
    The control connection as the datagrams' way. While the client does not
    read, datagrams for it are dropped, as a full socket would.
    """

    strangers = 0

    def __init__(
        self, client: Client, framing: Framing, flows: Flows, end: Callable[[str], None]
    ) -> None:
        self._client = client
        self._framing = framing
        self._flows = flows
        self._end = end
        self._buffer = bytearray()
        self._full = False
        flows.carrier = self
        client.connection.registerProducer(self, True)

    def dataReceived(self, data: bytes | memoryview) -> None:
        """Octets of the client's."""
        buffer = self._buffer
        buffer += data
        start, failed = 0, False
        with memoryview(buffer) as view:
            reader = Reader(view)
            try:
                while start < len(view):
                    datagram = self._framing.read(reader)
                    start = reader.position
                    self._send(datagram)
            except NeedMoreData:
                pass
            except WireError:
                # The stream cannot be followed any further.
                failed = True
        del buffer[:start]
        if failed:
            self._end("protocol")

    def _send(self, datagram: Datagram) -> None:
        """To the destination."""
        key = datagram.asked + datagram.port.to_bytes(2, "big")
        flow = self._flows.get(key)
        if flow is not None:
            flow.send(datagram.payload)
        else:
            self._flows.begin(key, datagram)

    def deliver(self, header: bytes, length: int) -> None:
        """As L{socksgw.relay.flows.Carrier.deliver}."""
        if self._full:
            return
        source = readDatagram(header)
        payload = bytes(VIEW[HEADROOM : HEADROOM + length])
        octets = self._framing.encode(source.host, source.port, payload)
        self._client.connection.write(octets)

    def readConnectionLost(self) -> None:
        """The client ended its side."""
        self._end("closed")

    def departed(self) -> None:
        """Do nothing: the connection is read all the time."""

    def violated(self, failure: SocksError) -> None:
        """Do nothing: the client's session hears of it."""

    def connectionLost(self, reason: Failure) -> None:
        """The client is gone."""
        self._end("client-lost")

    def pauseProducing(self) -> None:
        """The client does not read."""
        self._full = True

    def resumeProducing(self) -> None:
        """It reads again."""
        self._full = False

    def stopProducing(self) -> None:
        """It is gone."""
        self._full = True

    def close(self) -> None:
        """Let go of the connection."""
        self._client.connection.unregisterProducer()
