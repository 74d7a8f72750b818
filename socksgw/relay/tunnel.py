"""
UDP inside the control connection, for clients behind firewalls that drop UDP.

Two framings name the destination of each datagram: hev's (command 05) and gost's
(command F3). Capsules (RFC 9297) hold those of one destination, which the request has
named.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import final

from socksgw.relay.control import Control
from socksgw.relay.flow import Flow
from socksgw.relay.flows import Flows
from socksgw.relay.framing import Frames, Framing
from socksgw.relay.seams import Client
from socksgw.system.dropping import Dropping
from socksgw.wire.capsule import Capsules, encodeDatagram
from socksgw.wire.datagram import Datagram, readDatagram
from socksgw.wire.reader import WireError

__all__ = ["CapsuleCarrier", "InsideCarrier", "TunnelCarrier"]


class InsideCarrier(Dropping, Control):
    """
    Carry datagrams inside the control connection, in some framing.

    @cvar strangers: always 0: nobody else can send on this connection.
    """

    strangers = 0

    def __init__(
        self, client: Client, flows: Flows, end: Callable[[str], None]
    ) -> None:
        """
        @param end: as of L{Control}.
        """
        super().__init__(end)
        self._client = client
        flows.carrier = self
        client.connection.registerProducer(self, True)

    def deliver(self, header: bytes, octets: memoryview, size: int) -> None:
        """As L{socksgw.relay.exit.Carrier.deliver}."""
        head = len(header)
        for at in range(0, len(octets), size):
            if self.full:
                return
            payload = bytes(octets[at + head : at + size])
            framed = self._framed(header, payload)
            if framed:
                self._client.connection.write(framed)

    def _framed(self, header: bytes, payload: bytes) -> bytes:
        """
        Return what the client is sent of a datagram; nothing where it is too long.

        @param header: as of L{deliver}.
        """
        raise NotImplementedError

    def forget(self, header: bytes) -> None:
        """Do nothing: all flows have one connection."""

    def close(self) -> None:
        """Let go of the connection."""
        self._client.connection.unregisterProducer()


@final
class TunnelCarrier(InsideCarrier):
    """
    Carry the datagrams of any number of flows, each with its destination.
    """

    def __init__(
        self, client: Client, framing: Framing, flows: Flows, end: Callable[[str], None]
    ) -> None:
        """
        @param end: as of L{Control}.
        """
        super().__init__(client, flows, end)
        self._framing = framing
        self._frames = Frames(framing.read)
        self._flows = flows

    def dataReceived(self, data: bytes | memoryview) -> None:
        """Pass on the datagrams that are whole; keep the rest."""
        try:
            for datagram in self._frames.receive(data):
                if datagram is not None:
                    self._send(datagram)
        except WireError:
            # The stream cannot be followed any further.
            self._end("protocol")

    def _send(self, datagram: Datagram) -> None:
        """Send a datagram to its destination."""
        key = datagram.asked + datagram.port.to_bytes(2, "big")
        flow = self._flows.get(key)
        if flow is not None:
            flow.send(datagram.payload)
        else:
            self._flows.begin(key, datagram)

    def _framed(self, header: bytes, payload: bytes) -> bytes:
        source = readDatagram(header)
        return self._framing.encode(source.host, source.port, payload)


@final
class CapsuleCarrier(InsideCarrier):
    """
    Carry the datagrams of one flow in capsules (RFC 9298).

    @ivar strangers: how many came from another source than its destination.
    """

    def __init__(
        self, client: Client, flows: Flows, flow: Flow, end: Callable[[str], None]
    ) -> None:
        """
        Take over what the client sends.

        @param flow: the only one of the flows.
        @param end: as of L{Control}.
        """
        super().__init__(client, flows, end)
        self._flow = flow
        self._capsules = Capsules()

    def dataReceived(self, data: bytes | memoryview) -> None:
        """Pass on the datagrams that are whole; keep the rest."""
        try:
            for payload in self._capsules.receive(data):
                self._flow.send(payload)
        except WireError:
            # The stream cannot be followed any further.
            self._end("protocol")

    def readConnectionLost(self) -> None:
        """End the association; within a capsule that breaks the protocol."""
        self._end("protocol" if self._capsules.midway else "closed")

    def deliver(self, header: bytes, octets: memoryview, size: int) -> None:
        """As L{socksgw.relay.exit.Carrier.deliver}."""
        if header == self._flow.header:
            super().deliver(header, octets, size)
        else:
            # The client could not tell it from the others (section 3.1).
            self.strangers += len(range(0, len(octets), size))

    def _framed(self, _header: bytes, payload: bytes) -> bytes:
        return encodeDatagram(payload)
