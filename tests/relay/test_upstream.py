"""
Flows that leave through an upstream: its sockets are real, on loopback; its replies,
and its control connection, are the test's.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from socksgw.errors import SocksError
from socksgw.relay.flow import Permit
from socksgw.relay.seams import Layer
from socksgw.wire.address import Address
from socksgw.wire.association import Unreached, encodeConfirmed, encodeUnreached
from socksgw.wire.association import encodeDatagram as encodeMessage
from socksgw.wire.datagram import (
    Datagram,
    encodeHeader,
    encodeTunnelled,
    encodeWithLengths,
)
from socksgw.wire.encapsulation import Encapsulation
from socksgw.wire.gssapi import Level, MessageType, encode, readData
from socksgw.wire.reader import Reader
from tests.fakes.gssapi import established
from tests.relay.associations import IDLE, Association, Judge, Sea, header

#: Where the upstream, as it says, sends datagrams and has them from.
FAR = "203.0.113.5"
OTHER = "203.0.113.6"
FAR6 = "2001:db8::5"


class Control:
    """A control connection to the upstream."""

    def __init__(self) -> None:
        self.receiver: Any = None
        self.producer: Any = None
        self.written = bytearray()
        self.closed = False

    def take(self, receiver: Any) -> None:
        self.receiver = receiver

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self.producer = producer

    def write(self, data: bytes) -> None:
        self.written += data


class Associated:
    """An association with the upstream."""

    def __init__(self, upstream: Upstream) -> None:
        self.controls = [Control() for _ in range(upstream.hops)]
        self.framing = upstream.framing
        self.association = upstream.association
        self.layers = upstream.layers
        self.surplus = upstream.surplus
        self.socket: socket.socket | None = None
        if not (self.framing or self.association):
            self.socket = socket.socket(type=socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
            self.socket.bind(("127.0.0.1", 0))
            self.socket.connect(upstream.relay.getsockname())
        self.closed = False

    def close(self) -> None:
        assert not self.closed
        self.closed = True
        if self.socket is not None:
            self.socket.close()


class Upstream:
    """
    An upstream, and the outlet that leads to it.

    @ivar relay: its relay socket.
    @ivar given: the associations that it has given.
    @ivar failing: raised instead of giving one.
    @ivar held: it gives none before that.
    """

    def __init__(self, sea: Sea) -> None:
        self.relay = sea.socket()
        self.given: list[Associated] = []
        self.failing: Exception | None = None
        self.held: Deferred[None] | None = None
        self.asked = 0
        self.hops, self.framing, self.surplus = 1, "", b""
        self.association = b""
        self.layers: list[Layer] = []
        self.upstream = self
        self.inner = None

    async def associate(self) -> Associated:
        self.asked += 1
        if self.held is not None:
            await self.held
        if self.failing is not None:
            raise self.failing
        self.given.append(Associated(self))
        return self.given[-1]

    def outer(self, version: int) -> socket.socket:
        raise AssertionError("nothing leaves from here")

    @property
    def control(self) -> Control:
        return self.given[-1].controls[0]


class Leading(Judge):
    """Leads what goes to some hosts through an upstream."""

    def __init__(self, upstream: Upstream) -> None:
        super().__init__()
        self.upstream = upstream
        self.named = False
        self.why: list[str] = []

    async def judge(self, datagram: Datagram) -> Permit | None:
        permit = await super().judge(datagram)
        if permit is None or str(permit.address).startswith("127."):
            return permit
        address = None if self.named else permit.address
        outlet: Any = self.upstream
        return permit._replace(outlet=outlet, address=address)

    def failed(self, permit: Permit, port: int, error: Exception) -> None:
        super().failed(permit, port, error)
        assert isinstance(error, SocksError)
        self.why.append(error.reason)


class Side:
    """A client, an association, an upstream."""

    def __init__(self, sea: Sea, prepare: Callable[[Upstream], None] | None = None):
        self.sea = sea
        self.upstream = Upstream(sea)
        if prepare is not None:
            prepare(self.upstream)
        self.judge = Leading(self.upstream)
        self.association: Association = sea.associate(judge=self.judge)
        self.socket = sea.socket()

    def send(self, host: str | bytes, port: int, payload: bytes = b"ask") -> None:
        self.socket.sendto(header(host, port) + payload, self.association.place)

    def asked(self) -> tuple[bytes, Any]:
        """What came to the upstream's relay socket, and from where."""
        return self.sea.relayed(self.upstream.relay)

    def opened(self, host: str = FAR, port: int = 53) -> Any:
        """Open a flow; where the upstream sees it come from."""
        self.send(host, port)
        octets, place = self.asked()
        assert octets == header(host, port) + b"ask"
        return place

    def answer(self, octets: bytes, place: Any) -> None:
        self.upstream.relay.sendto(octets, place)

    def heard(self) -> bytes:
        octets, sender = self.sea.relayed(self.socket)
        assert sender == self.association.place
        return octets


