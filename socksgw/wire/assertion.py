"""
What one gateway says to the next about the client whose connection it passes on.

It is a value of a PROXY header of version 2 (section 2.2), of a type that is left to
applications, and is signed; the header comes inside TLS. Octets::

    +----------+--------+-----------+-----------------+
    | FORMAT 1 | KEY ID | SIGNATURE | CLAIMS          |
    +----------+--------+-----------+-----------------+
    |    1     |   8    |    64     | JSON in UTF-8   |
    +----------+--------+-----------+-----------------+

The signature is Ed25519's (RFC 8032), over L{signed}. It holds for one connection
alone: a value that was read elsewhere is of no use.
"""

from __future__ import annotations

import json
from typing import Any, Final, NamedTuple

from socksgw.wire.levels import FACTS
from socksgw.wire.reader import WireError

__all__ = [
    "KEY_ID",
    "MOST_HOPS",
    "TYPE",
    "Assertion",
    "Signed",
    "decode",
    "encode",
    "open_",
    "signed",
]

#: PP2_TYPE_MIN_CUSTOM is 0xE0, PP2_TYPE_MAX_CUSTOM 0xEF (section 2.2.7).
TYPE: Final = 0xE5
#: Gateways that a connection may have come through.
MOST_HOPS: Final = 4
#: Octets of a key's id, and of a signature.
KEY_ID: Final = 8
_SIGNATURE: Final = 64
_FORMAT: Final = b"\x01"
_FIXED: Final = 1 + KEY_ID + _SIGNATURE
#: Octets of the claims: a header has 8,192 at most (L{socksgw.wire.proxyheader}).
_LONGEST: Final = 7168
#: Characters of one word, and words of one list.
_WORD: Final = 2560
_WORDS: Final = 256
#: The latest end of a login, in seconds since the epoch.
_LATEST: Final = 1 << 63
#: What the signature is over begins with this, so that it means nothing elsewhere.
_CONTEXT: Final = b"socksgw assertion 1\x00"
_TEXTS: Final = ("user", "method", "tag", "secured")
_LISTS: Final = ("groups", "path")


class Assertion(NamedTuple):
    """
    What is said of a client.

    @ivar user: who has logged in; empty where nobody has.
    @ivar method: the method of that.
    @ivar groups: the groups that the user is in.
    @ivar tag: what the client has written behind its name.
    @ivar secured: how the client's side is protected (L{socksgw.wire.levels}).
    @ivar expires: when the login ends, in seconds since the epoch; L{None} for never.
    @ivar path: the gateways that the connection has come through, the first one first.
    """

    user: str
    method: str
    groups: frozenset[str]
    tag: str
    secured: str
    expires: float | None
    path: tuple[str, ...]


class Signed(NamedTuple):
    """
    An assertion whose signature has not been verified.

    @ivar key: the id of the key that has signed it.
    @ivar signature: over L{signed} of the claims.
    @ivar claims: what it says, as octets.
    """

    key: bytes
    signature: bytes
    claims: bytes

    @property
    def value(self) -> bytes:
        """The value of the header."""
        return _FORMAT + self.key + self.signature + self.claims


def signed(claims: bytes, binding: bytes) -> bytes:
    """
    Return what a signature is over.

    @param binding: what only the two ends of this TLS connection know (RFC 9266).
    """
    return _CONTEXT + binding + claims


def open_(value: bytes) -> Signed:
    """
    Take a value of a header apart.

    @raise WireError: it is of another format.
    """
    if value[:1] != _FORMAT or not _FIXED < len(value) <= _FIXED + _LONGEST:
        raise WireError("an assertion of a format that is not known")
    return Signed(value[1 : 1 + KEY_ID], value[1 + KEY_ID : _FIXED], value[_FIXED:])


def encode(assertion: Assertion) -> bytes:
    """
    Return the claims as octets.

    @raise ValueError: they are too long.
    """
    said: dict[str, Any] = {each: getattr(assertion, each) for each in _TEXTS}
    said["groups"] = sorted(assertion.groups)
    said["path"] = list(assertion.path)
    said["expires"] = assertion.expires
    octets = json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode()
    if len(octets) > _LONGEST or len(said["groups"]) > _WORDS:
        raise ValueError(f"what there is to say of the user has {len(octets):,} octets")
    return octets


def decode(claims: bytes) -> Assertion:
    """
    Return what claims say, whose signature has been verified.

    @raise WireError: they are no claims.
    """
    try:
        said = json.loads(claims, parse_constant=_never)
    except (ValueError, RecursionError):
        raise WireError("an assertion that is no JSON") from None
    if not isinstance(said, dict):
        raise WireError("an assertion that is no object")
    texts: Any = [said.get(each) for each in _TEXTS]
    lists: Any = [said.get(each) for each in _LISTS]
    expires = said.get("expires")
    if (
        not all(map(_isWord, texts))
        or not all(map(_isList, lists))
        or said["secured"] not in FACTS
        or not said["path"]
        or isinstance(expires, bool)
        or not isinstance(expires, (int, float, type(None)))
        # JSON has no infinity, and numbers that become one.
        or (expires is not None and abs(expires) > _LATEST)
    ):
        raise WireError("an assertion whose claims are not as they should be")
    user, method, tag, secured = texts
    groups, path = lists
    return Assertion(
        user, method, frozenset(groups), tag, secured, expires, tuple(path)
    )


def _never(_: str) -> None:
    raise ValueError("NaN or Infinity")


def _isWord(value: object) -> bool:
    return isinstance(value, str) and len(value) <= _WORD and value.isprintable()


def _isList(value: object) -> bool:
    return isinstance(value, list) and len(value) <= _WORDS and all(map(_isWord, value))
