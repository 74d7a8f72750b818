"""
Security identifiers of Windows, as text ([MS-DTYP] section 2.4.2.1).
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["isSID", "normalSID"]

#: The decimal form: an authority of 48 bits below 2^32, and 1 to 15 sub-authorities.
_TEXT: Final = re.compile(r"S-1-([0-9]{1,10})((?:-[0-9]{1,10}){1,15})", re.ASCII)
_START: Final = re.compile(r"S-1-", re.IGNORECASE)
_LARGEST: Final = 0xFFFFFFFF


def isSID(name: str) -> bool:
    """Return whether a group's name is meant as a security identifier."""
    return _START.match(name) is not None


def normalSID(text: str) -> str:
    """
    Return the one form of a security identifier's text.

    @raise ValueError: it is none.
    """
    found = _TEXT.fullmatch(text.upper())
    parts = [int(found[1]), *map(int, found[2][1:].split("-"))] if found else []
    if not parts or max(parts) > _LARGEST:
        raise ValueError(
            f'"{text}" is not a security identifier such as "S-1-5-32-544"'
        )
    return "S-1-" + "-".join(map(str, parts))
