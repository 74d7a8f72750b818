"""
The numbers of SOCKS 4, 4a, 5 and 6.

A number that a peer sends and that has no name here is kept as a plain
integer; it never raises by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Final

__all__ = [
    "DATAGRAMS",
    "AddressType",
    "Command",
    "Method",
    "Reply",
    "SOCKS4",
    "SOCKS5",
    "SOCKS6",
    "Socks4Reply",
    "methodsText",
]

SOCKS4 = 4
SOCKS5 = 5
SOCKS6 = 6

#: The words, in rules and records, of the commands that carry datagrams: those of an
#: association, whose flows are decisions of their own.
DATAGRAMS: Final = frozenset({"udp", "multicast"})


class Method(IntEnum):
    """Authentication methods (RFC 1928 section 3 and IANA's registry)."""

    NO_AUTHENTICATION = 0x00
    GSSAPI = 0x01
    USERNAME_PASSWORD = 0x02
    CHAP = 0x03
    SSL = 0x06
    #: The number in draft-ietf-aft-socks-ssl-00.
    SSL_DRAFT = 0x86
    NO_ACCEPTABLE = 0xFF


#: What people call the methods (IANA's registry of SOCKS methods).
_CALLED = {
    0x00: "no authentication",
    0x01: "GSSAPI",
    0x02: "user and password",
    0x03: "CHAP",
    0x05: "challenge-response",
    0x06: "TLS inside SOCKS",
    0x07: "NDS",
    0x08: "multi-authentication framework",
    0x09: "JSON parameter block",
    0x86: "TLS inside SOCKS",
}


#: Of a client's methods so many are shown.
_SHOWN = 12


def methodsText(codes: Sequence[int]) -> str:
    """
    Return method numbers for people: C{00 (no authentication), 80}.

    Of a long list the beginning is shown.
    """
    found = []
    for code in codes[:_SHOWN]:
        called = _CALLED.get(code)
        found.append(f"{code:02X} ({called})" if called else f"{code:02X}")
    if len(codes) > _SHOWN:
        found.append(f"and {len(codes) - _SHOWN} more")
    return ", ".join(found) or "nothing"


class Command(IntEnum):
    """
    Commands (RFC 1928 section 4; SOCKS 4).

    The first is of SOCKS 6 alone. The last five are extensions: Tor's look-ups, multicast
    groups (draft-ietf-aft-mcast-fw-traversal-01), and UDP in TCP as hev and gost have it.
    """

    NOOP = 0x00
    CONNECT = 0x01
    BIND = 0x02
    UDP_ASSOCIATE = 0x03
    RESOLVE = 0xF0
    RESOLVE_PTR = 0xF1
    ENHANCED_UDP_MODE = 0x04
    UDP_IN_TCP = 0x05
    UDP_TUNNEL = 0xF3


class AddressType(IntEnum):
    """Address types (RFC 1928 section 5)."""

    IPV4 = 0x01
    NAME = 0x03
    IPV6 = 0x04


class Reply(IntEnum):
    """Replies (RFC 1928 section 6)."""

    SUCCEEDED = 0x00
    GENERAL_FAILURE = 0x01
    NOT_ALLOWED = 0x02
    NETWORK_UNREACHABLE = 0x03
    HOST_UNREACHABLE = 0x04
    CONNECTION_REFUSED = 0x05
    TTL_EXPIRED = 0x06
    COMMAND_NOT_SUPPORTED = 0x07
    ADDRESS_TYPE_NOT_SUPPORTED = 0x08


class Socks4Reply(IntEnum):
    """Replies of SOCKS 4 (the CD field)."""

    GRANTED = 90
    REJECTED = 91
    NO_IDENTD = 92
    IDENTD_MISMATCH = 93
