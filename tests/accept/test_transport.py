"""
The transport of a client on a plain socket, with real sockets on loopback and
a reactor of the test's own.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.logger import capturedLogs

from socksgw.accept import transport
from socksgw.accept.transport import PlainTransport
from tests.accept.listeners import World
from tests.accept.transports import Floor, Recorder
from tests.tools.sockets import RESET


@pytest.fixture
def floor() -> Iterator[Floor]:
    made = Floor()
    yield made
    made.atBase()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_reading(floor: Floor, host: str) -> None:
    """Octets as they come; both addresses; the socket itself."""
    protocol = Recorder()
    client, transport = floor.connect(protocol, host)
    assert protocol.transport is transport
    client.sendall(b"one")
    floor.until(lambda: protocol.octets == b"one")
    client.sendall(b"two")
    floor.until(lambda: protocol.octets == b"onetwo")
    assert transport.getHost().port == client.getpeername()[1]
    assert transport.getPeer().port == client.getsockname()[1]
    assert transport.getPeer().host == host
    transport.getHandle().send(b"answer")
    assert floor.read(client, 6) == b"answer"
    transport.loseConnection()


def test_pausing(floor: Floor) -> None:
    """Nothing while it is paused, everything after; twice is once."""
    protocol = Recorder()
    client, transport = floor.connect(protocol)
    transport.pauseProducing()
    transport.pauseProducing()
    client.sendall(b"later")
    floor.settle()
    assert protocol.octets == b""
    transport.resumeProducing()
    transport.resumeProducing()
    floor.until(lambda: protocol.octets == b"later")
    transport.loseConnection()


def paused(floor: Floor, handed: bool) -> tuple[socket.socket, Any, Recorder]:
    """A client whose octets nobody reads."""
    protocol = Recorder()
    client, transport = floor.connect(protocol)
    if handed:
        transport = transport.handOver()
    transport.pauseProducing()
    client.sendall(b"unread")
    floor.settle()
    return client, transport, protocol


@pytest.mark.parametrize("handed", [False, True], ids=["own", "Twisted's"])
def test_theEndIsSeenWhilePaused(floor: Floor, handed: bool) -> None:
    """
    Told once, with what it sent still unread, which can be read afterwards.
    """
    client, transport, protocol = paused(floor, handed)
    assert protocol.departures == 0
    client.shutdown(socket.SHUT_WR)
    floor.until(lambda: protocol.departures)
    floor.settle()
    assert (protocol.departures, protocol.octets, protocol.lost) == (1, b"", [])
    transport.resumeProducing()
    floor.until(lambda: protocol.readEnds)
    assert protocol.octets == b"unread"
    transport.loseConnection()
    floor.until(lambda: protocol.lost)


@pytest.mark.parametrize("ended", [False, True], ids=["open", "ended"])
def test_aResetIsSeenWhilePaused(floor: Floor, ended: bool) -> None:
    """So it is when the client had ended its side before."""
    protocol = Recorder()
    client, transport = floor.connect(protocol)
    if ended:
        client.shutdown(socket.SHUT_WR)
        floor.until(lambda: protocol.readEnds)
    transport.pauseProducing()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    client.close()
    floor.until(lambda: protocol.lost)
    assert protocol.lost == [ConnectionLost]


def test_whatWasReadIsOverwritten(floor: Floor) -> None:
    """The buffer of all transports does not keep anybody's password."""
    protocol = Recorder()
    client, connection = floor.connect(protocol)
    client.sendall(b"password")
    floor.until(lambda: protocol.octets == b"password")
    assert not any(transport._BUFFER)
    connection.loseConnection()


def test_halfClose(floor: Floor) -> None:
    """Told once; the other direction still works."""
    protocol = Recorder()
    client, transport = floor.connect(protocol)
    client.sendall(b"last words")
    client.shutdown(socket.SHUT_WR)
    floor.until(lambda: protocol.readEnds)
    floor.settle()
    assert (protocol.octets, protocol.readEnds, protocol.lost) == (b"last words", 1, [])
    transport.write(b"answer")
    assert floor.read(client, 6) == b"answer"
    protocol.transport.loseConnection()
    floor.until(lambda: protocol.lost)


def test_reset(floor: Floor) -> None:
    """The client is gone: told once."""
    protocol = Recorder()
    client, _ = floor.connect(protocol)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    client.close()
    floor.until(lambda: protocol.lost)
    floor.settle()
    assert protocol.lost == [ConnectionLost]


def test_closing(floor: Floor) -> None:
    """In order, told once, however often it is asked for."""
    protocol = Recorder()
    client, transport = floor.connect(protocol)
    transport.loseConnection()
    transport.loseConnection()
    assert protocol.lost == [ConnectionDone]
    assert transport.disconnecting
    assert floor.read(client, 1) == b""
    # Nothing is watched for it any more; its number may be another's.
    transport.pauseProducing()
    transport.resumeProducing()
    assert floor.watch.watched == 0


