"""
Datagrams that say by themselves where they go: real sockets outside, a client in
memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from socksgw.relay.association import Associations
from socksgw.relay.tally import Tally
from socksgw.route.datagrams import DatagramOutlet
from socksgw.wire.address import Address
from socksgw.wire.datagram import encodeHeader
from tests.fakes.connections import Client
from tests.relay.associations import IDLE, MOST, Judge, Sea


class Source:
    """
    A client's datagrams.

    @ivar answers: what it was sent, by the header of the source.
    @ivar forgotten: of which sources nothing is kept any more.
    """

    def __init__(self, *waiting: tuple[bytes, bytes]) -> None:
        self.answers: list[tuple[bytes, bytes]] = []
        self.forgotten: list[bytes] = []
        self.waiting = waiting
        self.send: Any = None

    def carry(self, take: Any) -> None:
        self.send = lambda header, octets: take(header, memoryview(octets))
        for each in self.waiting:
            self.send(*each)

    def answer(self, header: bytes, payload: memoryview) -> None:
        self.answers.append((header, bytes(payload)))

    def forget(self, header: bytes) -> None:
        self.forgotten.append(header)


class Diverted:
    """An association of such a client."""

    def __init__(self, sea: Sea, *waiting: tuple[bytes, bytes]) -> None:
        self.judge = Judge()
        self.tally = Tally()
        self.source = Source(*waiting)
        self.client = Client(self.source)
        associations = Associations(
            sea.watcher, sea.setDeadline, lambda: sea.now, IDLE, MOST
        )
        self.done: list[Any] = []
        over = associations.diverted(
            self.client, DatagramOutlet(None, None), self.judge, self.tally
        )
        Deferred.fromCoroutine(over).addBoth(self.done.append)


def headerOf(port: int) -> bytes:
    return encodeHeader(Address.parse("127.0.0.1"), port)


@pytest.fixture
def ends() -> Iterator[list[Diverted]]:
    """Associations that end with the test."""
    made: list[Diverted] = []
    yield made
    for each in made:
        if not each.done:
            each.client.taken.connectionLost(SimpleNamespace())
        assert each.done == [None]


def test_thereAndBack(sea: Sea, ends: list[Diverted]) -> None:
    """What waits goes first; each destination is judged once, answers name it."""
    servers = sea.socket(), sea.socket()
    headers = [headerOf(server.getsockname()[1]) for server in servers]
    made = Diverted(sea, (headers[0], b"first"))
    ends.append(made)
    octets, outer = sea.relayed(servers[0])
    assert octets == b"first"
    made.source.send(headers[0], b"second")
    assert sea.relayed(servers[0]) == (b"second", outer)
    made.source.send(headers[1], b"third")
    # The same port of ours towards each destination.
    assert sea.relayed(servers[1]) == (b"third", outer)
    for server in servers:
        server.sendto(b"answer", outer)
    sea.until(lambda: len(made.source.answers) == 2)
    assert sorted(made.source.answers) == sorted((h, b"answer") for h in headers)
    assert len(made.judge.asked) == 2


def test_denied(sea: Sea, ends: list[Diverted]) -> None:
    """Nothing goes there, and the others are served."""
    server, other = sea.socket(), sea.socket()
    made = Diverted(sea)
    ends.append(made)
    made.judge.denied.add(server.getsockname()[1])
    for _ in range(3):
        made.source.send(headerOf(server.getsockname()[1]), b"x")
    made.source.send(headerOf(other.getsockname()[1]), b"y")
    assert sea.relayed(other)[0] == b"y"
    sea.silent(server)
    assert len(made.judge.asked) == 2


def test_idle(sea: Sea, ends: list[Diverted]) -> None:
    """
    A flow that is idle keeps nothing for its answers; with the last one the client
    is over. What comes then is dropped.
    """
    server = sea.socket()
    header = headerOf(server.getsockname()[1])
    made = Diverted(sea, (header, b"x"))
    ends.append(made)
    sea.relayed(server)
    assert made.source.forgotten == []
    sea.advance(IDLE * 1.3)
    assert made.source.forgotten == [header]
    sea.advance(1.0)
    assert (made.done, made.tally.reason) == ([None], "idle")
    made.source.send(header, b"late")
    sea.silent(server)
