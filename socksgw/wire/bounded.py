"""
Documents and texts of bounded length.

A program that takes records often takes only so many octets of each: it cuts what is
longer, or drops it. What is cut here stays whole as a document.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

__all__ = ["document", "shortened"]

#: How many characters of a text, and how many members of a list or an object, are
#: kept: the first pair with which the document fits.
_STEPS: Final = ((1024, 64), (512, 32), (256, 16), (128, 8), (64, 4), (24, 2))
#: What stands at the end of a text that was cut.
_CUT: Final = "..."

_encode = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


def shortened(text: str, most: int) -> str:
    """
    Cut a text to a number of characters; what was cut ends in three dots.

    @param most: at least 3.
    """
    return text if len(text) <= most else text[: most - len(_CUT)] + _CUT


def _less(value: Any, characters: int, members: int) -> Any:
    if isinstance(value, str):
        return shortened(value, characters)
    if isinstance(value, Mapping):
        return {
            key: _less(each, characters, members)
            for key, each in list(value.items())[:members]
        }
    if isinstance(value, (list, tuple)):
        return [_less(each, characters, members) for each in value[:members]]
    return value


def document(members: Mapping[str, Any], most: int, mark: str = "") -> bytes:
    """
    Return a JSON object of bounded length, in ASCII and without a line feed.

    Where it is too long, texts, lists and objects in it are shortened, all to the same
    length; where that is not enough, its last members are left out.

    @param most: octets of the whole.
    @param mark: the name of one more member, C{true} where anything was cut; empty for
        none.
    """
    whole = _encode(members).encode("ascii")
    if len(whole) <= most:
        return whole
    marked = {mark: True} if mark else {}
    for characters, few in _STEPS:
        less = {
            key: _less(value, characters, few) for key, value in members.items()
        } | marked
        whole = _encode(less).encode("ascii")
        if len(whole) <= most:
            return whole
    left = [key for key in less if key != mark]
    while left and len(whole) > most:
        del less[left.pop()]
        whole = _encode(less).encode("ascii")
    return whole