def test_aborting(floor: Floor) -> None:
    """With a reset, even after what was sent."""
    protocol = Recorder()
    client, transport = floor.connect(protocol)
    transport.abortConnection()
    assert protocol.lost == [ConnectionAborted]
    with pytest.raises(ConnectionResetError):
        floor.read(client, 1)


def test_aProtocolThatFails(floor: Floor) -> None:
    """It is logged, the client is lost, and nobody else."""
    protocol, other = Recorder(), Recorder()
    client, _ = floor.connect(protocol)
    neighbour, transport = floor.connect(other)
    protocol.failing = ZeroDivisionError("a defect")
    with capturedLogs() as logged:
        client.sendall(b"x")
        floor.until(lambda: protocol.lost)
    failures = [each["log_failure"] for each in logged if "log_failure" in each]
    assert [each.type for each in failures] == [ZeroDivisionError]
    assert protocol.lost == [ConnectionLost]
    neighbour.sendall(b"x")
    floor.until(lambda: other.octets == b"x")
    transport.loseConnection()


def filled(transport: PlainTransport) -> int:
    """Fill the kernel's buffer; how many octets it took."""
    sent = 0
    while True:
        try:
            sent += transport.getHandle().send(b"a" * 4096)
        except BlockingIOError:
            return sent


@pytest.mark.parametrize("how", ["write", "writeSequence"])
def test_aClientThatDoesNotRead(floor: Floor, how: str) -> None:
    """
    What the kernel does not take is buffered, in order, by Twisted's
    transport, which reads on; closing waits for it.
    """
    protocol = Recorder()
    client, transport = floor.connect(protocol)
    before = filled(transport)
    if how == "write":
        transport.write(b"b" * 500_000)
    else:
        transport.writeSequence([b"b" * 250_000, b"b" * 250_000])
    assert protocol.transport is not transport
    assert floor.watch.watched == 0
    protocol.transport.write(b"c")
    client.sendall(b"still heard")
    floor.until(lambda: protocol.octets == b"still heard")
    protocol.transport.loseConnection()
    total = before + 500_001
    assert floor.read(client, total) == b"a" * before + b"b" * 500_000 + b"c"
    assert floor.read(client, 1) == b""
    floor.until(lambda: protocol.lost)
    assert protocol.lost == [ConnectionDone]


def test_aProducer(floor: Floor) -> None:
    """Who writes much is told when there is no room, and when there is."""

    class Producer:
        producing = True

        def pauseProducing(self) -> None:
            self.producing = False

        def resumeProducing(self) -> None:
            self.producing = True

        def stopProducing(self) -> None:
            self.producing = False

    protocol, producer = Recorder(), Producer()
    client, transport = floor.connect(protocol)
    transport.unregisterProducer()
    transport.registerProducer(producer, True)
    assert protocol.transport is not transport
    protocol.transport.write(b"x" * 500_000)
    floor.until(lambda: not producer.producing)
    assert floor.read(client, 500_000) == b"x" * 500_000
    floor.until(lambda: producer.producing)
    protocol.transport.unregisterProducer()
    protocol.transport.loseConnection()
    floor.until(lambda: protocol.lost)


@pytest.mark.parametrize("how", ["write", "registerProducer"])
def test_aClientThatIsGoneAtTheHandOver(floor: Floor, how: str) -> None:
    """Told as lost, once; nothing is raised."""
    protocol = Recorder()
    client, transport = floor.connect(protocol)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    client.close()

    def gone() -> bool:
        try:
            transport.getHandle().getpeername()
        except OSError:
            return True
        return False

    transport.pauseProducing()
    floor.until(gone)
    if how == "write":
        transport.write(b"x")
    else:
        transport.registerProducer(object(), True)
    assert protocol.lost == [ConnectionLost]


def test_aLongAnswerOfASubNegotiation(floor: Floor) -> None:
    """
    The inbound protocol sends more than the kernel takes: it arrives whole
    and in order, with what is sent behind it, and the client is heard.
    """
    world = World()
    inbound = world.listener.buildProtocol(IPv4Address("TCP", "127.0.0.1", 1))
    assert inbound is not None
    client, transport = floor.connect(inbound)
    assert inbound.socket is transport.getHandle()
    client.sendall(b"\x05\x01\x00")
    floor.until(lambda: world.served)
    answer = os.urandom(300_000)
    inbound.send(answer)
    assert inbound.socket is None
    inbound.send(b"and more")
    assert floor.read(client, 300_008) == answer + b"and more"
    client.sendall(b"\x05\x01")
    floor.until(lambda: inbound.conversation.held == 2)
    assert inbound.local.text == "127.0.0.1"
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    client.close()
    floor.until(lambda: not world.listener.clients)
    world.atBase()
