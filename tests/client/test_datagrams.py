"""
Datagrams through a proxy that the test plays, on real sockets of loopback.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.internet.protocol import DatagramProtocol

from socksgw.client import Association, associate
from socksgw.client.errors import CommandNotSupported, ProtocolBroken
from socksgw.client.logins.login import Login
from tests.fakes.carriers import Flipping
from tests.fakes.endpoints import Carrier, ProxyEndpoint
from tests.fakes.loops import ReactorLoop

#: A datagram to 192.0.2.7:53 (RFC 1928 section 7).
HEADER = bytes.fromhex("0000 00 01 c0000207 0035")


class Heard(DatagramProtocol):
    """Writes down what it hears."""

    def __init__(self) -> None:
        self.came: list[tuple[bytes, Any]] = []
        self.states: list[str] = []

    def startProtocol(self) -> None:
        self.states.append("started")

    def stopProtocol(self) -> None:
        self.states.append("stopped")

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        self.came.append((datagram, addr))


class Protecting(Login):
    """A login that puts something around the octets."""

    methods = b"\x00"
    called = "a login that protects"

    async def socks5(self, method: int, exchange: Any) -> Any:
        return Flipping()


class World(ReactorLoop):
    """
    A program with an association.

    @ivar relay: the proxy's socket for datagrams.
    """

    def __init__(self) -> None:
        super().__init__()
        self.relay = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.relay.bind(("127.0.0.1", 0))
        self.relay.setblocking(False)
        self.port = self.relay.getsockname()[1]
        self.protocol = Heard()
        self.results: list[Any] = []
        self.carrier: Any = None

    def ask(
        self, bound: bytes = b"\x7f\0\0\1", peer: Any = None, **options: Any
    ) -> Any:
        proxy = ProxyEndpoint()
        associate(self.reactor, proxy, self.protocol, **options).addBoth(
            self.results.append
        )
        self.carrier = proxy.open()
        self.carrier.peerAddr = peer or IPv4Address("TCP", "127.0.0.1", 1080)
        self.carrier.hostAddr = IPv4Address("TCP", "127.0.0.1", 50_000)
        self.carrier.tell(b"\x05\x00")
        wrap = Flipping().wrap if "login" in options else bytes
        assert self.carrier.taken().endswith(
            wrap(bytes.fromhex("05030001000000000000"))
        )
        self.carrier.tell(
            wrap(b"\x05\x00\x00\x01" + bound + self.port.to_bytes(2, "big"))
        )
        [found] = self.results
        return found

    def received(self) -> tuple[bytes, Any]:
        found: list[Any] = []

        def came() -> bool:
            try:
                found.append(self.relay.recvfrom(65536))
            except BlockingIOError:
                return False
            return True

        self.until(came)
        return found[0]  # type: ignore[no-any-return]


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    if made.carrier is not None:
        made.carrier.loseConnection()
    made.settle()
    made.relay.close()
    made.closeLoop()


def test_bothWays(world: World) -> None:
    """Headers are put on and taken off; names go to the proxy."""
    association = world.ask()
    assert isinstance(association, Association)
    assert world.protocol.transport is association
    assert world.protocol.states == ["started"]
    association.write(b"query", ("192.0.2.7", 53))
    octets, sender = world.received()
    assert octets == HEADER + b"query"
    assert sender == ("127.0.0.1", association.getHost().port)
    association.connect("ns.example", 53)
    association.write(b"query")
    assert world.received()[0] == b"\0\0\0\x03\x0ans.example\0\x35query"
    world.relay.sendto(HEADER + b"answer", sender)
    world.until(lambda: world.protocol.came)
    assert world.protocol.came == [(b"answer", ("192.0.2.7", 53))]


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        HEADER[:9],
        # RSV is not zero; a fragment; an unknown ATYP; no host.
        b"\1\0\0" + HEADER[3:] + b"x",
        b"\0\0\1" + HEADER[3:] + b"x",
        b"\0\0\0\2" + bytes(6) + b"x",
        b"\0\0\0\3\1!\0\x35x",
    ],
)
def test_notADatagram(world: World, octets: bytes) -> None:
    """What is none is dropped, and others are heard behind it."""
    association = world.ask()
    there = ("127.0.0.1", association.getHost().port)
    world.relay.sendto(octets, there)
    world.relay.sendto(HEADER + b"answer", there)
    world.until(lambda: world.protocol.came)
    assert world.protocol.came == [(b"answer", ("192.0.2.7", 53))]


#: The ID of an association, and a message with it (section 7.3 of
#: draft-olteanu-intarea-socks-6-11).
ID = bytes.fromhex("0011223344556677")
MESSAGE = bytes.fromhex("06 03 0019 0011223344556677 01 00 0035 c0000207")


def inside(world: World, behind: bytes = b"") -> Any:
    """An association by SOCKS 6; what the proxy sends right behind its ID."""
    proxy = ProxyEndpoint()
    asking = associate(world.reactor, proxy, world.protocol, version=6)
    asking.addBoth(world.results.append)
    world.carrier = proxy.open()
    assert world.carrier.taken() == bytes.fromhex("06 03 0000 0000 00 01 00000000")
    world.carrier.tell(bytes.fromhex("06 00 0000 06 00 0000 0000 00 01 00000000"))
    assert world.results == []
    world.carrier.tell(bytes.fromhex("06 01 000c") + ID + behind)
    [found] = world.results
    return found


@pytest.mark.parametrize("size", [1, 9, 1000])
def test_inside(world: World, size: int) -> None:
    """By SOCKS 6 they go inside the connection; what is no datagram is dropped."""
    first = MESSAGE + b"early"
    association = inside(world, first[:10])
    assert isinstance(association, Association)
    assert association.getHost() == world.carrier.getHost()
    assert world.protocol.states == ["started"]
    association.write(b"query", ("192.0.2.7", 53))
    assert world.carrier.taken() == MESSAGE + b"query"
    association.connect("ns.example", 53)
    association.write(b"query")
    name = bytes.fromhex("03 00 0035 0a") + b"ns.example"
    assert world.carrier.taken() == bytes.fromhex("06 03 0020") + ID + name + b"query"
    confirmed, error = bytes.fromhex("06 02 000c"), bytes.fromhex("06 04 001c")
    other = MESSAGE[:4] + bytes(8) + MESSAGE[12:] + b"other"
    error += ID + bytes.fromhex("01 00 0035 c0000207 01 02 0000 c0000207")
    stream = first[10:] + confirmed + ID + error + other + MESSAGE + b"again"
    for start in range(0, len(stream), size):
        world.carrier.tell(stream[start : start + size])
    there = ("192.0.2.7", 53)
    assert world.protocol.came == [(b"early", there), (b"again", there)]


def test_insideAProxyThatDoesNotRead(world: World) -> None:
    """Datagrams are dropped then, as a full socket would."""
    association = inside(world)
    association.pauseProducing()
    association.write(b"lost", ("192.0.2.7", 53))
    association.resumeProducing()
    association.write(b"query", ("192.0.2.7", 53))
    assert world.carrier.taken() == MESSAGE + b"query"
    with pytest.raises(ValueError, match="octets"):
        association.write(bytes(65536), ("192.0.2.7", 53))
    # TLS ends no connection that has a producer.
    ended = association.stopListening()
    assert world.carrier.producer is None
    assert ended is association.ended


@pytest.mark.parametrize("broken", [b"\5" + bytes(20), b"\6\3\0\0" + bytes(20)])
def test_insideABrokenStream(world: World, broken: bytes) -> None:
    """It cannot be followed: the association ends."""
    association = inside(world)
    ended: list[Any] = []
    association.ended.addCallback(ended.append)
    world.carrier.tell(broken)
    assert world.carrier.state == "aborted"
    world.carrier = None
    assert len(ended) == 1
    assert world.protocol.states == ["started", "stopped"]
    association.write(b"x", ("192.0.2.7", 53))


def test_strangers(world: World) -> None:
    """Nothing is heard but of the proxy's own socket."""
    association = world.ask()
    there = ("127.0.0.1", association.getHost().port)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.sendto(HEADER + b"forged", there)
    world.relay.sendto(HEADER + b"answer", there)
    world.until(lambda: world.protocol.came)
    assert [octets for octets, _ in world.protocol.came] == [b"answer"]


