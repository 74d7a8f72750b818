"""
The messages of an association (draft-olteanu-intarea-socks-6-11 section 7.3).

They go inside the connection on which it was asked for. Each has a header: version,
type, length of the whole message, and the association's ID.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import Final, NamedTuple

from socksgw.wire.address import Address, parseHost
from socksgw.wire.codes import SOCKS6, AddressType
from socksgw.wire.datagram import Datagram
from socksgw.wire.reader import NeedMoreData, Reader, WireError

__all__ = [
    "ID_OCTETS",
    "INITIATED_LIMIT",
    "LONGEST",
    "Message",
    "MessageType",
    "Unreached",
    "datagramOf",
    "encodeConfirmed",
    "encodeDatagram",
    "encodeInitiated",
    "encodePlaced",
    "encodeUnreached",
    "errorCode",
    "readDatagramOf",
    "readInitiated",
    "readMessage",
    "unreachedOf",
]

#: Octets of the ID of an association.
ID_OCTETS: Final = 8
#: The most octets of a message.
LONGEST: Final = 0xFFFF
_HEAD: Final = 4 + ID_OCTETS
#: Octets of the server's first message.
INITIATED_LIMIT: Final = _HEAD
_IPV4: Final = int(AddressType.IPV4)
_NAME: Final = int(AddressType.NAME)
_IPV6: Final = int(AddressType.IPV6)
#: Types of ICMP (RFC 792, RFC 4443) that tell of a datagram, by the version of IP:
#: unreachable, too big, time exceeded. In IPv4 too big is a code of unreachable.
_UNREACHABLE: Final = {4: 3, 6: 1}
_TOO_BIG: Final = {6: 2}
_EXCEEDED: Final = {4: 11, 6: 3}
#: The codes of unreachable that are about the network: in IPv4 net unreachable, net
#: unknown, net prohibited, net unreachable for this TOS; in IPv6 no route.
_NETWORK: Final = {4: frozenset({0, 6, 9, 11}), 6: frozenset({0})}
#: Fragmentation needed, which the draft has for IPv6 alone.
_FRAGMENTATION: Final = (4, 3, 4)


class MessageType(IntEnum):
    """Types of messages."""

    INITIATED = 1
    CONFIRMED = 2
    DATAGRAM = 3
    ERROR = 4


class Message(NamedTuple):
    """
    One message.

    @ivar kind: a L{MessageType}, or an unknown number.
    @ivar association: the ID.
    @ivar body: what stands behind the header.
    """

    kind: int
    association: bytes
    body: bytes


class Unreached(NamedTuple):
    """
    What ICMP has told of a datagram (section 7.3.3).

    @ivar host: where the datagram was to go.
    @ivar port: its port.
    @ivar reporter: which host says so.
    @ivar code: 1 network unreachable, 2 host unreachable, 3 TTL expired, 4 datagram
        too big (IPv6).
    """

    host: Address
    port: int
    reporter: Address
    code: int


def readMessage(reader: Reader) -> Message:
    """
    Read a message.

    @raise WireError: its header is none; the stream cannot be followed any further.
    """
    if reader.u8() != SOCKS6:
        raise WireError("a message of an association whose version is not 6")
    kind, length = reader.u8(), reader.u16()
    if length < _HEAD:
        raise WireError(f"a message of an association with {length} octets")
    association = reader.take(ID_OCTETS)
    return Message(kind, association, reader.take(length - _HEAD))


def _encode(kind: int, association: bytes, body: bytes = b"") -> bytes:
    length = _HEAD + len(body)
    if length > LONGEST:
        raise ValueError(f"a message has {LONGEST} octets at most")
    return bytes((SOCKS6, kind)) + length.to_bytes(2, "big") + association + body


def encodeInitiated(association: bytes) -> bytes:
    """Return the server's first message: the ID that it has picked."""
    return _encode(MessageType.INITIATED, association)


def encodeConfirmed(association: bytes) -> bytes:
    """Return the server's answer to the first datagram."""
    return _encode(MessageType.CONFIRMED, association)


def readInitiated(reader: Reader) -> bytes:
    """
    Read the server's first message.

    @return: the ID.
    @raise WireError: it is another one.
    """
    message = readMessage(reader)
    if message.kind != MessageType.INITIATED or message.body:
        raise WireError("an association that does not begin with its ID")
    return message.association


