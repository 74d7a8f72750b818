"""
The messages of user and password authentication (RFC 1929).
"""

from __future__ import annotations

from typing import Final, NamedTuple

from socksgw.wire.reader import Reader, WireError

__all__ = [
    "REQUEST_LIMIT",
    "STATUS_LIMIT",
    "UserPassword",
    "encodeRequest",
    "encodeStatus",
    "readRequest",
    "readStatus",
]

#: VER, ULEN, UNAME, PLEN, PASSWD (section 2).
REQUEST_LIMIT: Final = 3 + 255 + 255
#: VER, STATUS (section 2).
STATUS_LIMIT: Final = 2

_VERSION: Final = 1


class UserPassword(NamedTuple):
    """The client's name and password, as octets; never printed."""

    username: bytes
    password: bytes

    def __repr__(self) -> str:
        return "<UserPassword>"


def readRequest(reader: Reader) -> UserPassword:
    """
    Read the client's name and password (section 2).

    Empty fields are let through: the checker refuses them as any other wrong
    credential.
    """
    if reader.u8() != _VERSION:
        raise WireError("the login's version is not 1")
    return UserPassword(reader.take(reader.u8()), reader.take(reader.u8()))


def encodeRequest(username: bytes, password: bytes) -> bytes:
    """
    Return the client's name and password (section 2).

    @raise ValueError: one is empty, or has more than 255 octets.
    """
    for field in (username, password):
        if not 1 <= len(field) <= 255:
            raise ValueError("a name and a password have 1 to 255 octets")
    return (
        bytes((_VERSION, len(username))) + username + bytes((len(password),)) + password
    )


def readStatus(reader: Reader) -> int:
    """Read the server's answer: 0 is success (section 2)."""
    if reader.u8() != _VERSION:
        raise WireError("the status's version is not 1")
    return reader.u8()


def encodeStatus(status: int) -> bytes:
    """Return the server's answer: 0 is success (section 2)."""
    return bytes((_VERSION, status))
