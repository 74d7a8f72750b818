"""
A UDP port for diverted datagrams: real sockets on loopback, where the kernel tells of
the destination, too. What needs a privilege is left to tests/interop.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator

import pytest

from socksgw.accept.diverted import DivertedPort, listenForDatagrams
from socksgw.accept.endpoints import remedyFor
from socksgw.accept.inbound import Inbound
from socksgw.system.transparent import MissingRight, receiveOriginals
from socksgw.wire.address import Address
from socksgw.wire.events import Requested
from tests.accept.listeners import House


class Port(House):
    """
    A listener whose datagrams come to a port on loopback.

    @ivar ours: whether the gateway takes that for its own listener.
    @ivar clients: what clients send by.
    """

    def __init__(self) -> None:
        super().__init__("address")
        self.ours = False
        bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        bound.bind(("127.0.0.1", 0))
        receiveOriginals(bound)
        self.place = bound.getsockname()
        self.datagrams = DivertedPort(bound, self.listener, self.watch, self)
        self.clients: list[socket.socket] = []

    def isListener(self, address: Address, port: int) -> bool:
        return self.ours

    def isSelf(self, address: Address) -> bool:
        return False

    def client(self, host: str = "127.0.0.1") -> socket.socket:
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.bind((host, 0))
        self.clients.append(made)
        return made

    def sent(self, client: socket.socket, *payloads: bytes) -> None:
        for each in payloads:
            client.sendto(each, self.place)
        self.settle()

    def settle(self) -> None:
        for _ in range(5):
            self.reactor.iterate(0.005)

    def carried(self, client: Inbound) -> list[bytes]:
        """What a client has sent so far; later payloads are added."""
        found: list[bytes] = []
        client.connection.carry(lambda _, payload: found.append(bytes(payload)))
        return found


@pytest.fixture
def port() -> Iterator[Port]:
    made = Port()
    yield made
    made.listener.leaving += 1
    made.datagrams.stopListening()
    made.close()
    made.advance(2.0)
    made.atBase()
    for each in made.clients:
        each.close()


def test_oneSessionForEachClient(port: Port) -> None:
    """It begins at once; all datagrams of the port are its, in order."""
    one, other = port.client(), port.client()
    port.sent(one, b"1", b"2")
    port.sent(other, b"x")
    port.sent(one, b"3")
    assert len(port.served) == 2
    first, second = port.served
    assert (first.source.text, first.port) == one.getsockname()
    for event in port.events:
        assert isinstance(event, Requested)
        assert (event.host, event.port) == (Address.parse("127.0.0.1"), port.place[1])
    found = port.carried(first)
    assert found == [b"1", b"2", b"3"]
    assert port.carried(second) == [b"x"]
    port.sent(one, b"4")
    assert found == [b"1", b"2", b"3", b"4"]


def test_whatWaits(port: Port) -> None:
    """Some datagrams, and octets, and they count; the rest is lost."""
    client = port.client()
    port.sent(client, *(b"%d" % n for n in range(30)))
    assert port.memory.held == 22
    assert len(port.carried(port.served[0])) == 16
    assert port.memory.held == 0
    client = port.client()
    port.sent(client, bytes(16000), bytes(1000), bytes(384))
    assert [len(each) for each in port.carried(port.served[1])] == [16000, 384]


def test_refusedClientsAreDeaf(port: Port) -> None:
    """For a second no other session is begun for the same port."""
    client = port.client()
    port.sent(client, b"x")
    port.served[0].abort()
    port.sent(client, b"x", b"y")
    assert len(port.served) == 1
    port.advance(2.0)
    port.sent(client, b"x")
    assert len(port.served) == 2
    port.carried(port.served[1])
    port.served[1].abort()
    port.sent(client, b"x")
    assert len(port.served) == 3


def test_direct(port: Port) -> None:
    """A datagram to the listener itself is refused, and recorded."""
    port.ours = True
    port.sent(port.client(), b"x", b"y")
    (client,) = port.served
    assert client.failure is not None
    assert client.failure.reason == "not-diverted"
    assert port.events == []


def test_bounds(port: Port) -> None:
    """
    By source, and in all; clients count as long as they last, since nothing proves
    their source.
    """
    port.listener.configure(("transparent",), 4, 3, 10.0)
    for _ in range(5):
        port.sent(port.client(), b"x")
    assert len(port.served) == 3
    for client in port.served:
        client.requested()
    port.sent(port.client(), b"x")
    assert len(port.served) == 3
    first = port.served[0]
    port.sent(port.client("127.0.0.2"), b"x")
    port.sent(port.client("127.0.0.3"), b"x")
    # The oldest client of the source that has the most makes room.
    assert len(port.served) == 5
    assert first not in port.listener.clients
    assert len(port.listener.clients) == 4


def test_halfOfTheDescriptors(port: Port) -> None:
    """Sources that are made up do not shut out those who connect."""
    port.census.most = 6
    for n in range(2, 8):
        port.sent(port.client(f"127.0.0.{n}"), b"x")
    assert len(port.listener.clients) == 3
    assert len(port.served) == 6


def test_paused(port: Port) -> None:
    """What comes meanwhile waits in the kernel."""
    port.datagrams.stopReading()
    port.sent(port.client(), b"x")
    assert port.served == []
    port.datagrams.startReading()
    port.settle()
    assert len(port.served) == 1
    assert port.datagrams.getHost().port == port.place[1]


@pytest.mark.parametrize("missing", ["foreign", "bindForeign"])
def test_withoutPrivilege(
    monkeypatch: pytest.MonkeyPatch, port: Port, missing: str
) -> None:
    """It fails at the start, whichever is missing, and says what to do."""

    def refused(*_: object) -> None:
        raise MissingRight(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr("socksgw.accept.diverted.foreign", lambda _: None)
    monkeypatch.setattr(f"socksgw.accept.diverted.{missing}", refused)
    with pytest.raises(MissingRight) as raised:
        listenForDatagrams("127.0.0.1:0", port.listener, port.watch, port)
    line = remedyFor("127.0.0.1:53", raised.value)
    assert "AmbientCapabilities=" in line
    assert "\n" not in line
