"""
What is large is freed piece by piece, and what others use is not.
"""

from __future__ import annotations

import weakref
from typing import Any

from socksgw.system.dismantling import dismantle

PACKAGES = {__name__.rpartition(".")[0]}


class Piece:
    """
    Something with parts.

    @cvar depth: how many are being freed one within the other.
    @cvar deepest: how many that were at most.
    """

    depth = 0
    deepest = 0

    def __init__(self, *parts: Any) -> None:
        self.parts = parts

    def __del__(self) -> None:
        Piece.depth += 1
        Piece.deepest = max(Piece.deepest, Piece.depth)
        self.parts = ()
        Piece.depth -= 1


def chain(length: int) -> Piece:
    """Each has the next one."""
    piece = Piece()
    for _ in range(length):
        piece = Piece([piece], {"again": piece})
    return piece


def test_pieceByPiece() -> None:
    """Nothing is freed within something else, as it is in one go."""
    whole = chain(5)
    Piece.deepest = 0
    del whole
    assert Piece.deepest == 6
    Piece.deepest = 0
    roots: list[object] = [chain(5), chain(500)]
    known = [weakref.ref(each) for each in roots]
    dismantle(roots, PACKAGES)
    assert roots == []
    assert [each() for each in known] == [None, None]
    assert Piece.deepest == 1


def test_whatOthersUse() -> None:
    """It stays as it is, and so does what it has."""
    shared = chain(3)
    roots: list[object] = [Piece(shared, {"here": shared})]
    dismantle(roots, PACKAGES)
    depth, each = 0, shared
    while each.parts:
        assert each.parts[0][0] is each.parts[1]["again"]
        depth, each = depth + 1, each.parts[0][0]
    assert depth == 3


def test_whatIsNotFollowed() -> None:
    """Objects of other packages, classes and functions are left alone."""
    whole = Piece(Piece, chain, 5, "text", weakref)
    dismantle([whole, Piece], PACKAGES)
    assert whole.parts == (Piece, chain, 5, "text", weakref)
