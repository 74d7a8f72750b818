"""
Which sockets of a port new connections come to.

The kernel chooses one of the sockets of a port by a hash (C{SO_REUSEPORT}), also that of
a worker that does not serve now. A program of its classic packet filter chooses among
the others instead (C{SO_ATTACH_REUSEPORT_CBPF}, socket(7), Linux 4.5). It sees a
connection's first packet, and returns the number of a socket.
"""

from __future__ import annotations

import ctypes
import socket
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, final

from socksgw.system.sockets import tellOnce

__all__ = ["Steering", "program", "steer"]

# linux/bpf_common.h and linux/filter.h
_LOAD_HALF: Final = 0x28
_LOAD_OCTET: Final = 0x30
_LOAD_WORD: Final = 0x20
_RIGHT: Final = 0x74
_TIMES: Final = 0x24
_REST: Final = 0x94
_PLUS: Final = 0x0C
_COPY: Final = 0x07
_GO: Final = 0x05
_IF: Final = 0x15
_RETURN: Final = 0x06
_INSTRUCTION: Final = struct.Struct("=HBBI")
#: Where the octets of the network layer's header are.
_NETWORK: Final = 0x100000000 - 0x100000

# asm-generic/socket.h
_ATTACH: Final = 51
_DETACH: Final = 68

_Instruction = tuple[int, int, int, int]
#: Octets of the header: the source address of IPv4, and the low part of that of IPv6;
#: the source ports behind both, where there are no options. With some, other octets are
#: taken for the port, which are as good.
_SOURCE4, _PORT4, _SOURCE6, _PORT6 = 12, 20, 20, 40
#: Spreads ports that follow one another (Knuth, multiplicative hashing).
_SPREAD: Final = 2654435761


class _Program(ctypes.Structure):
    """C{struct sock_fprog}."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))


def _chosen(members: Sequence[int]) -> Iterator[_Instruction]:
    yield _LOAD_OCTET, 0, 0, _NETWORK
    yield _RIGHT, 0, 0, 4
    yield _IF, 4, 0, 6
    yield _LOAD_HALF, 0, 0, _NETWORK + _PORT4
    yield _COPY, 0, 0, 0
    yield _LOAD_WORD, 0, 0, _NETWORK + _SOURCE4
    yield _GO, 0, 0, 3
    yield _LOAD_HALF, 0, 0, _NETWORK + _PORT6
    yield _COPY, 0, 0, 0
    yield _LOAD_WORD, 0, 0, _NETWORK + _SOURCE6
    yield _PLUS, 0, 0, 0
    yield _TIMES, 0, 0, _SPREAD
    yield _RIGHT, 0, 0, 16
    yield _REST, 0, 0, len(members)
    for number, member in enumerate(members[:-1]):
        yield _IF, 0, 1, number
        yield _RETURN, 0, 0, member
    yield _RETURN, 0, 0, members[-1]


def program(members: Sequence[int]) -> bytes:
    """
    Return the program that chooses among some sockets.

    @param members: the numbers of the sockets, in the order in which they began to
        listen; one at least.
    """
    return b"".join(_INSTRUCTION.pack(*each) for each in _chosen(members))


def steer(listening: socket.socket, members: Sequence[int]) -> None:
    """
    Have new connections come to some sockets of a port alone.

    @param listening: one of the sockets.
    @param members: as of L{program}; none: the kernel chooses among all.
    @raise OSError: this kernel cannot.
    """
    if not members:
        listening.setsockopt(socket.SOL_SOCKET, _DETACH, 0)
        return
    octets = program(members)
    buffer = ctypes.create_string_buffer(octets, len(octets))
    made = _Program(len(octets) // _INSTRUCTION.size, ctypes.addressof(buffer))
    listening.setsockopt(socket.SOL_SOCKET, _ATTACH, bytes(made))


@final
class Steering:
    """Steers the connections of all ports."""

    def __init__(self, groupOf: Callable[[Any], socket.socket | None]) -> None:
        """
        @param groupOf: returns a socket of a port; L{None} where nobody chooses.
        """
        self._groupOf = groupOf
        #: What holds at each port that is open.
        self._members: dict[Any, list[int]] = {}

    def to(self, members: list[int], ports: Iterable[Any]) -> None:
        """
        Have new connections come to some sockets of ports.

        @param members: as of L{steer}.
        """
        before, self._members = self._members, {}
        for port in ports:
            listening = self._groupOf(port)
            self._members[port] = members
            if listening is not None and before.get(port) != members:
                try:
                    steer(listening, members)
                except OSError as e:
                    # At a port that is new there may be something of who had it before.
                    if members or before.get(port):
                        tellOnce("SO_ATTACH_REUSEPORT_CBPF", e, "the kernel chooses")
