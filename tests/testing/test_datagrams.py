"""
An association in memory: the fake of UDP, and that it behaves as UDP does.
"""

from __future__ import annotations

import pytest

from socksgw.relay.datagram import DatagramCarrier
from socksgw.relay.flow import Flow, Permit
from socksgw.relay.flows import Flows, FlowSettings
from socksgw.testing.datagrams import DatagramNetwork
from socksgw.wire.address import Address
from socksgw.wire.datagram import Datagram, encodeDatagram, readDatagram
from tests.fakes.loops import Timers

CLIENT = Address.parse("198.51.100.7")
SERVER = Address.parse("203.0.113.5")
OTHER = Address.parse("2001:db8:5::5")


class Judge:
    """Permits everything but port 13."""

    def __init__(self, replies: str = "exact") -> None:
        self.replies = replies
        self.asked: list[tuple[str, int]] = []
        self.over: list[tuple[int, int, str]] = []

    async def judge(self, datagram: Datagram) -> Permit | None:
        host = datagram.host
        assert isinstance(host, Address)
        self.asked.append((host.text, datagram.port))
        return None if datagram.port == 13 else Permit(host, self.replies)

    def attach(self, flows: Flows) -> None:
        pass

    def ended(self, flow: Flow, reason: str) -> None:
        self.over.append((flow.sent, flow.received, reason))

    def failed(self, permit: Permit, port: int, error: Exception) -> None:
        raise AssertionError("what is permitted begins")

    def tooMany(self, limit: int) -> None:
        raise AssertionError("not that many")


class Association:
    """One association, all of it in memory."""

    def __init__(self, judge: Judge) -> None:
        self.network = network = DatagramNetwork()
        timers = Timers()
        self.clock = timers.clock
        self.idled = 0
        self.ended: list[str] = []

        settings = FlowSettings(network, timers.setDeadline, 60, 8)
        self.flows = Flows(
            settings, judge, self.clock.seconds, self.idle, network.socket
        )
        self.relay = network.socket(4, "192.0.2.9")
        self.carrier = DatagramCarrier(
            self.relay,
            CLIENT,
            self.flows,
            network,
            timers.setDeadline,
            True,
            self.ended.append,
        )
        self.client = network.socket(4, CLIENT.text, 5000)

    def idle(self) -> None:
        self.idled += 1

    def send(self, host: Address, port: int, payload: bytes, fragment: int = 0) -> None:
        datagram = encodeDatagram(host, port, payload, fragment)
        self.client.sendto(datagram, self.relay.getsockname())
        self.network.deliver()

    def received(self) -> list[Datagram]:
        found = []
        while self.client.queue:
            octets, sender = self.client.recvfrom(65535)
            assert sender == self.relay.getsockname()
            found.append(readDatagram(octets))
        return found

    def close(self) -> None:
        self.carrier.close()
        self.flows.close("closed")
        assert not self.network.watched
        assert not self.clock.getDelayedCalls()


def test_echo() -> None:
    """Out with the payload alone, back with the true source before it."""
    judge = Judge()
    association = Association(judge)
    server = association.network.socket(4, SERVER.text, 53)
    for payload in (b"one", b"two"):
        association.send(SERVER, 53, payload)
        octets, sender = server.recvfrom(100)
        assert octets == payload
        server.sendto(b"re: " + octets, sender)
        association.network.deliver()
        (reply,) = association.received()
        assert (reply.host, reply.port, reply.payload) == (
            SERVER,
            53,
            b"re: " + payload,
        )
    assert judge.asked == [(SERVER.text, 53)]
    association.close()
    assert judge.over == [(6, 14, "closed")]


def test_bothFamilies() -> None:
    """A client of IPv4 reaches IPv6, in the same association."""
    association = Association(Judge())
    for host in (SERVER, OTHER):
        server = association.network.socket(host.version, host.text, 53)
        association.send(host, 53, b"hello")
        server.sendto(b"hi", server.recvfrom(100)[1])
        association.network.deliver()
        assert [r.host for r in association.received()] == [host]
    association.close()


def test_denied() -> None:
    """What is denied is judged once, and never leaves."""
    judge = Judge()
    association = Association(judge)
    for _ in range(5):
        association.send(SERVER, 13, b"what time is it?")
    assert judge.asked == [(SERVER.text, 13)]
    assert not [c for c in association.network.carried if c[2] == (SERVER.text, 13)]
    association.close()
    assert judge.over == []


@pytest.mark.parametrize(
    ("replies", "heard"), [("exact", 1), ("address", 2), ("any", 3)]
)
def test_replies(replies: str, heard: int) -> None:
    """Whose answers come back is the rule's word."""
    association = Association(Judge(replies))
    servers = [
        association.network.socket(4, SERVER.text, 69),
        association.network.socket(4, SERVER.text, 7069),
        association.network.socket(4, "203.0.113.6", 69),
    ]
    association.send(SERVER, 69, b"read")
    _, place = servers[0].recvfrom(100)
    for server in servers:
        server.sendto(b"answer", place)
    association.network.deliver()
    sources = [(str(r.host), r.port) for r in association.received()]
    assert sources == [s.getsockname() for s in servers[:heard]]
    assert association.flows.strangers == 3 - heard
    association.close()


def test_fragments() -> None:
    """Fragments go out as one datagram, or not at all (section 7)."""
    association = Association(Judge())
    server = association.network.socket(4, SERVER.text, 53)
    association.send(SERVER, 53, b"hel", 1)
    association.send(SERVER, 53, b"lo", 0x82)
    assert server.recvfrom(100)[0] == b"hello"
    association.send(SERVER, 53, b"hel", 1)
    association.clock.advance(5)
    association.send(SERVER, 53, b"p", 2)
    association.clock.advance(5)
    association.send(SERVER, 53, b"me", 0x83)
    assert not server.queue
    association.close()


def test_idle() -> None:
    """A flow ends when nothing moves, and the association with its last."""
    judge = Judge()
    association = Association(judge)
    association.network.socket(4, SERVER.text, 53)
    association.send(SERVER, 53, b"x")
    association.clock.pump([15] * 5)
    assert judge.over == [(1, 0, "idle")]
    assert association.idled == 1
    association.close()


def test_network() -> None:
    """The fake itself: places, and what is too long."""
    network = DatagramNetwork()
    one = network.socket(4)
    with pytest.raises(OSError, match="in use"):
        network.socket(4, *one.getsockname())
    with pytest.raises(OSError, match="long"):
        one.sendto(bytes(65508), one.getsockname())
    with pytest.raises(BlockingIOError):
        one.recvfrom(1)
    one.close()
    assert network.open == 0
