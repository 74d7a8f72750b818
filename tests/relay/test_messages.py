"""
UDP in messages inside the control connection: real sockets outside, a transport in
memory towards the client.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.testing import StringTransport

from socksgw.relay.association import Associations
from socksgw.relay.tally import Tally
from socksgw.route.datagrams import DatagramOutlet
from tests.fakes.connections import Client
from tests.relay.associations import IDLE, MOST, Judge, Sea
from tests.tools.measuring import allocated

ID = bytes.fromhex("0011223344556677")
#: 127.0.0.1 with its address type.
HOME = b"\x01\x7f\0\0\x01"
BEGINNING = b"\x06\x01\x00\x0c" + ID
CONFIRMED = b"\x06\x02\x00\x0c" + ID


def message(kind: int, body: bytes = b"", association: bytes = ID) -> bytes:
    """Section 7.3 of draft-olteanu-intarea-socks-6-11."""
    return bytes((6, kind)) + (12 + len(body)).to_bytes(2, "big") + association + body


def datagram(place: bytes, port: int, data: bytes, association: bytes = ID) -> bytes:
    """One to or from a place: its address type, and the address."""
    where = place[:1] + b"\0" + port.to_bytes(2, "big") + place[1:]
    return message(3, where + data, association)


class Inside:
    """An association inside its control connection."""

    def __init__(self, sea: Sea, reports: bool = False) -> None:
        self.judge = Judge()
        self.tally = Tally()
        self.transport = StringTransport()
        self.client = Client(self.transport)
        associations = Associations(
            sea.watcher, sea.setDeadline, lambda: sea.now, IDLE, MOST
        )
        self.done: list[Any] = []
        outlet = DatagramOutlet(None, None)
        over = Deferred.fromCoroutine(
            associations.messages(
                self.client, ID, reports, b"", outlet, self.judge, self.tally
            )
        )
        over.addBoth(self.done.append)
        assert self.taken() == BEGINNING

    def send(self, octets: bytes) -> None:
        """Octets of the client's."""
        self.client.taken.dataReceived(octets)

    def taken(self) -> bytes:
        """What the client was sent since."""
        sent: bytes = self.transport.value()
        self.transport.clear()
        return sent

    def end(self) -> None:
        """The client ends its side, if it is there still."""
        if not self.done:
            self.client.taken.readConnectionLost()
        assert self.done == [None]
        assert self.client.taken is None
        assert self.transport.producer is None


@pytest.fixture
def inside(sea: Sea) -> Iterator[Inside]:
    """One that ends with the test."""
    made = Inside(sea)
    yield made
    made.end()


def test_thereAndBack(sea: Sea, inside: Inside) -> None:
    """Confirmed once, judged, sent, answered, counted."""
    server = sea.socket()
    port = server.getsockname()[1]
    before = CONFIRMED
    for text in (b"ask", b"", b"x" * 60000):
        inside.send(datagram(HOME, port, text))
        octets, outer = sea.relayed(server)
        assert octets == text
        assert inside.taken() == before
        before = b""
        server.sendto(text[::-1], outer)
        sea.until(lambda: inside.transport.value())
        assert inside.taken() == datagram(HOME, port, text[::-1])
    assert inside.judge.asked == [("127.0.0.1", port)]
    inside.end()
    assert inside.judge.counts == {port: (60003, 3, 60003, 3)}
    assert (inside.tally.reason, inside.tally.sent) == ("closed", 60003)


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_anySplit(sea: Sea, inside: Inside, size: int) -> None:
    """However the stream comes, the same datagrams go out."""
    server = sea.socket()
    port = server.getsockname()[1]
    texts = [b"%d" % number for number in range(20)]
    stream = b"".join(datagram(HOME, port, text) for text in texts)
    for start in range(0, len(stream), size):
        inside.send(stream[start : start + size])
    assert [sea.relayed(server)[0] for _ in texts] == texts


@pytest.mark.parametrize("place", [b"\x01" + bytes(4), b"\x04" + bytes(16)])
def test_confirmationAlone(inside: Inside, place: bytes) -> None:
    """An empty datagram to zeros confirms, and is judged by nobody (7.3.1)."""
    inside.send(datagram(place, 0, b""))
    assert inside.taken() == CONFIRMED
    assert inside.judge.asked == []


def test_anotherAssociation(sea: Sea, inside: Inside) -> None:
    """Its messages are dropped, and counted; the stream goes on."""
    server = sea.socket()
    port = server.getsockname()[1]
    inside.send(datagram(HOME, port, b"no", bytes(8)) + message(9, b"", bytes(8)))
    inside.send(datagram(HOME, port, b"yes"))
    assert sea.relayed(server)[0] == b"yes"
    sea.silent(server)
    inside.end()
    assert inside.tally.strangers == 2


