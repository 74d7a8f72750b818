"""
Datagrams that the kernel diverts to the gateway: each says where it goes.
"""

from __future__ import annotations

from typing import Final, final

from socksgw.relay.flows import Flows
from socksgw.relay.seams import Diverted
from socksgw.wire.datagram import readDatagram

__all__ = ["DivertedCarrier"]


@final
class DivertedCarrier:
    """
    Carry datagrams between a client that knows no gateway and its flows.

    @cvar strangers: always 0: what comes from elsewhere is another client's.
    """

    __slots__ = ("_client", "_flows")

    strangers: Final = 0

    def __init__(self, client: Diverted, flows: Flows) -> None:
        """Begin with the datagrams that wait."""
        self._client = client
        self._flows = flows
        flows.carrier = self
        client.carry(self._take)

    def _take(self, header: bytes, payload: memoryview) -> None:
        flow = self._flows.get(header)
        if flow is not None:
            flow.send(payload)
        elif self._flows.carrier is self:
            self._flows.begin(header, readDatagram(header + payload))

    def deliver(self, header: bytes, octets: memoryview, size: int) -> None:
        """As L{socksgw.relay.exit.Carrier.deliver}."""
        head = len(header)
        for at in range(0, len(octets), size):
            self._client.answer(header, octets[at + head : at + size])

    def forget(self, header: bytes) -> None:
        """As L{socksgw.relay.exit.Carrier.forget}."""
        self._client.forget(header)

    def close(self) -> None:
        """Do nothing: the client's end closes what it has."""
