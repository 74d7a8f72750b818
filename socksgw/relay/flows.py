"""
The flows of a UDP association.

A flow is one destination as the client names it. It is judged when its first
datagram comes. What follows is passed on without another judgement; datagrams of a
denied flow are dropped in the same way.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol, final

from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.logger import Logger
from twisted.python.failure import Failure

from socksgw.errors import LimitReached, Revoked, SocksError
from socksgw.interfaces import SetDeadline
from socksgw.relay.exit import Carrier
from socksgw.relay.exits import Exits
from socksgw.relay.flow import Flow, Permit
from socksgw.relay.idle import IdleWatch
from socksgw.relay.seams import Associated
from socksgw.relay.unreached import Report
from socksgw.system.coroutines import forget
from socksgw.system.watch import Watcher
from socksgw.wire.datagram import Datagram

__all__ = ["FlowSettings", "Flows", "Judge"]

_log = Logger()

#: Seconds before a flow that a limit forbade is judged again.
_AGAIN: Final = 1.0


class Judge(Protocol):
    """
    What says which flows may be, and records them.
    """

    def judge(self, datagram: Datagram) -> Awaitable[Permit | None]:
        """
        Decide about a flow. When this returns, its line is in the journal.

        @param datagram: the first one of the flow.
        @return: L{None} when it is denied.
        @raise LimitReached: a limit forbids it now.
        """

    def attach(self, flows: Flows) -> None:
        """Take note of the flows that will be asked about."""

    def ended(self, flow: Flow, reason: str) -> None:
        """Record the end of a flow that was permitted."""

    def failed(self, permit: Permit, port: int, error: Exception) -> None:
        """Record that a flow was permitted and could not begin."""

    def tooMany(self, limit: int) -> None:
        """Record, once, that more flows than the limit were asked for."""


@final
class FlowSettings:
    """
    What all associations of a generation share.

    @ivar idle: seconds without a datagram after which a flow ends.
    @ivar flows: the most flows that one association may have.
    """

    __slots__ = ("flows", "idle", "setDeadline", "watch")

    def __init__(
        self, watch: Watcher, setDeadline: SetDeadline, idle: float, flows: int
    ) -> None:
        self.watch = watch
        self.setDeadline = setDeadline
        self.idle = idle
        self.flows = flows


@final
class Flows(IdleWatch):
    """
    All flows of one association.

    @ivar strangers: how many datagrams came from where no flow leads.
    @ivar report: takes what ICMP tells of the datagrams; L{None} where nobody wants to
        know it. It is set before the first flow.
    @ivar sent: octets of flows that have ended, to the destinations.
    @ivar received: the same, from them.
    """

    __slots__ = (
        "_changes", "_clock", "_ended", "_exits", "_flows", "_full", "_idle", "_judge",
        "_judging", "carrier", "received", "report", "sent", "strangers",
    )  # fmt: skip

    settings: FlowSettings

    def __init__(
        self,
        settings: FlowSettings,
        judge: Judge,
        clock: Callable[[], float],
        idle: Callable[[], None],
        makeSocket: Callable[[int], socket.socket],
    ) -> None:
        """
        Begin without a flow.

        @param clock: monotonic seconds.
        @param idle: called when nothing has moved for the idle time.
        @param makeSocket: opens a socket for datagrams to destinations whose
            addresses are of this version of IP.
        """
        super().__init__(moved=0)
        self.settings = settings
        self._judge = judge
        judge.attach(self)
        self._clock = clock
        self._idle = idle
        self.carrier: Carrier | None = None
        self._flows: dict[bytes, Flow] = {}
        self._exits = Exits(self, settings.watch, makeSocket, self._end)
        self._changes = 0
        #: L{None} for none: a set that was emptied would keep its memory.
        self._judging: set[Deferred[None]] | None = None
        self._full = False
        self._ended: Callable[[str], None] | None = None
        self.report: Report | None = None
        self.strangers = 0
        self.sent = self.received = 0
        self.watchIdle()

    def get(self, key: bytes) -> Flow | None:
        """
        Return the flow of a header.

        @param key: the header as the client writes it with FRAG 0.
        """
        return self._flows.get(key)

    def begin(self, key: bytes, datagram: Datagram) -> None:
        """Begin a flow with its first datagram."""
        if len(self._flows) >= self.settings.flows:
            if not self._full:
                self._full = True
                self._judge.tooMany(self.settings.flows)
            return
        flow = self._flows[key] = Flow(key, datagram, self._clock())
        judging = Deferred.fromCoroutine(self._open(flow, datagram))
        if self._judging is None:
            self._judging = set()
        self._judging.add(judging)
        judging.addBoth(self._judged, flow, judging)

    def _judged(self, result: object, flow: Flow, judging: Deferred[None]) -> None:
        if self._judging is not None:
            self._judging.discard(judging)
            if not self._judging:
                self._judging = None
        if not isinstance(result, Failure):
            return
        if not result.check(CancelledError):
            # Without a verdict the flow counts as denied.
            flow.denied = True
            _log.failure("a flow failed by a defect in socksgw", result)
        forget(result)

    async def _open(self, flow: Flow, datagram: Datagram) -> None:
        while True:
            try:
                permit = await self._judge.judge(datagram)
            except LimitReached:
                self._postpone(flow)
                permit = None
            except (OSError, SocksError) as e:
                # No line could be written.
                self._drop(flow, e)
                permit = None
            if permit is None or await self._begun(flow, permit):
                break
        waiting, flow.waiting = flow.waiting, []
        flow.denied = flow.sender is None
        if not flow.denied:
            for payload in waiting:
                flow.send(payload)

    async def _begun(self, flow: Flow, permit: Permit) -> bool:
        """
        Begin with a flow that is permitted, if there is a way.

        @return: whether that is all; else it is to be judged anew.
        """
        outlet = permit.outlet
        upstream = None if outlet is None else outlet.upstream
        changes = self._changes
        failed: Exception
        try:
            if upstream is None:
                self._exits.own(outlet).begin(flow, permit)
                return True
            way = await self._exits.through(upstream, flow, permit)
            if changes == self._changes:
                way.begin(flow, permit)
                return True
            failed = Revoked("the rules, or the user, changed before it began")
        except CancelledError:
            self._judge.failed(permit, flow.datagram.port, SocksError(reason="cut"))
            raise
        except SocksError as e:
            self._postpone(flow)
            failed = e
        except OSError as e:
            # Out of descriptors.
            self._drop(flow, e)
            failed = e
        failed.__traceback__ = None
        self._judge.failed(permit, flow.datagram.port, failed)
        return not isinstance(failed, Revoked)

    def _postpone(self, flow: Flow) -> None:
        """
        Have a flow judged again after a while.

        At each datagram that would cost more than the flow.
        """
        self.settings.setDeadline(_AGAIN, lambda: self._forget(flow))

    def _drop(self, flow: Flow, why: Exception) -> None:
        """
        Have a flow judged again when its next datagram comes.

        @param why: what has failed. It may be kept elsewhere, and its frames hold the
            association.
        """
        why.__traceback__ = None
        self._forget(flow)

    def hold(
        self,
        datagram: Datagram,
        permit: Permit,
        ended: Callable[[str], None],
        associated: Associated | None = None,
    ) -> Flow:
        """
        Begin with a flow that was judged before, the only one.

        @param datagram: names its destination; its payload is not sent.
        @param ended: called with the reason when the flow ends.
        @param associated: what it leaves by, at an upstream.
        @raise OSError: there is no socket, or no room for one.
        """
        key = datagram.asked + datagram.port.to_bytes(2, "big")
        flow = self._flows[key] = Flow(key, datagram, self._clock())
        flow.waiting, flow.alone = [], True
        if associated is None:
            way = self._exits.own(permit.outlet)
        else:
            way = self._exits.held(associated)
        way.begin(flow, permit)
        self._ended = ended
        return flow

    def _forget(self, flow: Flow) -> None:
        if self._flows.get(flow.key) is flow:
            del self._flows[flow.key]

    # Ending.

    def isIdle(self) -> bool:
        """
        Count a part of the idle time, and end the flows that are idle.

        @return: whether the last flow has ended so, or there was none in all of
            the idle time.
        """
        ended = [flow for flow in self._flows.values() if flow.isIdle()]
        for flow in ended:
            self._end(flow, "idle")
        return self.idles(0, busy=bool(self._flows)) or bool(ended and not self._flows)

    def idled(self) -> None:
        """As L{IdleWatch.idled}: the association ends."""
        self._idle()

    @property
    def live(self) -> list[Flow]:
        """The flows that datagrams move on."""
        return [flow for flow in self._flows.values() if flow.sender is not None]

    @property
    def moved(self) -> tuple[int, int]:
        """The octets so far from the client, and to it, of all flows."""
        live = self._flows.values()
        return (
            self.sent + sum([flow.sent for flow in live]),
            self.received + sum([flow.received for flow in live]),
        )

    def changed(self) -> None:
        """Have the flows that wait for an upstream judged anew."""
        self._changes += 1

    def recheck(
        self, again: Callable[[Flow], str | None], reason: str = "revoked"
    ) -> None:
        """
        End the flows that are allowed no longer.

        A denied flow ends, too, so that it is judged again when its next datagram
        comes.

        @param again: says whose answers come back to a flow from now on, as
            L{Permit.replies}; L{None} when it is allowed no longer.
        """
        for flow in list(self._flows.values()):
            if flow.denied:
                self._end(flow, reason)
            elif flow.sender is not None:
                replies = again(flow)
                if replies is None:
                    self._end(flow, reason)
                else:
                    flow.replies = replies
        self._exits.index()
        self.changed()

    def _end(self, flow: Flow, reason: str) -> None:
        del self._flows[flow.key]
        if self.carrier is not None:
            self.carrier.forget(flow.key)
        if flow.way is None:
            return
        flow.way.remove(flow)
        self.sent += flow.sent
        self.received += flow.received
        self._judge.ended(flow, reason)
        if self._ended is not None:
            self._ended(reason)

    def settled(self, seconds: float) -> Deferred[Any]:
        """Return what fires when all verdicts have come, or after some seconds."""
        done = DeferredList(list(self._judging or ()))
        deadline = self.settings.setDeadline(seconds, done.cancel)
        return done.addBoth(lambda _: deadline.clear())

    def close(self, reason: str) -> None:
        """End every flow: the association is over."""
        self.ignoreIdle()
        for judging in list(self._judging or ()):
            judging.cancel()
        for flow in list(self._flows.values()):
            self._end(flow, reason)
        self._exits.close()
        self.carrier = self.report = None
