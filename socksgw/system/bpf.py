"""
The packet filter of a socket, in the language of the kernel: classic BPF.

It needs the standard library alone, and can be asked in a small virtual machine.
"""

from __future__ import annotations

import ctypes
import socket
import struct
from collections.abc import Sequence
from typing import Final

__all__ = [
    "EQUAL",
    "LOAD16",
    "LOAD32",
    "NETWORK",
    "Wanted",
    "admitMarked",
    "attach",
    "marked",
]

_SO_ATTACH_FILTER: Final = 26

# As in linux/filter.h: load a word, load a half word, jump if equal, jump if a bit is
# set, return.
LOAD32: Final = 0x20
LOAD16: Final = 0x28
EQUAL: Final = 0x15
_SET: Final = 0x45
_RETURN: Final = 0x06
#: Offsets from here on count from the IP header; below, from the UDP header.
NETWORK: Final = 0xFFF00000
#: What is at this offset is no part of the packet: SKF_AD_MARK.
_MARK: Final = 0xFFFFF000 + 20
_ALL: Final = 0xFFFFFFFF

#: A load's code, its offset, a comparison's code, and the number wanted.
Wanted = tuple[int, int, int, int]


def marked(mark: int) -> list[Wanted]:
    """Return what holds for packets with a mark, one bit; 0: for all."""
    return [(LOAD32, _MARK, _SET, mark)] if mark else []


def attach(connection: socket.socket, wanted: Sequence[Wanted]) -> None:
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


def admitMarked(connection: socket.socket, mark: int) -> bool:
    """
    Let only packets with a mark through, instead of a filter set before.

    @param mark: one bit, which rules of the firewall have set (C{meta mark}).
    @return: whether the kernel took the filter; else anything comes through.
    """
    try:
        attach(connection, marked(mark))
    except OSError:
        return False
    return True
