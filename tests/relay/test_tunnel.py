"""
UDP inside the control connection: real sockets outside, a transport in memory
towards the client.
"""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from socksgw.errors import ConnectFailed
from socksgw.relay.association import Associations
from socksgw.relay.flow import Permit
from socksgw.relay.framing import FRAMINGS
from socksgw.relay.tally import Tally
from socksgw.relay.tunnel import CapsuleCarrier, TunnelCarrier
from socksgw.route.datagrams import DatagramOutlet
from socksgw.wire import capsule as capsules
from socksgw.wire.address import Address
from socksgw.wire.datagram import Datagram
from tests.fakes.connections import Client
from tests.relay.associations import IDLE, MOST, Judge, Sea
from tests.tools.measuring import allocated

#: 127.0.0.1 (RFC 1928 section 5).
HOME = b"\x01\x7f\0\0\x01"


def frame(framing: str, place: bytes, port: int, data: bytes) -> bytes:
    """
    A datagram in the stream: hev's data length, 3 and the length of ADDR,
    ADDR, data; gost's data length as RSV, FF as FRAG, ADDR, data.
    """
    address = place + port.to_bytes(2, "big")
    mark = 3 + len(address) if framing == "hev" else 0xFF
    return len(data).to_bytes(2, "big") + bytes([mark]) + address + data


class Tunnel:
    """
    An association inside its control connection.
    """

    def __init__(self, sea: Sea, framing: str, early: bytes = b"") -> None:
        self.framing = framing
        self.judge = Judge()
        self.tally = Tally()
        self.transport = StringTransport()
        self.client = Client(self.transport)
        associations = Associations(
            sea.watcher, sea.setDeadline, lambda: sea.now, IDLE, MOST
        )
        self.done: list[Any] = []
        self.over = Deferred.fromCoroutine(
            associations.inside(
                self.client,
                FRAMINGS[framing],
                early,
                DatagramOutlet(None, None),
                self.judge,
                self.tally,
            )
        )
        self.over.addBoth(self.done.append)

    def send(self, octets: bytes) -> None:
        """Octets of the client's."""
        self.client.taken.dataReceived(octets)


@pytest.fixture(params=["hev", "gost"])
def tunnel(request: pytest.FixtureRequest, sea: Sea) -> Iterator[Tunnel]:
    """One that ends with the test, if it did not before."""
    made = Tunnel(sea, request.param)
    yield made
    if not made.done:
        made.client.taken.readConnectionLost()
    assert made.done == [None]
    assert made.client.taken is None
    assert made.transport.producer is None


def test_thereAndBack(sea: Sea, tunnel: Tunnel) -> None:
    """Judged, sent, answered in the same framing, counted."""
    server = sea.socket()
    port = server.getsockname()[1]
    for text in (b"ask", b"", b"x" * 60000):
        tunnel.send(frame(tunnel.framing, HOME, port, text))
        octets, outer = sea.relayed(server)
        assert octets == text
        server.sendto(text[::-1], outer)
        expected = frame(tunnel.framing, HOME, port, text[::-1])
        sea.until(lambda: tunnel.transport.value())
        assert tunnel.transport.value() == expected
        tunnel.transport.clear()
    assert tunnel.judge.asked == [("127.0.0.1", port)]
    tunnel.client.taken.readConnectionLost()
    assert tunnel.judge.counts == {port: (60003, 3, 60003, 3)}
    assert (tunnel.tally.reason, tunnel.tally.sent) == ("closed", 60003)


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_anySplit(sea: Sea, tunnel: Tunnel, size: int) -> None:
    """However the stream comes, the same datagrams go out."""
    server = sea.socket()
    port = server.getsockname()[1]
    texts = [b"%d" % number for number in range(20)]
    stream = b"".join(frame(tunnel.framing, HOME, port, text) for text in texts)
    for start in range(0, len(stream), size):
        tunnel.send(stream[start : start + size])
    assert [sea.relayed(server)[0] for _ in texts] == texts


@pytest.mark.parametrize("framing", ["hev", "gost"])
def test_octetsBehindTheRequest(sea: Sea, framing: str) -> None:
    """They are the first of the stream, also half a datagram."""
    server = sea.socket()
    stream = frame(framing, HOME, server.getsockname()[1], b"early")
    for cut in (0, 5, len(stream)):
        tunnel = Tunnel(sea, framing, stream[:cut])
        if stream[cut:]:
            tunnel.send(stream[cut:])
        assert sea.relayed(server)[0] == b"early"
        tunnel.client.taken.readConnectionLost()
        assert tunnel.done == [None]


