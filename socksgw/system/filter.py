"""
A packet filter on a socket: packets of others are dropped by the kernel.

Without it a flood of datagrams from elsewhere fills the socket's buffer, and what the
owner sends is lost. The filter (socket(7), C{SO_ATTACH_FILTER}) drops them silently,
costs the process nothing, and the kernel counts them.
"""

from __future__ import annotations

import socket
import struct
from typing import Final

from socksgw.system.bpf import EQUAL, LOAD16, LOAD32, NETWORK, Wanted, attach, marked
from socksgw.system.sockets import tellOnce
from socksgw.wire.address import Address

__all__ = ["admitAll", "admitOnly", "dropped"]

_SO_DETACH_FILTER: Final = 27
_SO_MEMINFO: Final = 55
#: Which of the nine numbers of SO_MEMINFO counts drops.
_DROPS: Final = 8

_SOURCE: Final = {4: NETWORK + 12, 6: NETWORK + 8}


def _sender(address: Address, port: int | None) -> list[Wanted]:
    """Return what holds for the datagrams of one sender."""
    packed = address.packed
    start = _SOURCE[address.version]
    wanted = [
        (LOAD32, start + i, EQUAL, int.from_bytes(packed[i : i + 4], "big"))
        for i in range(0, len(packed), 4)
    ]
    if port is not None:
        wanted.append((LOAD16, 0, EQUAL, port))
    return wanted


def admitOnly(
    connection: socket.socket, address: Address, port: int | None, mark: int = 0
) -> bool:
    """
    Let only datagrams from one sender through, instead of a filter set before.

    @param port: the sender's port; L{None} for any.
    @param mark: the mark that they have, as of L{socksgw.system.bpf.admitMarked}; 0:
        any or none.
    @return: whether the kernel took the filter. Without one only the caller's own
        check of the sender counts.
    """
    try:
        attach(connection, marked(mark) + _sender(address, port))
    except OSError as e:
        tellOnce(
            "SO_ATTACH_FILTER",
            e,
            "a flood of datagrams from strangers may displace those of a client",
        )
        return False
    return True


def admitAll(connection: socket.socket) -> None:
    """Take away the filter that L{admitOnly} has set."""
    connection.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)


def dropped(connection: socket.socket) -> int:
    """Return how many datagrams the kernel dropped: filtered, or without room."""
    try:
        octets = connection.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, 64)
    except OSError:
        return 0
    numbers = struct.unpack(f"{len(octets) // 4}I", octets)
    return numbers[_DROPS] if len(numbers) > _DROPS else 0