def test_unspecified(world: World) -> None:
    """0.0.0.0 stands for the proxy's own address."""
    association = world.ask(bytes(4))
    association.write(b"query", ("192.0.2.7", 53))
    assert world.received()[0] == HEADER + b"query"


def test_endsWithTheConnection(world: World) -> None:
    """The connection to the proxy is its life (RFC 1928 section 7)."""
    association = world.ask()
    ended: list[Any] = []
    association.ended.addCallback(ended.append)
    world.carrier.end()
    assert world.protocol.states == ["started", "stopped"]
    assert len(ended) == 1
    association.write(b"late", ("192.0.2.7", 53))
    assert world.carrier.state == "closed"


def test_stopped(world: World) -> None:
    """The program may end it; then the connection is closed."""
    association = world.ask()
    ended: list[Any] = []
    association.stopListening().addCallback(ended.append)
    assert (len(ended), world.carrier.state) == (1, "closed")
    association.stopListening()


def test_protected(world: World) -> None:
    """A login's protection is around datagrams, too (RFC 1961 section 5)."""
    flip = Flipping().wrap
    association = world.ask(login=Protecting())
    association.write(b"query", ("192.0.2.7", 53))
    octets, sender = world.received()
    assert octets == flip(HEADER + b"query")
    world.relay.sendto(flip(HEADER + b"answer"), sender)
    world.until(lambda: world.protocol.came)
    assert world.protocol.came == [(b"answer", ("192.0.2.7", 53))]


def test_refused(world: World) -> None:
    """A proxy without UDP says so."""
    proxy = ProxyEndpoint()
    associate(world.reactor, proxy, world.protocol).addBoth(world.results.append)
    carrier: Carrier = proxy.open()
    carrier.tell(b"\x05\x00")
    carrier.tell(b"\x05\x07")
    assert world.results[0].check(CommandNotSupported)
    assert world.protocol.states == []


def test_nowhere(world: World) -> None:
    """A proxy on a Unix socket that tells 0.0.0.0 has told nothing."""
    failure = world.ask(bytes(4), UNIXAddress("x"))
    assert failure.check(ProtocolBroken)
    assert world.carrier.state == "aborted"


@pytest.mark.parametrize("addr", [None, ("a b", 53)])
def test_noAddress(world: World, addr: Any) -> None:
    """A datagram has to go somewhere."""
    with pytest.raises(ValueError, match=r"address|host"):
        world.ask().write(b"x", addr)
