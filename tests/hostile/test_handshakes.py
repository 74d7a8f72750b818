"""
Attacks on a TLS listener of the configuration's own: clients that take their
time with the handshake, that want too much, that do not read.
"""

from __future__ import annotations

import random
import select
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import cache
from pathlib import Path

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
    request5,
)
from tests.live.running import OPEN, Running, resident, running, settled
from tests.tools.certificates import Authority, server
from tests.tools.waiting import until

#: The absolute deadline, from accept to request, TLS included, in seconds.
HANDSHAKE = 2
SLOW = 200

CONFIGURATION = (
    '[timeouts]\nhandshake = "{seconds}s"\n[relay]\nmemory = "8MB"\n'
    + OPEN.replace(
        "[[auth",
        "half_open = 1000\nhalf_open_per_source = {most}\n"
        '[listen.tls]\ncertificate = "{file}"\nkey = "{key}"\n[[auth',
        1,
    )
)


@cache
def contextFor() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def started(directory: Path, most: int, seconds: int = HANDSHAKE) -> Iterator[Running]:
    """
    A gateway.

    @param most: clients of a source that are half-open, at most.
    @param seconds: the deadline.
    """
    directory.mkdir(exist_ok=True)
    own = server(Authority())
    file, key = own.write(directory, "gw")
    configuration = CONFIGURATION.format(file=file, key=key, most=most, seconds=seconds)
    yield from running(directory, configuration)


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One gateway for most of them."""
    for each in started(tmp_path_factory.mktemp("serving"), 1000):
        yield settled(each)


@pytest.fixture
def echo() -> Iterator[Server]:
    with Server() as made:
        yield made


def tunnel(gateway: Running, destination: Server, **options: int) -> ssl.SSLSocket:
    """A client that is through."""
    plain = opened(gateway.port, "127.0.0.9", **options)
    client = contextFor().wrap_socket(plain)
    request = request5(four("127.0.0.1"), destination.port)
    client.sendall(GREETING + request)
    assert exactly(client, 2) == b"\x05\x00"
    assert replied5(client) == 0
    return client


@cache
def helloOf() -> bytes:
    """A ClientHello, as OpenSSL says it."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = contextFor().wrap_bio(incoming, outgoing)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


def silent(_: socket.socket) -> Iterator[None]:
    """Says nothing."""
    yield


def half(client: socket.socket) -> Iterator[None]:
    """Says half a ClientHello."""
    client.send(helloOf()[:100])
    yield


def dribbling(client: socket.socket) -> Iterator[None]:
    """Says it an octet at a time."""
    for octet in helloOf():
        client.send(bytes((octet,)))
        yield


def unfinished(client: socket.socket) -> Iterator[None]:
    """Says it whole, and no more."""
    client.send(helloOf())
    yield


