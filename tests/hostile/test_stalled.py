"""
Readers that do not read.
"""

from __future__ import annotations

import fcntl
import os
import re
import selectors
import socket
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

import pytest

from tests.live.clients import (
    Server,
    descriptorsFor,
    four,
    isClosed,
    reset,
    tunnel,
)
from tests.live.datagrams import asking
from tests.live.raw import option6, request6
from tests.live.running import VERSIONS, WORKERS, Running, resident, settled
from tests.tools.waiting import until

Gateway = Callable[..., Running]

#: What the gateway may hold for all of them: less than they would have it hold, and not
#: less than a worker may be given.
MEMORY = 1_100_000 * WORKERS
#: What else a gateway with some hundred clients may need.
ELSE = 40_000_000

#: Of SOCKS, as clients speak it in turn.
_BOTH = (5, 6)

_CONFIGURATION = f'[relay]\nmemory = "{MEMORY}B"\n' + VERSIONS


def inPipes(gateway: Running) -> int:
    """How many octets its pipes hold, and those of its workers."""
    held: dict[str, int] = {}
    for pid in gateway.processes:
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            try:
                pipe = os.readlink(descriptor)
                if not pipe.startswith("pipe:") or pipe in held:
                    continue
                opened = os.open(descriptor, os.O_RDONLY | os.O_NONBLOCK)
            except OSError:
                continue
            try:
                octets = fcntl.ioctl(opened, termios.FIONREAD, b"\0\0\0\0")
                held[pipe] = struct.unpack("i", octets)[0]
            finally:
                os.close(opened)
    return sum(held.values())


