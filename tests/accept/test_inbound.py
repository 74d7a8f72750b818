"""
A client, on a transport in memory.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

import pytest
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import CancelledError, Deferred

from socksgw.errors import ClientLost, LimitReached
from socksgw.wire.events import MethodsOffered, Requested
from tests.accept.listeners import CONNECT4, World


@pytest.fixture
def world() -> World:
    return World()


def run(coroutine: Coroutine[Any, Any, Any]) -> list[Any]:
    found: list[Any] = []
    Deferred.fromCoroutine(coroutine).addBoth(found.append)
    return found


@pytest.mark.parametrize(
    ("address", "source", "port"),
    [
        (IPv4Address("TCP", "192.0.2.9", 4000), "192.0.2.9", 4000),
        (IPv6Address("TCP", "2001:db8::9", 4000), "2001:db8::9", 4000),
        (IPv6Address("TCP", "::ffff:192.0.2.9", 4000), "192.0.2.9", 4000),
        (IPv6Address("TCP", "fe80::1%eth0", 4000), "fe80::1", 4000),
        (UNIXAddress(None), "127.0.0.1", 0),
    ],
)
def test_whereAClientComesFrom(
    world: World, address: Any, source: str, port: int
) -> None:
    """Its address and port; who comes by a local path is on this machine."""
    client, _ = world.connect(address)
    assert (client.source.text, client.port) == (source, port)
    world.lose(client)
    world.atBase()


@pytest.mark.parametrize("pieces", [1, 2, 9])
def test_theSessionBeginsWithTheFirstOctetsAndOnce(world: World, pieces: int) -> None:
    """However they are split, one session with one event."""
    client, _ = world.connect()
    assert world.served == []
    size = len(CONNECT4) // pieces + 1
    for start in range(0, len(CONNECT4), size):
        client.dataReceived(CONNECT4[start : start + size])
    assert world.served == [client]
    (event,) = world.events
    assert isinstance(event, Requested)
    world.lose(client)
    world.atBase()


def test_pipelinedOctetsWaitInOrder(world: World) -> None:
    """What comes behind the request is the surplus, first and once."""
    client, _ = world.connect()
    client.dataReceived(CONNECT4 + b"one ")
    client.dataReceived(b"two")
    assert client.conversation.surplus() == b"one two"
    assert client.conversation.surplus() == b""


def test_tooMuchBehindTheRequestPausesTheClient(world: World) -> None:
    """Bounded: the kernel's flow control does the rest."""
    client, transport = world.connect()
    client.dataReceived(CONNECT4)
    held = 0
    while transport.producerState == "producing":
        client.dataReceived(b"x" * 4096)
        held += 4096
        assert held <= 1 << 18
    assert client.conversation.held <= held


def test_littleIsReadBeforeTheRequest(world: World) -> None:
    """
    While a login is checked 2 KiB are read ahead, and what came with them; the
    rest when it is wanted: for the next message, or behind the request.
    """
    client, transport = world.connect()
    client.dataReceived(b"\x05\x01\x00")
    for _ in range(3):
        client.dataReceived(bytes(1000))
    assert transport.producerState == "paused"
    client.conversation.surplus()
    client.conversation.chooseMethod(0)
    client.conversation.authenticated()
    waiting = run(client.next())
    assert transport.producerState == "producing"
    client.dataReceived(b"\x05\x01\x00\x01\xc0\x00\x02\x01\x00\x50" + bytes(1000))
    assert isinstance(waiting[0], Requested)
    client.dataReceived(bytes(2000))
    assert transport.producerState == "paused"
    client.requested()
    assert transport.producerState == "producing"
    client.dataReceived(bytes(65536))
    assert transport.producerState == "paused"


def test_whatWaitsCountsInTheMemory(world: World) -> None:
    """
    Behind a request as before one: until somebody takes it, or the client is
    gone.
    """
    client, _ = world.connect()
    client.dataReceived(CONNECT4 + bytes(1000))
    assert world.memory.held == 1000
    client.requested()
    client.dataReceived(bytes(50_000))
    assert world.memory.held == 51_000
    assert len(client.surplus()) == 51_000
    assert world.memory.held == 0
    client.dataReceived(bytes(500))
    assert world.memory.held == 500
    world.lose(client)
    assert world.memory.held == client.conversation.held == 0


def test_littleWaitsWhileMuchIsHeld(world: World) -> None:
    """Half of the memory is the relays' own: a crowd cannot fill it all."""
    world.memory.take(200_000_000)
    client, transport = world.connect()
    client.dataReceived(CONNECT4)
    client.requested()
    client.dataReceived(bytes(2048))
    assert transport.producerState == "producing"
    client.dataReceived(bytes(1))
    assert transport.producerState == "paused"
    world.lose(client)


