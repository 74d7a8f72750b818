"""
A UDP association: its flows, the way its datagrams take to the client, and
its end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, final

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from socksgw.errors import SocksError
from socksgw.interfaces import SetDeadline, StreamProtection
from socksgw.relay.between import Client, Tally
from socksgw.relay.datagram import DatagramCarrier
from socksgw.relay.flows import Flows, FlowSettings, Judge
from socksgw.relay.protected import ProtectedSocket
from socksgw.relay.seams import DatagramOutlet
from socksgw.relay.tunnel import Framing, TunnelCarrier
from socksgw.system.connection import Receiver
from socksgw.system.watch import Watcher
from socksgw.wire.address import Address

__all__ = ["Associations"]

#: Seconds that verdicts on the client's last datagrams may take; with a
#: deadline's tick less than the one second in which an association must end.
_LAST: Final = 0.5
#: Seconds that a client may take for its first datagram, where it has not said
#: which port it sends from: until then any program on its host may send it.
_FIRST: Final = 60.0


class _Control:
    """
    The control connection while the association lasts: what comes on it
    counts for nothing, its end is the end.
    """

    def __init__(self, end: Callable[[str], None]) -> None:
        self._end = end

    def dataReceived(self, data: bytes | memoryview) -> None:
        """Drop what comes."""

    def readConnectionLost(self) -> None:
        """End the association: the client has ended its side."""
        self._end("closed")

    def departed(self) -> None:
        """Do nothing: the connection is read all the time."""

    def violated(self, failure: SocksError) -> None:
        """Do nothing: the client's session hears of it."""

    def connectionLost(self, reason: Failure) -> None:
        """End the association: the client is gone."""
        self._end("client-lost")


@final
class Associations:
    """
    The associations of one generation.
    """

    def __init__(
        self,
        watch: Watcher,
        setDeadline: SetDeadline,
        clock: Callable[[], float],
        idle: float,
        flows: int,
    ) -> None:
        """
        @param clock: monotonic seconds.
        @param idle: seconds without a datagram.
        @param flows: most flows of one association.
        """
        self._settings = FlowSettings(watch, setDeadline, idle, flows)
        self._watch = watch
        self._setDeadline = setDeadline
        self._clock = clock

    async def over(
        self,
        client: Client,
        source: Address,
        outlet: DatagramOutlet,
        judge: Judge,
        reassemble: bool,
        tally: Tally,
        port: int | None = None,
    ) -> None:
        """
        Relay datagrams until the control connection ends, or nothing has
        moved for long.

        @param source: the client's address.
        @param outlet: its sockets are closed at the end.
        @param reassemble: whether fragments are put together.
        @param tally: filled in, also when this is cancelled.
        @param port: the only one that the client sends from, where it said so.
        """
        done: Deferred[str] = Deferred()
        end = _once(done)
        flows = Flows(
            self._settings, judge, self._clock, lambda: end("idle"), outlet.outer
        )
        own: Any = outlet.inner
        protection = client.protection
        if protection is not None and not isinstance(protection, StreamProtection):
            own = ProtectedSocket(own, protection)
        carrier = DatagramCarrier(
            own, source, flows, self._watch, self._setDeadline, reassemble, port
        )

        def claimed() -> None:
            if not carrier.owned:
                end("idle")

        first = self._setDeadline(_FIRST, claimed)

        def ended(reason: str) -> None:
            # A client that sends one datagram and goes (an SNMP trap) was
            # there when it sent it.
            carrier.drain()
            end(reason)

        try:
            await self._last(client, _Control(ended), done, flows, carrier, tally)
        finally:
            first.clear()

    async def inside(
        self,
        client: Client,
        framing: Framing,
        early: bytes,
        outlet: DatagramOutlet,
        judge: Judge,
        tally: Tally,
    ) -> None:
        """
        Do the same, with the datagrams inside the control connection.

        @param early: octets that came behind the request.
        """
        done: Deferred[str] = Deferred()
        end = _once(done)
        flows = Flows(
            self._settings, judge, self._clock, lambda: end("idle"), outlet.outer
        )
        carrier = TunnelCarrier(client, framing, flows, end)
        await self._last(client, carrier, done, flows, carrier, tally, early)

    async def _last(
        self,
        client: Client,
        control: Receiver,
        done: Deferred[str],
        flows: Flows,
        carrier: Any,
        tally: Tally,
        early: bytes = b"",
    ) -> None:
        try:
            if early:
                control.dataReceived(early)
            # Much behind the request had the reading paused. This reads on, so that
            # the end of the connection is seen.
            client.take(control)
            if client.ended:
                control.readConnectionLost()
            tally.reason = await done
            await flows.settled(_LAST)
        finally:
            client.take(None)
            carrier.close()
            flows.close(tally.reason or "cut")
            tally.sent, tally.received = flows.sent, flows.received
            tally.strangers = flows.strangers + carrier.strangers


def _once(done: Deferred[str]) -> Callable[[str], None]:
    def end(reason: str) -> None:
        if not done.called:
            done.callback(reason)

    return end
