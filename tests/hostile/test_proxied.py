"""
PROXY headers of a sender that is slow, broken, or passes on what clients make up.
"""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import pytest

from tests.live import raw
from tests.live.clients import Server, descriptorsFor, exactly, isClosed
from tests.live.running import LOOPBACK, WORKERS, Running, settled
from tests.tools.proxyheaders import checked, line, tls, vector, version2
from tests.tools.sockets import RESET
from tests.tools.waiting import until

Gateway = Callable[..., Running]

HANDSHAKE = 5
#: At a time: each may need another descriptor for its destination.
SLOW = 5_000
CONFIGURATION = (
    f"""
[timeouts]
handshake = "{HANDSHAKE}s"
[[listen]]
name = "front"
address = ["127.0.0.1:0"]
half_open = {SLOW + 100}
half_open_per_source = 20
proxy_protocol_from = ["127.0.0.1"]
[[auth.choose]]
from = ["127.0.0.0/8"]
methods = ["none"]
[[rule]]
id = "no"
deny = "any"
to = ["127.0.0.9"]
[[rule]]
id = "all"
allow = ["connect"]
"""
    + LOOPBACK
)
HEADERS = (
    line("127.0.0.77", 4000),
    version2("127.0.0.77", 4000, vectors=vector(2, b"gw.example") + tls(1, 0)),
    checked(version2("2001:db8::7", 4000, "2001:db8::1")),
)


@pytest.fixture
def echo() -> Iterator[Server]:
    """A destination."""
    with Server() as server:
        yield server


def _served(gateway: Running, echo: Server) -> None:
    """A client is whose header comes as headers do."""
    with raw.dial(gateway.port) as client:
        client.sendall(line("127.0.0.5", 1) + raw.GREETING)
        assert exactly(client, 2) == b"\x05\x00"
        client.sendall(raw.request5(*echo.place))
        assert raw.reply5(client)[0] == 0
        client.sendall(b"hello")
        assert exactly(client, 5) == b"hello"


def test_slow(gateway: Gateway, echo: Server) -> None:
    """
    10,000 connections of one sender whose headers come in parts, or never: others are
    served, and each is closed at the absolute deadline, without a line.
    """
    with descriptorsFor(3 * SLOW):
        started = settled(gateway(CONFIGURATION))
        for _ in range(2):
            _slowly(started, echo)
        assert started.journal("refused") + started.journal("refusals") == []


def _slowly(started: Running, echo: Server) -> None:
    """As many as there may be at a time."""
    _served(started, echo)
    before = started.sockets
    with ExitStack() as stack:
        began: list[socket.socket] = []
        rest: dict[socket.socket, Iterator[int]] = {}
        for number in range(SLOW):
            client = stack.enter_context(closing(raw.dial(started.port)))
            began.append(client)
            header = HEADERS[number % len(HEADERS)]
            sent = number % (len(header) - 8)
            client.sendall(header[:sent])
            rest[client] = iter(header[sent:])
        _served(started, echo)
        waited = time.monotonic()
        for _ in range(3):
            for client in began[-500:]:
                _dribble(client, rest[client])
            now = time.monotonic()
            _served(started, echo)
            assert time.monotonic() - now < 5
            time.sleep(0.5)
        assert not isClosed(began[-1])
        until(lambda: all(map(isClosed, began)), HANDSHAKE + 30)
        assert time.monotonic() - waited < HANDSHAKE + 20
    until(lambda: started.sockets <= before)
    _served(started, echo)


def _dribble(client: socket.socket, rest: Iterator[int]) -> None:
    """One octet more; a client that is closed meanwhile is found out later."""
    try:
        client.send(bytes((next(rest),)))
    except OSError:
        pass


def test_madeUp(gateway: Gateway) -> None:
    """
    Whatever a sender passes on, each client has one line, of printable ASCII, as the
    catalogue has it.
    """
    started = gateway(CONFIGURATION)
    made = random.Random(12)
    every = bytes(range(256))
    values = [every, every[::-1], b'"}\n{"event":"end"', b"\x1b[2J\r\n", b"\\" * 300]
    values += [made.randbytes(made.randrange(200)) for _ in range(300)]
    for value in values:
        told = b"".join(
            (
                vector(1, value),
                vector(2, value),
                vector(5, value[:128]),
                vector(0x30, value),
                tls(
                    7, 1, vector(0x21, value), vector(0x22, value), vector(0x23, value)
                ),
            )
        )
        with raw.dial(started.port) as client:
            header = checked(version2("127.0.0.77", 4000, vectors=told))
            client.sendall(header + raw.request4("127.0.0.9", 80))
            assert raw.reply4(client)[0] == 91
    found = started.journal("decision")
    assert len(found) == len(values)
    assert {each["client"] for each in found} == {"127.0.0.77:4000"}
    assert {len(each["told"]) for each in found} == {8}
    for file in (started.directory / "var" / "audit").glob("*.jsonl"):
        octets = file.read_bytes()
        assert octets.isascii()
        assert octets.replace(b"\n", b"").decode().isprintable()
        assert max(map(len, octets.split(b"\n"))) < 8_000


def test_broken(gateway: Gateway) -> None:
    """
    Mutations of headers, cut and joined: a client of the header's, or none; the
    gateway serves on, and what it records is true.
    """
    started = gateway(CONFIGURATION)
    made = random.Random(13)
    for _ in range(1_500):
        octets = bytearray(made.choice(HEADERS))
        for _ in range(made.randrange(1, 4)):
            at = made.randrange(len(octets))
            octets[at : at + made.randrange(3)] = made.randbytes(made.randrange(3))
        with raw.dial(started.port) as client:
            try:
                client.sendall(bytes(octets) + raw.request4("127.0.0.9", 80))
                client.shutdown(socket.SHUT_WR)
                while client.recv(100):
                    pass
            except ConnectionError:
                pass
    lines = started.journal()
    assert {each.get("reason") for each in lines if "client" in each} <= {
        *("proxy-header", "proxy-missing", "protocol", "policy"),
        *("client-lost", "no-acceptable-method", "bad-destination"),
    }
    for each in lines:
        if each["event"] == "refused" and each["reason"].startswith("proxy-"):
            assert each["client"].startswith("127.0.0.1:")


def test_withoutHeaders(gateway: Gateway) -> None:
    """
    A balancer that sends none is told so, in lines that are throttled: the rest is
    summed, and not one is lost.
    """
    started = gateway(CONFIGURATION)
    # Each worker writes so many lines before it sums.
    number = 3_000 * WORKERS
    for _ in range(number):
        with raw.dial(started.port) as client:
            client.sendall(raw.GREETING)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            try:
                assert client.recv(1) == b""
            except ConnectionResetError:
                pass

    def counted() -> int:
        return len(started.journal("refused")) + sum(started.summed.values())

    until(lambda: counted() >= number, seen=counted)
    assert counted() == number
    lines = started.journal("refused")
    assert len(lines) < number * 2 / 3
    assert {each["reason"] for each in lines} == {"proxy-missing"} == {*started.summed}
    assert "send-proxy-v2" in lines[0]["why"]
