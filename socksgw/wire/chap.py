"""
The messages of challenge-handshake login (draft-ietf-aft-socks-chap-01).
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from enum import IntEnum
from typing import Final

from socksgw.wire.reader import Reader, WireError

__all__ = [
    "Attribute",
    "FAILURE",
    "HMAC_MD5",
    "MESSAGE_LIMIT",
    "Message",
    "SUCCESS",
    "encodeMessage",
    "readMessage",
    "respond",
]


class Attribute(IntEnum):
    """Attributes ("Attribute Definitions"); others are ignored."""

    STATUS = 0x00
    TEXT_MESSAGE = 0x01
    USER_IDENTITY = 0x02
    CHALLENGE = 0x03
    RESPONSE = 0x04
    CHARSET = 0x05
    IDENTIFIER = 0x10
    ALGORITHMS = 0x11


#: Most octets of a message that we read; the draft's longest is 65,537, and
#: honest ones have a few attributes.
MESSAGE_LIMIT: Final = 2048
#: The algorithm that each side must support ("The HMAC-MD5 Algorithm").
HMAC_MD5: Final = 0x85
#: Values of STATUS: "0 = success".
SUCCESS: Final = b"\0"
FAILURE: Final = b"\1"

_VERSION: Final = 1
#: The attributes that are looked at.
_USED: Final = {
    int(attribute): attribute
    for attribute in (
        Attribute.STATUS,
        Attribute.USER_IDENTITY,
        Attribute.CHALLENGE,
        Attribute.RESPONSE,
        Attribute.ALGORITHMS,
    )
}


class Message(dict[Attribute, bytes]):
    """Values by their attributes; never printed."""

    def __repr__(self) -> str:
        return "<Message>"

    __str__ = __repr__


def respond(password: bytes, challenge: bytes) -> bytes:
    """
    Return the response to a challenge: HMAC-MD5 with the password as the key.

    The identifier octet of CHAP has no part in it (RFC 2104, and the draft's "The
    HMAC-MD5 Algorithm").
    """
    return hmac.digest(password, challenge, "md5")


def readMessage(reader: Reader) -> Message:
    """
    Read a message ("Message Format").

    It is VER, NAVAS, and as many attributes with their values, in any order.

    @raise WireError: it has another version, or an attribute twice, so that it is
        not known which one is meant.
    """
    if reader.u8() != _VERSION:
        raise WireError("the CHAP message's version is not 1")
    message = Message()
    for _ in range(reader.u8()):
        attribute = _USED.get(reader.u8())
        value = reader.take(reader.u8())
        if attribute is not None:
            if attribute in message:
                raise WireError("an attribute stands twice in the CHAP message")
            message[attribute] = value
    return message


def encodeMessage(values: Mapping[Attribute, bytes]) -> bytes:
    """
    Return a message.

    @raise ValueError: there are more than 255 attributes, or one has more
        than 255 octets.
    """
    octets = bytes((_VERSION, len(values)))
    for attribute, value in values.items():
        octets += bytes((attribute, len(value))) + value
    return octets
