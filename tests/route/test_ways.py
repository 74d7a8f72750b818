"""
The ways by which sessions leave, with real sockets on loopback.
"""

from __future__ import annotations

import gc
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from socksgw.config.schema import ListenUDP
from socksgw.errors import ConnectFailed, LimitReached
from socksgw.route.dialer import Dialer
from socksgw.route.outward import Outward
from socksgw.route.udpoptions import UDPOptions
from socksgw.route.ways import Direct, Ways
from socksgw.system.connection import SocketName
from socksgw.wire.address import Address
from tests.fakes.loops import WatchedLoop
from tests.tools.sockets import descriptors

LOOP, OTHER, SIX = (Address.parse(t) for t in ("127.0.0.1", "127.0.0.5", "::1"))
FAR = Address.parse("192.0.2.9")
ANY = Address.parse("0.0.0.0")
ALICE = (b"source", "alice")
PLAIN = UDPOptions(ListenUDP())


class World(WatchedLoop):
    """The ways of a host that has loopback alone."""

    def __init__(self) -> None:
        super().__init__()
        # Of tests before this one.
        gc.collect()
        self.before = descriptors()
        self.ways: Ways = Direct(
            Dialer(Clock(), self.watcher, self.setDeadline, 10.0),
            Outward(),
            self.watcher,
            self.setDeadline,
            30.0,
        )

    def result(self, awaited: Any) -> Any:
        """What has come of it; what it raises is raised."""
        found: list[Any] = []

        async def wait() -> Any:
            return await awaited

        Deferred.fromCoroutine(wait()).addBoth(found.append)
        self.until(lambda: found)
        if hasattr(found[0], "raiseException"):
            found[0].raiseException()
        return found[0]

    def listen(self, peer: Address, own: Address = LOOP, **options: Any) -> Any:
        made = UDPOptions(ListenUDP(**options))
        anybody, near = peer.isUnspecified, SocketName(own, 1080)
        return self.result(self.ways.listen(ALICE, peer, anybody, near, made))


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    assert descriptors() == made.before
    made.closeLoop()


def test_connect(world: World) -> None:
    """To a judged address, once it has been admitted."""
    admitted: list[Address] = []

    def admit(address: Address) -> None:
        admitted.append(address)

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        outlet = world.result(world.ways.connect((LOOP,), port, admit))
        with server.accept()[0] as accepted:
            assert (outlet.address, outlet.port) == (LOOP, port)
            assert outlet.bound == (LOOP, accepted.getpeername()[1])
            outlet.write(b"x")
            assert accepted.recv(1) == b"x"
        outlet.loseConnection()
    assert admitted == [LOOP]


@pytest.mark.parametrize(
    ("peer", "own", "inward"),
    [
        # Where this host would reach the peer from.
        (OTHER, FAR, LOOP),
        (SIX, LOOP, SIX),
    ],
)
def test_whereThePeerComes(
    world: World, peer: Address, own: Address, inward: Address
) -> None:
    """On the side that the peer is on, whatever the client came to."""
    listening = world.listen(peer, own)
    assert (listening.own, listening.told[0]) == (inward, inward)
    assert listening.strangers == 0
    listening.close()


def test_whereAnybodyComes(world: World) -> None:
    """Towards the client's last destination (RFC 1928 section 4)."""
    world.ways.reached(ALICE, OTHER)
    listening = world.listen(ANY, FAR)
    assert listening.own == LOOP
    listening.close()


def test_aPeerThatComes(world: World) -> None:
    """Its connection is an outlet as any other."""
    listening = world.listen(OTHER, advertise="192.0.2.77", ports="20000-60000")
    host, port = listening.told
    assert host.text == "192.0.2.77"
    waiting = listening.accept(lambda address, _: address == LOOP)
    with socket.create_connection((listening.own.text, port)) as peer:
        outlet = world.result(waiting)
        assert (outlet.address, outlet.port) == (LOOP, peer.getsockname()[1])
        outlet.loseConnection()


def test_datagramsBesideTheConnection(world: World) -> None:
    """A socket for the client, told as advertised, and others for destinations."""
    options = UDPOptions(ListenUDP(advertise="192.0.2.77", ports="20000-60000"))
    outlet = world.result(world.ways.datagrams(SocketName(LOOP, 1080), options))
    assert outlet.inner.type == socket.SOCK_DGRAM
    assert outlet.inner.getsockname() == ("127.0.0.1", outlet.bound[1])
    assert outlet.bound[0].text == "192.0.2.77"
    with outlet.outer(4) as outer:
        assert outer.family == socket.AF_INET
    assert outlet.choose((LOOP, FAR)) == LOOP
    outlet.inner.close()


def test_datagramsPastABalancer(world: World) -> None:
    """They come by the way to the client, of whatever family that is."""
    near = SocketName(LOOP, 1080)
    outlet = world.result(world.ways.datagrams(near, PLAIN, Address.parse("::1")))
    assert outlet.inner.family == socket.AF_INET6
    assert outlet.bound[0].text == "::1"
    outlet.inner.close()
    with pytest.raises(ConnectFailed):
        # A link-local address is nowhere without its interface.
        world.result(world.ways.datagrams(near, PLAIN, Address.parse("fe80::7")))


def test_datagramsInsideTheConnection(world: World) -> None:
    """Then there is no socket for the client."""
    outlet = world.result(world.ways.datagrams(None, PLAIN))
    assert (outlet.inner, outlet.bound) == (None, None)


def test_noPortIsFree(world: World) -> None:
    """It is told as what it is, for peers and for datagrams."""
    near = SocketName(Address.parse("198.51.100.1"), 1080)
    with pytest.raises(LimitReached):
        world.result(world.ways.datagrams(near, PLAIN))