def _readAddress(reader: Reader, kind: int) -> Address:
    if kind == _IPV4:
        return Address(reader.take(4))
    if kind == _IPV6:
        return Address(reader.take(16))
    raise WireError(f"address type {kind} is unknown")


def datagramOf(message: Message) -> Datagram:
    """
    Return the datagram of a message.

    Draft -12 pads a name by NUL, and counts that in the name's length; -11 does not.
    Both are read.

    @raise WireError: it has none.
    """
    reader = Reader(message.body)
    try:
        kind = reader.u8()
        reader.u8()
        port = reader.u16()
        if kind == _NAME:
            asked = reader.take(reader.u8()).rstrip(b"\0")
            host = parseHost(asked)
        else:
            host = _readAddress(reader, kind)
            asked = host.text.encode("ascii")
    except NeedMoreData:
        raise WireError("a datagram shorter than its header") from None
    return Datagram(0, host, port, asked, message.body[reader.position :])


def readDatagramOf(association: bytes) -> Callable[[Reader], Datagram | None]:
    """
    Return what reads the next message, as the client of an association.

    It returns L{None} for a message that brings no datagram of this one.
    """

    def read(reader: Reader) -> Datagram | None:
        message = readMessage(reader)
        if message.kind != MessageType.DATAGRAM or message.association != association:
            return None
        try:
            return datagramOf(message)
        except WireError:
            return None

    return read


def encodeDatagram(
    association: bytes, host: Address | str, port: int, payload: bytes
) -> bytes:
    """
    Return a datagram.

    @raise ValueError: it is too long, or the host is no name.
    """
    if isinstance(host, Address):
        kind, where = (_IPV4 if host.version == 4 else _IPV6), host.packed
    else:
        name = host.encode("ascii")
        if not 1 <= len(name) <= 255:
            raise ValueError("a name has 1 to 255 octets")
        kind, where = _NAME, bytes((len(name),)) + name
    head = bytes((kind, 0)) + port.to_bytes(2, "big") + where
    return _encode(MessageType.DATAGRAM, association, head + payload)


def encodePlaced(association: bytes, header: bytes, payload: bytes) -> bytes:
    """
    Return a datagram whose header there is already.

    @param header: as RFC 1928 section 7 has it.
    @raise ValueError: it is too long.
    """
    place = header[3:4] + b"\0" + header[-2:] + header[4:-2]
    return _encode(MessageType.DATAGRAM, association, place + payload)


def unreachedOf(message: Message) -> Unreached:
    """
    Return what ICMP has told, by a message.

    @raise WireError: it tells no such thing.
    """
    reader = Reader(message.body)
    try:
        kind = reader.u8()
        reader.u8()
        port = reader.u16()
        host = _readAddress(reader, kind)
        kind, code = reader.u8(), reader.u8()
        reader.u16()
        return Unreached(host, port, _readAddress(reader, kind), code)
    except NeedMoreData:
        raise WireError("an error that is cut off") from None


def encodeUnreached(association: bytes, error: Unreached) -> bytes:
    """Return what tells a client of ICMP."""
    host, port, reporter, code = error
    first, second = (_IPV4 if e.version == 4 else _IPV6 for e in (host, reporter))
    body = bytes((first, 0)) + port.to_bytes(2, "big") + host.packed
    body += bytes((second, code, 0, 0)) + reporter.packed
    return _encode(MessageType.ERROR, association, body)


def errorCode(version: int, kind: int, code: int) -> int | None:
    """
    Return what a message of ICMP means to a client.

    A port that is closed has no code in the draft: it is told as a host that is not
    reached.

    @param version: of IP.
    @param kind: the type of ICMP.
    @param code: its code.
    @return: as in L{Unreached}; L{None} for what clients are not told.
    """
    if (version, kind, code) == _FRAGMENTATION:
        return None
    if kind == _UNREACHABLE[version]:
        return 1 if code in _NETWORK[version] else 2
    if kind == _EXCEEDED[version]:
        return 3
    return 4 if kind == _TOO_BIG.get(version) else None
