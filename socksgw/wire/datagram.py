"""
Datagrams of SOCKS 5 (RFC 1928 section 7): headers, fragments, framings in TCP.
"""

from __future__ import annotations

from typing import Final, NamedTuple, final

from socksgw.wire.address import Address, Host
from socksgw.wire.reader import NeedMoreData, Reader, WireError
from socksgw.wire.socks5 import encodeHost, readHost

__all__ = [
    "HEADROOM",
    "Datagram",
    "Reassembly",
    "encodeDatagram",
    "encodeHeader",
    "encodeTunnelled",
    "encodeWithLengths",
    "readDatagram",
    "readTunnelled",
    "readWithLengths",
]

#: The longest header we send: RSV, FRAG, ATYP, an IPv6 address, port.
HEADROOM: Final = 4 + 16 + 2
#: FRAG of a tunnelled datagram, whose RSV is the data's length.
_TUNNELLED: Final = 0xFF
#: In FRAG: this fragment is the last.
_LAST: Final = 0x80


class Datagram(NamedTuple):
    """
    A datagram from or to the client.

    @ivar fragment: FRAG: 0 for a datagram that stands alone.
    @ivar host: the destination; in a reply the source.
    @ivar port: its port.
    @ivar asked: the host as the client spelled it.
    @ivar payload: the data.
    """

    fragment: int
    host: Host
    port: int
    asked: bytes
    payload: bytes


def readDatagram(octets: bytes) -> Datagram:
    """
    Return a datagram, decoded (section 7).

    @raise WireError: it is none.
    """
    reader = Reader(octets)
    try:
        reserved, fragment = reader.u16(), reader.u8()
        host, asked = readHost(reader)
        port = reader.u16()
    except NeedMoreData:
        raise WireError("a datagram shorter than its header") from None
    if reserved:
        raise WireError("RSV of a datagram is not zero")
    return Datagram(fragment, host, port, asked, octets[reader.position :])


def encodeHeader(host: Address | str, port: int, fragment: int = 0) -> bytes:
    """Return the header of a datagram (section 7)."""
    return bytes((0, 0, fragment)) + encodeHost(host) + port.to_bytes(2, "big")


def encodeDatagram(
    host: Address | str, port: int, payload: bytes, fragment: int = 0
) -> bytes:
    """Return a whole datagram (section 7)."""
    return encodeHeader(host, port, fragment) + payload


@final
class Reassembly:
    """
    The queue of fragments of one association (section 7).

    A fragment whose position is not above the highest taken begins it anew, and so
    does the caller, who looks at the time.

    @ivar held: octets in it.
    @ivar position: of its last fragment; 0 when there is none.
    """

    __slots__ = ("_limit", "_parts", "_to", "held", "position")

    def __init__(self, limit: int) -> None:
        """
        @param limit: most octets that may be in it.
        """
        self._limit = limit
        self.reset()

    def reset(self) -> None:
        """Abandon what is in it."""
        self._parts: list[bytes] = []
        self.position = 0
        self._to: tuple[bytes, int] | None = None
        self.held = 0

    def add(self, datagram: Datagram) -> Datagram | None:
        """
        Take a fragment.

        @return: the datagram, standing alone, when this was the last
            fragment and none before it is missing; else L{None}.
        """
        position = datagram.fragment & ~_LAST
        last = bool(datagram.fragment & _LAST)
        if position <= self.position:
            self.reset()
        to = (datagram.asked, datagram.port)
        if (
            position != self.position + 1
            or (self._to is not None and self._to != to)
            or self.held + len(datagram.payload) > self._limit
        ):
            # A fragment is missing, or is another datagram's: it will never be whole.
            self.reset()
            return None
        self.position = position
        self._to = to
        self._parts.append(datagram.payload)
        self.held += len(datagram.payload)
        if not last:
            return None
        whole = b"".join(self._parts)
        self.reset()
        return datagram._replace(fragment=0, payload=whole)


# Inside a TCP connection.


def readTunnelled(reader: Reader) -> Datagram:
    """
    Read a datagram in gost's framing (command F3).

    That is a datagram's header with the data's length as RSV and 255 as FRAG, then
    the data.

    @raise WireError: it is none.
    """
    length = reader.u16()
    if reader.u8() != _TUNNELLED:
        raise WireError("FRAG of a tunnelled datagram is not 255")
    host, asked = readHost(reader)
    return Datagram(0, host, reader.u16(), asked, reader.take(length))


def encodeTunnelled(host: Address | str, port: int, payload: bytes) -> bytes:
    """Return a datagram in gost's framing."""
    length = len(payload).to_bytes(2, "big")
    head = length + bytes((_TUNNELLED,)) + encodeHost(host) + port.to_bytes(2, "big")
    return head + payload


def readWithLengths(reader: Reader) -> Datagram:
    """
    Read a datagram in hev's framing (command 05).

    That is the data's length, the length of the header (3 octets and the address),
    the address, the data.

    @raise WireError: it is none.
    """
    length = reader.u16()
    header = reader.u8()
    start = reader.position
    host, asked = readHost(reader)
    port = reader.u16()
    if reader.position - start + 3 != header:
        raise WireError("the header's length is wrong")
    return Datagram(0, host, port, asked, reader.take(length))


def encodeWithLengths(host: Address | str, port: int, payload: bytes) -> bytes:
    """Return a datagram in hev's framing."""
    address = encodeHost(host) + port.to_bytes(2, "big")
    return (
        len(payload).to_bytes(2, "big") + bytes((3 + len(address),)) + address + payload
    )
