"""
The flows of a UDP association, and the sockets that they leave by.

A flow is one destination as the client names it. It is judged when its first
datagram comes. What follows is passed on without another judgement; datagrams of a
denied flow are dropped in the same way.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple, Protocol, final

from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.logger import Logger
from twisted.python.failure import Failure

from socksgw.errors import ConnectFailed, LimitReached, SocksError
from socksgw.interfaces import SetDeadline
from socksgw.relay.idle import IdleTime, IdleWatch
from socksgw.relay.seams import Allowance
from socksgw.system.coroutines import forget
from socksgw.system.watch import READ, Watcher
from socksgw.wire.address import Address
from socksgw.wire.datagram import HEADROOM, Datagram, encodeHeader

__all__ = [
    "BATCH",
    "BUFFER",
    "VIEW",
    "Carrier",
    "Flow",
    "FlowSettings",
    "Flows",
    "Permit",
]

_log = Logger()

#: The most datagrams that are taken from one socket before others have a turn.
BATCH: Final = 64
#: The buffer that every datagram is read into. Payloads from destinations begin at
#: HEADROOM, so that a header fits before them.
BUFFER: Final = bytearray(HEADROOM + 65536)
VIEW: Final = memoryview(BUFFER)
_PAYLOAD: Final = VIEW[HEADROOM:]
#: The most datagrams, and octets of them, that wait for a flow's verdict.
_WAITING: Final = 16
_WAITING_OCTETS: Final = 1 << 16
#: The most headers that are kept for sources that no flow names (where
#: C{replies} is not C{exact}).
_HEADERS: Final = 256
#: Seconds before a flow that a limit forbade is judged again.
_AGAIN: Final = 1.0


class Permit(NamedTuple):
    """
    What a flow may do.

    @ivar address: where its datagrams go.
    @ivar replies: whose answers come back: C{exact}, C{address} or C{any}.
    @ivar claim: a value of the judge's, which the flow keeps.
    @ivar sending: what bounds the datagrams to the destination.
    @ivar receiving: what bounds those from it.
    @ivar grant: another value of the judge's, which the flow keeps.
    """

    address: Address
    replies: str
    claim: Any = None
    sending: Allowance | None = None
    receiving: Allowance | None = None
    grant: Any = None


class Carrier(Protocol):
    """
    What takes datagrams to the client.
    """

    def deliver(self, header: bytes, length: int) -> None:
        """
        Send a datagram whose payload lies in L{VIEW} from HEADROOM on.

        @param header: of a datagram as RFC 1928 section 7 has it, with the
            source.
        @param length: the octets of the payload.
        """

    def forget(self, header: bytes) -> None:
        """
        Let go of what is kept for a flow that is over.

        @param header: the flow's key.
        """


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
class Flow(IdleTime):
    """
    One destination of an association.

    @ivar datagram: the first datagram, without its payload.
    @ivar address: where datagrams go; L{None} while that is not known.
    @ivar sent: octets of payload sent to the destination.
    @ivar received: octets of payload that came from it.
    @ivar sentDatagrams: how many datagrams were sent.
    @ivar receivedDatagrams: how many came back.
    @ivar dropped: how many datagrams of the client were not sent, or wait.
    @ivar limited: how many, both ways, were more than the rate or the quota allows.
    @ivar claim: as of the L{Permit}; so are C{grant}, C{sending} and C{receiving}.
    """

    __slots__ = (
        "address", "began", "claim", "datagram", "denied", "dropped",
        "grant", "header", "key", "limited", "peer", "received", "receivedDatagrams",
        "receiving", "replies", "sending", "sent", "sentDatagrams", "socket", "waiting",
    )  # fmt: skip

    def __init__(self, key: bytes, datagram: Datagram, began: float) -> None:
        super().__init__()
        self.key = key
        self.datagram = datagram._replace(payload=b"")
        self.began = began
        self.denied = False
        self.grant: Any = None
        self.waiting: list[bytes] = [datagram.payload]
        self.address: Address | None = None
        self.peer: tuple[str, int] = ("", 0)
        self.socket: socket.socket | None = None
        self.replies = ""
        self.header = b""
        self.sent = self.sentDatagrams = 0
        self.received = self.receivedDatagrams = 0
        self.dropped = self.limited = 0
        self.claim: Any = None
        self.sending: Allowance | None = None
        self.receiving: Allowance | None = None

    def send(self, payload: memoryview | bytes) -> None:
        """
        Send a payload to the destination.

        Where the kernel has no room it is lost, as datagrams may be. While the flow
        is judged a few payloads wait.
        """
        if self.socket is None:
            self.dropped += 1
            if not self.denied and len(self.waiting) < _WAITING:
                held = sum(map(len, self.waiting))
                if held + len(payload) <= _WAITING_OCTETS:
                    self.waiting.append(bytes(payload))
            return
        if self.sending is not None and not self.sending.passes(len(payload)):
            self.limited += 1
            return
        try:
            self.socket.sendto(payload, self.peer)
        except OSError:
            # No room, no route, too long for the way: UDP promises nothing.
            self.dropped += 1
            return
        self.sentDatagrams += 1
        self.sent += len(payload)

    @property
    def moved(self) -> int:
        """How many datagrams came, went or were dropped."""
        dropped = self.dropped + self.limited
        return dropped + self.sentDatagrams + self.receivedDatagrams

    def isIdle(self) -> bool:
        """
        Count a part of the idle time.

        @return: whether nothing moved in all of it. A flow that is being judged is
            not idle.
        """
        if self.socket is None and not self.denied:
            return False
        return self.idles(self.moved)


@final
class Flows(IdleWatch):
    """
    All flows of one association.

    @ivar strangers: how many datagrams came from where no flow leads.
    @ivar sent: octets of flows that have ended, to the destinations.
    @ivar received: the same, from them.
    """

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
        self._makeSocket = makeSocket
        self.settings = settings
        self._judge = judge
        judge.attach(self)
        self._clock = clock
        self._idle = idle
        self.carrier: Carrier | None = None
        self._flows: dict[bytes, Flow] = {}
        self._byPeer: dict[tuple[str, int], Flow] = {}
        self._byHost: dict[str, Flow] = {}
        self._any: dict[int, Flow] = {}
        self._outer: dict[int, socket.socket] = {}
        self._headers: dict[tuple[str, int], bytes] = {}
        self._judging: set[Deferred[None]] = set()
        self._full = False
        self._ended: Callable[[str], None] | None = None
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
        self._judging.add(judging)
        judging.addBoth(self._judged, flow, judging)

    def _judged(self, result: object, flow: Flow, judging: Deferred[None]) -> None:
        self._judging.discard(judging)
        if not isinstance(result, Failure):
            return
        if not result.check(CancelledError):
            # Without a verdict the flow counts as denied.
            flow.denied = True
            _log.failure("a flow failed by a defect in socksgw", result)
        forget(result)

    async def _open(self, flow: Flow, datagram: Datagram) -> None:
        permit = None
        try:
            permit = await self._judge.judge(datagram)
            if permit is not None:
                outer = self._socket(permit.address.version)
        except LimitReached:
            # To judge it again at each datagram would cost more than the flow.
            self.settings.setDeadline(_AGAIN, lambda: self._forget(flow))
        except (OSError, SocksError) as e:
            # Out of descriptors, or no line could be written: it is judged again
            # when the next datagram comes. What has failed may keep the exception,
            # whose frames hold the association.
            e.__traceback__ = None
            if permit is not None:
                self._judge.failed(permit, datagram.port, e)
                permit = None
            if isinstance(e, ConnectFailed):
                # Nothing can leave as it should: as where a limit forbids it.
                self.settings.setDeadline(_AGAIN, lambda: self._forget(flow))
            else:
                del self._flows[flow.key]
        waiting, flow.waiting = flow.waiting, []
        if permit is None:
            flow.denied = True
            return
        self._start(flow, permit, outer)
        for payload in waiting:
            flow.send(payload)

    def hold(
        self, datagram: Datagram, permit: Permit, ended: Callable[[str], None]
    ) -> Flow:
        """
        Begin with a flow that was judged before, the only one.

        @param datagram: names its destination; its payload is not sent.
        @param ended: called with the reason when the flow ends.
        @raise OSError: there is no socket, or no room for one.
        """
        key = datagram.asked + datagram.port.to_bytes(2, "big")
        outer = self._socket(permit.address.version)
        flow = self._flows[key] = Flow(key, datagram, self._clock())
        flow.waiting = []
        self._start(flow, permit, outer)
        self._ended = ended
        return flow

    def _start(self, flow: Flow, permit: Permit, outer: socket.socket) -> None:
        """
        Let the datagrams of a flow move.

        @param outer: the socket that they leave by.
        """
        address, port = permit.address, flow.datagram.port
        flow.address = address
        flow.peer = (socket.inet_ntop(outer.family, address.packed), port)
        flow.replies, flow.grant = permit.replies, permit.grant
        flow.claim = permit.claim
        flow.sending, flow.receiving = permit.sending, permit.receiving
        flow.header = encodeHeader(address, port)
        flow.socket = outer
        self._byPeer[flow.peer] = flow
        self._index(flow)

    def _forget(self, flow: Flow) -> None:
        if self._flows.get(flow.key) is flow:
            del self._flows[flow.key]

    def _index(self, flow: Flow) -> None:
        """
        Take note of whose answers count for a flow, besides its own destination's.
        """
        if flow.socket is not None and flow.replies != "exact":
            self._byHost[flow.peer[0]] = flow
            if flow.replies == "any":
                self._any[flow.socket.family] = flow

    def _socket(self, version: int) -> socket.socket:
        """
        Return the socket that the flows of one version of IP leave by.

        @raise OSError: it cannot be opened.
        """
        outer = self._outer.get(version)
        if outer is None:
            made = self._makeSocket(version)
            try:
                self.settings.watch.add(
                    made.fileno(), READ, lambda _: self._ready(made)
                )
            except OSError:
                made.close()
                raise
            outer = self._outer[version] = made
        return outer

    def _ready(self, outer: socket.socket) -> None:
        """Take datagrams that came from destinations to the client."""
        byPeer, carrier = self._byPeer, self.carrier
        assert carrier is not None
        for _ in range(BATCH):
            try:
                length, peer = outer.recvfrom_into(_PAYLOAD)
            except OSError:
                # There is no more; or ICMP tells of something that we sent.
                return
            flow = byPeer.get(peer[:2])
            if flow is not None:
                header = flow.header
            else:
                flow = self._byHost.get(peer[0]) or self._any.get(outer.family)
                if flow is None:
                    self.strangers += 1
                    continue
                header = self._headerFor(outer.family, peer)
            if flow.receiving is not None and not flow.receiving.passes(length):
                flow.limited += 1
                continue
            flow.receivedDatagrams += 1
            flow.received += length
            carrier.deliver(header, length)

    def _headerFor(self, family: int, peer: tuple[str, int]) -> bytes:
        """Return the header that names a source which the client has not named."""
        header = self._headers.get(peer)
        if header is None:
            if len(self._headers) >= _HEADERS:
                self._headers.clear()
            packed = socket.inet_pton(family, peer[0].partition("%")[0])
            header = self._headers[peer] = encodeHeader(Address(packed), peer[1])
        return header

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
        return [flow for flow in self._flows.values() if flow.socket is not None]

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
            elif flow.socket is not None:
                replies = again(flow)
                if replies is None:
                    self._end(flow, reason)
                else:
                    flow.replies = replies
        self._indexAll()

    def _indexAll(self) -> None:
        self._byHost.clear()
        self._any.clear()
        for flow in self._flows.values():
            self._index(flow)

    def _end(self, flow: Flow, reason: str) -> None:
        del self._flows[flow.key]
        if self.carrier is not None:
            self.carrier.forget(flow.key)
        if flow.socket is None:
            return
        if self._byPeer.get(flow.peer) is flow:
            del self._byPeer[flow.peer]
            for other in self._flows.values():
                # It is the same destination under another name.
                if other.peer == flow.peer:
                    self._byPeer[flow.peer] = other
        if flow.replies != "exact":
            self._indexAll()
        self.sent += flow.sent
        self.received += flow.received
        self._judge.ended(flow, reason)
        if self._ended is not None:
            self._ended(reason)

    def settled(self, seconds: float) -> Deferred[Any]:
        """Return what fires when all verdicts have come, or after some seconds."""
        done = DeferredList(list(self._judging))
        deadline = self.settings.setDeadline(seconds, done.cancel)
        return done.addBoth(lambda _: deadline.clear())

    def close(self, reason: str) -> None:
        """End every flow: the association is over."""
        self.ignoreIdle()
        for judging in list(self._judging):
            judging.cancel()
        for flow in list(self._flows.values()):
            self._end(flow, reason)
        for outer in self._outer.values():
            self.settings.watch.remove(outer.fileno())
            outer.close()
        self._outer.clear()
        self.carrier = None
