"""
The messages of Enhanced UDP Mode (draft-ietf-aft-mcast-fw-traversal-01).

A client that asked for it (command 04) has a control channel, on which it binds any
number of multicast groups. Sections are those of the draft.

One flag is ours, as the draft is older than source-specific multicast (RFC 4607): with
L{SOURCES} a UDP BIND has the addresses of senders behind its fields, and asks for the
datagrams of these alone. A server that does not know the flag does not repeat it.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum, IntFlag
from typing import Final, NamedTuple

from socksgw.wire.address import UNSPECIFIED4, Address, Host
from socksgw.wire.codes import SOCKS5, AddressType
from socksgw.wire.events import Replied
from socksgw.wire.reader import NeedMoreData, Reader, WireError
from socksgw.wire.socks5 import encodeHost, encodeReply, readHost

__all__ = [
    "ENTERED",
    "HEADER",
    "LONGEST",
    "MOST_SOURCES",
    "NOWHERE",
    "VERSION",
    "Answer",
    "Asked",
    "Carried",
    "Flags",
    "Outcome",
    "Place",
    "UDPCommand",
    "encodeAnswer",
    "encodeAsked",
    "encodeCarried",
    "encodeHeader",
    "readAnswer",
    "readAsked",
    "readEntered",
    "readHeader",
]

#: The version of the extension, in place of that of SOCKS (section 4.1.1.2).
VERSION: Final = 1
#: The reply to the request for this mode: a success of SOCKS 5, but for the version.
ENTERED: Final = bytes((VERSION,)) + encodeReply(0, UNSPECIFIED4, 0)[1:]
#: The octets of the header of a datagram (section 4.5).
HEADER: Final = 8
#: The longest payload in the channel (section 4.4).
LONGEST: Final = 0xFFFF - 7
#: The most senders that a request may name.
MOST_SOURCES: Final = 16

_REQUEST: Final = 1
_REPLY: Final = 2
_DATA: Final = 3
#: PKT TYPE, SIZE, UDPCMD or REPLY, FLAGS, RSVD, TID, AID (section 4.3).
_FIXED: Final = 13
#: With two names of the longest kind, and the senders.
_MOST: Final = _FIXED + 2 * (1 + 1 + 255 + 2) + MOST_SOURCES * 17

#: A host and a port.
Place = tuple[Host, int]
#: In place of an address that means nothing.
NOWHERE: Final[Place] = (UNSPECIFIED4, 0)


class UDPCommand(IntEnum):
    """Commands of the control channel (sections 4.3 and 5.2)."""

    BIND = 5
    RELEASE = 6
    SET_TTL = 7


class Flags(IntFlag):
    """What a command is about (sections 4.3 and 5.2)."""

    RECEIVE = 0x01
    SEND = 0x02
    UNICAST = 0x04
    ENCAPSULATED = 0x08
    MULTICAST = 0x10
    MU_MODE = 0x20
    MM_MODE = 0x40
    #: Ours: senders stand behind the fields.
    SOURCES = 0x80


class Outcome(IntEnum):
    """What a reply says (section 4.2); others are those of RFC 1928 section 6."""

    SUCCEEDED = 0x00
    FAILED = 0x01
    NOT_ALLOWED = 0x02
    NOT_SUPPORTED = 0x07
    ADDRESS_TYPE = 0x08
    BAD_ASSOCIATION = 0x10
    NO_RECEIVING = 0x11
    NO_SENDING = 0x12
    BAD_CONTEXT = 0x13
    BAD_GROUP = 0x14
    BAD_TTL = 0x15


class Asked(NamedTuple):
    """
    A request on the control channel (section 4.3).

    @ivar command: a L{UDPCommand}, or another number.
    @ivar flags: L{Flags}, and perhaps others.
    @ivar ttl: the field RSVD.
    @ivar tid: is repeated by the reply.
    @ivar aid: the association; 0 for a new one.
    @ivar local: where the client's datagrams come from.
    @ivar remote: the group.
    @ivar sources: the only senders that are wanted; empty for all.
    """

    command: int
    flags: int
    ttl: int
    tid: int
    aid: int
    local: Place = NOWHERE
    remote: Place = NOWHERE
    sources: tuple[Address, ...] = ()


class Answer(NamedTuple):
    """
    A reply on the control channel (section 4.2).

    @ivar reply: an L{Outcome}, or another number.
    @ivar flags: what could be satisfied, of L{Flags}.
    @ivar tid: of the request.
    @ivar aid: the association.
    @ivar local: where the client sends its datagrams.
    @ivar remote: the group.
    """

    reply: int
    flags: int
    tid: int
    aid: int
    local: Place = NOWHERE
    remote: Place = NOWHERE


class Carried(NamedTuple):
    """A datagram inside the channel (section 4.4)."""

    aid: int
    payload: bytes


def _sized(reader: Reader) -> tuple[int, Reader]:
    """
    Read PKT TYPE and SIZE, and consume the message.

    @return: the type, and what reads the rest.
    @raise WireError: there is no such message.
    """
    kind = reader.u8()
    size = reader.u16()
    if kind not in (_REQUEST, _REPLY, _DATA):
        raise WireError(f"there is no packet type {kind}")
    if kind == _DATA:
        if size < 7:
            raise WireError("a datagram is shorter than its header")
    elif not _FIXED <= size <= _MOST:
        raise WireError(f"a control message has {size} octets")
    return kind, Reader(reader.take(size - 3))


def _place(reader: Reader) -> Place:
    host, _ = readHost(reader)
    return host, reader.u16()


def _places(reader: Reader) -> tuple[Place, Place]:
    """Read LOCAL and REMOTE; a command that needs none may have none."""
    if reader.position == len(reader.octets):
        return NOWHERE, NOWHERE
    return _place(reader), _place(reader)


def _encodePlace(place: Place) -> bytes:
    host, port = place
    assert isinstance(host, (Address, str))
    return encodeHost(host) + port.to_bytes(2, "big")


def _encodeSized(kind: int, rest: bytes) -> bytes:
    return bytes((kind,)) + (len(rest) + 3).to_bytes(2, "big") + rest


def readAsked(reader: Reader) -> Asked | Carried:
    """
    Read what a client sends on the control channel.

    @raise WireError: it breaks the protocol, and the channel cannot be followed on.
    """
    kind, rest = _sized(reader)
    if kind == _DATA:
        return Carried(int.from_bytes(rest.take(4), "big"), rest.take(_left(rest)))
    if kind != _REQUEST:
        raise WireError("a client sends no replies")
    try:
        command, flags, ttl = rest.u8(), rest.u16(), rest.u8()
        tid, aid = rest.u16(), int.from_bytes(rest.take(4), "big")
        local, remote = _places(rest)
        sources = _sources(rest) if flags & Flags.SOURCES else ()
    except NeedMoreData:
        raise WireError("a control message is shorter than its fields") from None
    if _left(rest):
        raise WireError("a control message is longer than its fields")
    return Asked(command, flags, ttl, tid, aid, local, remote, sources)


def _left(reader: Reader) -> int:
    return len(reader.octets) - reader.position


def _sources(reader: Reader) -> tuple[Address, ...]:
    """Read how many senders are named, and their addresses."""
    count = reader.u8()
    if not 1 <= count <= MOST_SOURCES:
        raise WireError(f"1 to {MOST_SOURCES} senders can be named")
    found = []
    for _ in range(count):
        kind = reader.u8()
        if kind not in (AddressType.IPV4, AddressType.IPV6):
            raise WireError("a sender is named by its address")
        found.append(Address(reader.take(4 if kind == AddressType.IPV4 else 16)))
    return tuple(found)


def encodeAsked(asked: Asked) -> bytes:
    """
    Return a request on the control channel.

    @raise ValueError: a port, a name or the senders cannot be said.
    """
    rest = (
        bytes((asked.command,))
        + asked.flags.to_bytes(2, "big")
        + bytes((asked.ttl,))
        + asked.tid.to_bytes(2, "big")
        + asked.aid.to_bytes(4, "big")
        + _encodePlace(asked.local)
        + _encodePlace(asked.remote)
    )
    if asked.flags & Flags.SOURCES:
        if not 1 <= len(asked.sources) <= MOST_SOURCES:
            raise ValueError(f"1 to {MOST_SOURCES} senders can be named")
        rest += bytes((len(asked.sources),)) + _encodeAll(asked.sources)
    return _encodeSized(_REQUEST, rest)


def _encodeAll(addresses: Sequence[Address]) -> bytes:
    return b"".join(map(encodeHost, addresses))


def readAnswer(reader: Reader) -> Answer | Carried:
    """
    Read what a server sends on the control channel.

    @raise WireError: it breaks the protocol, and the channel cannot be followed on.
    """
    kind, rest = _sized(reader)
    if kind == _DATA:
        return Carried(int.from_bytes(rest.take(4), "big"), rest.take(_left(rest)))
    if kind != _REPLY:
        raise WireError("a server sends no requests")
    try:
        reply, flags, _ = rest.u8(), rest.u16(), rest.u8()
        tid, aid = rest.u16(), int.from_bytes(rest.take(4), "big")
        # Of a failure the fields behind say nothing.
        local, remote = (NOWHERE, NOWHERE) if reply else _places(rest)
    except NeedMoreData:
        raise WireError("a reply is shorter than its fields") from None
    return Answer(reply, flags, tid, aid, local, remote)


def encodeAnswer(answer: Answer) -> bytes:
    """Return a reply on the control channel."""
    return _encodeSized(
        _REPLY,
        bytes((answer.reply,))
        + answer.flags.to_bytes(2, "big")
        + b"\0"
        + answer.tid.to_bytes(2, "big")
        + answer.aid.to_bytes(4, "big")
        + _encodePlace(answer.local)
        + _encodePlace(answer.remote),
    )


def encodeCarried(aid: int, payload: bytes) -> bytes:
    """
    Return a datagram for the channel.

    @param payload: L{LONGEST} octets at most.
    @raise OverflowError: they are more.
    """
    return _encodeSized(_DATA, aid.to_bytes(4, "big") + payload)


def encodeHeader(aid: int) -> bytes:
    """Return the header of a datagram that stands alone (section 4.5)."""
    return bytes(4) + aid.to_bytes(4, "big")


def readEntered(reader: Reader) -> Replied:
    """
    Read the reply to the request for this mode, as far as it counts.

    A server that does not know the command answers with the version of SOCKS.
    """
    if reader.u8() not in (VERSION, SOCKS5):
        raise WireError("the reply's version is neither that of the mode nor 5")
    code = reader.u8()
    if code:
        return Replied(SOCKS5, code, UNSPECIFIED4, 0)
    reader.u8()
    host, _ = readHost(reader)
    return Replied(SOCKS5, code, host, reader.u16())


def readHeader(octets: bytes | memoryview) -> int | None:
    """
    Return the association that a datagram names.

    @return: L{None} where it has no header, and of fragments, which need not be put
        together.
    """
    if len(octets) < HEADER or octets[1]:
        return None
    return int.from_bytes(octets[4:HEADER], "big")
