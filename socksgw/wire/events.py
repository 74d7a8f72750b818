"""
What conversations yield.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from socksgw.wire.address import Host

__all__ = [
    "Decoded",
    "Event",
    "MethodSelected",
    "MethodsOffered",
    "Replied",
    "Requested",
]


class MethodsOffered(NamedTuple):
    """
    The client's method identifier message (RFC 1928 section 3).

    @ivar methods: the method octets, as offered; may be empty.
    """

    methods: bytes


class Decoded(NamedTuple):
    """A message of the method's sub-negotiation, as its decoder returned it."""

    message: Any


class Requested(NamedTuple):
    """
    The client's request (RFC 1928 section 4; SOCKS 4 and 4a).

    @ivar version: the number of the protocol's version.
    @ivar command: the command octet, known or not.
    @ivar host: what the client asked for, parsed
        (L{socksgw.wire.address.parseHost}).
    @ivar port: 0 to 65535.
    @ivar asked: the host as the client spelled it: the octets of a name
        field, or the canonical text of a packed address.
    @ivar userId: SOCKS 4's USERID, a claim and not a credential; empty in
        SOCKS 5.
    """

    version: int
    command: int
    host: Host
    port: int
    asked: bytes
    userId: bytes


class MethodSelected(NamedTuple):
    """The server's choice of method (RFC 1928 section 3)."""

    method: int


class Replied(NamedTuple):
    """
    The server's reply (RFC 1928 section 6; SOCKS 4).

    @ivar version: 4 or 5.
    @ivar code: the reply octet; in SOCKS 4, 90 is success.
    @ivar host: where the server is bound.
    @ivar port: 0 to 65535.
    """

    version: int
    code: int
    host: Host
    port: int


#: What a server's conversation yields.
Event = MethodsOffered | Decoded | Requested
