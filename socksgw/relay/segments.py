"""
Runs of datagrams: the buffer that they are read into, and how they leave together.

Programs that send much send datagrams of one size. Those that lie one after the other
in the buffer, of one flow and of one size, are a run; the last one may be shorter.
The kernel takes a run in one call and makes datagrams of it (udp(7),
C{UDP_SEGMENT}), which costs a quarter of as many calls.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Sequence
from typing import Any, Final

from socksgw.wire.datagram import HEADROOM

__all__ = ["BATCH", "BUFFER", "FULL", "LONGEST", "RUN", "VIEW", "sendRun"]

#: The most datagrams that are taken from one socket before others have a turn; the
#: kernel takes as many in one run (linux/udp.h, UDP_MAX_SEGMENTS).
BATCH: Final = 64
#: The most octets of a run: it is one packet of IP until it is cut.
RUN: Final = 65000
#: Behind so many octets nothing more is read into the buffer.
FULL: Final = 1 << 16
#: The buffer that datagrams are read into, each with room for a header before it.
BUFFER: Final = bytearray(FULL + HEADROOM + (1 << 16))
VIEW: Final = memoryview(BUFFER)
#: The size of datagrams up to which runs are tried on a new socket.
LONGEST: Final = RUN

#: Of linux/udp.h; Python has no names for them.
_SOL_UDP: Final = 17
_UDP_SEGMENT: Final = 103
#: The kernel, or the way, cannot do it: too long for the way, a device that does not
#: sum up, IPsec.
_NOT_SO: Final = frozenset(
    {errno.EINVAL, errno.EIO, errno.EMSGSIZE, errno.EOPNOTSUPP, errno.EPERM}
)
_controls: Final[dict[int, list[tuple[int, int, bytes]]]] = {}
#: The most sizes whose control message is kept.
_SIZES: Final = 256
#: Whether this kernel knows it, when that has been asked. One that does not ignores
#: the control message, and sends one long datagram.
_known: Final[list[bool]] = []


def _asked(connection: socket.socket) -> bool:
    try:
        connection.getsockopt(_SOL_UDP, _UDP_SEGMENT)
    except OSError:
        return False
    return True


def sendRun(
    connection: socket.socket, parts: Sequence[memoryview | bytes], size: int, to: Any
) -> bool:
    """
    Send a run of datagrams in one call.

    @param parts: their octets.
    @param size: the octets of each, at least 1; the last may be shorter.
    @param to: where they go; L{None} where the socket is connected.
    @return: whether they went. Otherwise they are to be sent one by one, and so are
        other runs of this size on this socket.
    @raise OSError: none of them was sent, and one by one would fare no better.
    """
    if not _known:
        _known.append(_asked(connection))
    if not _known[0]:
        return False
    control = _controls.get(size)
    if control is None:
        if len(_controls) >= _SIZES:
            _controls.clear()
        octets = struct.pack("H", size)
        control = _controls[size] = [(_SOL_UDP, _UDP_SEGMENT, octets)]
    try:
        connection.sendmsg(parts, control, 0, to)
    except OSError as e:
        if e.errno in _NOT_SO:
            return False
        raise
    return True
