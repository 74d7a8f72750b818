"""
The control channel of Enhanced UDP Mode, and the datagrams of its groups.

draft-ietf-aft-mcast-fw-traversal-01, in MU-mode alone: what is sent to a group goes to
each member by itself. MM-mode would send it to everybody on the inner network.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple, Protocol, final

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from socksgw.errors import SocksError
from socksgw.relay.control import Control, Ending
from socksgw.relay.groupsocket import GroupRelay, Relayed
from socksgw.relay.membership import (
    GroupPermit,
    GroupSettings,
    Membership,
    Memberships,
)
from socksgw.relay.seams import Client
from socksgw.relay.tally import Tally
from socksgw.system.dropping import Dropping
from socksgw.wire.address import Address
from socksgw.wire.multicast import (
    HEADER,
    NOWHERE,
    Answer,
    Asked,
    Carried,
    Flags,
    Outcome,
    Place,
    UDPCommand,
    encodeAnswer,
    encodeCarried,
    readAsked,
)
from socksgw.wire.reader import NeedMoreData, Reader, WireError

__all__ = [
    "GroupJudge",
    "Unpermitted",
    "Wanted",
    "serveGroups",
]

_log = Logger()

#: Requests of one client that wait for those before them; while they do, no more are
#: taken off the stream.
_WAITING: Final = 64
#: Requests of one client that are answered before others have their turn.
_AT_ONCE: Final = 16
_WAYS: Final = Flags.RECEIVE | Flags.SEND
_NOTHING: Final = Flags(0)


class Wanted(NamedTuple):
    """
    What a client wants to do in a group.

    @ivar ttl: of what it sends; L{None} where it does not send.
    @ivar sources: the senders that it wants; empty for all.
    @ivar inside: whether the datagrams go inside the client's connection.
    """

    group: Address
    port: int
    receive: bool
    ttl: int | None
    sources: tuple[Address, ...]
    inside: bool


class Unpermitted(Exception):
    """
    A client may not do all that it wants in a group.

    @ivar outcome: what it is told: an L{Outcome}, or a reply of RFC 1928.
    @ivar possible: what it might do (section 4.3.1.2).
    """

    def __init__(self, outcome: int, possible: Flags = _NOTHING) -> None:
        super().__init__(outcome)
        self.outcome = outcome
        self.possible = possible


class GroupJudge(Protocol):
    """What says which groups a client may be in, and records them."""

    def permit(
        self, wanted: Wanted, before: Membership | None
    ) -> Awaitable[GroupPermit]:
        """
        Decide about a group.

        When this returns, its line is in the journal. The permit is taken by L{begun}
        or L{failed}, in the same turn.

        @param before: the membership that the client has already.
        @raise Unpermitted: it may not be, with what it is told.
        """

    def attach(self, memberships: Memberships) -> None:
        """Take note of the groups that will be asked about."""

    def begun(self, before: Membership | None, permit: GroupPermit) -> GroupPermit:
        """
        Take note that what was permitted begins.

        What the client had of the group before is recorded as over (C{changed}).

        @return: the permit, with what counts it from now on.
        """

    def ended(self, membership: Membership, reason: str) -> None:
        """Record the end of what was permitted, and count it no longer."""

    def failed(
        self, membership: Membership, permit: GroupPermit, error: Exception
    ) -> None:
        """Record that what was permitted could not begin, and close its sockets."""

    def scope(self, membership: Membership, ttl: int) -> None:
        """
        Have what a client sends to a group have another TTL.

        @raise OSError: the kernel refuses.
        """

    @property
    def most(self) -> int:
        """The most groups of one connection."""

    def tooMany(self) -> None:
        """Record that more groups than that were asked for."""

    @property
    def tunnels(self) -> bool:
        """Whether datagrams may go inside the connection."""

    def open(self) -> Awaitable[Relayed]:
        """
        Open the relay socket.

        @raise SocksError: the client can have none.
        """


@final
class _Channel(Dropping, Control):
    """
    The control channel: what a client asks for, and datagrams inside it.

    Requests are answered one after the other, and no more of them in one turn than
    leaves others theirs.
    """

    def __init__(
        self,
        client: Client,
        source: Address,
        judge: GroupJudge,
        memberships: Memberships,
        end: Callable[[str], None],
        isClients: Callable[[tuple[str, int]], bool] | None,
        clock: Callable[[], float],
        early: bytes,
    ) -> None:
        super().__init__(end)
        self._client = client
        self._source = source
        self._judge = judge
        self._memberships = memberships
        self._isClients = isClients
        self._clock = clock
        self._buffer = bytearray(early)
        self._waiting: deque[Asked] = deque()
        self._answering: Deferred[None] | None = None
        self._busy = False
        self._held = False
        self._answered = 0
        self._turned: Deferred[None] | None = None
        self._drained: Deferred[None] | None = None
        self._closed = False
        self.relay: GroupRelay | None = None
        client.connection.registerProducer(self, True)

    # What comes.

    def dataReceived(self, data: bytes | memoryview) -> None:
        """Take requests and datagrams that are whole; keep the rest."""
        self._buffer += data
        if not self._held:
            self._take()

    def _take(self) -> None:
        """
        Take what is whole off the stream, as long as few requests wait.

        While many do, the connection is not read.
        """
        buffer, waiting = self._buffer, self._waiting
        start = 0
        try:
            with memoryview(buffer) as view:
                reader = Reader(view)
                while start < len(view) and len(waiting) < _WAITING:
                    message = readAsked(reader)
                    start = reader.position
                    if isinstance(message, Carried):
                        self._carried(message)
                    else:
                        waiting.append(message)
        except NeedMoreData:
            pass
        except WireError:
            # The stream cannot be followed any further.
            self._end("protocol")
        finally:
            del buffer[:start]
        self._hold(len(waiting) >= _WAITING)
        if waiting and not self._busy:
            self._busy = True
            self._answering = Deferred.fromCoroutine(self._answerAll())
            self._answering.addErrback(self._failed)

    def _hold(self, held: bool) -> None:
        """Read the connection, or do not."""
        if held != self._held:
            self._held = held
            connection = self._client.connection
            if held:
                connection.pauseProducing()
            else:
                connection.resumeProducing()

    def _carried(self, carried: Carried) -> None:
        membership = self._memberships.byNumber.get(carried.aid)
        if membership is not None and membership.inside:
            membership.send(carried.payload)

    def _failed(self, failure: Failure) -> None:
        if not self._closed:
            _log.failure("a request for a group failed by a defect in socksgw", failure)
            self._end("internal")

    async def _answerAll(self) -> None:
        while self._waiting:
            if self._answered >= _AT_ONCE:
                self._turned = Deferred()
                await self._turned
            if not self._answered:
                self._memberships.settings.soon(self._turn)
            self._answered += 1
            answer = await self._answer(self._waiting.popleft())
            self._client.connection.write(encodeAnswer(answer))
            if self.full:
                # It is written no more answers than it reads.
                self._drained = Deferred()
                await self._drained
        self._busy = False

    def _turn(self) -> None:
        """Go on: others have had their turn."""
        self._answered = 0
        if self._closed:
            return
        turned, self._turned = self._turned, None
        if turned is not None:
            turned.callback(None)
        elif self._held and not self._waiting:
            self._take()

    async def _answer(self, asked: Asked) -> Answer:
        """Do what a client asks for, and return what it is told."""
        try:
            if asked.command == UDPCommand.BIND:
                return await self._bind(asked)
            if asked.command == UDPCommand.RELEASE:
                return self._release(asked)
            if asked.command == UDPCommand.SET_TTL:
                return self._scope(asked)
            raise Unpermitted(Outcome.NOT_SUPPORTED)
        except Unpermitted as e:
            return Answer(e.outcome, e.possible, asked.tid, 0)

    # What is asked for.

    def _known(self, aid: int) -> Membership:
        membership = self._memberships.byNumber.get(aid)
        if membership is None:
            raise Unpermitted(Outcome.BAD_ASSOCIATION)
        return membership

    async def _bind(self, asked: Asked) -> Answer:
        """UDP BIND (sections 5.2.1 and 5.2.2)."""
        flags = asked.flags
        inside = bool(flags & Flags.ENCAPSULATED)
        if not flags & Flags.MULTICAST:
            # Without it, the draft's associations are those of RFC 1928.
            raise Unpermitted(Outcome.NOT_SUPPORTED)
        if not flags & _WAYS or (inside and flags & (Flags.UNICAST | Flags.MM_MODE)):
            raise Unpermitted(Outcome.BAD_CONTEXT)
        group, port = asked.remote
        if not isinstance(group, Address) or not port:
            raise Unpermitted(Outcome.BAD_GROUP)
        before = self._known(asked.aid) if asked.aid else None
        if before is not None:
            if (before.group, before.port) != (group, port):
                raise Unpermitted(Outcome.BAD_ASSOCIATION)
            if before.inside != inside:
                raise Unpermitted(Outcome.BAD_CONTEXT)
        elif len(self._memberships.byNumber) >= self._judge.most:
            self._judge.tooMany()
            raise Unpermitted(Outcome.NOT_ALLOWED)
        if inside and not self._judge.tunnels:
            raise Unpermitted(Outcome.NOT_SUPPORTED)
        if not inside:
            await self._open()
        # One that had a way before keeps it.
        receive = bool(flags & Flags.RECEIVE) or (
            before is not None and before.receives
        )
        ttl = (asked.ttl or 1) if flags & Flags.SEND else None
        sources = asked.sources if flags & Flags.RECEIVE else ()
        if before is not None:
            if ttl is None and before.sends:
                ttl = before.ttl
            if not flags & Flags.RECEIVE:
                sources = before.sources
        permit = await self._judge.permit(
            Wanted(group, port, receive, ttl, sources, inside), before
        )
        return self._bound(asked, before, permit, inside, sources)

    def _bound(
        self,
        asked: Asked,
        before: Membership | None,
        permit: GroupPermit,
        inside: bool,
        sources: tuple[Address, ...],
    ) -> Answer:
        """Have a group's datagrams move, and return what the client is told."""
        memberships, group = self._memberships, asked.remote[0]
        assert isinstance(group, Address)
        membership = before
        if membership is None:
            deliver = (
                self._inside if inside or self.relay is None else self.relay.deliver
            )
            membership = Membership(
                memberships.number(),
                (group, asked.remote[1]),
                sources,
                inside,
                memberships.settings.watch,
                deliver,
            )
        try:
            membership.watch(permit)
        except OSError as e:
            self._judge.failed(membership, permit, e)
            raise Unpermitted(Outcome.FAILED) from None
        membership.hold(self._judge.begun(before, permit))
        membership.sources = sources
        membership.begin(self._clock())
        memberships.byNumber[membership.aid] = membership
        if not inside and not membership.near:
            membership.near = self._near(asked.local)
        granted = asked.flags & (_WAYS | Flags.ENCAPSULATED | Flags.SOURCES)
        return Answer(
            Outcome.SUCCEEDED,
            granted | Flags.MULTICAST | Flags.MU_MODE,
            asked.tid,
            membership.aid,
            NOWHERE if inside or self.relay is None else self.relay.told,
            asked.remote,
        )

    def _near(self, local: Place) -> int:
        """
        Return the client's port, where it says one of its own address.

        Another address says nothing here, and neither does none: clients behind an
        address translation are known by their first datagram.
        """
        host, port = local
        assert self.relay is not None
        return port if host == self._source and not self.relay.proves else 0

    async def _open(self) -> None:
        if self.relay is not None:
            return
        try:
            relayed = await self._judge.open()
        except SocksError as e:
            raise Unpermitted(Outcome.FAILED if e.reply is None else e.reply) from None
        if self._closed:
            relayed.socket.close()
            raise Unpermitted(Outcome.FAILED)
        try:
            self.relay = GroupRelay(
                relayed,
                self._source,
                self._memberships,
                self._memberships.settings.watch,
                self._isClients,
                self._client.ipsec,
            )
        except OSError:
            # It cannot be watched.
            relayed.socket.close()
            raise Unpermitted(Outcome.FAILED) from None

    def _release(self, asked: Asked) -> Answer:
        """UDP RELEASE (section 4.3.2)."""
        membership = self._known(asked.aid)
        if not asked.flags & _WAYS:
            raise Unpermitted(Outcome.BAD_CONTEXT)
        receiving = bool(asked.flags & Flags.RECEIVE)
        sending = bool(asked.flags & Flags.SEND)
        if (receiving or not membership.receives) and (sending or not membership.sends):
            self._memberships.end(membership, reason="released")
        else:
            membership.drop(receiving, sending)
        return Answer(Outcome.SUCCEEDED, asked.flags, asked.tid, asked.aid)

    def _scope(self, asked: Asked) -> Answer:
        """SET TTL (section 5.2.4)."""
        membership = self._known(asked.aid)
        permit = membership.permit
        if permit is None or permit.sender is None:
            raise Unpermitted(Outcome.BAD_CONTEXT)
        if not 1 <= asked.ttl <= permit.most:
            raise Unpermitted(Outcome.BAD_TTL)
        try:
            self._judge.scope(membership, asked.ttl)
        except OSError:
            raise Unpermitted(Outcome.FAILED) from None
        return Answer(Outcome.SUCCEEDED, 0, asked.tid, asked.aid)

    # What goes.

    def _inside(self, membership: Membership, datagram: memoryview) -> None:
        """Send a datagram inside the connection; while it is full it is lost."""
        if not self.full:
            payload = bytes(datagram[HEADER:])
            self._client.connection.write(encodeCarried(membership.aid, payload))

    def resumeProducing(self) -> None:
        """As L{Dropping.resumeProducing}; answers go on, too."""
        super().resumeProducing()
        drained, self._drained = self._drained, None
        if drained is not None:
            drained.callback(None)

    def close(self) -> None:
        """Let go of the connection, and of the relay socket."""
        self._closed = True
        self._held = False
        self._buffer.clear()
        self._waiting.clear()
        if self._answering is not None:
            self._answering.cancel()
        self._client.connection.unregisterProducer()
        if self.relay is not None:
            self.relay.close()


