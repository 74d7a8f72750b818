"""
Octets in bulk, the ends of connections, and many connections at once.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import resource
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from tests.interop.shared import Shared
from tests.live import raw
from tests.live.running import VERSIONS, Running
from tests.live.servers import PATIENCE, Destination, Sink, echo, untilEnd
from tests.tools.waiting import until

MIB = 1 << 20
BULK = 100 * MIB


@pytest.fixture(scope="module")
def bulk() -> tuple[bytes, bytes]:
    """100 MiB without a pattern for each way."""
    chance = random.Random(1928)
    return chance.randbytes(BULK), chance.randbytes(BULK)


def digest(octets: bytes) -> str:
    return hashlib.sha256(octets).hexdigest()


@pytest.mark.parametrize(
    ("ways", "version"), [("up", 5), ("down", 5), ("both", 5), ("both", 6)]
)
def test_bulk(
    shared: Shared,
    destination: Callable[..., Destination],
    bulk: tuple[bytes, bytes],
    ways: str,
    version: int,
) -> None:
    """
    100 MiB each way, one after the other and both at once, arrive with equal
    hashes, and are counted exactly.
    """
    up = bulk[0] if ways != "down" else b""
    down = bulk[1] if ways != "up" else b""
    arrived: list[str] = []

    def serve(connection: socket.socket) -> None:
        sink = Sink(connection)
        connection.sendall(down)
        connection.shutdown(socket.SHUT_WR)
        arrived.append(sink.digest)
        whole.wait(PATIENCE)

    # Both stay open until all has arrived: short of memory for TCP, the kernel
    # resets what was closed with octets still to send.
    whole = threading.Event()
    server = destination(serve)
    with raw.dial(shared.open) as client:
        raw.through(client, "127.0.0.1", server.port, version)
        sink = Sink(client)
        client.sendall(up)
        client.shutdown(socket.SHUT_WR)
        got = sink.digest
        whole.set()
        until(lambda: arrived, PATIENCE)
    assert got == digest(down)
    assert arrived == [digest(up)]
    line = raw.end(shared.gateway, server.port)
    assert (line["sent"], line["received"]) == (len(up), len(down))
    assert line["reason"] == "closed"


AMOUNTS = pytest.mark.parametrize(
    ("amount", "version"),
    [(1, 5), (65536, 5), (3 * MIB + 17, 5), (1, 6), (3 * MIB + 17, 6)],
)


@AMOUNTS
def test_clientEndsFirst(
    shared: Shared,
    destination: Callable[..., Destination],
    amount: int,
    version: int,
) -> None:
    """
    The client ends its side; the destination sees that end, and what it
    answers afterwards arrives whole.
    """
    up, down = random.Random(1).randbytes(amount), random.Random(2).randbytes(amount)
    arrived: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        arrived.append(untilEnd(connection))
        connection.sendall(down)

    server = destination(serve)
    with raw.dial(shared.open) as client:
        raw.through(client, "127.0.0.1", server.port, version)
        client.sendall(up)
        client.shutdown(socket.SHUT_WR)
        assert digest(untilEnd(client)) == digest(down)
    assert digest(arrived[0]) == digest(up)
    line = raw.end(shared.gateway, server.port)
    assert (line["sent"], line["received"]) == (amount, amount)
    assert line["reason"] == "closed"


@AMOUNTS
def test_destinationEndsFirst(
    shared: Shared,
    destination: Callable[..., Destination],
    amount: int,
    version: int,
) -> None:
    """
    The destination ends its side; the client sees that end, and what it
    sends afterwards arrives whole.
    """
    up, down = random.Random(3).randbytes(amount), random.Random(4).randbytes(amount)
    arrived: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        connection.sendall(down)
        connection.shutdown(socket.SHUT_WR)
        arrived.append(untilEnd(connection))

    server = destination(serve)
    with raw.dial(shared.open) as client:
        raw.through(client, "127.0.0.1", server.port, version)
        assert digest(untilEnd(client)) == digest(down)
        client.sendall(up)
        client.shutdown(socket.SHUT_WR)
        until(lambda: arrived)
    assert digest(arrived[0]) == digest(up)
    line = raw.end(shared.gateway, server.port)
    assert (line["sent"], line["received"]) == (amount, amount)
    assert line["reason"] == "closed"


def test_nothingSent(shared: Shared, destination: Callable[..., Destination]) -> None:
    """A session without an octet is counted as that."""
    server = destination(lambda c: None)
    with raw.dial(shared.open) as client:
        raw.through(client, "127.0.0.1", server.port)
        assert untilEnd(client) == b""
    line = raw.end(shared.gateway, server.port)
    assert (line["sent"], line["received"]) == (0, 0)
    assert line["reason"] == "closed"


BURST = 1000


@pytest.fixture
def descriptors() -> Iterator[None]:
    """As many for this process as a burst takes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = 4 * BURST + 200
    if soft < needed:
        if hard < needed:
            pytest.skip(f"needs ulimit -n {needed}")
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def _burst(gateway: int) -> list[bytes]:
    """
    Connect all at once, and hold every connection until all are served.

    @return: what each client was answered.
    """
    arrived = asyncio.Event()
    serving: list[asyncio.Task[None]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        token = await reader.readexactly(8)
        serving.append(task)
        if len(serving) == BURST:
            arrived.set()
        await arrived.wait()
        writer.write(hashlib.sha256(token).digest())
        writer.write_eof()
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()

    async def one(number: int) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway)
        if number % 3 == 0:
            writer.write(raw.GREETING + raw.request5("127.0.0.1", port))
            answer = await reader.readexactly(12)
            assert answer[:6] == b"\x05\0\x05\0\0\x01"
        elif number % 3 == 1:
            writer.write(raw.request4("127.0.0.1", port))
            answer = await reader.readexactly(8)
            assert answer[:2] == b"\0\x5a"
        else:
            writer.write(raw.request6("127.0.0.1", port))
            answer = await reader.readexactly(16)
            assert answer[:8] == b"\x06\0\0\0\x06\0\0\0"
        writer.write(number.to_bytes(8, "big"))
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        return answer

    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=BURST)
    port = server.sockets[0].getsockname()[1]
    async with server:
        async with asyncio.timeout(60):
            answers = await asyncio.gather(*[one(n) for n in range(BURST)])
            await asyncio.gather(*serving)
    return answers


def test_burst(
    gateway: Callable[..., Running],
    destination: Callable[..., Destination],
    descriptors: None,
) -> None:
    """
    1,000 connections at once, by the three versions of SOCKS, are all served, each
    with its own answer, all live at the same time; afterwards the gateway has as many
    descriptors open as before.
    """
    running = gateway(VERSIONS)
    server = destination(echo)
    with raw.dial(running.port) as client:
        # So that everything that is opened once is open.
        raw.through(client, "127.0.0.1", server.port)
        client.shutdown(socket.SHUT_WR)
        assert untilEnd(client) == b""
    raw.end(running, server.port)
    before = running.descriptors
    answers = asyncio.run(_burst(running.port))
    assert answers == [
        hashlib.sha256(n.to_bytes(8, "big")).digest() for n in range(BURST)
    ]
    until(lambda: len(running.journal("end")) == BURST + 1)
    spoken = Counter(line["protocol"] for line in running.journal("decision"))
    assert spoken == {"socks5": 335, "socks4": 333, "socks6": 333}
    until(lambda: running.descriptors == before)
