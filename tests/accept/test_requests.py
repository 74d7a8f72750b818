"""
The requests of one client, one after the other on its connection.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from twisted.internet.testing import StringTransport

from socksgw.policy.decision import Decision
from socksgw.policy.questions import Verdict
from tests.fakes.gateway import NONE, Gateway, Transport, well

DENIED = b"GET http://example.com/ HTTP/1.1\r\nHost: x\r\n\r\n"


@contextmanager
def untaken(transport: Transport) -> Iterator[None]:
    """As a connection on which answers wait to be sent; later they have gone."""

    def register(producer: Any, streaming: bool) -> None:
        StringTransport.registerProducer(transport, producer, streaming)
        producer.pauseProducing()

    with pytest.MonkeyPatch.context() as full:
        full.setattr(transport, "registerProducer", register)
        yield
    producer: Any = transport.producer
    producer.resumeProducing()


@pytest.fixture
def gateway() -> Gateway:
    """One that denies everything, and lets the client ask again."""
    made = Gateway([NONE])
    made.decision = Decision(Verdict(False, "no", "it may not"))
    return made


def answers(transport: Transport) -> int:
    octets: bytes = transport.value()
    assert octets.count(b"HTTP/1.1 403 ") == octets.count(b"HTTP/1.1 ")
    return octets.count(b"HTTP/1.1 ")


def test_oneAfterTheOther(gateway: Gateway) -> None:
    """Each has a session and a decision of its own; the one before is over then."""
    transport = gateway.connect()
    for count in range(1, 4):
        transport.protocol.dataReceived(DENIED)
        assert answers(transport) == count
        assert len(gateway.sessions) == len(gateway.over) == count
    assert transport.ending == ""
    assert [d["session"] for d in gateway.lines("decision")] == [1, 2, 3]
    transport.lost()
    well(gateway)


@pytest.mark.parametrize("pieces", [1, 7, 1000])
def test_manyAtOnce(gateway: Gateway, pieces: int) -> None:
    """In turn, and without one inside the other, however they are cut."""
    transport = gateway.connect()
    octets = DENIED * 60
    for start in range(0, len(octets), pieces):
        transport.protocol.dataReceived(octets[start : start + pieces])
    assert answers(transport) == 60
    assert transport.ending == ""
    transport.lost()
    well(gateway)


def test_aBodyIsNoRequest(gateway: Gateway) -> None:
    """What belongs to a request that was refused is read for nothing."""
    transport = gateway.connect()
    post = DENIED.replace(b"GET", b"POST")[:-2] + b"Content-Length: 50\r\n\r\n"
    transport.protocol.dataReceived(post + DENIED[:20])
    transport.protocol.dataReceived(DENIED[20:].ljust(30, b"x")[:30])
    assert answers(transport) == 1
    transport.protocol.dataReceived(DENIED)
    assert answers(transport) == 2
    transport.lost()
    well(gateway)


@pytest.mark.parametrize(
    "fields",
    [
        b"Content-Length: 70000\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Content-Length: 5\r\nExpect: 100-continue\r\n",
        b"Connection: close\r\n",
    ],
)
def test_aRefusalThatIsTheEnd(gateway: Gateway, fields: bytes) -> None:
    """Where much may follow, or something or nothing."""
    transport = gateway.connect(DENIED[:-2] + fields + b"\r\n")
    assert b"\r\nConnection: close\r\n" in transport.value()
    transport.protocol.dataReceived(DENIED)
    assert answers(transport) == 1
    transport.lost()
    well(gateway)


def test_notForEver(gateway: Gateway) -> None:
    """One connection is refused a hundred times."""
    transport = gateway.connect(DENIED * 150)
    assert answers(transport) == 100
    assert transport.value().count(b"\r\nConnection: close\r\n") == 1
    transport.lost()
    well(gateway)


@pytest.mark.parametrize("ends", [False, True])
def test_aClientThatTakesNoAnswers(gateway: Gateway, ends: bool) -> None:
    """Its requests wait until the answers have gone, also when it ends its side."""
    transport = gateway.connect()
    with untaken(transport):
        for _ in range(40):
            transport.protocol.dataReceived(DENIED)
        if ends:
            transport.protocol.readConnectionLost()
        assert answers(transport) == 1
    assert answers(transport) == 40
    assert transport.ending == ("closed" if ends else "")
    transport.lost()
    well(gateway)


def test_time(gateway: Gateway) -> None:
    """A minute to begin another request, and then as long as for the first one."""
    transport = gateway.connect(DENIED)
    gateway.reactor.advance(59)
    assert transport.ending == ""
    gateway.reactor.advance(1)
    assert transport.ending == "closed"
    transport = gateway.connect(DENIED)
    gateway.reactor.advance(50)
    transport.protocol.dataReceived(DENIED[:30])
    gateway.reactor.advance(9)
    assert b"HTTP/1.1 408 " not in transport.value()
    gateway.reactor.advance(1)
    assert b"HTTP/1.1 408 " in transport.value()
    assert gateway.lines("refused")[0]["reason"] == "handshake-timeout"
    gateway.reactor.advance(5)
    assert transport.ending
    well(gateway)


def test_noMoreRequests(gateway: Gateway) -> None:
    """The listener closes: who is served gets an answer, and is closed."""
    resting, busy = gateway.connect(DENIED), gateway.connect(DENIED[:20])
    gateway.listener.close()
    assert (resting.ending, busy.ending) == ("closed", "")
    busy.protocol.dataReceived(DENIED[20:])
    assert (answers(busy), busy.ending) == (1, "closed")
    well(gateway)


def test_aClientThatEndsItsSide(gateway: Gateway) -> None:
    """Between two requests it is closed; what it asked before is answered."""
    transport = gateway.connect(DENIED * 2)
    transport.protocol.readConnectionLost()
    assert answers(transport) == 2
    assert transport.ending == "closed"
    well(gateway)


def test_descriptorsAreShort(gateway: Gateway) -> None:
    """Who makes no request just now is closed, and whoever would come to that."""
    resting, later = gateway.connect(), gateway.connect()
    resting.protocol.dataReceived(DENIED)
    later.protocol.dataReceived(DENIED[:20])
    assert (resting.ending, later.ending) == ("", "")
    gateway.census.exhausted()
    later.protocol.dataReceived(DENIED[20:])
    assert answers(later) == 1
    assert (resting.ending, later.ending != "") == ("", True)
    gateway.listener.relieve()
    assert resting.ending != ""
    for each in (resting, later):
        each.lost()
    well(gateway)