@pytest.fixture
def side(sea: Sea) -> Side:
    return Side(sea)


@pytest.mark.parametrize("host", [FAR, FAR6])
def test_thereAndBack(sea: Sea, side: Side, host: str) -> None:
    """With the header of the destination that was judged; the client sees no other."""
    place = side.opened(host)
    for text in (b"", b"answer", bytes(range(256)) * 5):
        side.answer(header(host, 53) + text, place)
        assert side.heard() == header(host, 53) + text
    side.association.end()
    assert side.judge.counts == {53: (3, 1, 6 + 1280, 3)}
    assert side.upstream.given[0].closed


def test_oneAssociationForManyFlows(sea: Sea, side: Side) -> None:
    """It is opened once, for the first; flows from here leave beside it."""
    near = sea.socket()
    port = near.getsockname()[1]
    side.upstream.held = Deferred()
    for host in (FAR, OTHER, FAR6):
        side.send(host, 53)
    side.send("127.0.0.1", port, b"near")
    octets, outer = sea.relayed(near)
    assert octets == b"near"
    sea.silent(side.upstream.relay)
    side.upstream.held.callback(None)
    came = {side.asked()[0] for _ in range(3)}
    assert came == {header(host, 53) + b"ask" for host in (FAR, OTHER, FAR6)}
    assert side.upstream.asked == 1
    # What the upstream says does not come from where this host sent something.
    place = side.upstream.given[0].socket
    assert place is not None
    side.answer(header("127.0.0.1", port) + b"lie", place.getsockname())
    sea.silent(side.socket)
    near.sendto(b"true", outer)
    assert side.heard() == header("127.0.0.1", port) + b"true"


def test_aStrangerIsNotHeard(sea: Sea, side: Side) -> None:
    """Only the relay address that the upstream has told may send."""
    place = side.opened()
    sea.socket().sendto(header(FAR, 53) + b"lie", place)
    sea.socket("127.0.0.2").sendto(header(FAR, 53) + b"lie", place)
    sea.silent(side.socket)


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"\0",
        header(FAR, 53)[:9],
        b"\0\1" + header(FAR, 53)[2:] + b"RSV",
        header(FAR, 53, 1) + b"a fragment",
        header(FAR, 53, 0x81) + b"the last fragment",
        b"\0\0\0\5" + header(FAR, 53)[4:] + b"ATYP",
        b"\0\0\0\0" + header(FAR, 53)[4:] + b"ATYP",
        b"\0\0\0\3\xff" + bytes(20),
        header(b"203.0.113.05", 53) + b"no literal",
        header(b"far.example", 53) + b"a name that no flow has",
    ],
)
def test_malformed(sea: Sea, side: Side, octets: bytes) -> None:
    """It is dropped and counted, and harms nothing."""
    place = side.opened()
    side.answer(octets, place)
    sea.silent(side.socket)
    assert side.judge.flows.strangers == 1
    side.answer(header(FAR, 53) + b"well", place)
    assert side.heard() == header(FAR, 53) + b"well"


def test_mapped(sea: Sea, side: Side) -> None:
    """A source as an IPv4-mapped address is that IPv4 address."""
    place = side.opened()
    side.answer(header("::ffff:" + FAR, 53) + b"mapped", place)
    assert side.heard() == header(FAR, 53) + b"mapped"


@pytest.mark.parametrize(
    ("replies", "heard"), [("exact", 1), ("address", 2), ("any", 3)]
)
def test_replies(sea: Sea, side: Side, replies: str, heard: int) -> None:
    """Whose answers come back is the rule's word, as without an upstream."""
    side.judge.replies = replies
    place = side.opened()
    sources = [(FAR, 53), (FAR, 7053), (OTHER, 53)]
    for source in sources:
        side.answer(header(*source) + b"x", place)
    for source in sources[:heard]:
        assert side.heard() == header(*source) + b"x"
    sea.silent(side.socket)
    assert side.judge.flows.strangers == 3 - heard


