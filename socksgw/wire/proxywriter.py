"""
The header of the PROXY protocol as a sender writes it, versions 1 and 2.

L{socksgw.wire.proxyheader} reads it. Sections are those of HAProxy's text of
2026-04-27.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal

from socksgw.wire.address import UNSPECIFIED4, Address
from socksgw.wire.proxyheader import AUTHORITY, SIGNATURE

__all__ = ["HeaderVersion", "proxyHeader"]

HeaderVersion = Literal["v1", "v2"]

#: What precedes an IPv4 address where IPv6 is written (RFC 4291 section 2.5.5.2).
_MAPPED: Final = bytes(10) + b"\xff\xff"
_UNSPECIFIED6: Final = Address(bytes(16))
#: Octets 13 and 14 (section 2.2): LOCAL of no family, and PROXY of TCP.
_LOCAL: Final = b"\x20\x00"
_TCP: Final = {4: b"\x21\x11", 6: b"\x21\x21"}


def proxyHeader(
    version: HeaderVersion,
    source: tuple[Address, int] | None,
    destination: tuple[Address | str, int],
    vectors: Iterable[tuple[int, bytes]] = (),
) -> bytes:
    """
    Return the octets that precede what a client sends.

    Both addresses have to be of one family: an IPv4 address beside an IPv6 address is
    written as C{::ffff:a.b.c.d}, as HAProxy does. A destination that is known by name
    alone has the address C{0.0.0.0} or C{::}, and in version 2 its name, too
    (PP2_TYPE_AUTHORITY, section 2.2.2).

    @param source: the client's address and port; L{None} where it has none, on a Unix
        socket. Then it is UNKNOWN in version 1, LOCAL in version 2.
    @param destination: the address, or the name, and the port that it asked for.
    @param vectors: what version 2 tells besides, by type (section 2.2).
    """
    told = list(vectors)
    host, port = destination
    if isinstance(host, str):
        told.insert(0, (AUTHORITY, host.encode("ascii")))
        host = UNSPECIFIED4
        if source is not None and source[0].version == 6:
            host = _UNSPECIFIED6
    if version == "v1":
        return b"PROXY UNKNOWN\r\n" if source is None else _line(source, (host, port))
    block = b""
    kind = _LOCAL
    if source is not None:
        family = max(source[0].version, host.version)
        kind = _TCP[family]
        block = (
            _packed(source[0], family)
            + _packed(host, family)
            + source[1].to_bytes(2, "big")
            + port.to_bytes(2, "big")
        )
    block += b"".join(
        bytes((number,)) + len(value).to_bytes(2, "big") + value
        for number, value in told
    )
    return SIGNATURE + kind + len(block).to_bytes(2, "big") + block


def _line(source: tuple[Address, int], destination: tuple[Address, int]) -> bytes:
    """Return the line of version 1 (section 2.1)."""
    family = max(source[0].version, destination[0].version)
    near, far = _text(source[0], family), _text(destination[0], family)
    line = f"PROXY TCP{family} {near} {far} {source[1]} {destination[1]}\r\n"
    return line.encode("ascii")


def _packed(address: Address, family: int) -> bytes:
    """Return an address in the octets of a family, 4 or 6."""
    return address.packed if address.version == family else _MAPPED + address.packed


def _text(address: Address, family: int) -> str:
    return address.text if address.version == family else f"::ffff:{address.text}"
