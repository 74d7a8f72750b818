"""
Sockets that the kernel diverts clients to, and what it tells of where they were going.

Python has no names for most of these options (linux/netfilter_ipv4.h,
linux/netfilter_ipv6/ip6_tables.h, linux/in6.h, ip(7)).
"""

from __future__ import annotations

import socket
from typing import Final

from socksgw.wire.address import Address

__all__ = [
    "CAPABILITIES",
    "MissingRight",
    "bindForeign",
    "foreign",
    "originalOf",
    "originalOfDatagram",
    "receiveOriginals",
]

#: What the gateway needs for C{tproxy}: for foreign addresses (CAP_NET_ADMIN does as
#: well, and allows much more), and to answer datagrams from ports below 1024.
CAPABILITIES: Final = "CAP_NET_RAW and CAP_NET_BIND_SERVICE"

_SOL_IPV6: Final = 41
_IP_TRANSPARENT: Final = {socket.AF_INET: (0, 19), socket.AF_INET6: (_SOL_IPV6, 75)}
#: SO_ORIGINAL_DST and IP6T_SO_ORIGINAL_DST, with the octets of a sockaddr.
_SO_ORIGINAL_DST: Final = {
    socket.AF_INET: (0, 80, 16),
    socket.AF_INET6: (_SOL_IPV6, 80, 28),
}
#: IP_RECVORIGDSTADDR and IPV6_RECVORIGDSTADDR; the message has the same number.
_ORIGDSTADDR: Final = {socket.AF_INET: (0, 20), socket.AF_INET6: (_SOL_IPV6, 74)}
#: Where the address is in sockaddr_in and sockaddr_in6; the port is before both.
_IN: Final = slice(4, 8)
_IN6: Final = slice(8, 24)
_PORT: Final = slice(2, 4)
_LENGTH_IN: Final = 16


class MissingRight(PermissionError):
    """The process lacks a capability of L{CAPABILITIES}."""


def foreign(bound: socket.socket) -> None:
    """
    Let a socket be bound to addresses that this host does not have.

    A listening socket then takes what C{tproxy} diverts to it.

    @raise MissingRight: the process has neither CAP_NET_ADMIN nor CAP_NET_RAW.
    """
    try:
        bound.setsockopt(*_IP_TRANSPARENT[bound.family], 1)
    except PermissionError as e:
        raise MissingRight(e.errno, e.strerror) from None


def bindForeign(bound: socket.socket, address: Address, port: int) -> None:
    """
    Bind a L{foreign} socket.

    @raise MissingRight: the port is below 1024, and the process has no
        CAP_NET_BIND_SERVICE.
    @raise OSError: the kernel does not let us.
    """
    try:
        bound.bind((address.text, port))
    except PermissionError as e:
        raise MissingRight(e.errno, e.strerror) from None


def originalOf(accepted: socket.socket) -> tuple[Address, int] | None:
    """
    Return where a client was going whose connection a C{redirect} rule changed.

    The kernel's table of connections (conntrack) knows. It is to be asked at once:
    the table may be flushed.

    @return: L{None} where the kernel does not know: no rule has changed the
        connection, the table was flushed, or the connection is in a zone of its own
        (conntrack zones).
    """
    try:
        raw = accepted.getsockopt(*_SO_ORIGINAL_DST[accepted.family])
    except OSError:
        return None
    return _read(raw)


def receiveOriginals(bound: socket.socket) -> None:
    """
    Have the destination told of each datagram (L{originalOfDatagram}).

    @raise OSError: the kernel cannot.
    """
    bound.setsockopt(*_ORIGDSTADDR[bound.family], 1)


def originalOfDatagram(
    ancillary: list[tuple[int, int, bytes]], family: int
) -> tuple[Address, int] | None:
    """
    Return where a datagram was sent to.

    @param ancillary: what C{recvmsg} returned with it.
    @return: L{None} where the kernel does not say.
    """
    wanted = _ORIGDSTADDR[socket.AddressFamily(family)]
    for level, kind, raw in ancillary:
        if (level, kind) == wanted:
            return _read(raw)
    return None


def _read(raw: bytes) -> tuple[Address, int]:
    """Read a C{sockaddr_in} or C{sockaddr_in6}."""
    where = _IN if len(raw) == _LENGTH_IN else _IN6
    return Address(raw[where]), int.from_bytes(raw[_PORT], "big")
