"""
Make pairs of sockets, and count what is open.
"""

from __future__ import annotations

import os
import socket
import struct

RESET = struct.pack("ii", 1, 0)


def pair(*, buffer: int = 0) -> tuple[socket.socket, socket.socket]:
    """
    Two ends of a TCP connection, neither blocking.

    @param buffer: the size of what the kernel holds, for stalled readers.
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
    return len(os.listdir("/proc/self/fd"))
