"""
Connections from outside, to a port of a proxy that the test plays.
"""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import CancelledError
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from socksgw.client import bind
from socksgw.client.binding import Listening
from socksgw.client.errors import GeneralFailure, NotAllowed, ProxyClosed, ProxyTimedOut
from tests.fakes.endpoints import Carrier, ProxyEndpoint

LISTENS = bytes.fromhex("05 00 00 01 c0000207 1f90")
CAME = bytes.fromhex("05 00 00 01 c6336401 0014")


class Heard(Protocol):
    """Writes down what it hears."""

    octets = b""

    def dataReceived(self, data: bytes) -> None:
        self.octets += data


class World:
    """A program that has asked for a port."""

    def __init__(self, **options: Any) -> None:
        self.clock = Clock()
        proxy = ProxyEndpoint()
        factory: Any = Factory.forProtocol(Heard)
        factory.noisy = False
        self.results: list[Any] = []
        self.binding = bind(self.clock, proxy, factory, "198.51.100.1", 21, **options)
        self.binding.addBoth(self.results.append)
        self.carrier: Carrier = proxy.open()
        six = options.get("version") == 6
        self.carrier.tell(b"\x06\x00\x00\x00" if six else b"\x05\x00")

    def listening(self, reply: bytes = LISTENS) -> Listening:
        self.carrier.tell(reply)
        [found] = self.results
        assert isinstance(found, Listening)
        return found


def test_bound() -> None:
    """The address to tell comes first, the peer's connection later."""
    world = World()
    assert world.carrier.taken().endswith(bytes.fromhex("05 02 00 01 c6336401 0015"))
    listening = world.listening()
    assert listening.address == ("192.0.2.7", 8080)
    # It may take any time: the program sees to that.
    world.clock.advance(3600)
    came: list[Any] = []
    listening.peer.addCallback(came.append)
    assert came == []
    world.carrier.tell(CAME + b"150 here")
    assert listening.peerAddress == ("198.51.100.1", 20)
    [protocol] = came
    assert (protocol.transport, protocol.octets) == (world.carrier, b"150 here")


def test_bySocks6() -> None:
    """The same, as section 7 of draft-olteanu-intarea-socks-6-11 has it."""
    world = World(version=6)
    assert world.carrier.taken() == bytes.fromhex("06 02 0000 0015 00 01 c6336401")
    reply = bytes.fromhex("06 00 0000 1f90 00 01 c0000207")
    listening = world.listening(reply)
    assert listening.address == ("192.0.2.7", 8080)
    came: list[Any] = []
    listening.peer.addCallback(came.append)
    world.carrier.tell(bytes.fromhex("06 00 0000 0014 00 01 c6336401") + b"150 here")
    assert listening.peerAddress == ("198.51.100.1", 20)
    assert came[0].octets == b"150 here"


def test_bothRepliesAtOnce() -> None:
    """The peer may have connected when the first reply is read."""
    world = World()
    listening = world.listening(LISTENS + CAME + b"x")
    came: list[Any] = []
    listening.peer.addCallback(came.append)
    assert came[0].octets == b"x"


def test_unspecified() -> None:
    """0.0.0.0 stands for the proxy's own address."""
    world = World()
    listening = world.listening(bytes.fromhex("05 00 00 01 00000000 1f90"))
    assert listening.address == (world.carrier.getPeer().host, 8080)


def test_refused() -> None:
    """The first reply may be a refusal."""
    world = World()
    world.carrier.tell(b"\x05\x02")
    assert world.results[0].check(NotAllowed)
    assert world.carrier.state == "aborted"


def test_late() -> None:
    """The first reply has its time."""
    world = World(timeout=5)
    world.clock.advance(6)
    assert world.results[0].check(ProxyTimedOut)


@pytest.mark.parametrize(
    ("act", "kind"),
    [
        (lambda world: world.carrier.tell(b"\x05\x01"), GeneralFailure),
        (lambda world: world.carrier.loseConnection(), ProxyClosed),
        (lambda world: world.results[0].peer.cancel(), CancelledError),
    ],
    ids=["refusal", "end", "cancelled"],
)
def test_nobodyCame(act: Any, kind: type[Exception]) -> None:
    """The port is closed when nobody comes."""
    world = World()
    failures: list[Failure] = []
    world.listening().peer.addErrback(failures.append)
    act(world)
    assert failures[0].check(kind)
    assert world.carrier.state != "open"