@pytest.mark.parametrize(
    "broken",
    [
        b"\x05" + message(3)[1:],
        b"\x06\x03\x00\x0b" + ID,
        b"\x06\x03\x00\x00" + ID,
        message(1),
        message(2),
        message(4, b"\x01\0\0\x35\x7f\0\0\x01\x01\x01\0\0\x7f\0\0\x01"),
        message(0),
        message(255, bytes(100)),
        message(3),
        message(3, b"\x02\0\0\x35\x7f\0\0\x01"),
        message(3, b"\x01\0\0\x35\x7f\0\0"),
        message(3, b"\x03\0\0\x35\x09abc"),
    ],
)
def test_whatNobodySends(sea: Sea, inside: Inside, broken: bytes) -> None:
    """The end, with a reason; what was before it went, and nothing behind it."""
    server = sea.socket()
    good = datagram(HOME, server.getsockname()[1], b"good")
    inside.send(good + broken + good)
    assert sea.relayed(server)[0] == b"good"
    sea.silent(server)
    assert inside.done == [None]
    assert inside.tally.reason == "protocol"


def test_mutations(sea: Sea) -> None:
    """
    Whatever a client sends, in whatever pieces: an association goes on, or ends for a
    reason; nothing is kept of those that have ended.
    """
    chance = random.Random(7)
    valid = [
        datagram(HOME, 9, b"data"),
        datagram(b"\x04" + bytes(15) + b"\x01", 9, b"data"),
        datagram(b"\x03\x09localhost", 9, b"data"),
        datagram(b"\x01" + bytes(4), 0, b""),
    ]
    reasons = dict.fromkeys(("closed", "protocol"), 0)
    for _ in range(2000):
        octets = bytearray(b"".join(chance.choices(valid, k=2)))
        for _ in range(chance.randrange(1, 4)):
            at = min(int(chance.expovariate(0.1)), len(octets) - 1)
            if chance.randrange(2):
                octets[at] = chance.choice((0, 1, 3, 4, 6, 127, 255))
            else:
                octets[at:at] = chance.randbytes(chance.choice((1, 300)))
        made = Inside(sea)
        # Nothing leaves this host, nor reaches anybody on it.
        made.judge.denied = AnyPort()
        cut = chance.randrange(len(octets))
        for part in (octets[:cut], octets[cut:]):
            if not made.done:
                made.send(bytes(part))
        made.end()
        reasons[made.tally.reason] += 1
    assert all(count > 100 for count in reasons.values()), reasons


class AnyPort(set[int]):
    """Every port there is."""

    def __contains__(self, port: object) -> bool:
        return True


def test_slowOctets(sea: Sea, inside: Inside) -> None:
    """A message of the greatest length, octet by octet: no more is held than that."""
    server = sea.socket()
    whole = datagram(HOME, server.getsockname()[1], bytes(65400))

    def send() -> None:
        for octet in whole[:-1]:
            inside.send(bytes((octet,)))

    assert allocated(send) < 3 * len(whole)
    inside.send(whole[-1:])
    assert len(sea.relayed(server)[0]) == 65400


def test_aClientThatDoesNotRead(sea: Sea) -> None:
    """Datagrams and errors for it are dropped, as a full socket would."""
    inside = Inside(sea, reports=True)
    server = sea.socket()
    port = server.getsockname()[1]
    inside.send(datagram(HOME, port, b"ask"))
    _, outer = sea.relayed(server)
    assert inside.taken() == CONFIRMED
    producer = inside.transport.producer
    assert producer is not None
    producer.pauseProducing()
    for _ in range(20):
        server.sendto(b"lost", outer)
    inside.send(datagram(HOME, closed(sea), b"lost"))
    sea.settle()
    assert inside.taken() == b""
    producer.resumeProducing()
    server.sendto(b"read", outer)
    sea.until(lambda: inside.transport.value())
    assert inside.taken() == datagram(HOME, port, b"read")
    inside.end()


def closed(sea: Sea) -> int:
    """A port at which nobody is."""
    made = sea.socket()
    port: int = made.getsockname()[1]
    made.close()
    return port


@pytest.mark.parametrize(("host", "kind"), [("127.0.0.1", 1), ("::1", 4)])
def test_icmp(sea: Sea, host: str, kind: int) -> None:
    """
    A closed port is told to who wants to hear it, as a host that is not reached, with
    the reporter (7.3.3); what else is sent goes on, and comes back.
    """
    inside = Inside(sea, reports=True)
    server, gone = sea.socket(host), sea.socket(host)
    port, shut = server.getsockname()[1], gone.getsockname()[1]
    gone.close()
    packed = b"\x7f\0\0\x01" if kind == 1 else bytes(15) + b"\x01"
    place = bytes((kind,)) + packed
    inside.send(datagram(place, shut, b"anybody?"))
    assert inside.taken() == CONFIRMED
    sea.until(lambda: inside.transport.value())
    body = bytes((kind, 0)) + shut.to_bytes(2, "big") + packed
    assert inside.taken() == message(4, body + bytes((kind, 2, 0, 0)) + packed)
    # An error that waits for somebody to read it loses no other datagram.
    for _ in range(5):
        inside.send(datagram(place, shut, b"?") + datagram(place, port, b"ask"))
    for _ in range(5):
        assert sea.relayed(server)[0] == b"ask"
    sea.until(lambda: len(inside.transport.value()) >= 5)
    inside.end()


def test_icmpUntold(sea: Sea, inside: Inside) -> None:
    """Who has not asked for it is told nothing."""
    inside.send(datagram(HOME, closed(sea), b"anybody?"))
    assert inside.taken() == CONFIRMED
    sea.settle()
    assert inside.taken() == b""
