"""
What can be told of a token before its signature is verified.

A token is a JSON Web Token (RFC 7519) in the compact serialization of a JWS (RFC 7515
section 7.1). Nothing that is read here is believed.
"""

from __future__ import annotations

import json
import re
from base64 import b64decode
from typing import Any, Final, NoReturn

__all__ = ["LONGEST", "NAMELESS", "isToken", "objectIn", "partsOf", "subjectIn"]

#: Octets of the longest token that is looked at. The longest that were seen in use
#: have some 4 KiB, with the groups of a directory in them.
LONGEST: Final = 16 << 10
#: User names beside a token that say nothing: the token says who it is. Many programs
#: send no empty one.
NAMELESS: Final = (b"", b"token")
#: Header, claims and signature; the header begins as every JSON object does.
_TOKEN: Final = re.compile(rb"e[\w-]+\.[\w-]+\.[\w-]*\Z", re.ASCII)
#: Characters of a subject that count.
_SUBJECT: Final = 255


def isToken(octets: bytes) -> bool:
    """Tell whether octets have the form of a token, and are not too long for one."""
    return len(octets) <= LONGEST and _TOKEN.match(octets) is not None


def partsOf(octets: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """
    Read the header and the claims of a token.

    @raise ValueError: it is no token, or they are no objects.
    """
    if not isToken(octets):
        raise ValueError("not of the form of a token")
    header, claims, _ = octets.split(b".")
    return objectIn(_decoded(header)), objectIn(_decoded(claims))


def _decoded(octets: bytes) -> bytes:
    """
    Decode base64url without padding (RFC 7515 section 2).

    @raise ValueError: it is something else.
    """
    return b64decode(octets + b"=" * (-len(octets) % 4), b"-_", validate=True)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name stands twice")
    return found


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number of JSON")


def objectIn(octets: bytes) -> dict[str, Any]:
    """
    Read a JSON object in which every name stands once (RFC 7519 section 4).

    @raise ValueError: it is something else, or is nested too deeply.
    """
    try:
        found = json.loads(
            octets.decode("utf-8"), object_pairs_hook=_once, parse_constant=_refuse
        )
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if type(found) is not dict:
        raise ValueError("no object")
    return found


def subjectIn(octets: bytes) -> bytes:
    """
    Return the claim C{sub} of a token that nobody has verified.

    It is what the token's bearer claims to be, as a user name is: failures are counted
    by it. It is never shown.

    @return: empty where there is none.
    """
    if not isToken(octets):
        return b""
    try:
        found = objectIn(_decoded(octets.split(b".")[1])).get("sub")
    except ValueError:
        return b""
    return found[:_SUBJECT].encode("utf-8", "replace") if type(found) is str else b""
