"""
What a connection has of IP and TCP, by the kernel's word.
"""

from __future__ import annotations

import errno
import socket
from contextlib import closing

import pytest
from twisted.logger import capturedLogs, eventAsText

from socksgw.system import sockets
from socksgw.system.domains import HERE
from socksgw.system.once import Once
from socksgw.system.stack import Dress, Dressed, found, wear
from socksgw.wire.stacks import MULTIPATH, NO, NO_FRAGMENTATION, TOS, TTL, YES

STREAM = socket.SOCK_STREAM


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_octets(family: int) -> None:
    """Of IPv4 and of IPv6; what the kernel refuses stays as it is."""
    with socket.socket(family, STREAM) as made:
        usual = found(made, TTL)
        for which, value in ((TOS, 0x28), (TTL, 9)):
            wear(made, which, value)
            assert found(made, which) == value
        for value in (YES, NO):
            wear(made, NO_FRAGMENTATION, value)
            assert found(made, NO_FRAGMENTATION) == value
        wear(made, TTL, 0)
        assert found(made, TTL) == 9 != usual
        # The bits of ECN are TCP's own.
        wear(made, TOS, 0x4B)
        assert found(made, TOS) == 0x48
        assert found(made, MULTIPATH) == NO


def test_whatHasNone() -> None:
    """A Unix socket has nothing of IP."""
    with socket.socket(socket.AF_UNIX) as made:
        wear(made, TOS, 8)
        assert found(made, TOS) is None


@pytest.mark.parametrize("multipath", [True, False])
def test_dressed(multipath: bool) -> None:
    """Sockets for streams are dressed, and may be MPTCP; others are as they are."""
    dressed = Dressed(HERE, Dress(lambda opened: wear(opened, TOS, 0x28), multipath))
    with closing(dressed.open(socket.AF_INET, STREAM)) as stream:
        assert found(stream, TOS) == 0x28
        # Which of the two it is, as the kernel says (IPPROTO_MPTCP).
        protocol = stream.getsockopt(socket.SOL_SOCKET, socket.SO_PROTOCOL)
        assert protocol == (262 if multipath else socket.IPPROTO_TCP)
    with closing(dressed.open(socket.AF_INET, socket.SOCK_DGRAM)) as datagrams:
        assert found(datagrams, TOS) == 0
    assert dressed.bound is False
    assert dressed.ready(socket.AF_INET, STREAM) is None


class First:
    """The first octets of a stream."""

    def octets(self) -> bytes:
        return b"hello"

    def went(self, count: int) -> None:
        pass


def refused(address: tuple[str, int]) -> bool:
    """Whether the kernel refuses to have both (Linux before 6.2)."""
    with socket.socket(socket.AF_INET, STREAM, 262) as made:
        made.setblocking(False)
        try:
            made.sendto(b"hello", socket.MSG_FASTOPEN, address)
        except OSError as e:
            return e.errno == errno.EOPNOTSUPP
    return False


def test_fastOpenWithMPTCP(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A kernel that does not do both is logged once, with the remedy; that says nothing of
    TCP Fast Open alone. The connection is made.
    """
    monkeypatch.setattr(sockets, "_told", Once())
    dressed = Dressed(HERE, Dress(lambda _: None, True, first=First()))
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_server(("127.0.0.1", 0)) as another,
        capturedLogs() as logged,
    ):
        server.settimeout(20)
        for _ in range(2):
            with closing(dressed.open(socket.AF_INET, STREAM)) as opened:
                opened.connect_ex(server.getsockname())
                server.accept()[0].close()
        expected = int(refused(another.getsockname()))
    said = [eventAsText(event) for event in logged]
    assert len(said) == expected
    assert all("TCP Fast Open with MPTCP is refused here" in each for each in said)
    assert all("Linux 6.2" in each and "stack of the listener" in each for each in said)
