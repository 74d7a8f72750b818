"""
One flow of a UDP association: a destination as the client names it.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Final, NamedTuple, Protocol, final

from socksgw.relay.idle import IdleTime
from socksgw.relay.seams import Allowance, DatagramOutlet
from socksgw.wire.address import Address, BadHost
from socksgw.wire.datagram import Datagram, encodeHeader

__all__ = ["Flow", "Permit", "Sender"]

#: The most datagrams, and octets of them, that wait for a flow's verdict.
_WAITING: Final = 16
_WAITING_OCTETS: Final = 1 << 16


class Sender(Protocol):
    """What datagrams leave by: a socket, or an association with an upstream."""

    def sendto(self, payload: Any, to: Any, /) -> object:
        """
        Send a payload.

        @param to: the destination, as the sender knows it (L{Flow.to}).
        @raise OSError: it is not sent.
        """


class Permit(NamedTuple):
    """
    What a flow may do.

    @ivar address: where its datagrams go; L{None} where an upstream looks the name
        up.
    @ivar replies: whose answers come back: C{exact}, C{address} or C{any}.
    @ivar claim: a value of the judge's, which the flow keeps.
    @ivar sending: what bounds the datagrams to the destination.
    @ivar receiving: what bounds those from it.
    @ivar grant: another value of the judge's, which the flow keeps.
    @ivar outlet: where the datagrams leave; L{None} for the association's own outlet.
    """

    address: Address | None
    replies: str
    claim: Any = None
    sending: Allowance | None = None
    receiving: Allowance | None = None
    grant: Any = None
    outlet: DatagramOutlet | None = None


@final
class Flow(IdleTime):
    """
    One destination of an association.

    @ivar datagram: the first datagram, without its payload.
    @ivar address: where datagrams go; L{None} while that is not known, and where an
        upstream looks the name up.
    @ivar sender: what they leave by; L{None} while they may not.
    @ivar to: the destination, as the sender knows it.
    @ivar peer: whose answers are this flow's, as the way out tells sources apart.
    @ivar host: the peer's host, in the same manner.
    @ivar version: of IP, of the peer.
    @ivar header: tells the client the source of an answer (RFC 1928 section 7).
    @ivar alone: whether the client knows the source of no answer: there is one flow.
    @ivar sent: octets of payload sent to the destination.
    @ivar received: octets of payload that came from it.
    @ivar sentDatagrams: how many datagrams were sent.
    @ivar receivedDatagrams: how many came back.
    @ivar dropped: how many datagrams of the client were not sent, or wait.
    @ivar limited: how many, both ways, were more than the rate or the quota allows.
    @ivar claim: as of the L{Permit}; so are C{grant}, C{sending} and C{receiving}.
    """

    __slots__ = (
        "address", "alone", "began", "claim", "datagram", "denied", "dropped", "grant",
        "header", "host", "key", "limited", "peer", "received", "receivedDatagrams",
        "receiving", "replies", "sender", "sending", "sent", "sentDatagrams", "to",
        "version", "waiting", "way",
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
        self.alone = False
        self.sender: Sender | None = None
        self.to: Any = None
        self.peer: Hashable = None
        self.host: Hashable = None
        self.version = 0
        #: The L{socksgw.relay.exit.Exit} that it leaves by.
        self.way: Any = None
        self.replies = ""
        self.header = b""
        self.sent = self.sentDatagrams = 0
        self.received = self.receivedDatagrams = 0
        self.dropped = self.limited = 0
        self.claim: Any = None
        self.sending: Allowance | None = None
        self.receiving: Allowance | None = None

    def start(self, permit: Permit, sender: Sender, to: Any) -> None:
        """
        Let the datagrams move; those that wait are left to the caller.

        @param permit: allows it.
        """
        self.address, self.replies = permit.address, permit.replies
        self.grant, self.claim = permit.grant, permit.claim
        self.sending, self.receiving = permit.sending, permit.receiving
        host = permit.address or self.datagram.host
        assert not isinstance(host, BadHost)
        self.header = encodeHeader(host, self.datagram.port)
        self.to, self.sender = to, sender

    def send(self, payload: memoryview | bytes) -> None:
        """
        Send a payload to the destination.

        Where the kernel has no room it is lost, as datagrams may be. While the flow
        is judged a few payloads wait.
        """
        if self.sender is None:
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
            self.sender.sendto(payload, self.to)
        except OSError:
            # No room, no route, too long for the way: UDP promises nothing.
            self.dropped += 1
            return
        self.sentDatagrams += 1
        self.sent += len(payload)

    def sendRun(self, octets: memoryview, size: int) -> None:
        """
        Send a run of payloads (L{socksgw.relay.segments}) to the destination.

        @param octets: theirs; where there are several, none is empty.
        @param size: the octets of each; the last may be shorter.
        """
        length = len(octets)
        if length <= size:
            self.send(octets)
            return
        way = self.way
        if way is not None and self.sending is None:
            count = (length + size - 1) // size
            try:
                went = way.sendRun(self, octets, size)
            except OSError:
                self.dropped += count
                return
            if went:
                self.sentDatagrams += count
                self.sent += length
                return
        for at in range(0, length, size):
            self.send(octets[at : at + size])

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
        if self.sender is None and not self.denied:
            return False
        return self.idles(self.moved)
