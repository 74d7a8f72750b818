"""
The few messages of rtnetlink(7) that tell which addresses lead to this host.

A library for all of rtnetlink takes 9 MiB of each process, and a third of the time
that a start takes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

__all__ = [
    "BEGINNING",
    "DONE",
    "ERROR",
    "GROUPS",
    "NEW_ADDRESS",
    "addressOf",
    "addressesQuestion",
    "errorOf",
    "isRouteElsewhere",
    "leadsHere",
    "messages",
    "routeQuestion",
]

# As linux/netlink.h and linux/rtnetlink.h have them.
ERROR: Final = 2
DONE: Final = 3
NEW_ADDRESS: Final = 20
_GET_ADDRESS: Final = 22
_NEW_ROUTE: Final = 24
_DELETE_ROUTE: Final = 25
_GET_ROUTE: Final = 26
#: Types of routes whose packets are delivered on this host: RTN_LOCAL,
#: RTN_ANYCAST.
_HERE: Final = frozenset({2, 4})
#: Multicast groups of everything that can change which addresses lead here:
#: links, and each version's addresses, routes and rules.
GROUPS: Final = 0x1 | 0x10 | 0x40 | 0x80 | 0x100 | 0x400 | 0x40000
_REQUEST: Final = 0x1
_DUMP: Final = 0x300
_DESTINATION: Final = 1
_ADDRESS: Final = 1
_LOCAL: Final = 2

#: struct nlmsghdr, rtmsg, ifaddrmsg and rtattr.
_HEADER: Final = struct.Struct("=IHHII")
_ROUTE: Final = struct.Struct("=8BI")
_INTERFACE: Final = struct.Struct("=4BI")
_ATTRIBUTE: Final = struct.Struct("=HH")
#: Where rtm_type stands in struct rtmsg.
_TYPE: Final = 7
#: Octets of a message up to there.
BEGINNING: Final = _HEADER.size + _TYPE + 1


def _message(kind: int, flags: int, body: bytes) -> bytes:
    return _HEADER.pack(_HEADER.size + len(body), kind, _REQUEST | flags, 0, 0) + body


def routeQuestion(family: int, address: bytes) -> bytes:
    """
    Ask for the route to an address.

    @param family: of the address, as C{AF_INET}.
    @param address: its octets.
    """
    bits = 8 * len(address)
    return _message(
        _GET_ROUTE,
        0,
        _ROUTE.pack(family, bits, 0, 0, 0, 0, 0, 0, 0)
        + _ATTRIBUTE.pack(_ATTRIBUTE.size + len(address), _DESTINATION)
        + address,
    )


def addressesQuestion() -> bytes:
    """Ask for the addresses of all interfaces."""
    return _message(_GET_ADDRESS, _DUMP, _INTERFACE.pack(0, 0, 0, 0, 0))


def messages(octets: bytes) -> Iterator[tuple[int, bytes]]:
    """
    Yield each whole message: its type and what follows its header.

    @param octets: what one receive has brought.
    """
    start = 0
    while start + _HEADER.size <= len(octets):
        length, kind, *_ = _HEADER.unpack_from(octets, start)
        if not _HEADER.size <= length <= len(octets) - start:
            return
        yield kind, octets[start + _HEADER.size : start + length]
        start += _aligned(length)


def errorOf(body: bytes) -> int:
    """
    Return the errno of an L{ERROR}.

    @param body: as of L{messages}.
    """
    (code,) = struct.unpack_from("=i", body)
    return -int(code)


def leadsHere(body: bytes) -> bool:
    """Return whether a route's packets are delivered on this host."""
    return body[_TYPE] in _HERE


def isRouteElsewhere(message: bytes) -> bool:
    """
    Return whether a message tells of a route that does not lead here, and so of
    no change of the addresses that do.

    @param message: L{BEGINNING} octets of it, or more.
    """
    if len(message) < BEGINNING:
        return False
    _, kind, *_ = _HEADER.unpack_from(message)
    return (
        kind in (_NEW_ROUTE, _DELETE_ROUTE)
        and message[_HEADER.size + _TYPE] not in _HERE
    )


def addressOf(body: bytes) -> bytes | None:
    """
    Return the octets of the interface's own address that a L{NEW_ADDRESS} tells,
    or L{None} when it tells none.
    """
    found: dict[int, bytes] = {}
    start = _INTERFACE.size
    while start + _ATTRIBUTE.size <= len(body):
        length, kind = _ATTRIBUTE.unpack_from(body, start)
        if length < _ATTRIBUTE.size:
            break
        found[kind] = body[start + _ATTRIBUTE.size : start + length]
        start += _aligned(length)
    # Of a point-to-point link, IFA_ADDRESS is the other end's.
    return found.get(_LOCAL) or found.get(_ADDRESS)


def _aligned(length: int) -> int:
    """Return where the next message or attribute begins (NLMSG_ALIGN)."""
    return (length + 3) & ~3
