"""
Free what is large piece by piece: Python frees it in one go, and holds up every thread.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Collection
from typing import Final

__all__ = ["dismantle"]

#: References to what nobody else has: by a name, and by the question.
_OURS: Final = 2
#: What is freed one by one, besides what is an instance of ours.
_CONTAINERS: Final = (dict, list, tuple, set, frozenset)


def dismantle(roots: list[object], packages: Collection[str]) -> None:
    """
    Free objects, and what only they refer to. It is run in a thread.

    What others refer to, too, stays as it is.

    @param roots: what nobody else refers to; it is emptied.
    @param packages: whose instances are followed, such as C{socksgw.policy}: all others
        are freed together with what refers to them.
    """
    pieces = [each for each in roots if _isOurs(each, packages)]
    roots.clear()
    # A number means the same object for as long as it is among the pieces.
    seen = set(map(id, pieces))
    for each in pieces:
        for other in gc.get_referents(each):
            if id(other) not in seen and _isOurs(other, packages):
                seen.add(id(other))
                pieces.append(other)
    while seen:
        seen.pop()
    each = other = None
    # First what refers to others: these are still among the pieces.
    left = 0
    while left != len(pieces):
        left = len(pieces)
        pieces = _freed(pieces)


def _freed(pieces: list[object]) -> list[object]:
    """
    Free the pieces that nothing refers to any more, in their order.

    @param pieces: it is emptied.
    @return: the others.
    """
    others: list[object] = []
    pieces.reverse()
    while pieces:
        each = pieces.pop()
        if sys.getrefcount(each) > _OURS:
            others.append(each)
    return others


def _isOurs(each: object, packages: Collection[str]) -> bool:
    kind = type(each)
    if kind in _CONTAINERS:
        return True
    return kind.__module__.rpartition(".")[0] in packages
