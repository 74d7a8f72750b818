"""
Questions to a service by HTTP: connections that died, and answers without end.
"""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.web.client import URI

from socksgw.interfaces import Settings
from socksgw.login.stores.http import httpChecker
from socksgw.login.stores.httpservice import JSONService, _Endpoints
from socksgw.login.stores.remote import Unavailable

URL = "http://127.0.0.1:81/login"
YES = b'HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{"allow": true}'


class Transport(StringTransport):
    """Knows that it was cut."""

    def abortConnection(self) -> None:
        self.disconnecting = True


class Asking:
    """
    A service, and its connections.

    @ivar connections: protocols and transports.
    """

    def __init__(self) -> None:
        self.reactor: Any = MemoryReactorClock()
        self.service = JSONService(self.reactor, {}, 2, 5.0, b"token")
        self.connections: list[tuple[Any, Transport]] = []

    def ask(self) -> list[Any]:
        """One question: what comes of it."""
        results: list[Any] = []
        asking = Deferred.fromCoroutine(self.service.ask(URL, {"user": "alice"}))
        asking.addBoth(lambda r: results.append(getattr(r, "value", r)))
        self.connect()
        return results

    def connect(self) -> None:
        """Have its new connections made."""
        while self.reactor.tcpClients:
            factory = self.reactor.tcpClients.pop(0)[2]
            protocol, transport = factory.buildProtocol(None), Transport()
            self.connections.append((protocol, transport))
            protocol.makeConnection(transport)

    def answer(self, octets: bytes, number: int = -1) -> None:
        protocol, transport = self.connections[number]
        for i in range(0, len(octets), 4096):
            if not transport.disconnecting:
                protocol.dataReceived(octets[i : i + 4096])
        if transport.disconnecting:
            self.lose(ConnectionDone(), number)

    def lose(self, error: Exception, number: int = -1) -> None:
        protocol, _ = self.connections[number]
        protocol.connectionLost(Failure(error))
        self.connect()


def test_kept() -> None:
    """Two questions, one connection; the token and the question are whole."""
    asking = Asking()
    for _ in range(2):
        results = asking.ask()
        asking.answer(YES)
        assert results == [{"allow": True}]
    assert len(asking.connections) == 1
    sent = asking.connections[0][1].value()
    assert sent.count(b"POST /login HTTP/1.1\r\n") == 2
    assert sent.endswith(b'\r\n\r\n{"user": "alice"}')
    assert b"Authorization: Bearer token\r\n" in sent
    assert b"Accept-Encoding" not in sent


@pytest.mark.parametrize("error", [ConnectionDone(), ConnectionLost()])
def test_keptDied(error: Exception) -> None:
    """
    A kept connection that dies under a question costs nothing: it is asked
    once more on a new one, and not a third time.
    """
    asking = Asking()
    asking.ask()
    asking.answer(YES)
    results = asking.ask()
    assert len(asking.connections) == 1
    asking.lose(error)
    assert len(asking.connections) == 2
    assert not results
    asking.answer(YES)
    assert results == [{"allow": True}]
    # A new connection that dies is an answer.
    results = asking.ask()
    asking.lose(error)
    assert len(asking.connections) == 3
    assert isinstance(results[0], Unavailable)
    assert asking.reactor.getDelayedCalls() == []


def test_keptSilent() -> None:
    """A kept connection that lost its way costs a part of the time."""
    asking = Asking()
    asking.ask()
    asking.answer(YES)
    results = asking.ask()
    asking.reactor.advance(2.1)
    asking.connect()
    assert len(asking.connections) == 2
    asking.answer(YES)
    assert results == [{"allow": True}]


@pytest.mark.parametrize("number", [0, 1])
def test_slow(number: int) -> None:
    """
    Whichever connection brings the answer: a service that is slow is not taken for
    one that is gone. The other connection is closed.
    """
    asking = Asking()
    asking.ask()
    asking.answer(YES)
    results = asking.ask()
    asking.reactor.advance(2.1)
    asking.connect()
    assert len(asking.connections) == 2
    asking.answer(YES, number)
    assert results == [{"allow": True}]
    assert asking.connections[1 - number][1].disconnecting
    # The kept one is kept on, for a while.
    assert len(asking.reactor.getDelayedCalls()) == 1 - number


def test_slowAndGone() -> None:
    """A new connection that cannot be had leaves the question to the kept one."""
    asking = Asking()
    asking.ask()
    asking.answer(YES)
    results = asking.ask()
    asking.reactor.advance(2.1)
    asking.connect()
    asking.lose(ConnectionLost(), 1)
    assert not results
    asking.answer(YES, 0)
    assert results == [{"allow": True}]


def test_answered() -> None:
    """A connection that dies in the middle of an answer has been used."""
    asking = Asking()
    asking.ask()
    asking.answer(YES)
    results = asking.ask()
    asking.answer(YES[:-1])
    asking.lose(ConnectionLost())
    assert isinstance(results[0], Unavailable)
    assert len(asking.connections) == 1


@pytest.mark.parametrize(
    ("head", "part"),
    [
        (b"HTTP/1.1 200 OK\r\n", b"X-Header: %b\r\n" % (b"x" * 1000)),
        (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
        (b"HTTP/1.1 200 OK\r\n\r\n", b" " * 1000),
    ],
    ids=["headers", "short headers", "provisional", "chunks", "body"],
)
def test_endless(head: bytes, part: bytes) -> None:
    """Whatever has no end is ended, soon, and is that question's trouble."""
    asking = Asking()
    results = asking.ask()
    asking.answer(head + part * ((512 << 10) // len(part)))
    (failure,) = results
    assert isinstance(failure, Unavailable)
    assert failure.why == "an answer that is too long"
    assert failure.alone
    assert asking.connections[0][1].disconnecting


@pytest.mark.parametrize("host", ["Decide.Example", "[2001:DB8::1]", "192.0.2.1:444"])
def test_peers(host: str) -> None:
    """However a host is written, it is known whom a connection has to reach."""
    reactor: Any = MemoryReactorClock()
    checker = httpChecker(Settings({"url": f"https://{host}/x"}, name="h"), reactor)
    endpoints = _Endpoints(reactor, checker._service._peers)
    assert endpoints.endpointForURI(URI.fromBytes(f"https://{host}/x".encode()))


def test_compressed() -> None:
    """Nothing is inflated: what is compressed is no answer."""
    asking = Asking()
    results = asking.ask()
    asking.answer(
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n\x1f\x8b"
    )
    assert results[0].why == "an answer that is no JSON"
