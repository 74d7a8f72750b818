"""
Make pairs of sockets, and count what is open.
"""

from __future__ import annotations

import os
import socket
import struct

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


def descriptors() -> int:
    """Return how many descriptors this process has open."""
    return len(os.listdir("/proc/self/fd"))


def udp(host: str, port: int = 0) -> socket.socket:
    """A UDP socket there, which does not block."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    made.bind((host, port))
    return made
