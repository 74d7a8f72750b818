"""
UDP inside the control connection, in messages (L{socksgw.wire.association}).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import final

from socksgw.relay.flows import Flows
from socksgw.relay.framing import Frames
from socksgw.relay.seams import Client
from socksgw.relay.tunnel import InsideCarrier
from socksgw.wire.address import Address
from socksgw.wire.association import (
    Message,
    MessageType,
    Unreached,
    datagramOf,
    encodeConfirmed,
    encodeInitiated,
    encodePlaced,
    encodeUnreached,
    readMessage,
)
from socksgw.wire.reader import WireError

__all__ = ["MessageCarrier"]


@final
class MessageCarrier(InsideCarrier):
    """
    Carry the datagrams of any number of flows, each with its destination.

    @ivar strangers: how many messages had the ID of another association.
    """

    def __init__(
        self,
        client: Client,
        association: bytes,
        flows: Flows,
        end: Callable[[str], None],
    ) -> None:
        """
        Tell the client the ID.

        @param end: as of L{Control}.
        """
        super().__init__(client, flows, end)
        self._association = association
        self._frames = Frames(readMessage)
        self._flows = flows
        self._confirmed = False
        self.strangers = 0
        client.connection.write(encodeInitiated(association))

    def dataReceived(self, data: bytes | memoryview) -> None:
        """Pass on the datagrams that are whole; keep the rest."""
        try:
            for message in self._frames.receive(data):
                self._take(message)
        except WireError:
            # The stream cannot be followed any further, or nobody sends such a thing.
            self._end("protocol")

    def _take(self, message: Message) -> None:
        """
        Take a message.

        @raise WireError: it is one that clients do not send, or of no form.
        """
        if message.association != self._association:
            self.strangers += 1
            return
        if message.kind != MessageType.DATAGRAM:
            raise WireError(f"a message of type {message.kind} of a client")
        datagram = datagramOf(message)
        if not self._confirmed:
            self._confirmed = True
            self._client.connection.write(encodeConfirmed(self._association))
        host = datagram.host
        if datagram.port == 0 and isinstance(host, Address) and host.isUnspecified:
            # It asks for the confirmation alone (section 7.3.1).
            return
        # As the client spells it.
        key = message.body[: len(message.body) - len(datagram.payload)]
        flow = self._flows.get(key)
        if flow is not None:
            flow.send(datagram.payload)
        else:
            self._flows.begin(key, datagram)

    def _framed(self, header: bytes, payload: bytes) -> bytes:
        try:
            return encodePlaced(self._association, header, payload)
        except ValueError:
            # A jumbogram's: no message can hold it.
            return b""

    def report(self, error: Unreached) -> None:
        """Tell the client what ICMP has told of its datagrams."""
        if not self.full:
            octets = encodeUnreached(self._association, error)
            self._client.connection.write(octets)
