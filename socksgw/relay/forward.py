"""
The relay of one request that is passed on, and of its answer.

Octets go through the process, however they are carried: they are read, and written
anew in the framing of the other side (L{socksgw.wire.dialect.Exchange}). Each
connection pauses the reading of the other while its own buffer is full.
"""

from __future__ import annotations

from typing import Final, final

from socksgw.interfaces import Timer
from socksgw.relay.halves import Input, Output
from socksgw.relay.seams import Client
from socksgw.relay.settings import RelaySettings
from socksgw.relay.stream import End, StreamRelay
from socksgw.system.connection import Connection, Receiver
from socksgw.wire.dialect import Exchange
from socksgw.wire.reader import WireError

__all__ = ["HEAD", "STALE", "UPGRADED", "ForwardRelay"]

#: Seconds that the rest of an answer's head may take.
HEAD: Final = 30.0

#: Why it ended, beside the reasons of every relay: the kept connection had been
#: closed, and the request may be sent again on another one,
STALE: Final = "stale"
#: and both speak another protocol from here on.
UPGRADED: Final = "upgraded"

#: Under names of the module, as in L{socksgw.relay.halves}.
_INPUT_DRAINING: Final = Input.DRAINING
_INPUT_ENDED: Final = Input.ENDED
_OUTPUT_LOST: Final = Output.LOST


@final
class _Asking(End):
    """
    The client's connection, and the request that comes on it.

    @ivar left: at the end, what came behind the request and was not read.
    """

    __slots__ = ("left",)

    relay: ForwardRelay
    left: bytes

    def put(self, octets: bytes | memoryview) -> None:
        """Pass on what belongs to the request; keep what is behind it."""
        relay = self.relay
        try:
            passed = relay.exchange.fromClient(octets)
        except WireError as e:
            relay.fault(e, reason="protocol")
            return
        if passed:
            self.other.connection.write(passed)
        if relay.exchange.requestDone and relay.exchange.surplus:
            self.connection.pauseProducing()

    def forget(self) -> None:
        """As L{End.forget}; what came and was not allowed to move is left."""
        self.left = self._rest
        super().forget()

    def readOn(self) -> None:
        """Read, unless the next request has begun to come."""
        exchange = self.relay.exchange
        if (
            exchange.requestDone
            and exchange.surplus
            and self.output is not _OUTPUT_LOST
        ):
            self.connection.pauseProducing()
        else:
            super().readOn()

    def end(self, held: bool) -> None:
        """
        Take note that the client has ended its side.

        It waits for the answer, if its request is whole.
        """
        if held:
            self.input = _INPUT_DRAINING
            return
        self.input = _INPUT_ENDED
        if not self.relay.exchange.requestDone:
            self.relay.finish("client-lost", True, True)


@final
class _Answering(End):
    """The destination's connection, and the answer that comes on it."""

    __slots__ = ()

    relay: ForwardRelay

    def put(self, octets: bytes | memoryview) -> None:
        """Pass on what belongs to the answer."""
        relay = self.relay
        if relay.over:
            return
        exchange = relay.exchange
        exchange.closing = relay.closing
        try:
            passed = exchange.fromDestination(octets)
        except WireError as e:
            relay.fault(e, reason="bad-answer")
            return
        if passed:
            self.other.connection.write(passed)
        relay.progressed()

    def end(self, held: bool) -> None:
        """Take note that the destination has ended its side."""
        if held:
            self.input = _INPUT_DRAINING
            return
        self.input = _INPUT_ENDED
        relay = self.relay
        if relay.over:
            return
        try:
            passed = relay.exchange.destinationEnded()
        except WireError as e:
            relay.destinationLost(e)
            return
        if passed:
            self.other.connection.write(passed)
        relay.progressed()


