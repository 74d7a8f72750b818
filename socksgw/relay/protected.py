"""
The relay socket of a client whose control connection is protected.

Each datagram, each way, is one of the protection's (RFC 1961 section 5).
"""

from __future__ import annotations

import errno
import socket
from typing import Any, Final, final

from socksgw.interfaces import Protection
from socksgw.wire.reader import WireError

__all__ = ["ProtectedSocket"]

#: Where wrapped datagrams are read.
_BUFFER: Final = bytearray(65536)
_VIEW: Final = memoryview(_BUFFER)


@final
class ProtectedSocket:
    """
    Wrap and unwrap what a datagram socket sends and receives.

    It has the methods of the socket that a carrier uses.
    """

    def __init__(self, below: socket.socket, protection: Protection) -> None:
        """@param below: the socket that sends and receives."""
        self._below = below
        self._protection = protection

    def recvfrom_into(self, buffer: Any) -> tuple[int, Any]:
        """
        Receive a datagram, and unwrap it.

        @return: 0 octets where it cannot be unwrapped. That is not a datagram of
            SOCKS, and so it is dropped and counted like any other.
        """
        length, peer = self._below.recvfrom_into(_BUFFER)
        try:
            octets = self._protection.unwrapDatagram(bytes(_VIEW[:length]))
        except WireError:
            octets = b""
        buffer[: len(octets)] = octets
        return len(octets), peer

    def sendto(self, octets: Any, peer: Any) -> int:
        """
        Wrap a datagram, and send it.

        @raise OSError: it is too long, or the kernel does not take it.
        """
        try:
            wrapped = self._protection.wrapDatagram(bytes(octets))
        except ValueError as e:
            raise OSError(errno.EMSGSIZE, str(e)) from None
        return self._below.sendto(wrapped, peer)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._below, name)
