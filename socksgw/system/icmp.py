"""
What ICMP tells of datagrams that a socket has sent (ip(7) and ipv6(7): IP_RECVERR).
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

__all__ = ["Told", "hear", "tidings"]

#: IP_RECVERR of ip(7) and IPV6_RECVERR of ipv6(7), which Python has no names for.
_OPTIONS: Final = {
    socket.AF_INET: (socket.IPPROTO_IP, 11),
    socket.AF_INET6: (socket.IPPROTO_IPV6, 25),
}
#: struct sock_extended_err: errno, origin, type, code, padding, info, data; behind it
#: is the address of the host that reports it.
_ERROR: Final = struct.Struct("=IBBBxII")
#: Origins: SO_EE_ORIGIN_ICMP, SO_EE_ORIGIN_ICMP6. Others are of this host.
_ORIGINS: Final = {2: 4, 3: 6}
#: Octets of what comes with an error: that, and struct sockaddr_in6.
_ROOM: Final = socket.CMSG_SPACE(_ERROR.size + 28) * 2
#: Where the address is in struct sockaddr_in, and in struct sockaddr_in6.
_PLACES: Final = {socket.AF_INET: slice(4, 8), socket.AF_INET6: slice(8, 24)}
#: Errors that are taken before others have their turn.
_AT_ONCE: Final = 64


class Told(NamedTuple):
    """
    One message of ICMP.

    @ivar host: where the datagram was to go, as text.
    @ivar port: its port.
    @ivar reporter: the address of who says so.
    @ivar version: of IP.
    @ivar kind: its type.
    @ivar code: its code.
    """

    host: str
    port: int
    reporter: bytes
    version: int
    kind: int
    code: int


def hear(datagrams: socket.socket) -> None:
    """
    Have a socket keep what ICMP tells.

    A call on it fails once with each error, then, and epoll tells of it.

    @raise OSError: the kernel does not do it.
    """
    datagrams.setsockopt(*_OPTIONS[socket.AddressFamily(datagrams.family)], 1)


def tidings(datagrams: socket.socket) -> Iterator[Told]:
    """Return and forget what ICMP has told, as much as is taken at once."""
    for _ in range(_AT_ONCE):
        try:
            _, found, _, name = datagrams.recvmsg(0, _ROOM, socket.MSG_ERRQUEUE)
        except OSError:
            return
        for level, number, octets in found:
            if (level, number) not in _OPTIONS.values() or len(octets) < _ERROR.size:
                continue
            _, origin, kind, code, _, _ = _ERROR.unpack_from(octets)
            version = _ORIGINS.get(origin)
            reporter = _addressIn(octets[_ERROR.size :])
            if version is not None and reporter is not None:
                host = name[0].partition("%")[0]
                yield Told(host, name[1], reporter, version, kind, code)


def _addressIn(octets: bytes) -> bytes | None:
    """Return the address of a struct sockaddr; L{None} where it has none."""
    if len(octets) < 2:
        return None
    (family,) = struct.unpack_from("=H", octets)
    place = _PLACES.get(family)
    if place is None or len(octets) < place.stop:
        return None
    return octets[place]
