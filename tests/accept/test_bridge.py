"""
Connections on Twisted's transports, with real sockets on loopback and a reactor of
the test's own.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHalfCloseableDescriptor, ISSLTransport
from twisted.internet.protocol import Factory
from twisted.internet.testing import StringTransport
from zope.interface import directlyProvides

from socksgw.accept.bridge import TwistedConnection, TwistedProtocol
from socksgw.system.connection import Connection
from socksgw.system.watch import UNWATCHED
from socksgw.wire.levels import CLEAR, CONFIDENTIALITY
from tests.fakes.connections import Floor, Recorder
from tests.tools.sockets import pair


class Client(Recorder):
    """What a client is for Twisted's way of making connections."""

    connection: Any = None

    def makeConnection(self, connection: Connection) -> None:
        self.connection = connection
        connection.take(self)


@pytest.fixture
def floor() -> Iterator[Floor]:
    """Nothing is left of any connection."""
    made = Floor()
    yield made
    made.atBase()


def adopted(floor: Floor) -> tuple[socket.socket, Any, Client]:
    """The peer, the connection and what takes what comes."""
    peer, ours = pair(buffer=8192)
    client = Client()
    made = TwistedProtocol(client, floor.watch, ours=False)
    factory: Any = Factory.forProtocol(lambda: made)
    factory.noisy = False
    floor.reactor.adoptStreamConnection(ours.fileno(), ours.family, factory)
    ours.close()
    floor.clients.append(peer)
    return peer, client.connection, client


def test_bothWays(floor: Floor) -> None:
    """Octets each way, both names, the end of one side, and the whole end."""
    peer, connection, client = adopted(floor)
    assert (connection.secured, connection.halfCloses) == (CLEAR, True)
    assert connection.local.port == peer.getpeername()[1]
    assert connection.peer.port == peer.getsockname()[1]
    peer.sendall(b"question")
    peer.shutdown(socket.SHUT_WR)
    floor.until(lambda: client.readEnds)
    assert client.octets == b"question"
    connection.write(b"answer")
    connection.loseWriteConnection()
    assert floor.read(peer, 100) == b"answer"
    connection.loseConnection()
    floor.until(lambda: client.lost)
    assert client.lost == [ConnectionDone]
    assert (connection.plain, connection.receiver) == (None, None)


def test_aPeerThatDoesNotRead(floor: Floor) -> None:
    """From then on Twisted keeps the order, and pauses the producer."""
    peer, connection, client = adopted(floor)
    connection.write(b"a" * 300_000)
    assert connection.plain is None
    connection.registerProducer(client, True)
    connection.write(b"b" * 300_000)
    floor.until(lambda: client.paused)
    assert floor.read(peer, 600_000) == b"a" * 300_000 + b"b" * 300_000
    floor.until(lambda: client.resumed)
    connection.unregisterProducer()
    connection.abortConnection()
    floor.until(lambda: client.lost)


def test_whatWaitsAlready(floor: Floor) -> None:
    """A producer that comes later is paused at once, as by our own connections."""
    peer, connection, client = adopted(floor)
    connection.write(b"a" * 300_000)
    connection.registerProducer(client, True)
    assert client.paused
    assert floor.read(peer, 300_000) == b"a" * 300_000
    floor.until(lambda: client.resumed)
    connection.unregisterProducer()
    connection.registerProducer(client, True)
    assert client.paused == 1
    connection.unregisterProducer()
    connection.abortConnection()
    floor.until(lambda: client.lost)


def test_theEndIsSeenWhilePaused(floor: Floor) -> None:
    """Once, with what was sent still unread, which can be read afterwards."""
    peer, connection, client = adopted(floor)
    connection.pauseProducing()
    connection.resumeProducing()
    connection.pauseProducing()
    peer.sendall(b"unread")
    peer.shutdown(socket.SHUT_WR)
    floor.until(lambda: client.departures)
    floor.settle()
    assert (client.departures, client.octets) == (1, b"")
    connection.resumeProducing()
    floor.until(lambda: client.readEnds)
    assert client.octets == b"unread"
    connection.loseConnection()
    floor.until(lambda: client.lost)


def test_released(floor: Floor) -> None:
    """Nothing reads its socket then, and nothing watches it."""
    peer, connection, client = adopted(floor)
    assert connection.release() == UNWATCHED
    peer.sendall(b"for the relay")
    floor.settle()
    assert (client.octets, connection.plain.recv(100)) == (b"", b"for the relay")
    connection.abortConnection()
    floor.until(lambda: client.lost)


def test_TLSEndsBothSides() -> None:
    """Whatever the transport below it could do."""
    watch: Any = None
    transport = StringTransport()
    directlyProvides(transport, ISSLTransport, IHalfCloseableDescriptor)
    connection = TwistedConnection(transport, watch, Recorder())
    assert (connection.secured, connection.halfCloses) == (CONFIDENTIALITY, False)
    assert connection.plain is None


@pytest.mark.parametrize(
    ("address", "text", "port", "scope"),
    [
        (IPv4Address("TCP", "192.0.2.1", 7), "192.0.2.1", 7, 0),
        (IPv6Address("TCP", "fe80::1%lo", 7), "fe80::1", 7, 1),
        (UNIXAddress("/run/x"), "127.0.0.1", 0, 0),
    ],
)
def test_names(address: Any, text: str, port: int, scope: int) -> None:
    """As Twisted has them: those of a Unix socket are this machine's."""
    watch: Any = None
    transport = StringTransport(hostAddress=address)
    name = TwistedConnection(transport, watch, Recorder()).local
    assert (name.address.text, name.port, name.scope) == (text, port, scope)
