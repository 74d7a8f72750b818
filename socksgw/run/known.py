"""
What is known of the sockets of a program.
"""

from __future__ import annotations

import os
import socket
import struct
from collections import OrderedDict
from typing import Final, TypeVar, final

from socksgw.run.memory import Place

__all__ = ["Known", "again", "cookie"]

T = TypeVar("T")

#: SO_COOKIE of socket(7): the number of a socket, which no other one ever gets.
_COOKIE: Final = 57
_NUMBER: Final = struct.Struct("=Q")
#: So many sockets are known; of others getpeername tells the gateway.
_MOST: Final = 1 << 16


def cookie(own: socket.socket) -> int:
    """Return a number that tells a socket from all others."""
    octets = own.getsockopt(socket.SOL_SOCKET, _COOKIE, _NUMBER.size)
    number: int = _NUMBER.unpack(octets)[0]
    return number


def _kept(rows: OrderedDict[int, T], number: int, value: T) -> None:
    rows[number] = value
    rows.move_to_end(number)
    if len(rows) > _MOST:
        rows.popitem(last=False)


def again(own: socket.socket) -> socket.socket:
    """
    Return another descriptor of a socket of the program.

    C{socket.dup} would have it block, and so the program's.
    """
    return socket.socket(fileno=os.dup(own.fileno()))


@final
class Known:
    """
    Where the sockets of a program are connected to, in the program's own view.

    @ivar pending: those whose connection is not decided yet.
    """

    def __init__(self) -> None:
        self._places: OrderedDict[int, Place] = OrderedDict()
        self.pending: set[int] = set()
        self._errors: OrderedDict[int, int] = OrderedDict()

    def connected(self, number: int, place: Place) -> None:
        """Take note of a connection, by the socket's L{cookie}."""
        _kept(self._places, number, place)

    def failed(self, number: int, error: int) -> None:
        """Take note of why a socket is not connected, which the program asks later."""
        _kept(self._errors, number, error)

    def error(self, number: int) -> int:
        """Return that error number, once; 0 where there is none."""
        return self._errors.pop(number, 0)

    def forget(self, number: int) -> None:
        """Take note that a socket is not connected."""
        self._places.pop(number, None)

    def place(self, number: int) -> Place | None:
        """Return where a socket is connected to; L{None} if that is not known."""
        return self._places.get(number)
