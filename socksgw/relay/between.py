"""
Which relay serves which pair of connections.
"""

from __future__ import annotations

from typing import Protocol, final

from socksgw.interfaces import Protection
from socksgw.relay.seams import Allowance
from socksgw.relay.settings import RelaySettings
from socksgw.relay.splice import SpliceRelay
from socksgw.relay.stream import StreamRelay
from socksgw.system.connection import Connection, Receiver

__all__ = ["Relays", "Tally"]


class Client(Protocol):
    """
    What a relay needs of a client.

    @ivar connection: what carries its octets.
    @ivar ended: whether it has ended its side.
    @ivar protection: what datagrams beside the connection go through.
    """

    @property
    def connection(self) -> Connection: ...

    @property
    def ended(self) -> bool: ...

    @property
    def protection(self) -> Protection | None: ...

    def take(self, receiver: Receiver | None) -> None:
        """Hand what comes to a receiver from now on, and read; L{None} for none."""


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
        destination: Connection,
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
        connection = client.connection
        near, far = connection.plain, destination.plain
        try:
            if near is not None and far is not None:
                destination.release()
                relay = SpliceRelay(settings, near, far, connection.release())
            else:
                relay = StreamRelay(settings, client, destination)
            if sending is not None or receiving is not None:
                relay.limit(sending, receiving)
            tally.relay = relay
            try:
                relay.start(early)
                tally.reason, tally.reset, resetDestination = await relay.done
            finally:
                tally.sent = relay.client.moved
                tally.received = relay.destination.moved
                tally.relay = None
                client.take(None)
                relay.dissolve()
        finally:
            if resetDestination:
                destination.abortConnection()
            else:
                destination.loseConnection()
