"""
Which relay serves which pair of connections.
"""

from __future__ import annotations

import socket
from typing import Any, final
from typing import Protocol as Seam

from twisted.internet.protocol import Protocol

from socksgw.interfaces import Protection
from socksgw.relay.seams import Allowance
from socksgw.relay.settings import RelaySettings
from socksgw.relay.splice import SpliceRelay
from socksgw.relay.stream import StreamRelay
from socksgw.system.sockets import resetting

__all__ = ["Relays", "Tally"]


class Client(Seam):
    """What the relay needs of the client's connection."""

    socket: socket.socket | None
    taken: Protocol | None
    transport: Any
    protection: Protection | None

    @property
    def ended(self) -> bool: ...


@final
class Tally:
    """
    What a relay moved, and how it ended.

    @ivar sent: octets from the client to the destination.
    @ivar received: octets from the destination to the client.
    @ivar strangers: datagrams of an association from where they should not.
    @ivar reason: a fixed word.
    @ivar reset: whether the client is to be closed with a reset.
    @ivar relay: what moves octets, while it does; it can be told of other
        allowances.
    """

    __slots__ = ("reason", "received", "relay", "reset", "sent", "strangers")

    def __init__(self) -> None:
        self.sent = 0
        self.received = 0
        self.strangers = 0
        self.reason = ""
        self.reset = False
        self.relay: SpliceRelay | StreamRelay | None = None


@final
class Relays:
    """
    The relays of one generation.
    """

    __slots__ = ("_settings",)

    def __init__(self, settings: RelaySettings) -> None:
        self._settings = settings

    async def between(
        self,
        client: Client,
        destination: socket.socket,
        early: bytes,
        tally: Tally,
        idle: float | None = None,
        sending: Allowance | None = None,
        receiving: Allowance | None = None,
    ) -> None:
        """
        Move octets until it is over; C{destination} is closed then, the
        client is not.

        @param early: octets that the client sent behind its request.
        @param tally: filled in, also when this is cancelled.
        @param idle: seconds, other than usual.
        @param sending: what bounds the octets from the client.
        @param receiving: what bounds those to it.
        """
        settings = self._settings if idle is None else self._settings.idling(idle)
        relay: SpliceRelay | StreamRelay
        resetDestination = True
        plain = client.socket
        try:
            if plain is not None:
                # Only a transport of our own can tell that it is watched.
                release = getattr(client.transport, "release", None)
                if release is None:
                    client.transport.pauseProducing()
                watched = release is not None and release()
                relay = SpliceRelay(settings, plain, destination, watched)
            else:
                client.transport.pauseProducing()
                wrapped = client.protection is not None
                relay = StreamRelay(settings, client.transport, destination, wrapped)
                client.taken = relay.client
            if sending is not None or receiving is not None:
                relay.limit(sending, receiving)
            tally.relay = relay
            try:
                relay.start(early)
                if client.ended and isinstance(relay, StreamRelay):
                    relay.client.readConnectionLost()
                tally.reason, tally.reset, resetDestination = await relay.done
            finally:
                tally.sent = relay.client.moved
                tally.received = relay.destination.moved
                tally.relay = client.taken = None
                relay.dissolve()
        finally:
            if resetDestination:
                resetting(destination)
            destination.close()
