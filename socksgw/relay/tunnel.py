"""
UDP inside the control connection, for clients behind firewalls that drop UDP.

Two framings are known: hev's (command 05) and gost's (command F3).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple, final

from socksgw.relay.control import Control
from socksgw.relay.flows import VIEW, Flows
from socksgw.relay.seams import Client
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
    Tell how datagrams stand in the stream.

    @ivar read: decodes one datagram; raises L{NeedMoreData} while it is not whole.
    @ivar encode: makes the octets of a datagram from its source's host and port
        and its payload.
    """

    read: Callable[[Reader], Datagram]
    encode: Callable[..., bytes]


#: Framings by their name in C{listen.udp.tunnels}.
FRAMINGS: Final = {
    "hev": Framing(readWithLengths, encodeWithLengths),
    "gost": Framing(readTunnelled, encodeTunnelled),
}


@final
class TunnelCarrier(Control):
    """
    Carry datagrams inside the control connection.

    While the client does not read, datagrams for it are dropped, as a full socket
    would.

    @cvar strangers: always 0: nobody else can send on this connection.
    """

    strangers: Final = 0

    def __init__(
        self, client: Client, framing: Framing, flows: Flows, end: Callable[[str], None]
    ) -> None:
        """
        @param end: as of L{Control}.
        """
        super().__init__(end)
        self._client = client
        self._framing = framing
        self._flows = flows
        self._buffer = bytearray()
        self._full = False
        flows.carrier = self
        client.connection.registerProducer(self, True)

    def dataReceived(self, data: bytes | memoryview) -> None:
        """Pass on the datagrams that are whole; keep the rest."""
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
        """Send a datagram to its destination."""
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

    def pauseProducing(self) -> None:
        """Drop datagrams from now on: the client does not read."""
        self._full = True

    def resumeProducing(self) -> None:
        """Deliver datagrams again: the client reads."""
        self._full = False

    def stopProducing(self) -> None:
        """Drop datagrams from now on: the client is gone."""
        self._full = True

    def forget(self, header: bytes) -> None:
        """Do nothing: all flows have one connection."""

    def close(self) -> None:
        """Let go of the connection."""
        self._client.connection.unregisterProducer()
