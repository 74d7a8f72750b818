"""
What inspectors find in octets, however these come.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from socksgw.interfaces import Finding

__all__ = ["lookedAt", "split"]


def lookedAt(inspector: Any, parts: list[bytes], client: bool = True) -> Finding | int:
    """
    Return what an inspector finds in octets that come in parts.

    It is asked as the relay asks it: with all octets so far, each time that some come.

    @return: the last answer; a number of octets that are wanted where it needs more.
    """
    octets, wanted = bytearray(), 1
    first = next((part[0] for part in parts if part), None)
    begins = inspector.fromClient if client else inspector.fromServer
    if first is not None and first not in begins:
        return 0
    look = inspector.begin(client)
    for part in filter(None, parts):
        octets += part
        found: Finding | int = look(octets)
        if not isinstance(found, int) or found <= 0:
            return found
        assert found > len(octets), "it wants no more than there is"
        wanted = found
    return wanted


def split(octets: bytes, cuts: list[int]) -> list[bytes]:
    """Return the parts between some places."""
    places = sorted({0, *(cut % (len(octets) + 1) for cut in cuts), len(octets)})
    return [octets[a:b] for a, b in pairwise(places)]
