"""
Sets of addresses as ranges.
"""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from socksgw.policy.conditions import Addresses
from socksgw.policy.extent import EVERYWHERE, PUBLIC, Extent, extentOf, union
from socksgw.policy.networks import Network, Networks
from socksgw.policy.special import PRIVATE, SPECIAL, borders, kinds
from socksgw.wire.address import Address
from tests.fakes.policy import Facts

RANGES = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)).map(sorted))


def members(ranges: object) -> set[int]:
    return {n for first, last in ranges for n in range(first, last + 1)}  # type: ignore[attr-defined]


@given(RANGES, RANGES)
def test_arithmetic(one: list[tuple[int, int]], other: list[tuple[int, int]]) -> None:
    """It is that of sets, for either family; ranges stay apart and in order."""
    a, b = Extent(one, other), Extent(other, one)
    left, right = members(one), members(other)
    for found, expected in (
        (a | b, (left | right, left | right)),
        (a - b, (left - right, right - left)),
        (a & b, (left & right, left & right)),
        (union([a, b, a]), (left | right, left | right)),
    ):
        assert (members(found.four), members(found.six)) == expected
        assert found.sizes() == (len(expected[0]), len(expected[1]))
        for ranges in (found.four, found.six):
            for (_, last), (first, _) in pairwise(ranges):
                assert last + 1 < first


def test_whatIsPublic() -> None:
    """Every border of the registries' table is on the right side."""
    for version, octets in ((4, 4), (6, 16)):
        ranges = PUBLIC.four if version == 4 else PUBLIC.six
        for border in borders(version):
            for number in (border - 1, border):
                if 0 <= number < 1 << (8 * octets):
                    address = Address(number.to_bytes(octets, "big"))
                    public = kinds(address).isdisjoint({SPECIAL, PRIVATE})
                    assert public == any(a <= number <= b for a, b in ranges), address


def test_words() -> None:
    """Networks and built-in names; two halves are the whole."""

    def of(*words: str) -> Extent:
        kinds = [word for word in words if not word[0].isdigit() and ":" not in word]
        networks = [Network.parse(word) for word in words if word not in kinds]
        return extentOf(Addresses(kinds, Networks(networks), Facts()))

    assert not EVERYWHERE - of("any")
    assert not EVERYWHERE - of("0.0.0.0/1", "128.0.0.0/1", "::/1", "8000::/1")
    assert of("10.0.0.0/8").sizes() == (1 << 24, 0)
    assert not of("10.0.0.0/8", "127.0.0.1") & PUBLIC
    assert not of("private", "special", "self", "listeners") & PUBLIC
    assert not EVERYWHERE - (of("private", "special") | PUBLIC)
