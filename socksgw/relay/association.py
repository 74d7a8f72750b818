"""
UDP associations: their flows, the way to the client, and their end.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Coroutine
from typing import Any, Final, final

from socksgw.errors import ConnectFailed
from socksgw.interfaces import SetDeadline, StreamProtection
from socksgw.relay.control import Control, Ending
from socksgw.relay.datagram import DatagramCarrier
from socksgw.relay.diverted import DivertedCarrier
from socksgw.relay.flow import Permit
from socksgw.relay.flows import Flows, FlowSettings, Judge
from socksgw.relay.framing import Framing
from socksgw.relay.messages import MessageCarrier
from socksgw.relay.protected import ProtectedSocket
from socksgw.relay.seams import Associated, Client, DatagramOutlet
from socksgw.relay.tally import Tally
from socksgw.relay.tunnel import CapsuleCarrier, TunnelCarrier
from socksgw.system.connection import Receiver
from socksgw.system.owners import senderOf
from socksgw.system.watch import Watcher
from socksgw.wire.address import Address
from socksgw.wire.datagram import Datagram

__all__ = ["Associations"]

#: Seconds that verdicts on the client's last datagrams may take. With a tick of
#: deadlines that is less than the one second in which an association must end.
_LAST: Final = 0.5


def _userOf(inner: socket.socket, uid: int) -> Callable[[tuple[str, int]], bool]:
    """Return what tells whether the user of a socket of this host is the client's."""
    return lambda sender: senderOf(sender, inner) == uid


@final
class Associations:
    """
    Serve the associations of one generation.
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
        Make them with what the configuration says.

        @param clock: monotonic seconds.
        @param idle: seconds without a datagram after which a flow, and an
            association, ends.
        @param flows: the most flows of one association.
        """
        self._settings = FlowSettings(watch, setDeadline, idle, flows)
        self._watch = watch
        self._setDeadline = setDeadline
        self._clock = clock

    def over(
        self,
        client: Client,
        source: Address,
        outlet: DatagramOutlet,
        judge: Judge,
        reassemble: bool,
        tally: Tally,
        port: int | None = None,
        uid: int | None = None,
    ) -> Coroutine[Any, Any, None]:
        """
        Relay datagrams until the control connection ends, or nothing moves.

        @param source: the client's address.
        @param outlet: the sockets for datagrams; they are closed at the end.
        @param reassemble: whether fragments are put together; else they are dropped.
        @param tally: the figures, filled in also when this is cancelled.
        @param port: the only port that the client sends from, where it said so.
        @param uid: the only user of this host whose datagrams are the client's.
        """
        end = Ending()
        flows = Flows(self._settings, judge, self._clock, end.idle, outlet.outer)
        inner: Any = outlet.inner
        own = inner
        protection = client.protection
        if protection is not None and not isinstance(protection, StreamProtection):
            own = ProtectedSocket(own, protection)

        carrier = DatagramCarrier(
            own,
            source,
            flows,
            self._watch,
            self._setDeadline,
            reassemble,
            end,
            port,
            None if uid is None else _userOf(inner, uid),
            client.ipsec,
        )
        return self._last(client, carrier, end, flows, carrier, tally)

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
        Relay datagrams that come and go inside the control connection.

        @param early: octets that came behind the request; they go first.
        @param outlet: the socket for datagrams to destinations; it is closed at the
            end.
        @param tally: as of L{over}.
        """
        end = Ending()
        flows = Flows(self._settings, judge, self._clock, end.idle, outlet.outer)
        carrier = TunnelCarrier(client, framing, flows, end)
        await self._last(client, carrier, end, flows, carrier, tally, early)

    async def messages(
        self,
        client: Client,
        association: bytes,
        reports: bool,
        early: bytes,
        outlet: DatagramOutlet,
        judge: Judge,
        tally: Tally,
    ) -> None:
        """
        Relay datagrams that come and go inside the control connection, in messages.

        @param association: the ID.
        @param reports: whether the client wants to hear what ICMP tells.
        @param early: as of L{inside}; so are all that follow.
        """
        end = Ending()
        flows = Flows(self._settings, judge, self._clock, end.idle, outlet.outer)
        carrier = MessageCarrier(client, association, flows, end)
        if reports:
            flows.report = carrier.report
        await self._last(client, carrier, end, flows, carrier, tally, early)

    async def diverted(
        self,
        client: Client,
        outlet: DatagramOutlet,
        judge: Judge,
        tally: Tally,
    ) -> None:
        """
        Relay the datagrams of a client that knows no gateway, until nothing moves.

        @param client: its connection is a L{socksgw.relay.seams.Diverted}.
        @param outlet: the socket for datagrams to destinations.
        @param tally: as of L{over}.
        """
        end = Ending()
        flows = Flows(self._settings, judge, self._clock, end.idle, outlet.outer)
        connection: Any = client.connection
        carrier = DivertedCarrier(connection, flows)
        await self._last(client, Control(end), end, flows, carrier, tally)

    async def single(
        self,
        client: Client,
        early: bytes,
        outlet: DatagramOutlet,
        judge: Judge,
        datagram: Datagram,
        permit: Permit,
        tally: Tally,
        associated: Associated | None = None,
    ) -> None:
        """
        Relay the datagrams of one flow, which come and go in capsules.

        It ends with the flow.

        @param early: as of L{inside}; so is C{outlet}.
        @param judge: records the flow, which it has judged already.
        @param datagram: names its destination; there is no payload.
        @param permit: what the judge has said.
        @param tally: as of L{over}.
        @param associated: what the datagrams leave by, at an upstream.
        @raise ConnectFailed: it could not begin.
        """
        end = Ending()
        flows = Flows(self._settings, judge, self._clock, end.idle, outlet.outer)
        try:
            flow = flows.hold(datagram, permit, end, associated)
        except OSError as e:
            flows.close("failed")
            judge.failed(permit, datagram.port, e)
            raise ConnectFailed(str(e), reason="resources") from None
        carrier = CapsuleCarrier(client, flows, flow, end)
        await self._last(client, carrier, end, flows, carrier, tally, early)

    async def _last(
        self,
        client: Client,
        control: Receiver,
        end: Ending,
        flows: Flows,
        carrier: Any,
        tally: Tally,
        early: bytes = b"",
    ) -> None:
        """
        Let an association last.

        @param control: receives what comes on the control connection.
        @param carrier: takes datagrams to the client, and is closed at the end.
        """
        tally.flows = flows
        try:
            if early:
                control.dataReceived(early)
            # Many octets behind the request had paused the reading. Without reading
            # on the end of the connection would not be seen.
            client.take(control)
            if client.ended:
                control.readConnectionLost()
            tally.reason = await end.done
            await flows.settled(_LAST)
        finally:
            client.take(None)
            carrier.close()
            flows.close(tally.reason or "cut")
            tally.flows = None
            tally.sent, tally.received = flows.sent, flows.received
            tally.strangers = flows.strangers + carrier.strangers