async def serveGroups(
    client: Client,
    source: Address,
    settings: GroupSettings,
    judge: GroupJudge,
    clock: Callable[[], float],
    isClients: Callable[[tuple[str, int]], bool] | None,
    early: bytes,
    tally: Tally,
) -> None:
    """
    Serve a client in Enhanced UDP Mode, until its control connection ends.

    @param source: its address.
    @param clock: monotonic seconds.
    @param isClients: as of L{GroupRelay}.
    @param early: octets that came behind the request; they go first.
    @param tally: the figures, filled in also when this is cancelled.
    """
    end = Ending()
    memberships = Memberships(settings, judge.ended, end.idle)
    judge.attach(memberships)
    channel = _Channel(client, source, judge, memberships, end, isClients, clock, early)
    tally.flows = memberships
    try:
        client.take(channel)
        if early:
            channel.dataReceived(b"")
        if client.ended:
            channel.readConnectionLost()
        tally.reason = await end.done
        # It may be sending, and not read that the connection ends.
        tally.reset = tally.reason == "protocol"
    finally:
        client.take(None)
        channel.close()
        memberships.close(tally.reason or "cut")
        tally.flows = None
        tally.sent, tally.received = memberships.sent, memberships.received
        relay = channel.relay
        outside = 0 if relay is None else relay.strangers
        tally.strangers = memberships.strangers + outside
