"""
Make pairs of sockets, and count what is open.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress

#: SO_LINGER (socket(7)): on, for no time; closing resets the connection.
RESET = struct.pack("ii", 1, 0)


def pair(*, buffer: int = 0) -> tuple[socket.socket, socket.socket]:
    """
    Return two ends of a TCP connection, neither blocking.

    @param buffer: octets that the kernel may hold on each side, for readers that
        stall.
    """
    with socket.socket() as listening:
        if buffer:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        one = socket.socket()
        if buffer:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
        one.connect(listening.getsockname())
        other, _ = listening.accept()
    for each in (one, other):
        each.setblocking(False)
        each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return one, other


@contextmanager
def beyondSelect() -> Iterator[None]:
    """
    Have what is opened meanwhile get a number above 1023, which select(2) refuses.

    So many have to be allowed (L{tests.live.clients.descriptorsFor}).
    """
    held = [os.open(os.devnull, os.O_RDONLY)]
    try:
        while held[-1] < 1023:
            held.append(os.dup(held[0]))
        yield
    finally:
        for each in held:
            os.close(each)


def descriptors() -> frozenset[tuple[int, str]]:
    """
    Return the number and the target of each descriptor that this process has open.

    What others have left may be closed by the garbage collector at any time: two of
    these are compared by C{<=}, or by what one has beside the other.
    """
    found = set()
    for name in os.listdir("/proc/self/fd"):
        # That of the directory is closed by now.
        with suppress(FileNotFoundError):
            found.add((int(name), os.readlink(f"/proc/self/fd/{name}")))
    return frozenset(found)


def udp(host: str, port: int = 0) -> socket.socket:
    """A UDP socket there, which does not block."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    made.bind((host, port))
    return made
