"""
The messages of GSSAPI authentication and encapsulation (RFC 1961).

Both roles; what the tokens hold is the mechanism's business.
"""

from __future__ import annotations

from enum import IntEnum
from functools import partial
from typing import Final, final

from socksgw.wire.reader import Reader, WireError

__all__ = [
    "ABORT",
    "LONGEST",
    "MESSAGE_LIMIT",
    "Aborted",
    "Level",
    "MessageType",
    "Tokens",
    "encode",
    "readAuthentication",
    "readData",
    "readLevel",
]

_VERSION: Final = 1
#: VER, MTYP, LEN (section 3.4).
_HEADER: Final = 4
#: Octets of the longest token: LEN has two octets (section 3.4).
LONGEST: Final = 65535
#: Octets of the longest message.
MESSAGE_LIMIT: Final = _HEADER + LONGEST
#: The server refuses: two octets, no LEN (section 3.8).
ABORT: Final = b"\x01\xff"


class MessageType(IntEnum):
    """MTYP (sections 3.4, 4.3 and 5)."""

    AUTHENTICATION = 1
    LEVEL = 2
    DATA = 3
    ABORT = 0xFF


class Level(IntEnum):
    """
    A protection level (section 4.2).

    C{CLEAR} is not defined by RFC 1961. Some clients ask for it, or can do nothing
    else.
    """

    CLEAR = 0
    INTEGRITY = 1
    CONFIDENTIALITY = 2
    SELECTIVE = 3


class Aborted(WireError):
    """The peer sent an abort message (section 3.8)."""


def _read(kind: MessageType, reader: Reader) -> bytes:
    if reader.u8() != _VERSION:
        raise WireError("the GSSAPI message's version is not 1")
    found = reader.u8()
    if found == MessageType.ABORT:
        raise Aborted("the peer gave up the GSSAPI negotiation")
    if found != kind:
        raise WireError(f"GSSAPI message type {found}, and {kind} is due")
    return reader.take(reader.u16())


#: A token of the context's establishment (sections 3.4 and 3.7); empty when
#: the server has none to send (section 3.6). As the next two, it raises
#: L{Aborted}, and L{WireError} for a message of another type.
readAuthentication = partial(_read, MessageType.AUTHENTICATION)
#: The protection level, wrapped (section 4.3). NEC's way is one octet, which
#: is the level as it stands: no mechanism has so short a token.
readLevel = partial(_read, MessageType.LEVEL)
#: Octets, wrapped (section 5): of a stream, or one datagram.
readData = partial(_read, MessageType.DATA)


def encode(kind: MessageType, token: bytes) -> bytes:
    """
    Return a message (sections 3.4, 4.3 and 5).

    @raise ValueError: the token has more than L{LONGEST} octets.
    """
    if len(token) > LONGEST:
        raise ValueError(f"a GSSAPI token of {len(token)} octets")
    return b"%c%c%b%b" % (_VERSION, kind, len(token).to_bytes(2, "big"), token)


_DATA: Final = bytes((_VERSION, MessageType.DATA))


@final
class Tokens:
    """
    The tokens of a stream's data messages (section 5), however it is cut.

    At most one message that is not whole is held.
    """

    __slots__ = ("_held", "_wanted")

    def __init__(self) -> None:
        self._held = bytearray()
        self._wanted = 0

    @property
    def held(self) -> int:
        """How many octets of a message that is not whole are held."""
        return len(self._held)

    def receive(self, octets: bytes | memoryview) -> list[bytes]:
        """
        Take octets of the stream.

        @return: the tokens that are whole now.
        @raise WireError: another message came, which is seen as soon as its second
            octet has come; the stream cannot be followed any further.
        """
        held, view = self._held, memoryview(octets)
        tokens: list[bytes] = []
        start, end = 0, len(view)
        while start < end:
            if held:
                # No more than its own: each octet is copied here once.
                part = view[start : start + self._wanted - len(held)]
                held += part
                start += len(part)
                if self._wanted == _HEADER:
                    self._wanted = _lengthOf(held)
                if len(held) == self._wanted:
                    with memoryview(held) as whole:
                        tokens.append(bytes(whole[_HEADER:]))
                    held.clear()
                continue
            self._wanted = _lengthOf(view[start : start + _HEADER])
            if end - start < self._wanted or end - start < _HEADER:
                held += view[start:]
                break
            tokens.append(bytes(view[start + _HEADER : start + self._wanted]))
            start += self._wanted
        return tokens


def _lengthOf(header: bytes | bytearray | memoryview) -> int:
    """
    Return the octets of a data message.

    @param header: its first octets; where they are not enough they are to be completed.
    @raise WireError: it is none.
    """
    if header[:2] != _DATA[: len(header)]:
        raise WireError("something else than GSSAPI's encapsulated octets")
    if len(header) < _HEADER:
        return _HEADER
    return _HEADER + int.from_bytes(header[2:], "big")
