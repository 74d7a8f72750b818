"""
The packet filter on a UDP socket, asked of the kernel itself.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from socksgw.system.bpf import admitMarked
from socksgw.system.filter import admitOnly, dropped
from socksgw.wire.address import Address
from tests.live.servers import missing
from tests.tools.sockets import udp


class Sockets:
    """
    One that receives, and others that send to it.
    """

    def __init__(self, stack: ExitStack, host: str) -> None:
        self._stack = stack
        self.receiver = stack.enter_context(udp(host))
        self.place = self.receiver.getsockname()[:2]

    def sender(self, host: str, port: int = 0) -> socket.socket:
        return self._stack.enter_context(udp(host, port))

    def received(self) -> list[bytes]:
        """Everything that has come, and comes in a moment."""
        found = []
        end = time.monotonic() + 0.05
        while True:
            try:
                found.append(self.receiver.recv(100))
            except BlockingIOError:
                if time.monotonic() > end:
                    return found


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as made:
        yield made


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_thePort(stack: ExitStack, host: str) -> None:
    """Only the one sender passes; the others are counted."""
    sockets = Sockets(stack, host)
    right, wrong = sockets.sender(host), sockets.sender(host)
    before = dropped(sockets.receiver)
    assert admitOnly(sockets.receiver, Address.parse(host), right.getsockname()[1])
    for number in range(5):
        wrong.sendto(b"wrong", sockets.place)
        right.sendto(b"%d" % number, sockets.place)
    assert sockets.received() == [b"0", b"1", b"2", b"3", b"4"]
    assert dropped(sockets.receiver) - before == 5


@pytest.mark.parametrize(
    ("address", "passing", "dropping"),
    [
        ("127.0.0.1", ["127.0.0.1"], ["127.0.0.2", "127.1.0.1"]),
        ("127.255.1.2", ["127.255.1.2"], ["127.0.0.1", "127.255.1.3"]),
    ],
)
def test_theAddress(
    stack: ExitStack, address: str, passing: list[str], dropping: list[str]
) -> None:
    """Any port of it, and nobody else."""
    sockets = Sockets(stack, "127.0.0.1")
    assert admitOnly(sockets.receiver, Address.parse(address), None)
    for host in dropping:
        sockets.sender(host).sendto(b"no", sockets.place)
    for host in passing * 3:
        sockets.sender(host).sendto(b"yes", sockets.place)
    assert sockets.received() == [b"yes"] * 3


def test_anotherIpv6Address(stack: ExitStack) -> None:
    """All sixteen octets count: ::1 is no other address that ends so."""
    sockets = Sockets(stack, "::1")
    sender = sockets.sender("::1")
    for address in ("::2", "1::1", "0:0:0:1::1", "0:0:1::1", "::1:0:1"):
        assert admitOnly(sockets.receiver, Address.parse(address), None)
        sender.sendto(b"no", sockets.place)
    assert admitOnly(sockets.receiver, Address.parse("::1"), None)
    sender.sendto(b"yes", sockets.place)
    assert sockets.received() == [b"yes"]


def test_oneFilterInPlaceOfTheOther(stack: ExitStack) -> None:
    """The last one counts."""
    sockets = Sockets(stack, "127.0.0.1")
    one, two = sockets.sender("127.0.0.1"), sockets.sender("127.0.0.1")
    address = Address.parse("127.0.0.1")
    for chosen in (one, two):
        assert admitOnly(sockets.receiver, address, chosen.getsockname()[1])
        one.sendto(b"one", sockets.place)
        two.sendto(b"two", sockets.place)
    assert sockets.received() == [b"one", b"two"]


@pytest.mark.parametrize("size", [0, 1, 8, 9000, 65507])
def test_everySize(stack: ExitStack, size: int) -> None:
    """Whole, and also without any data."""
    sockets = Sockets(stack, "127.0.0.1")
    sender = sockets.sender("127.0.0.1")
    address = Address.parse("127.0.0.1")
    assert admitOnly(sockets.receiver, address, sender.getsockname()[1])
    sender.sendto(b"x" * size, sockets.place)
    octets, _ = sockets.receiver.recvfrom(1 << 16)
    assert octets == b"x" * size


def test_whereThereIsNone(stack: ExitStack) -> None:
    """A socket that takes no filter, or tells no number: no error."""
    closed = udp("127.0.0.1")
    closed.close()
    assert admitOnly(closed, Address.parse("127.0.0.1"), 1) is False
    assert dropped(closed) == 0


def test_theMark(stack: ExitStack) -> None:
    """Only marked packets pass, alone or of one sender; the bit is asked for."""
    sockets = Sockets(stack, "127.0.0.1")
    bare, marked, more = (sockets.sender("127.0.0.1") for _ in range(3))
    try:
        marked.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, 0x10)
        more.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, 0x30)
    except PermissionError:
        missing("root, to mark packets")

    def received() -> list[bytes]:
        for each, text in ((bare, b"bare"), (marked, b"marked"), (more, b"more")):
            each.sendto(text, sockets.place)
        return sockets.received()

    assert admitMarked(sockets.receiver, 0x10)
    assert received() == [b"marked", b"more"]
    address, port = Address.parse("127.0.0.1"), more.getsockname()[1]
    assert admitOnly(sockets.receiver, address, port, 0x10)
    assert received() == [b"more"]
    assert admitOnly(sockets.receiver, address, bare.getsockname()[1], 0x10)
    assert received() == []