@pytest.mark.parametrize(
    ("replies", "heard"),
    [("exact", [0, 1, 3]), ("address", [0, 1, 2, 3]), ("any", [0, 1, 2, 3, 4])],
)
def test_aName(sea: Sea, side: Side, replies: str, heard: list[int]) -> None:
    """
    It is looked up there: answers come from an address that only the upstream knew.

    The first that answers is the name's.
    """
    side.judge.named, side.judge.replies = True, replies
    side.judge.names = {"far.example": [FAR], "other.example": [FAR]}
    side.send(b"far.example", 53)
    octets, place = side.asked()
    assert octets == header(b"far.example", 53) + b"ask"
    answers = [
        header(b"far.example", 53),
        header(FAR, 53),
        header(FAR, 7053),
        header(FAR, 53),
        header(OTHER, 53),
    ]
    for each in answers:
        side.answer(each + b"x", place)
    for number in heard:
        assert side.heard() == answers[number] + b"x"
    sea.silent(side.socket)
    # Another name has an association of its own.
    side.send(b"other.example", 53)
    octets, there = side.asked()
    assert octets == header(b"other.example", 53) + b"ask"
    assert there != place
    assert side.upstream.asked == 2


def test_theUpstreamEndsIt(sea: Sea, side: Side) -> None:
    """Its flows end, and the next datagram opens another; others go on."""
    near = sea.socket()
    side.send("127.0.0.1", near.getsockname()[1])
    sea.relayed(near)
    side.opened()
    side.upstream.control.receiver.readConnectionLost()
    assert [(f.datagram.port, why) for f, why in side.judge.over] == [
        (53, "upstream-closed")
    ]
    assert side.upstream.given[0].closed
    place = side.opened()
    side.answer(header(FAR, 53) + b"again", place)
    assert side.heard() == header(FAR, 53) + b"again"
    assert side.upstream.asked == 2
    side.send("127.0.0.1", near.getsockname()[1])
    sea.relayed(near)


def test_theUpstreamRefuses(sea: Sea, side: Side) -> None:
    """With its reason; it is not asked again at each datagram, but after a while."""
    side.upstream.failing = SocksError("no", reason="upstream-refused")
    for _ in range(3):
        side.send(FAR, 53)
        sea.settle()
    assert side.judge.why == ["upstream-refused"]
    assert side.upstream.asked == 1
    sea.advance(1.1)
    side.upstream.failing = None
    side.opened()
    assert len(side.judge.asked) == 2


def test_theAssociationEndsMeanwhile(sea: Sea, side: Side) -> None:
    """While the upstream is asked: that ends, and the flow is recorded."""
    ended: list[object] = []
    side.upstream.held = Deferred(ended.append)
    side.send(FAR, 53)
    sea.settle()
    side.association.end()
    sea.advance(1.0)
    assert side.association.done
    assert ended == [side.upstream.held]
    assert side.judge.why == ["cut"]


def test_theRulesChangeMeanwhile(sea: Sea, side: Side) -> None:
    """A flow that waits for the upstream is judged anew."""
    side.upstream.held = Deferred()
    side.send(FAR, 53)
    sea.settle()
    side.judge.flows.recheck(lambda flow: pytest.fail("no flow is live"))
    side.judge.denied.add(53)
    side.upstream.held.callback(None)
    sea.silent(side.upstream.relay)
    assert side.judge.why == ["revoked"]
    assert side.judge.asked == [(FAR, 53)] * 2


def test_idle(sea: Sea, side: Side) -> None:
    """With its last flow the association is given up."""
    side.opened()
    near = sea.socket()
    for _ in range(5):
        side.send("127.0.0.1", near.getsockname()[1])
        sea.relayed(near)
        sea.advance(IDLE / 4)
    assert [why for _, why in side.judge.over] == ["idle"]
    assert side.upstream.given[0].closed
    assert not side.association.done


def test_tooLong(sea: Sea, side: Side) -> None:
    """What does not fit behind the longer header is lost, and nothing else."""
    side.judge.names = {"x": [FAR6]}
    side.send(b"x", 53, bytes(65507 - 8))
    side.send(b"x", 53, b"fits")
    octets, _ = side.asked()
    assert octets == header(FAR6, 53) + b"fits"
    (flow,) = side.judge.flows.live
    assert (flow.sentDatagrams, flow.dropped) == (1, 1)


def test_thePortIsShut(sea: Sea, side: Side) -> None:
    """ICMP of an earlier datagram takes none of a later one."""
    side.opened()
    place = side.upstream.relay.getsockname()
    side.upstream.relay.close()
    side.send(FAR, 53, b"lost")
    sea.settle()
    side.upstream.relay = sea.socket(port=place[1])
    side.send(FAR, 53, b"comes")
    assert side.asked()[0] == header(FAR, 53) + b"comes"


# Inside the control connection.