def early(client: socket.socket) -> Iterator[None]:
    """The handshake is whole, and of the greeting the first octet came."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    secured = contextFor().wrap_bio(incoming, outgoing)
    while True:
        try:
            secured.do_handshake()
            break
        except ssl.SSLWantReadError:
            client.send(outgoing.read())
            select.select([client], [], [], 5)
            incoming.write(client.recv(1 << 14))
    secured.write(GREETING[:1])
    client.send(outgoing.read())
    yield


KINDS = (silent, half, dribbling, unfinished, early)


def test_slowHandshakes(serving: Running, echo: Server) -> None:
    """
    Whoever does not come to its request is closed at the absolute deadline and
    not before, whatever it does meanwhile; nobody else waits for them, and
    nothing is left.
    """
    with descriptorsFor(3 * SLOW), ExitStack() as stack:
        stack.enter_context(closing(tunnel(serving, echo))).close()
        before = serving.descriptors
        began: dict[socket.socket, float] = {}
        doing: list[tuple[socket.socket, Iterator[None]]] = []
        for number in range(SLOW):
            when = time.monotonic()
            client = stack.enter_context(closing(opened(serving.port)))
            client.setblocking(False)
            began[client] = when
            doing.append((client, KINDS[number % len(KINDS)](client)))
        ended: dict[socket.socket, float] = {}
        honest: list[float] = []
        until_ = time.monotonic() + HANDSHAKE + 10
        while len(ended) < SLOW and time.monotonic() < until_:
            for client, going in doing:
                if client in ended:
                    continue
                try:
                    next(going, None)
                    if isClosed(client):
                        ended[client] = time.monotonic() - began[client]
                except OSError:
                    ended[client] = time.monotonic() - began[client]
            when = time.monotonic()
            with closing(tunnel(serving, echo)) as neighbour:
                neighbour.sendall(b"hello")
                assert exactly(neighbour, 5) == b"hello"
            honest.append(time.monotonic() - when)
            select.select([], [], [], 0.05)
        assert len(ended) == SLOW
        assert min(ended.values()) >= HANDSHAKE
        assert max(ended.values()) < HANDSHAKE + 5
        assert max(honest) < 2
        until(lambda: serving.descriptors <= before)


def test_halfOpenLimit(tmp_path: Path) -> None:
    """TLS counts as half-open, too: one more of a source is closed at once."""
    with ExitStack() as stack:
        # Whoever is closed here is not closed by the deadline.
        gateway = contextmanager(started)(tmp_path / "few", 5, 120)
        serving = stack.enter_context(gateway)
        clients = []
        for _ in range(5):
            client = stack.enter_context(closing(opened(serving.port)))
            client.send(helloOf())
            # It was let in before the next one comes, whichever process has it.
            assert client.recv(1) == b"\x16"
            clients.append(client)
        more = stack.enter_context(closing(opened(serving.port)))
        until(lambda: isClosed(more))
        assert not any(isClosed(client) for client in clients)


def test_garbage(serving: Running, echo: Server) -> None:
    """
    Handshakes that are changed anywhere, and octets without sense: no answer
    of SOCKS, no defect in the log, nothing left, and others are served.
    """
    with closing(tunnel(serving, echo)):
        pass
    before, refused = serving.descriptors, len(serving.journal("refused"))
    chance = random.Random(11)
    hello = helloOf()
    for number in range(150):
        octets = bytearray(hello if number % 3 else chance.randbytes(300))
        for _ in range(chance.randrange(1, 8)):
            octets[chance.randrange(len(octets))] = chance.randrange(256)
        if number % 2:
            del octets[chance.randrange(len(octets)) :]
        with closing(opened(serving.port)) as client:
            client.sendall(bytes(octets))
            try:
                client.shutdown(socket.SHUT_WR)
                # Nothing, an alert, or a ServerHello (RFC 8446 section 5.1).
                assert client.recv(1) in (b"", b"\x15", b"\x16")
            except OSError:
                # It was closed at once.
                pass
    until(lambda: serving.descriptors <= before)
    assert len(serving.journal("refused")) == refused
    with closing(tunnel(serving, echo)):
        pass


def test_stalledReaders(serving: Running) -> None:
    """
    Clients that ask for a download and do not read it: what is held for them is
    bounded, neighbours go on, and all is given back.
    """
    stalled, size = 40, 3_000_000
    with ExitStack() as stack:
        flood = stack.enter_context(Server(flood=True))
        neighbour = stack.enter_context(Server(flood=True, octets=size))
        with closing(tunnel(serving, neighbour)) as client:
            assert len(read(client)) == size
        before, descriptors = resident(serving), serving.descriptors
        clients = [
            stack.enter_context(closing(tunnel(serving, flood, buffer=4096)))
            for _ in range(stalled)
        ]
        sent = -1
        while sent != flood.sent:
            sent = flood.sent
            time.sleep(0.3)
        # The budget, and for each what OpenSSL needs.
        assert resident(serving) - before <= 8_000_000 + stalled * 150_000 + 5_000_000
        with closing(tunnel(serving, neighbour)) as client:
            assert len(read(client)) == size
        for client in clients:
            client.close()
        until(lambda: serving.descriptors <= descriptors)


def read(client: ssl.SSLSocket) -> bytes:
    """Everything until the orderly end."""
    parts = []
    while octets := client.recv(1 << 16):
        parts.append(octets)
    return b"".join(parts)