def test_whatIsNoFrame(sea: Sea, tunnel: Tunnel) -> None:
    """The stream cannot be followed any further: the end; what was before it went."""
    server = sea.socket()
    good = frame(tunnel.framing, HOME, server.getsockname()[1], b"good")
    tunnel.send(good + b"\0\x01\x01\x01" + bytes(50) + good)
    assert sea.relayed(server)[0] == b"good"
    sea.silent(server)
    assert tunnel.done == [None]
    assert tunnel.tally.reason == "protocol"


def test_deniedFlows(sea: Sea, tunnel: Tunnel) -> None:
    """Judged once; silence, and the stream goes on."""
    server, denied = sea.socket(), sea.socket()
    tunnel.judge.denied.add(denied.getsockname()[1])
    for _ in range(3):
        tunnel.send(frame(tunnel.framing, HOME, denied.getsockname()[1], b"no"))
    tunnel.send(frame(tunnel.framing, HOME, server.getsockname()[1], b"yes"))
    assert sea.relayed(server)[0] == b"yes"
    sea.silent(denied)
    assert len(tunnel.judge.asked) == 2
    assert tunnel.transport.value() == b""


def test_aNameAndAnAddressOfTheSameOctets(sea: Sea, tunnel: Tunnel) -> None:
    """Each is judged as what it says; the answer names the true source."""
    tunnel.judge.names["server.example"] = ["::1"]
    server = sea.socket("::1")
    port = server.getsockname()[1]
    tunnel.send(frame(tunnel.framing, b"\x03\x0eserver.example", port, b"ask"))
    octets, outer = sea.relayed(server)
    assert octets == b"ask"
    server.sendto(b"answer", outer)
    sea.until(lambda: tunnel.transport.value())
    source = b"\x04" + bytes(15) + b"\x01"
    assert tunnel.transport.value() == frame(tunnel.framing, source, port, b"answer")


def test_aClientThatDoesNotRead(sea: Sea, tunnel: Tunnel) -> None:
    """Datagrams for it are dropped, as a full socket would; nothing is buffered."""
    server = sea.socket()
    port = server.getsockname()[1]
    tunnel.send(frame(tunnel.framing, HOME, port, b"ask"))
    _, outer = sea.relayed(server)
    producer = tunnel.transport.producer
    assert producer is not None
    producer.pauseProducing()
    for _ in range(20):
        server.sendto(b"lost", outer)
    sea.settle()
    assert tunnel.transport.value() == b""
    producer.resumeProducing()
    server.sendto(b"read", outer)
    sea.until(lambda: tunnel.transport.value())
    assert tunnel.transport.value() == frame(tunnel.framing, HOME, port, b"read")


def test_strangers(sea: Sea, tunnel: Tunnel) -> None:
    """Only whom the client has sent to is heard."""
    server, stranger = sea.socket(), sea.socket("127.0.0.2")
    tunnel.send(frame(tunnel.framing, HOME, server.getsockname()[1], b"ask"))
    _, outer = sea.relayed(server)
    stranger.sendto(b"stranger", ("127.0.0.1", outer[1]))
    sea.settle()
    assert tunnel.transport.value() == b""
    tunnel.client.taken.readConnectionLost()
    assert tunnel.tally.strangers == 1


def test_idle(sea: Sea, tunnel: Tunnel) -> None:
    """As without a tunnel."""
    server = sea.socket()
    tunnel.send(frame(tunnel.framing, HOME, server.getsockname()[1], b"ask"))
    sea.relayed(server)
    sea.advance(IDLE * 2)
    assert tunnel.done == [None]
    assert tunnel.tally.reason == "idle"
    assert [why for _, why in tunnel.judge.over] == ["idle"]


def test_theClientIsLost(sea: Sea, tunnel: Tunnel) -> None:
    """At once, and the flows with it."""
    server = sea.socket()
    tunnel.send(frame(tunnel.framing, HOME, server.getsockname()[1], b"ask"))
    sea.relayed(server)
    tunnel.client.taken.connectionLost(Failure(ConnectionDone()))
    assert tunnel.done == [None]
    assert tunnel.tally.reason == "client-lost"
    assert len(tunnel.judge.over) == 1