@pytest.mark.parametrize(
    ("framing", "encoded"), [("hev", encodeWithLengths), ("gost", encodeTunnelled)]
)
def test_inside(sea: Sea, framing: str, encoded: Callable[..., bytes]) -> None:
    """Datagrams in the stream, cut anywhere; what came with the reply counts."""

    def prepare(upstream: Upstream) -> None:
        upstream.framing = framing
        upstream.surplus = encoded(Address.parse(OTHER), 53, b"early")[:5]

    side = Side(sea, prepare)
    far = Address.parse(FAR)
    side.send(FAR, 53)
    sea.until(lambda: bool(side.upstream.given and side.upstream.control.written))
    control = side.upstream.control
    assert control.written == encoded(far, 53, b"ask")
    control.receiver.dataReceived(encoded(Address.parse(OTHER), 53, b"early")[5:])
    assert side.judge.flows.strangers == 1
    stream = b"".join(encoded(far, 53, each) for each in (b"", b"one", bytes(3000)))
    for start in range(0, len(stream), 7):
        control.receiver.dataReceived(memoryview(stream[start : start + 7]))
    for each in (b"", b"one", bytes(3000)):
        assert side.heard() == header(FAR, 53) + each
    # While the upstream does not read, what is sent is lost, and never held.
    control.producer.pauseProducing()
    before = len(control.written)
    side.send(FAR, 53, b"lost")
    sea.settle()
    assert len(control.written) == before
    control.producer.resumeProducing()
    side.send(FAR, 53, b"comes")
    sea.until(lambda: control.written.endswith(encoded(far, 53, b"comes")))
    # A stream that cannot be followed ends the flows.
    control.receiver.dataReceived(b"\0\5\1\7" + bytes(20))
    assert [why for _, why in side.judge.over] == ["upstream-protocol"]
    assert side.upstream.given[0].closed


def test_insideInMessages(sea: Sea) -> None:
    """The same in messages, of which others than datagrams of it count for nothing."""
    association, far = bytes(range(8)), Address.parse(FAR)

    def prepare(upstream: Upstream) -> None:
        upstream.association = association
        upstream.surplus = encodeConfirmed(association)

    side = Side(sea, prepare)
    encoded = partial(encodeMessage, association)
    side.send(FAR, 53)
    sea.until(lambda: bool(side.upstream.given and side.upstream.control.written))
    control = side.upstream.control
    assert control.written == encoded(far, 53, b"ask")
    broken = bytes.fromhex("06 03 0011") + association + bytes(5)
    other = encodeMessage(bytes(8), far, 53, b"another's")
    error = encodeUnreached(association, Unreached(far, 53, far, 2))
    stream = b"".join((broken, other, error, encoded(far, 53, b"answer")))
    for start in range(0, len(stream), 7):
        control.receiver.dataReceived(memoryview(stream[start : start + 7]))
    assert side.heard() == header(FAR, 53) + b"answer"
    assert side.judge.flows.strangers == 0
    control.receiver.dataReceived(b"\5" + bytes(20))
    assert [why for _, why in side.judge.over] == ["upstream-protocol"]


# Several layers.


def test_chain(sea: Sea) -> None:
    """Through two hops: the first is told where the second takes datagrams."""
    second = encodeHeader(Address.parse("198.51.100.9"), 40000)

    def prepare(upstream: Upstream) -> None:
        upstream.hops = 2
        upstream.layers = [Layer(b"", None), Layer(second, None)]

    side = Side(sea, prepare)
    side.send(FAR, 53)
    octets, place = side.asked()
    assert octets == second + header(FAR, 53) + b"ask"
    side.answer(header(FAR, 53) + b"not by the second", place)
    side.answer(header(OTHER, 40000) + header(FAR, 53) + b"by another", place)
    sea.silent(side.socket)
    assert side.judge.flows.strangers == 2
    side.answer(second + header(FAR, 53) + b"well", place)
    assert side.heard() == header(FAR, 53) + b"well"
    # Either control connection is what it lives by.
    side.upstream.given[0].controls[1].receiver.connectionLost(None)
    assert [why for _, why in side.judge.over] == ["upstream-closed"]


def test_protected(sea: Sea) -> None:
    """Datagrams that are tokens (RFC 1961 section 5), each way."""
    tokens, context = established()

    def prepare(upstream: Upstream) -> None:
        protection = Encapsulation(context, Level.CONFIDENTIALITY)
        upstream.layers = [Layer(b"", protection)]

    side = Side(sea, prepare)
    side.send(FAR, 53, b"secret")
    octets, place = side.asked()
    assert b"secret" not in octets
    told, encrypted = tokens.unwrap(readData(Reader(octets)))
    assert encrypted
    assert told == header(FAR, 53) + b"secret"
    side.answer(header(FAR, 53) + b"in the clear", place)
    sea.silent(side.socket)
    wrapped = tokens.wrap(header(FAR, 53) + b"well", True)
    side.answer(encode(MessageType.DATA, wrapped), place)
    assert side.heard() == header(FAR, 53) + b"well"
    side.send(FAR, 53, bytes(65480))
    side.send(FAR, 53, b"fits")
    assert len(side.asked()[0]) < 200