@final
class ForwardRelay(StreamRelay):
    """
    Relay one request and its answer between a client and a destination.

    It ends with the answer. Whether the two connections can be used again, the
    exchange tells then.

    @ivar exchange: the request and its answer.
    """

    __slots__ = ("_again", "_patience", "exchange")

    client: _Asking
    destination: _Answering

    def __init__(
        self,
        settings: RelaySettings,
        client: Client,
        destination: Connection,
        exchange: Exchange,
        again: bool = False,
    ) -> None:
        """
        Relay nothing yet.

        @param again: whether the destination's connection has been used before.
        """
        self.exchange = exchange
        self._again = again
        self._patience: Timer | None = None
        super().__init__(settings, client, destination)

    def _ends(self, client: Connection, destination: Connection) -> None:
        self.client = _Asking(self, client)
        self.destination = _Answering(self, destination)

    def start(self, early: bytes) -> None:
        """
        Begin.

        @param early: octets that came behind the head of the request.
        """
        self._begin()
        client = self.client
        try:
            opening = self.exchange.begin()
        except WireError as e:
            self.fault(e, reason="protocol")
            return
        client.moved += len(opening)
        if client.allowance is not None:
            client.allowance.spend(len(opening))
        self.destination.connection.write(opening)
        if early and not self._over:
            client.dataReceived(early)
        if not self._over:
            self._goOn()

    @property
    def closing(self) -> bool:
        """Whether the client's connection is to end with this answer."""
        return self._client.closing

    def progressed(self) -> None:
        """Look whether the answer is whole, after some of it was passed on."""
        exchange = self.exchange
        if exchange.answerDone:
            self.finish("closed", False, not exchange.requestDone)
        elif exchange.upgraded:
            self.finish(UPGRADED)
        elif exchange.answered:
            if self._patience is not None:
                self._patience.clear()
        elif exchange.heading and self._patience is None:
            self._patience = self.settings.setDeadline(HEAD, self._slow)

    def _slow(self) -> None:
        text = "the destination does not come to the end of its answer's head"
        self.fault(WireError(text), reason="bad-answer", late=True)

    def fault(self, error: WireError, reason: str, late: bool = False) -> None:
        """
        End, for what the client or the destination has sent.

        The client is told, where it has no answer yet; else it is cut off, such that
        it does not take that for the end of the answer.
        """
        if self._over:
            return
        exchange = self.exchange
        if not exchange.answered:
            exchange.closing = self.closing
            octets = exchange.refuse(reason, str(error), late)
            self.client.connection.write(octets)
            self.finish(reason, False, True)
        else:
            self.finish(reason, exchange.untilClose, True)

    def destinationLost(self, error: WireError) -> None:
        """
        End, since nothing more comes of the destination.
        """
        if self._again and self.exchange.repeatable and not self._over:
            self.finish(STALE, False, True)
        else:
            self.fault(error, reason="destination-lost")

    def lost(self, end: End) -> None:
        """Take note that an end's connection is gone."""
        if self._over:
            return
        if end is self.client:
            self.finish("client-lost", False, True)
        elif end.input is _INPUT_ENDED:
            # A connection without half-close (TLS) ends so in order.
            self.destination.end(held=False)
        else:
            self.destinationLost(WireError("the destination is lost"))

    def idled(self) -> None:
        """End for being idle: the client is told, where it has no answer yet."""
        self.fault(
            WireError("the destination does not answer"), reason="idle", late=True
        )

    def release(self, closing: bool, reset: bool) -> None:
        """As L{Relay.release}."""
        if self._patience is not None:
            self._patience.clear()
        super().release(closing, reset)

    @property
    def surplus(self) -> bytes:
        """What came of the client behind its request, when the relay is over."""
        return self.exchange.surplus + self.client.left

    def handOver(self, receiver: Receiver) -> None:
        """
        Cut references, as L{dissolve}: the destination's connection is used further.

        @param receiver: takes what comes on it from now on.
        """
        self.destination.connection.take(receiver)
        self.client.part()
        self.destination.part()
        del self.destination, self._client
