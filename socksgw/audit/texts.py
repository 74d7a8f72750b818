"""
Values of a record, as JSON.
"""

from __future__ import annotations

from functools import lru_cache
from json.encoder import encode_basestring_ascii as quoted
from typing import Final

from socksgw.wire.address import Address, escaped

__all__ = ["SHOWN", "judged", "named", "place", "shown"]

#: How many octets are written of what somebody sent who has not logged in.
SHOWN: Final = 128


def place(address: Address | str, port: int) -> str:
    """Return an address, or the name of a host, and port."""
    if isinstance(address, str):
        return quoted(f"{address}:{port}")
    if len(address.packed) == 4:
        return f'"{address.text}:{port}"'
    return f'"[{address.text}]:{port}"'


def shown(octets: bytes) -> str:
    """
    Return what a client sent before it logged in: escaped, as a JSON string.

    It is cut to L{SHOWN} octets, so that strangers cannot fill the journal.
    """
    if len(octets) <= SHOWN:
        return quoted(escaped(octets))
    return quoted(f"{escaped(octets[:SHOWN])}... ({len(octets)} octets)")


def named(key: str, text: str) -> str:
    """Return one more JSON member with its comma, or nothing for an empty text."""
    return f',"{key}":{quoted(text)}' if text else ""


@lru_cache(maxsize=2048)
def judged(
    user: str,
    method: str,
    command: str,
    asked: bytes,
    name: str | None,
    port: int,
    allowed: bool,
    rule: str,
    why: str,
    policy: str,
) -> str:
    """
    Return the members of who asked for what, and what was said of it.

    It is remembered: the same users go to the same places.

    @param policy: which configuration; empty where there is no file.
    """
    return (
        f',"user":{quoted(user)},'
        f'"method":{quoted(method)},"command":"{command}",'
        f'"asked":{quoted(escaped(asked))},'
        f'"name":{quoted(name) if name is not None else "null"},"port":{port},'
        f'"verdict":"{"allow" if allowed else "deny"}",'
        f'"rule":{quoted(rule) if rule else "null"},'
        f'"why":{quoted(why)}' + named("policy", policy)
    )
