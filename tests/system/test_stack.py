"""
What a connection has of IP and TCP, by the kernel's word.
"""

from __future__ import annotations

import socket
from contextlib import closing

import pytest

from socksgw.system.domains import HERE
from socksgw.system.stack import MULTIPATH, Dressed, found, wear

STREAM = socket.SOCK_STREAM


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_octets(family: int) -> None:
    """Of IPv4 and of IPv6; what the kernel refuses stays as it is."""
    with socket.socket(family, STREAM) as made:
        usual = found(made, "ttl")
        for name, value in (("tos", 0x28), ("ttl", 9)):
            wear(made, name, value)
            assert found(made, name) == value
        for value in (1, 0):
            wear(made, "no-fragmentation", value)
            assert found(made, "no-fragmentation") == value
        wear(made, "ttl", 0)
        assert found(made, "ttl") == 9 != usual
        # The bits of ECN are TCP's own.
        wear(made, "tos", 0x4B)
        assert found(made, "tos") == 0x48
        assert found(made, MULTIPATH) == 0


def test_whatHasNone() -> None:
    """A Unix socket has nothing of IP."""
    with socket.socket(socket.AF_UNIX) as made:
        wear(made, "tos", 8)
        assert found(made, "tos") is None


@pytest.mark.parametrize("multipath", [True, False])
def test_dressed(multipath: bool) -> None:
    """Sockets for streams are dressed, and may be MPTCP; others are as they are."""
    sockets = Dressed(HERE, lambda opened: wear(opened, "tos", 0x28), multipath)
    with closing(sockets.open(socket.AF_INET, STREAM)) as stream:
        assert found(stream, "tos") == 0x28
        # Which of the two it is, as the kernel says (IPPROTO_MPTCP).
        protocol = stream.getsockopt(socket.SOL_SOCKET, socket.SO_PROTOCOL)
        assert protocol == (262 if multipath else socket.IPPROTO_TCP)
    with closing(sockets.open(socket.AF_INET, socket.SOCK_DGRAM)) as datagrams:
        assert found(datagrams, "tos") == 0
    assert sockets.bound is False
    assert sockets.ready(socket.AF_INET, STREAM) is None
