"""
A packet filter on a socket: packets of others are dropped by the kernel.

Without it a flood of datagrams from elsewhere fills the socket's buffer, and what the
owner sends is lost. The filter (socket(7), C{SO_ATTACH_FILTER}) drops them silently,
costs the process nothing, and the kernel counts them. It can also ask for the mark that
rules of the firewall give to packets.
"""

from __future__ import annotations

import ctypes
import socket
import struct
from collections.abc import Sequence
from typing import Final

from socksgw.system.sockets import tellOnce
from socksgw.wire.address import Address

__all__ = ["admitAll", "admitMarked", "admitOnly", "dropped"]

_SO_ATTACH_FILTER: Final = 26
_SO_DETACH_FILTER: Final = 27
_SO_MEMINFO: Final = 55
#: Which of the nine numbers of SO_MEMINFO counts drops.
_DROPS: Final = 8

# Classic BPF, as in linux/filter.h: load a word, load a half word, jump if
# equal, jump if a bit is set, return.
_LOAD32: Final = 0x20
_LOAD16: Final = 0x28
_JUMP_EQUAL: Final = 0x15
_JUMP_SET: Final = 0x45
_RETURN: Final = 0x06
#: Offsets from here on count from the IP header; below, from the UDP header.
_NETWORK: Final = 0xFFF00000
_SOURCE: Final = {4: _NETWORK + 12, 6: _NETWORK + 8}
#: What is at this offset is no part of the packet: SKF_AD_MARK.
_MARK: Final = 0xFFFFF000 + 20
_ALL: Final = 0xFFFFFFFF

#: A load's code, its offset, a comparison's code, and the number wanted.
_Wanted = tuple[int, int, int, int]


def _sender(address: Address, port: int | None) -> list[_Wanted]:
    """Return what holds for the datagrams of one sender."""
    packed = address.packed
    start = _SOURCE[address.version]
    wanted = [
        (_LOAD32, start + i, _JUMP_EQUAL, int.from_bytes(packed[i : i + 4], "big"))
        for i in range(0, len(packed), 4)
    ]
    if port is not None:
        wanted.append((_LOAD16, 0, _JUMP_EQUAL, port))
    return wanted


def _marked(mark: int) -> list[_Wanted]:
    """Return what holds for packets with a mark, one bit; 0: for all."""
    return [(_LOAD32, _MARK, _JUMP_SET, mark)] if mark else []


def _attach(connection: socket.socket, wanted: Sequence[_Wanted]) -> None:
    """
    Let only packets through for which all of that holds.

    @raise OSError: the kernel does not take the filter.
    """
    code = b""
    for i, (load, offset, jump, number) in enumerate(wanted):
        # A mismatch jumps over the rest of the comparisons and the acceptance.
        over = 2 * (len(wanted) - 1 - i) + 1
        code += struct.pack("HBBI", load, 0, 0, offset)
        code += struct.pack("HBBI", jump, 0, over, number)
    code += struct.pack("HBBI", _RETURN, 0, 0, _ALL)
    code += struct.pack("HBBI", _RETURN, 0, 0, 0)
    octets = ctypes.create_string_buffer(code)
    program = struct.pack("HL", 2 * len(wanted) + 2, ctypes.addressof(octets))
    connection.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)


def admitOnly(
    connection: socket.socket, address: Address, port: int | None, mark: int = 0
) -> bool:
    """
    Let only datagrams from one sender through, instead of a filter set before.

    @param port: the sender's port; L{None} for any.
    @param mark: the mark that they have, as of L{admitMarked}; 0: any or none.
    @return: whether the kernel took the filter. Without one only the caller's own
        check of the sender counts.
    """
    try:
        _attach(connection, _marked(mark) + _sender(address, port))
    except OSError as e:
        tellOnce(
            "SO_ATTACH_FILTER",
            e,
            "a flood of datagrams from strangers may displace those of a client",
        )
        return False
    return True


def admitMarked(connection: socket.socket, mark: int) -> bool:
    """
    Let only packets with a mark through, instead of a filter set before.

    @param mark: one bit, which rules of the firewall have set (C{meta mark}).
    @return: whether the kernel took the filter; else anything comes through.
    """
    try:
        _attach(connection, _marked(mark))
    except OSError:
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
