"""
Questions by UDP and TCP, with servers on loopback and a clock that is not real.
"""

from __future__ import annotations

import socket
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
from twisted.internet.protocol import Protocol
from twisted.internet.testing import StringTransport

from socksgw.route import dnsmessages
from socksgw.route.dnsmessages import LONGEST
from tests.route.servers import (
    World,
    Worlds,
    mute,
    records,
)


def test_anAnswerFromAnotherPlaceIsNone(worlds: Worlds) -> None:
    """Another port of the same address: the kernel keeps it away."""
    world = worlds(mute)
    found, _ = world.ask()
    (server,) = world.servers
    answer = records("192.0.2.66")(server.asked[0])
    assert isinstance(answer, dns.message.Message)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.sendto(answer.to_wire(), server.peers[0])
        world.pump()
        assert found == []


def test_eachQuestionHasItsOwnPortAndIdentifier(worlds: Worlds) -> None:
    """Both would have to be guessed."""
    world = worlds(mute)
    for number in range(20):
        world.ask(f"n{number}.example")
    (server,) = world.servers
    assert len({port for _, port in server.peers}) == 20
    assert len({query.id for query in server.asked}) > 15
    steps = {b[1] - a[1] for a, b in zip(server.peers, server.peers[1:], strict=False)}
    assert len(steps) > 10, "ports come in a row"


def cut(query: dns.message.Message) -> dns.message.Message:
    answer = records("192.0.2.1")(query)
    assert isinstance(answer, dns.message.Message)
    answer.flags |= dns.flags.TC
    return answer


class Connection:
    """The TCP connection that was made last."""

    def __init__(self, world: World) -> None:
        host, port, factory, _, _ = world.reactor.tcpClients[-1]
        assert (host, port) == world.servers[0].socket.getsockname()
        self.transport = StringTransport()
        protocol = factory.buildProtocol(None)
        assert isinstance(protocol, Protocol)
        self.protocol: Any = protocol
        protocol.makeConnection(self.transport)
        sent = self.transport.value()
        assert len(sent) == 2 + int.from_bytes(sent[:2], "big")
        self.query = dns.message.from_wire(sent[2:])

    def send(self, octets: bytes, length: int | None = None) -> None:
        length = len(octets) if length is None else length
        self.protocol.dataReceived(length.to_bytes(2, "big") + octets)


def test_aTruncatedAnswerIsReadOverTCP(worlds: Worlds) -> None:
    """Whole, in pieces, and the connection is ended."""
    world = worlds(cut)
    found, _ = world.ask()
    assert found == []
    tcp = Connection(world)
    answer = records(*(f"192.0.2.{number}" for number in range(100)))(tcp.query)
    assert isinstance(answer, dns.message.Message)
    octets = answer.to_wire(max_size=65535)
    tcp.send(octets[:10], len(octets))
    for at in range(10, len(octets), 500):
        assert found == []
        tcp.protocol.dataReceived(octets[at : at + 500])
    assert len(found[0]) == dnsmessages.RECORDS
    assert world.reactor.connectors[-1]._disconnected


def test_tcpFromTheStart(worlds: Worlds) -> None:
    """resolv.conf(5), use-vc."""
    world = worlds(mute, stream=True)
    found, _ = world.ask()
    tcp = Connection(world)
    answer = records("192.0.2.1")(tcp.query)
    assert isinstance(answer, dns.message.Message)
    tcp.send(answer.to_wire())
    assert found == [["192.0.2.1"]]
    assert world.servers[0].asked == []


@pytest.mark.parametrize("how", ["refused", "lost", "long"])
def test_whereTCPFailsTheNextServerIsAsked(worlds: Worlds, how: str) -> None:
    """Also when it would send more than is read."""
    world = worlds(cut, records("192.0.2.2"))
    found, _ = world.ask()
    factory = world.reactor.tcpClients[-1][2]
    if how == "refused":
        factory.clientConnectionFailed(None, None)
    else:
        tcp = Connection(world)
        if how == "long":
            tcp.send(b"", LONGEST + 1)
        else:
            tcp.protocol.connectionLost(None)
    world.pump()
    assert found == [["192.0.2.2"]]