@pytest.mark.parametrize("framing", ["hev", "gost"])
def test_manyDatagramsAtOnce(framing: str) -> None:
    """
    Each costs by its own octets, however many stand behind it in what came at
    once: the rest of the stream is not copied for each.
    """
    sent: deque[bytes] = deque(maxlen=2)
    flows: Any = SimpleNamespace(get=lambda _: SimpleNamespace(send=sent.append))
    client = Client(StringTransport())
    carrier = TunnelCarrier(client, FRAMINGS[framing], flows, pytest.fail)
    stream = frame(framing, HOME, 53, b"") * 5000 + frame(framing, HOME, 53, b"x")[:-1]
    assert allocated(lambda: carrier.dataReceived(stream)) < 1.6 * len(stream)
    carrier.dataReceived(b"y")
    assert list(sent) == [b"", b"y"]


# One flow in capsules.


class Single(Tunnel):
    """
    A flow in capsules to a server.
    """

    def __init__(self, sea: Sea, server: Any, early: bytes = b"") -> None:
        self.judge = Judge()
        self.tally = Tally()
        self.transport = StringTransport()
        self.client = Client(self.transport)
        associations = Associations(
            sea.watcher, sea.setDeadline, lambda: sea.now, IDLE, MOST
        )
        host, port = server.getsockname()[:2]
        address = Address.parse(host)
        outlet = DatagramOutlet(None, None)
        outlet.hold(address.version)
        self.done: list[Any] = []
        Deferred.fromCoroutine(
            associations.single(
                self.client,
                early,
                outlet,
                self.judge,
                Datagram(0, address, port, b"", b""),
                Permit(address, "any"),
                self.tally,
            )
        ).addBoth(self.done.append)


def test_single(sea: Sea) -> None:
    """There and back, without another judgement; its end is the association's."""
    server, stranger = sea.socket(), sea.socket("127.0.0.2")
    tunnel = Single(sea, server, capsules.encodeDatagram(b"early"))
    assert sea.relayed(server)[0] == b"early"
    tunnel.send(capsules.encodeDatagram(b"ask"))
    octets, outer = sea.relayed(server)
    assert octets == b"ask"
    stranger.sendto(b"strange", ("127.0.0.1", outer[1]))
    server.sendto(b"answer", ("127.0.0.1", outer[1]))
    sea.until(lambda: tunnel.transport.value())
    sea.settle()
    assert tunnel.transport.value() == capsules.encodeDatagram(b"answer")
    assert tunnel.judge.asked == []
    tunnel.judge.flows.recheck(lambda _: None)
    assert tunnel.done == [None]
    assert (tunnel.tally.reason, tunnel.tally.strangers) == ("revoked", 1)
    assert [why for _, why in tunnel.judge.over] == ["revoked"]
    assert tunnel.transport.producer is None


def test_singleAndAClientThatDoesNotRead(sea: Sea) -> None:
    """Datagrams for it are dropped."""
    server = sea.socket()
    tunnel = Single(sea, server, capsules.encodeDatagram(b"ask"))
    _, outer = sea.relayed(server)
    producer = tunnel.transport.producer
    assert producer is not None
    producer.pauseProducing()
    server.sendto(b"lost", outer)
    sea.settle()
    producer.resumeProducing()
    server.sendto(b"read", outer)
    sea.until(lambda: tunnel.transport.value())
    assert tunnel.transport.value() == capsules.encodeDatagram(b"read")
    sea.advance(IDLE * 2)
    assert (tunnel.done, tunnel.tally.reason) == ([None], "idle")


def test_singleWithoutRoom(sea: Sea, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel watches no more sockets: it fails, and what was permitted is given back."""
    server = sea.socket()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no room")

    with monkeypatch.context() as patched:
        patched.setattr(sea.watcher, "add", full)
        tunnel = Single(sea, server)
    (failure,) = tunnel.done
    assert failure.check(ConnectFailed)
    assert failure.value.reason == "resources"
    assert len(tunnel.judge.lost) == 1
    assert tunnel.judge.over == []


def test_manyCapsulesAtOnce() -> None:
    """Each costs by its own octets; so many that what measures costs little."""
    sent: deque[bytes] = deque(maxlen=2)
    flow: Any = SimpleNamespace(send=sent.append)
    flows: Any = SimpleNamespace()
    client = Client(StringTransport())
    carrier = CapsuleCarrier(client, flows, flow, pytest.fail)
    stream = capsules.encodeDatagram(b"") * 30_000 + capsules.encodeDatagram(b"x")[:-1]
    assert allocated(lambda: carrier.dataReceived(stream)) < 1.6 * len(stream)
    carrier.dataReceived(b"y")
    assert list(sent) == [b"", b"y"]