def held(gateway: Running, port: int) -> int:
    """
    Return how many octets the gateway holds, when nothing moves any more: what it has
    read of its connections on either side, and written to none on the other.

    Both are counted at its own sockets: what one end has not been told of yet, the other
    may have.

    @param port: where its destinations are.
    """
    read = written = 0
    command = ["ss", "-HOtin", "state", "established"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for line in told.splitlines():
        received, sent, here, there, rest = line.split(maxsplit=4)
        if f"127.0.0.1:{gateway.port}" == here or f"127.0.0.1:{port}" == there:
            facts = dict(re.findall(r"(bytes_received|bytes_acked):(\d+)", rest))
            read += int(facts.get("bytes_received", 0)) - int(received)
            written += int(facts.get("bytes_acked", 0)) + int(sent)
    return read - written


def _received(gateway: Running, neighbour: Server, octets: int) -> bool:
    """Whether a neighbour's downloads come whole, one by each version."""
    for version in _BOTH:
        with closing(tunnel(gateway.port, neighbour.place, version=version)) as client:
            came = 0
            while more := client.recv(1 << 16):
                came += len(more)
        if came != octets:
            return False
    return True


@pytest.mark.parametrize(
    ("stalled", "segment"), [(64, 0), (500, 536)], ids=["pipes", "buffers"]
)
def test_stalledReadersHoldABoundedAmount(
    gateway: Gateway, stalled: int, segment: int
) -> None:
    """
    However many clients ask for a download and do not read it, the gateway
    holds no more than C{[relay] memory} for them, in its pipes or its
    memory, a neighbour's download goes on, and when they leave everything is
    given back.
    """
    size = 10_000_000
    with ExitStack() as stack:
        stack.enter_context(descriptorsFor(4 * stalled + 500))
        flood = stack.enter_context(Server(flood=True))
        neighbour = stack.enter_context(Server(flood=True, octets=size))
        started = settled(gateway(_CONFIGURATION))
        assert _received(started, neighbour, size)
        before, fewest = resident(started), started.sockets
        clients = []
        for number in range(stalled):
            client = tunnel(
                started.port,
                flood.place,
                buffer=4096,
                segment=segment,
                version=_BOTH[number % 2],
            )
            clients.append(stack.enter_context(closing(client)))
        until(lambda: _settled(flood), 60)
        if segment == 0:
            # The kernel takes enough to make it a bulk transfer, and then
            # pipes hold what is left.
            until(lambda: inPipes(started))
        assert 0 < held(started, flood.port) <= MEMORY
        assert resident(started) - before <= MEMORY + ELSE
        assert _received(started, neighbour, size)
        until(lambda: _settled(flood), 60)
        assert held(started, flood.port) <= MEMORY
        for client in clients:
            client.close()
        until(lambda: started.sockets <= fewest)
        until(lambda: inPipes(started) == 0)
        until(lambda: len(started.journal("end")) == stalled + 4)
        assert _received(started, neighbour, size)


def _fill(clients: list[socket.socket]) -> None:
    """Send until nobody takes any more."""
    quiet = time.monotonic()
    while time.monotonic() < quiet + 0.5:
        for client in clients:
            client.setblocking(False)
            with suppress(BlockingIOError):
                client.send(bytes(1 << 20))
                quiet = time.monotonic()
        time.sleep(0.1)


def test_stalledUploads(gateway: Gateway) -> None:
    """
    The same for servers that do not read: their clients stop being read, no
    more than the budget is held, and when the servers go so do the sessions.
    """
    with ExitStack() as stack:
        started = settled(gateway(_CONFIGURATION))
        fewest, before = started.sockets, resident(started)
        with Server(deaf=True) as deaf:
            clients = [
                stack.enter_context(
                    closing(tunnel(started.port, deaf.place, version=version))
                )
                for version in _BOTH * 24
            ]
            _fill(clients)
            until(lambda: inPipes(started))
            assert 0 < held(started, deaf.port) <= MEMORY
            assert resident(started) - before <= MEMORY + ELSE
        until(lambda: all(isClosed(client) for client in clients))
        until(lambda: started.sockets <= fewest)
        until(lambda: inPipes(started) == 0)


def test_aResetEndsAStalledUpload(gateway: Gateway) -> None:
    """
    A client that has reset its connection is gone: what its upload held is
    given back, though the server reads nothing.
    """
    with ExitStack() as stack:
        started = settled(gateway(_CONFIGURATION))
        fewest = started.sockets
        deaf = stack.enter_context(Server(deaf=True))
        clients = [
            stack.enter_context(
                closing(tunnel(started.port, deaf.place, version=version))
            )
            for version in _BOTH
        ]
        _fill(clients)
        for client in clients:
            reset(client)
        until(lambda: started.sockets <= fewest)


def _settled(flood: Server) -> bool:
    """Whether a flood has nowhere to go any more."""
    sent = flood.sent
    time.sleep(0.5)
    return flood.sent == sent > 0


@contextmanager
def hole() -> Iterator[int]:
    """The port of a server whose queue is full: it never answers a connect."""
    with socket.socket() as full, ExitStack() as stack:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(closing(socket.socket()))
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        yield full.getsockname()[1]


def _sendAndGo(port: int, said: Sequence[bytes], clients: int, atOnce: int) -> None:
    """
    Have many clients say these in turn, as far as it is taken, and go.
    """
    with selectors.DefaultSelector() as selector:
        begun = done = 0
        end = time.monotonic() + 60
        while done < clients:
            assert time.monotonic() < end, f"{done} clients of {clients}"
            while begun < clients and begun - done < atOnce:
                client = socket.socket()
                client.setblocking(False)
                client.connect_ex(("127.0.0.1", port))
                octets = memoryview(said[begun % len(said)])
                left = [octets, time.monotonic() + 2]
                selector.register(client, selectors.EVENT_WRITE, left)
                begun += 1
            ready = [key for key, _ in selector.select(0.1)]
            for key in ready:
                with suppress(BlockingIOError):
                    key.data[0] = key.data[0][key.fileobj.send(key.data[0]) :]  # type: ignore[union-attr]
            for key in list(selector.get_map().values()):
                # What the gateway does not read, it need not take.
                if not key.data[0] or key.data[1] < time.monotonic():
                    selector.unregister(key.fileobj)
                    key.fileobj.close()  # type: ignore[union-attr]
                    done += 1


def test_clientsThatSendMuchAndGo(gateway: Gateway) -> None:
    """
    They ask for what never answers, send 128 KiB behind the request, and go
    before there is a peer: they are seen to go at once, though nothing is read
    of them any more, and what was held for them is given back to the system.
    """
    # Long after the test, a connect is given up.
    late = '[timeouts]\nconnect = "300s"\n' + _CONFIGURATION
    with hole() as silent, descriptorsFor(4000):
        started = settled(gateway(late))
        before, fewest = resident(started), started.sockets
        requests = [asking(version, four("127.0.0.1"), silent, 1) for version in _BOTH]
        # All initial data that there may be is announced, too (section 8.2 of
        # draft-olteanu-intarea-socks-6-11).
        advertised = option6(2, bytes.fromhex("4000 02"))
        requests.append(request6("127.0.0.1", silent, options=advertised))
        said = [request + bytes(1 << 17) for request in requests]
        _sendAndGo(started.port, said, 1500, 300)
        assert resident(started) - before <= MEMORY + ELSE
        until(lambda: started.sockets <= fewest, 60)
        until(lambda: resident(started) <= 1.2 * before)
