"""
One multicast group of an association, and all of them.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any, Final, NamedTuple, Protocol, final

from socksgw.interfaces import SetDeadline
from socksgw.relay.idle import IdleWatch
from socksgw.relay.seams import Allowance
from socksgw.relay.segments import BATCH
from socksgw.system.watch import READ, Watcher
from socksgw.wire.address import Address
from socksgw.wire.multicast import HEADER

__all__ = ["GroupPermit", "GroupSettings", "Membership", "Memberships"]

#: The most senders of which it is remembered whether their datagrams come through.
_KNOWN: Final = 1024
#: Where datagrams are read, with room for a header before them.
_BUFFER: Final = bytearray(HEADER + (1 << 16))
_VIEW: Final = memoryview(_BUFFER)
_PAYLOAD: Final = _VIEW[HEADER:]


class GroupPermit(NamedTuple):
    """
    What a client may do in a group, and the sockets for it.

    @ivar receiver: has joined the group; L{None} where the client does not receive.
    @ivar sender: sends to it; L{None} where the client does not send.
    @ivar ttl: of what the client sends.
    @ivar most: the most that it may be.
    @ivar admits: whose datagrams come through; L{None} for everybody's.
    @ivar claim: counts the group; has C{sending} and C{receiving}.
    @ivar grant: a value of the judge's.
    """

    receiver: socket.socket | None
    sender: socket.socket | None
    ttl: int
    most: int
    admits: Callable[[Address], bool] | None
    claim: Any
    grant: Any


class Delivers(Protocol):
    """What takes datagrams to the client."""

    def __call__(self, membership: Membership, datagram: memoryview) -> None:
        """
        Send a datagram.

        @param datagram: good for this call only, with room for a header before it.
        """


@final
class Membership:
    """
    One group that a client receives, or sends to, or both.

    @ivar aid: the number by which the client names it.
    @ivar group: the address.
    @ivar port: the port.
    @ivar inside: whether its datagrams go inside the control connection.
    @ivar near: the client's port for datagrams; 0 while that is not known.
    @ivar sources: the senders that the client wants; empty for all.
    @ivar sent: octets that the client has sent.
    @ivar received: octets that came to it.
    @ivar limited: how many datagrams, both ways, were more than the rate or the quota
        allows.
    @ivar strangers: how many came from senders whose datagrams do not come through.
    """

    __slots__ = (
        "_deliver", "_known", "_own", "_sending", "_receiving", "_watch", "aid", "began",
        "group", "inside", "limited", "near", "permit", "port", "received",
        "receivedDatagrams", "sent", "sentDatagrams", "sources", "strangers", "ttl",
    )  # fmt: skip

    def __init__(
        self,
        aid: int,
        place: tuple[Address, int],
        sources: tuple[Address, ...],
        inside: bool,
        watch: Watcher,
        deliver: Delivers,
    ) -> None:
        """@param place: the group, and the port."""
        self.aid = aid
        self.group, self.port = place
        self.sources = sources
        self.inside = inside
        self.near = 0
        self._watch = watch
        self._deliver = deliver
        self.permit: GroupPermit | None = None
        self._own: tuple[Any, ...] = ()
        self._known: dict[str, bool] = {}
        self._sending: Allowance | None = None
        self._receiving: Allowance | None = None
        self.ttl = 1
        self.begin(0.0)

    def begin(self, now: float) -> None:
        """Count from nothing."""
        self.began = now
        self.sent = self.sentDatagrams = 0
        self.received = self.receivedDatagrams = 0
        self.limited = self.strangers = 0

    @property
    def receives(self) -> bool:
        """Whether the client receives what is sent to the group."""
        return self.permit is not None and self.permit.receiver is not None

    @property
    def sends(self) -> bool:
        """Whether it may send to the group."""
        return self.permit is not None and self.permit.sender is not None

    def watch(self, permit: GroupPermit) -> None:
        """
        Have the socket of a permit watched, before L{hold} takes the permit.

        @raise OSError: it cannot be watched; nothing is kept of C{permit}.
        """
        if permit.receiver is not None:
            self._watch.add(permit.receiver.fileno(), READ, self._ready)

    def hold(self, permit: GroupPermit) -> None:
        """
        Take what the client may do from now on, in place of what it had.

        @param permit: as L{watch} has had it.
        """
        self.drop()
        self.permit = permit
        self.ttl = permit.ttl
        if permit.sender is not None:
            self._own = permit.sender.getsockname()[:2]
        self.changed(permit)

    def changed(self, permit: GroupPermit) -> None:
        """Take what other rules say; the sockets stay."""
        self.permit = permit
        self._known = {}
        self._sending, self._receiving = permit.claim.sending, permit.claim.receiving

    def drop(self, receiving: bool = True, sending: bool = True) -> None:
        """Leave the group, or send to it no longer."""
        permit = self.permit
        if permit is None:
            return
        if receiving and permit.receiver is not None:
            self._watch.remove(permit.receiver.fileno())
            permit.receiver.close()
            permit = permit._replace(receiver=None)
        if sending and permit.sender is not None:
            permit.sender.close()
            permit = permit._replace(sender=None)
            self._own = ()
        self.permit = permit

    def _ready(self, _events: int) -> None:
        """Take what was sent to the group to the client."""
        permit = self.permit
        if permit is None or permit.receiver is None:
            return
        receive, allowance = permit.receiver.recvfrom_into, self._receiving
        for _ in range(BATCH):
            try:
                length, peer = receive(_PAYLOAD)
            except OSError:
                # There is no more, or the interface has gone.
                return
            if peer[:2] == self._own:
                # The members of this host hear the client, and one is itself.
                continue
            if permit.admits is not None and not self._isAdmitted(peer[0], permit):
                self.strangers += 1
                continue
            if allowance is not None and not allowance.passes(length):
                self.limited += 1
                continue
            self.received += length
            self.receivedDatagrams += 1
            self._deliver(self, _VIEW[: HEADER + length])

    def _isAdmitted(self, text: str, permit: GroupPermit) -> bool:
        known = self._known.get(text)
        if known is None:
            if len(self._known) >= _KNOWN:
                self._known = {}
            assert permit.admits is not None
            address = Address.parse(text.partition("%")[0])
            known = self._known[text] = permit.admits(address)
        return known

    def send(self, payload: memoryview | bytes) -> None:
        """Send a datagram of the client to the group, if it may."""
        permit = self.permit
        if permit is None or permit.sender is None:
            return
        if self._sending is not None and not self._sending.passes(len(payload)):
            self.limited += 1
            return
        try:
            permit.sender.send(payload)
        except OSError:
            # No room, no interface, too long for it: UDP promises nothing.
            return
        self.sent += len(payload)
        self.sentDatagrams += 1


@final
class GroupSettings:
    """
    What the memberships of a generation share.

    @ivar soon: calls something once other sockets have had their turn
        (L{socksgw.system.watch.Watch.soon}).
    @ivar idle: seconds without a group after which an association ends.
    """

    __slots__ = ("idle", "setDeadline", "soon", "watch")

    def __init__(
        self,
        watch: Watcher,
        soon: Callable[[Callable[[], None]], None],
        setDeadline: SetDeadline,
        idle: float,
    ) -> None:
        self.watch = watch
        self.soon = soon
        self.setDeadline = setDeadline
        self.idle = idle


@final
class Memberships(IdleWatch):
    """
    The groups of one association.

    @ivar byNumber: the groups by their numbers.
    @ivar sent: octets of groups that are over, to them.
    @ivar received: the same, from them.
    @ivar strangers: datagrams that were not let through, of groups that are over.
    """

    __slots__ = (
        "_ended", "_idle", "_last", "byNumber", "received", "sent", "strangers",
    )  # fmt: skip

    settings: GroupSettings

    def __init__(
        self,
        settings: GroupSettings,
        ended: Callable[[Membership, str], None],
        idle: Callable[[], None],
    ) -> None:
        """
        Begin with none.

        @param ended: records the end of one, with the reason, a fixed word.
        @param idle: called when there was no group for the idle time.
        """
        super().__init__(moved=0)
        self.settings = settings
        self._ended = ended
        self._idle = idle
        self._last = 0
        self.byNumber: dict[int, Membership] = {}
        self.sent = self.received = self.strangers = 0
        self.watchIdle()

    def number(self) -> int:
        """Return a number for one more group."""
        self._last += 1
        return self._last

    def end(self, membership: Membership, reason: str) -> None:
        """Leave a group, and forget it."""
        if self.byNumber.pop(membership.aid, None) is not None:
            membership.drop()
            self.over(membership, reason)

    def over(self, membership: Membership, reason: str) -> None:
        """Record the end of what was permitted in a group, and count it."""
        self._ended(membership, reason)
        self.sent += membership.sent
        self.received += membership.received
        self.strangers += membership.strangers

    @property
    def moved(self) -> tuple[int, int]:
        """The octets so far from the client, and to it, of all groups."""
        live = self.byNumber.values()
        return (
            self.sent + sum([each.sent for each in live]),
            self.received + sum([each.received for each in live]),
        )

    def isIdle(self) -> bool:
        """As L{IdleWatch.isIdle}: there was no group."""
        return self.idles(0, busy=bool(self.byNumber))

    def idled(self) -> None:
        """As L{IdleWatch.idled}: the association ends."""
        self._idle()

    def close(self, reason: str) -> None:
        """Leave every group: the association is over."""
        self.ignoreIdle()
        for each in list(self.byNumber.values()):
            self.end(each, reason)
