"""
Which relay serves which pair of connections.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, final

from socksgw.relay.forward import STALE, UPGRADED, ForwardRelay
from socksgw.relay.kept import Kept
from socksgw.relay.memory import Pipe
from socksgw.relay.relay import Done
from socksgw.relay.seams import Allowance, Client
from socksgw.relay.settings import RelaySettings
from socksgw.relay.splice import SpliceRelay
from socksgw.relay.stream import StreamRelay
from socksgw.relay.tally import Tally
from socksgw.system.connection import Connection
from socksgw.wire.dialect import Exchange

__all__ = ["Relays"]


def _part(destination: Connection, tally: Tally, reset: bool) -> None:
    """Close a destination as its relay has ended."""
    if reset:
        destination.abortConnection()
    elif tally.reason == "closed":
        destination.loseConnection()
    else:
        # What the client sent is not all there.
        destination.cut()


@final
class Relays:
    """
    Relay between the connections of one generation.
    """

    __slots__ = ("_settings",)

    def __init__(self, settings: RelaySettings) -> None:
        self._settings = settings

    @property
    def idle(self) -> float:
        """Seconds without an octet after which a relay ends."""
        return self._settings.idle

    async def between(
        self,
        client: Client,
        destination: Connection,
        early: bytes,
        tally: Tally,
        idle: float | None = None,
        sending: Allowance | None = None,
        receiving: Allowance | None = None,
        late: bytes = b"",
        ended: bool = False,
    ) -> None:
        """
        Move octets until the relay is over, and close the destination then.

        The client is left to its session. Two plain sockets are joined by splice(2),
        whatever else by reading and writing.

        @param early: octets that the client sent behind its request; they go first.
        @param tally: the figures, filled in also when this is cancelled.
        @param idle: seconds without an octet after which the relay ends, where they
            are others than the generation's.
        @param sending: what bounds the octets from the client; L{None} for nothing.
        @param receiving: the same for those to it.
        @param late: octets of the destination that are read already; the client gets
            them first.
        @param ended: whether the destination is known to have ended its side.
        """
        resetDestination = True
        if late:
            if receiving is not None:
                late = receiving.charge(late)
            client.connection.write(late)
        try:
            relay = self.join(
                client, destination, tally, None, idle, sending, receiving
            )
            try:
                relay.start(early)
                if ended and isinstance(relay, StreamRelay) and not relay.over:
                    relay.destination.readConnectionLost()
                tally.reason, tally.reset, resetDestination = await relay.done
            finally:
                tally.sent = relay.client.moved
                tally.received = relay.destination.moved
                if late:
                    tally.received += len(late)
                tally.relay = None
                client.take(None)
                relay.dissolve()
        finally:
            _part(destination, tally, resetDestination)

    def join(
        self,
        client: Client,
        destination: Connection,
        tally: Tally,
        done: Done | None,
        idle: float | None = None,
        sending: Allowance | None = None,
        receiving: Allowance | None = None,
    ) -> SpliceRelay | StreamRelay:
        """
        Return what moves octets as L{between} does.

        It is to be started. Whoever hears of its end calls L{joined}.

        @param done: hears of the end, which may come before the start has returned;
            L{None} where that is awaited.
        """
        connection = client.connection
        near, far = connection.plain, destination.plain
        settings = self._settings if idle is None else self._settings.idling(idle)
        relay: SpliceRelay | StreamRelay
        if near is not None and far is not None:
            relay = SpliceRelay(
                settings, near, far, connection.release(), destination.release(), done
            )
        else:
            relay = StreamRelay(settings, client, destination, done)
        if sending is not None or receiving is not None:
            relay.limit(sending, receiving)
        tally.relay = relay
        return relay

    def rejoin(
        self,
        client: Client,
        destination: Connection,
        tally: Tally,
        done: Done,
        idle: float | None,
        sending: Allowance | None,
        receiving: Allowance | None,
        facts: Sequence[Any],
        pipes: Sequence[Pipe | None],
    ) -> SpliceRelay:
        """
        Return what goes on with a relay of another process.

        It is as of L{join}, and begins with L{SpliceRelay.goOn}.

        @param facts: what L{SpliceRelay.told} has returned there.
        @param pipes: as of L{SpliceRelay.restore}.
        @raise ValueError: the facts are not right.
        """
        relay = self.join(client, destination, tally, done, idle, sending, receiving)
        if not isinstance(relay, SpliceRelay):
            raise ValueError("a socket is not plain")
        relay.restore(facts, pipes)
        return relay

    def joined(
        self,
        client: Client,
        destination: Connection,
        tally: Tally,
        resetDestination: bool,
    ) -> None:
        """
        Take the figures of what L{join} has returned, and close the destination.

        @param tally: with the reason, if there is one.
        @param resetDestination: whether it is closed with a reset.
        """
        relay, tally.relay = tally.relay, None
        assert relay is not None
        tally.sent, tally.received = relay.client.moved, relay.destination.moved
        client.take(None)
        relay.dissolve()
        _part(destination, tally, resetDestination)

    async def forward(
        self,
        client: Client,
        destination: Connection,
        exchange: Exchange,
        early: bytes,
        tally: Tally,
        idle: float | None = None,
        sending: Allowance | None = None,
        receiving: Allowance | None = None,
        purpose: Hashable = None,
        again: bool = False,
    ) -> Kept | None:
        """
        Pass on one request and its answer.

        Where both agree on another protocol, its octets are moved until that is
        over. C{tally.reason} is L{socksgw.relay.forward.STALE} where the request may
        be sent again, by another destination's connection, behind which
        C{tally.further} comes.

        @param exchange: the request and its answer.
        @param purpose: what the destination's connection may be used for again.
        @param again: whether it was used before.
        @return: the destination's connection, where it may be used again; else it is
            closed.
        """
        settings = self._settings if idle is None else self._settings.idling(idle)
        relay = ForwardRelay(settings, client, destination, exchange, again)
        if sending is not None or receiving is not None:
            relay.limit(sending, receiving)
        tally.relay = relay
        resetDestination = True
        kept = None
        try:
            relay.start(early)
            tally.reason, tally.reset, resetDestination = await relay.done
            early = relay.surplus
            if exchange.upgraded or (
                not resetDestination and exchange.keepsDestination
            ):
                kept = Kept(destination, purpose, settings.setDeadline)
            if tally.reason == STALE:
                tally.further = relay.client.left
            elif exchange.answerDone and exchange.keepsClient:
                tally.further = early
            tally.lingering = exchange.answerDone and not exchange.requestDone
        finally:
            # What is behind the request has not gone anywhere.
            tally.sent += relay.client.moved - len(exchange.surplus)
            tally.received += relay.destination.moved
            tally.relay = None
            client.take(None)
            if kept is not None:
                relay.handOver(kept)
            else:
                relay.dissolve()
                if resetDestination:
                    destination.abortConnection()
                else:
                    destination.loseConnection()
        if tally.reason != UPGRADED or kept is None:
            return kept
        kept.claim()
        # Whatever moves the octets from here on reads them.
        destination.pauseProducing()
        if exchange.early:
            client.connection.write(exchange.early)
        sent, received = tally.sent, tally.received
        try:
            await self.between(
                client, destination, early, tally, idle, sending, receiving
            )
        finally:
            tally.sent += sent
            tally.received += received
        return None
