"""
Runs that are read in place, from real sockets.
"""

from __future__ import annotations

from collections.abc import Iterator
from os import readv
from socket import socket as Socket

import pytest

from socksgw.relay import placed
from socksgw.relay.placed import (
    ANSWERS,
    ASKED,
    LAST,
    MORE,
    answersOf,
    askedOf,
    stamp,
)
from socksgw.relay.segments import BATCH, RUN
from tests.tools.sockets import udp

HEAD = b"0123456789"


@pytest.fixture
def sockets() -> Iterator[tuple[Socket, Socket]]:
    """One that sends to the other."""
    with udp("127.0.0.1") as sender, udp("127.0.0.1") as receiver:
        sender.connect(receiver.getsockname())
        yield sender, receiver


def asked(receiver: Socket) -> tuple[int, int, bytes]:
    """How many followed the first, what came behind them, and the payloads."""
    length = readv(receiver.fileno(), [ASKED])
    places = askedOf(len(HEAD), length)
    count, came = places.fill(receiver.fileno(), HEAD)
    size = length - len(HEAD)
    return count, came, bytes(ASKED[len(HEAD) : length + count * size])


@pytest.mark.parametrize(
    "behind", [b"", HEAD, HEAD + b"a", HEAD + b"abcd", b"x", b"0" * 13]
)
def test_asked(sockets: tuple[Socket, Socket], behind: bytes) -> None:
    """Payloads lie one after the other, and what is no part of the run behind them."""
    sender, receiver = sockets
    for octets in (b"abc", b"def", b"ghi"):
        sender.send(HEAD + octets)
    sender.send(behind)
    assert asked(receiver) == (2, len(behind), b"abcdefghi")
    places = askedOf(len(HEAD), len(HEAD) + 3)
    rest = len(behind) - len(HEAD)
    end = len(HEAD) + 9
    assert places.header[: len(behind)] + ASKED[end : end + max(0, rest)] == behind


def test_more(sockets: tuple[Socket, Socket]) -> None:
    """There are as many places as a run was long, up to the most that leave at once."""
    placed._asked.clear()
    sender, receiver = sockets
    longest = 0
    for _ in range(8):
        for _ in range(BATCH + 1):
            sender.send(HEAD + b"abc")
        count, came, octets = asked(receiver)
        assert came == MORE
        assert octets == b"abc" * (count + 1)
        assert count >= longest
        longest = count
        while count + 1 <= BATCH:
            receiver.recv(100)
            count += 1
    assert longest == BATCH - 1


@pytest.mark.parametrize("size", [1, 1200, 30_000, 65_000])
def test_theLongest(sockets: tuple[Socket, Socket], size: int) -> None:
    """No run is longer than one packet of IP."""
    sender, receiver = sockets
    for _ in range(10):
        sender.send(HEAD + bytes(size))
        sender.send(HEAD + bytes(size))
        count, came, octets = asked(receiver)
        assert len(octets) <= RUN
        assert (count, came) in {(1, LAST), (1, MORE), (0, MORE)}
        if not count:
            receiver.recv(1 << 16)


def test_stamped(sockets: tuple[Socket, Socket]) -> None:
    """Headers stay before the payloads, whatever was read over them."""
    sender, receiver = sockets

    def answer(*payloads: bytes) -> bytes:
        for each in payloads:
            sender.send(each)
        length = readv(receiver.fileno(), [memoryview(ANSWERS)[len(HEAD) :]])
        size = len(HEAD) + length
        count, _ = answersOf(len(HEAD), size).fill(receiver.fileno(), b"")
        stamp(HEAD, size, count + 1)
        return bytes(ANSWERS[: (count + 1) * size])

    for _ in range(2):
        assert (
            answer(b"abc", b"def", b"ghi")
            == HEAD + b"abc" + HEAD + b"def" + HEAD + b"ghi"
        )
        # Longer than the place, and then a run of the size before.
        assert answer(b"abc", b"x" * 100) == HEAD + b"abc"
        assert answer(b"abc", b"def", b"ghi") == b"".join(
            HEAD + each for each in (b"abc", b"def", b"ghi")
        )
        assert answer(b"y" * 100) == HEAD + b"y" * 100
        assert answer(b"", b"") == HEAD + HEAD


def test_kindsAreBounded() -> None:
    """What is prepared is kept for a number of sizes."""
    for size in range(20, 20 + 3 * placed._KINDS):
        askedOf(10, size)
        answersOf(10, size)
    assert len(placed._asked) <= placed._KINDS
    assert len(placed._answers) <= placed._KINDS