@pytest.mark.parametrize("plenty", [True, False])
def test_aLongRequestWhileMuchIsHeld(plenty: bool) -> None:
    """A stranger's half of a request is kept only where there is plenty of memory."""
    world = World(protocols=("http",))
    world.memory.take(0 if plenty else 200_000_000)
    client, transport = world.connect()
    client.dataReceived(b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nX: ")
    client.dataReceived(b"y" * 2000)
    assert client.failure is None
    client.dataReceived(b"y" * 20_000)
    assert isinstance(client.failure, LimitReached) is not plenty
    assert transport.disconnecting is not plenty
    world.lose(client)
    assert world.memory.held == (0 if plenty else 200_000_000)


def test_aLongLoginWhileMuchIsHeld() -> None:
    """A message of a login, such as a ticket with many groups, is read to its end."""
    world = World()
    world.memory.take(200_000_000)
    client, _ = world.connect()
    client.dataReceived(b"\x05\x01\x01")
    client.conversation.chooseMethod(1)
    client.conversation.expect(lambda reader: reader.take(30_000), 65_535)
    client.dataReceived(bytes(20_000))
    assert client.failure is None
    world.lose(client)
    assert world.memory.held == 200_000_000


def test_oneThatGoesWhileNothingIsRead(world: World) -> None:
    """It has sent more than we hold: its session ends, not only its reading."""
    client, transport = world.connect()
    client.dataReceived(CONNECT4)
    client.requested()
    client.dataReceived(bytes(70_000))
    assert transport.producerState == "paused"
    client.departed()
    assert isinstance(client.failure, ClientLost)
    assert [type(each) for each in world.ended] == [CancelledError]
    world.lose(client)
    world.atBase()


def test_afterTheRequestThereIsNoDeadline(world: World) -> None:
    """And the client is no longer half-open."""
    client, _ = world.connect()
    client.dataReceived(CONNECT4)
    client.requested()
    client.requested()
    assert world.listener.admission.halfOpen == 0
    world.advance(60)
    assert client.failure is None
    world.lose(client)
    world.atBase()


@pytest.mark.parametrize("said", [b"", b"\x05\x03\x00", CONNECT4[:5]])
def test_aClientThatEndsBeforeItsRequestIsWhole(world: World, said: bytes) -> None:
    """Nothing can come of it: the session ends, the connection is closed."""
    client, transport = world.connect()
    if said:
        client.dataReceived(said)
    client.readConnectionLost()
    assert isinstance(client.failure, ClientLost)
    assert transport.disconnecting
    assert len(world.served) == bool(said)
    world.lose(client)
    world.atBase()


def test_aClientThatEndsAfterItsRequestGoesOn(world: World) -> None:
    """A half-close behind the request is no end."""
    client, transport = world.connect()
    client.dataReceived(CONNECT4)
    client.readConnectionLost()
    assert client.failure is None
    assert not transport.disconnecting
    assert client.ended


def test_aClientThatGoesAwayCancelsItsSession(world: World) -> None:
    """Whatever it was waiting for."""
    client, _ = world.connect()
    client.dataReceived(CONNECT4)
    world.lose(client)
    assert len(world.ended) == 1
    assert isinstance(client.failure, ClientLost)
    world.atBase()


def test_octetsThatOthersFollow(world: World) -> None:
    """They keep their order; what is no socket gets them at once."""
    client, transport = world.connect()
    client.dataReceived(CONNECT4)
    client.sendAhead(b"first, ")
    assert transport.value() == b"first, "
    client.send(b"second")
    assert transport.value() == b"first, second"
    world.lose(client)
    client.sendAhead(b"late")
    world.atBase()


def test_nextWaitsForTheNextMessage(world: World) -> None:
    """And says when none will come."""
    client, _ = world.connect()
    client.dataReceived(b"\x05\x01\x00")
    assert world.events == [MethodsOffered(b"\x00")]
    client.send(client.conversation.chooseMethod(0))
    client.conversation.authenticated()
    found = run(client.next())
    assert found == []
    client.dataReceived(b"\x05\x01\x00\x01\xc0\x00\x02\x01\x00\x50")
    assert isinstance(found[0], Requested)


@pytest.mark.parametrize(
    ("protocols", "first", "isWelcome"),
    [
        (("socks5",), b"\x05\x01\x00", True),
        (("socks5",), CONNECT4, False),
        (("socks4",), CONNECT4, True),
        (("socks4",), b"\x05\x01\x00", False),
    ],
)
def test_onlyTheProtocolsOfTheListener(
    protocols: tuple[str, ...], first: bytes, isWelcome: bool
) -> None:
    """`protocols`: what may be sniffed here."""
    world = World(protocols=protocols)
    client, _ = world.connect()
    client.dataReceived(first)
    assert bool(world.events) is isWelcome
    assert bool(world.ended) is not isWelcome


def test_noRoomNoProtocol() -> None:
    """The connection is closed at once, and counted."""
    world = World(halfOpenPerSource=1)
    first, _ = world.connect()
    address = IPv4Address("TCP", "192.0.2.9", 4001)
    assert world.listener.buildProtocol(address) is None
    assert world.census.refused == 1
    assert world.listener.buildProtocol(IPv4Address("TCP", "192.0.2.10", 1))
    world.lose(first)
    assert world.listener.buildProtocol(address)
