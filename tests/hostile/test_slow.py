"""
Clients that take their time: to say what they want, or to say anything.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import pytest

from tests.live.clients import (
    GREETING,
    Server,
    descriptorsFor,
    exactly,
    four,
    isClosed,
    opened,
    replied5,
    request4,
    request5,
    tunnel,
)
from tests.live.running import OPEN, Running, settled
from tests.tools.waiting import until

Gateway = Callable[..., Running]

#: The absolute deadline, from accept to request, in seconds.
HANDSHAKE = 3
SLOW = 2000

_TIMEOUTS = f'[timeouts]\nhandshake = "{HANDSHAKE}s"\n'
_PROTOCOLS = 'protocols = ["socks5", "socks4", "socks6", "http"]\n'
_HALF_OPEN = "half_open = 8\nhalf_open_per_source = 5\n"

#: A dribbler's octets, which never make a whole message in time: 255 methods
#: are announced; a SOCKS 4 user id has no end; and a greeting that is whole,
#: with a request that is not; fields of HTTP without an end; options of
#: SOCKS 6 that are announced, and a name there.
_DRIBBLES = (
    b"\x05\xff" + bytes(200),
    b"\x04\x01\0\x50\x7f\0\0\1" + b"u" * 200,
    GREETING + b"\x05\x01\0\x03\xff" + b"n" * 200,
    b"CONNECT 127.0.0.1:80 HTTP/1.1\r\nHost: 127.0.0.1:80\r\n" + b"X: y\r\n" * 50,
    b"POST http://127.0.0.1/ HTTP/1.1\r\nX: " + b"y" * 200,
    bytes.fromhex("06 01 5000 0050 00 01 7f000001") + b"\xfc\0\0\4" * 50,
    bytes.fromhex("06 01 0000 0050 00 03 ff") + b"n" * 200,
)


@pytest.fixture
def echo() -> Iterator[Server]:
    """A destination."""
    with Server() as server:
        yield server


def _served(gateway: Running, echo: Server, source: str = "127.0.0.1") -> None:
    """An honest client is."""
    with closing(tunnel(gateway.port, echo.place, source)) as client:
        client.sendall(b"hello")
        assert exactly(client, 5) == b"hello"


def _slowClients(gateway: Running, stack: ExitStack) -> dict[socket.socket, float]:
    """Clients, of several sources, and when each began to connect."""
    began = {}
    for number in range(SLOW):
        when = time.monotonic()
        client = opened(gateway.port, f"127.0.1.{1 + number % 4}")
        began[stack.enter_context(closing(client))] = when
        client.setblocking(False)
    return began


def test_slowClientsHinderNobodyAndAreClosed(gateway: Gateway, echo: Server) -> None:
    """
    2,000 clients that say nothing, or an octet now and then, keep no honest
    client waiting; each is closed at the absolute deadline, not before, and
    however it dribbles. Every descriptor comes back.
    """
    with descriptorsFor(3 * SLOW), ExitStack() as stack:
        text = _TIMEOUTS + OPEN.replace("[[auth", f"{_PROTOCOLS}[[auth", 1)
        started = settled(gateway(text))
        _served(started, echo)
        before = started.descriptors
        began = _slowClients(started, stack)
        clients = list(began)
        dribblers = {
            client: iter(_DRIBBLES[number % len(_DRIBBLES)])
            for number, client in enumerate(clients[: SLOW // 2])
        }
        poll = select.epoll()
        stack.enter_context(closing(poll))
        byNumber = {client.fileno(): client for client in clients}
        for number in byNumber:
            poll.register(number, select.EPOLLIN | select.EPOLLRDHUP)
        closedAfter: dict[socket.socket, float] = {}
        honest: list[float] = []
        nextDribble = time.monotonic()
        end = nextDribble + HANDSHAKE + 30
        while len(closedAfter) < SLOW and time.monotonic() < end:
            now = time.monotonic()
            if now >= nextDribble:
                nextDribble = now + 0.25
                for client, octets in dribblers.items():
                    if client not in closedAfter:
                        _dribble(client, octets)
                _served(started, echo)
                honest.append(time.monotonic() - now)
            for number, _ in poll.poll(0.05):
                client = byNumber[number]
                if client not in closedAfter and isClosed(client):
                    closedAfter[client] = time.monotonic() - began[client]
                    poll.unregister(number)
        assert len(closedAfter) == SLOW
        assert min(closedAfter.values()) >= HANDSHAKE
        assert max(closedAfter.values()) < HANDSHAKE + 10
        assert len(honest) >= 5
        assert max(honest) < 5
        until(lambda: started.descriptors <= before)
        # Those that had said something are on record.
        refused = started.journal("refused")
        assert {line["reason"] for line in refused} == {"handshake-timeout"}
        _served(started, echo)


def _dribble(client: socket.socket, octets: Iterator[int]) -> None:
    """One octet more; a client that is closed meanwhile is found out later."""
    try:
        client.send(bytes((next(octets),)))
    except OSError:
        pass


def test_halfOpenLimitsHoldExactly(gateway: Gateway, echo: Server) -> None:
    """
    C{half_open_per_source} clients of one source and C{half_open} in all may
    be without a request; one more of the source is closed at once. One more in
    all is let in, and the oldest of the source that has the most goes. Who makes
    its request, or leaves, makes room.
    """
    configuration = OPEN.replace("[[auth.choose]]", _HALF_OPEN + "[[auth.choose]]", 1)
    # Of several processes each has a part of its own.
    started = gateway("[gateway]\nworkers = 1\n" + configuration)

    def another(source: str) -> socket.socket:
        client = stack.enter_context(closing(opened(started.port, source)))
        client.sendall(GREETING[:1])
        return client

    def closed(client: socket.socket) -> None:
        until(lambda: isClosed(client))

    with ExitStack() as stack:
        first = [another("127.0.1.1") for _ in range(5)]
        closed(another("127.0.1.1"))
        _served(started, echo, "127.0.1.2")
        second = [another("127.0.1.2") for _ in range(3)]
        # Not one of those that were let in has suffered.
        assert [isClosed(client) for client in (*first, *second)] == [False] * 8
        # At the mark the largest source does, and only its oldest.
        second.append(another("127.0.1.2"))
        closed(first.pop(0))
        assert [isClosed(client) for client in (*first, *second)] == [False] * 8
        # A request makes room, though the session goes on.
        live = _finished(first.pop(), echo)
        before = started.descriptors
        first.append(another("127.0.1.1"))
        until(lambda: started.descriptors > before)
        assert [isClosed(client) for client in (*first, *second)] == [False] * 8
        # So does leaving.
        before = started.descriptors
        second.pop().close()
        until(lambda: started.descriptors < before)
        assert _getsIn(started, "127.0.1.3")
        assert [isClosed(client) for client in (*first, *second)] == [False] * 7
        for client in (*first, *second, live):
            client.settimeout(20)
        live.sendall(b"hello")
        assert exactly(live, 5) == b"hello"
        for client in (*first, *second):
            _finished(client, echo)


def _finished(client: socket.socket, echo: Server) -> socket.socket:
    """A client that has sent one octet is honest after all."""
    client.settimeout(20)
    client.sendall(GREETING[1:] + request5(four(echo.place[0]), echo.port))
    assert exactly(client, 2) == b"\x05\x00"
    assert replied5(client) == 0
    return client


def _getsIn(gateway: Running, source: str) -> bool:
    """Whether a client of that source is answered."""
    with closing(opened(gateway.port, source)) as client:
        client.sendall(GREETING)
        return exactly(client, 2) == b"\x05\x00"


def test_theDeadlineEndsWithTheRequest(gateway: Gateway, echo: Server) -> None:
    """
    A client that makes its request within the deadline, however slowly, is
    served, and its session lives on behind it.
    """
    started = gateway('[timeouts]\nhandshake = "2s"\n' + OPEN)
    with closing(opened(started.port)) as client:
        began = time.monotonic()
        octets = request4(socket.inet_aton(echo.place[0]), echo.port, userId=b"slow")
        for octet in octets:
            client.sendall(bytes((octet,)))
            time.sleep(0.02)
        assert exactly(client, 8)[:2] == b"\0\x5a"
        until(lambda: time.monotonic() - began > 2.5)
        client.sendall(b"hello")
        assert exactly(client, 5) == b"hello"
