"""
The ways by which sessions leave, with real sockets on loopback.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from socksgw.config.schema import ListenUDP
from socksgw.errors import ConnectFailed, LeadsHere, LimitReached
from socksgw.route.dialer import Dialer
from socksgw.route.leaving import Departure
from socksgw.route.outward import Outward
from socksgw.route.udpoptions import UDPOptions
from socksgw.route.ways import Direct, Ways
from socksgw.system.connection import SocketName
from socksgw.system.domains import HERE
from socksgw.system.outgoing import Marked, Near, Outgoing
from socksgw.wire.address import Address
from tests.fakes.loops import WatchedLoop
from tests.tools.sockets import descriptors

LOOP, OTHER, SIX = (Address.parse(t) for t in ("127.0.0.1", "127.0.0.5", "::1"))
FAR = Address.parse("192.0.2.9")
ANY = Address.parse("0.0.0.0")
ALICE = (b"source", "alice")
#: A session of which nothing is asked.
ANYBODY: Any = None
PLAIN = UDPOptions(ListenUDP())
#: Direct ways ask nothing of it.
SESSION: Any = None


class World(WatchedLoop):
    """The ways of a host that has loopback alone."""

    def __init__(self, departure: Departure | None = None) -> None:
        super().__init__()
        self.before = descriptors()
        sockets = HERE if departure is None else departure.sockets
        self.ways: Ways = Direct(
            Dialer(Clock(), self.watcher, self.setDeadline, 10.0, sockets),
            Outward(),
            self.watcher,
            self.setDeadline,
            30.0,
            departure=departure,
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
        return self.result(self.ways.listen(ALICE, peer, anybody, near, made, SESSION))


def anywhere(_: Address) -> None:
    """Admit every address."""


def leaving(*banned: Address) -> Departure:
    """Leave by 127.0.0.5, and not by IPv6."""
    near, bare = Near(OTHER, None), Marked(HERE)
    return Departure(near, bare, Outgoing(bare, near), lambda each, _: each in banned)


@pytest.fixture
def chosen() -> Iterator[World]:
    """Ways by an address that was chosen."""
    made = World(leaving(LOOP))
    yield made
    assert descriptors() <= made.before
    made.closeLoop()


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    assert descriptors() <= made.before
    made.closeLoop()


def test_connect(world: World) -> None:
    """To a judged address, once it has been admitted."""
    admitted: list[Address] = []

    def admit(address: Address) -> None:
        admitted.append(address)

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        outlet = world.result(world.ways.connect((LOOP,), port, admit, ANYBODY))
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
    outlet = world.result(
        world.ways.datagrams(SocketName(LOOP, 1080), options, None, SESSION)
    )
    assert outlet.inner.type == socket.SOCK_DGRAM
    assert outlet.inner.getsockname() == ("127.0.0.1", outlet.bound[1])
    assert outlet.bound[0].text == "192.0.2.77"
    with outlet.outer(4) as outer:
        assert outer.family == socket.AF_INET
    assert outlet.choose((LOOP, FAR), 9) == LOOP
    outlet.inner.close()


def test_datagramsPastABalancer(world: World) -> None:
    """They come by the way to the client, of whatever family that is."""
    near = SocketName(LOOP, 1080)
    outlet = world.result(
        world.ways.datagrams(near, PLAIN, Address.parse("::1"), SESSION)
    )
    assert outlet.inner.family == socket.AF_INET6
    assert outlet.bound[0].text == "::1"
    outlet.inner.close()
    with pytest.raises(ConnectFailed):
        # A link-local address is nowhere without its interface.
        world.result(
            world.ways.datagrams(near, PLAIN, Address.parse("fe80::7"), SESSION)
        )


def test_datagramsInsideTheConnection(world: World) -> None:
    """Then there is no socket for the client."""
    outlet = world.result(world.ways.datagrams(None, PLAIN, None, SESSION))
    assert (outlet.inner, outlet.bound) == (None, None)


def test_noPortIsFree(world: World) -> None:
    """It is told as what it is, for peers and for datagrams."""
    near = SocketName(Address.parse("198.51.100.1"), 1080)
    with pytest.raises(LimitReached):
        world.result(world.ways.datagrams(near, PLAIN, None, SESSION))


def test_connectByAChosenAddress(chosen: World) -> None:
    """The destination sees it; what cannot leave by it is not dialled."""
    with socket.create_server(("0.0.0.0", 0)) as server:
        port = server.getsockname()[1]
        away = Address.parse("127.0.0.77")
        outlet = chosen.result(
            chosen.ways.connect((SIX, away), port, anywhere, ANYBODY)
        )
        with server.accept()[0] as accepted:
            assert accepted.getpeername()[0] == OTHER.text
            assert outlet.bound == (OTHER, accepted.getpeername()[1])
            assert outlet.address == away
        outlet.loseConnection()
        for addresses, failure in (((SIX,), ConnectFailed), ((LOOP, SIX), LeadsHere)):
            with pytest.raises(failure):
                chosen.result(chosen.ways.connect(addresses, port, anywhere, ANYBODY))


def test_peersComeToTheChosenAddress(chosen: World) -> None:
    """Whether the peer is known or not; of the other version nobody can come."""
    for peer in (FAR, ANY):
        listening = chosen.listen(peer, LOOP, ports="20000-60000")
        assert (listening.own, listening.told[0]) == (OTHER, OTHER)
        listening.close()
    with pytest.raises(ConnectFailed, match="no IPv6 address"):
        chosen.listen(SIX)


def test_datagramsByAChosenAddress(chosen: World) -> None:
    """The client's own socket is where the client came to, all the same."""
    near = SocketName(LOOP, 1080)
    outlet = chosen.result(chosen.ways.datagrams(near, PLAIN, None, SESSION))
    assert outlet.bound[0] == LOOP
    with outlet.outer(4) as outer:
        assert outer.getsockname()[0] == OTHER.text
        assert outer.getsockname()[1]
    away = Address.parse("127.0.0.77")
    assert outlet.choose((SIX, LOOP, away), 9) == away
    with pytest.raises(ConnectFailed, match="no IPv6 address"):
        outlet.choose((SIX,), 9)
    with pytest.raises(ConnectFailed, match="no IPv6 address"):
        outlet.outer(6)
    with pytest.raises(LeadsHere):
        outlet.choose((LOOP,), 9)
    # An upstream may reach what this host may not, until it is the last resort.
    outlet.upstream = object()
    assert outlet.choose((LOOP,), 9) == LOOP
    with pytest.raises(LeadsHere):
        outlet.choose((LOOP,), 9, direct=True)
    outlet.hold(4)
    outlet.outer(4).close()
    outlet.inner.close()


def test_eachVersionByItsOwnAddress() -> None:
    """In a race of both, whichever wins leaves by the address of its version."""
    near, bare = Near(OTHER, SIX), Marked(HERE)
    world = World(Departure(near, bare, Outgoing(bare, near), lambda *_: False))
    four = Address.parse("127.0.0.77")
    for host, family in ((four, socket.AF_INET), (SIX, socket.AF_INET6)):
        with socket.create_server((host.text, 0), family=family) as server:
            port = server.getsockname()[1]
            outlet = world.result(
                world.ways.connect((SIX, four), port, anywhere, SESSION)
            )
            assert (outlet.address, outlet.bound[0]) == (host, near.of(host.version))
            outlet.loseConnection()
    assert descriptors() <= world.before
    world.closeLoop()
