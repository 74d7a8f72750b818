"""
Sets of addresses as ranges, with the arithmetic of sets.

They tell how much of the Internet the words of a configuration cover, however they
are written.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Final, final

from socksgw.policy.conditions import Addresses
from socksgw.policy.networks import Networks
from socksgw.policy.special import KINDS, PRIVATE, SPECIAL, borders, kinds
from socksgw.wire.address import Address

__all__ = [
    "EVERYWHERE",
    "NOWHERE",
    "PUBLIC",
    "Extent",
    "extentOf",
    "extentOfNetworks",
    "union",
]

#: Pairs of the first and the last address, as numbers; disjoint and in order.
Ranges = tuple[tuple[int, int], ...]

_LAST: Final = {4: (1 << 32) - 1, 6: (1 << 128) - 1}


@final
class Extent:
    """
    A set of addresses.

    @ivar four: the ranges of IPv4.
    @ivar six: the ranges of IPv6.
    """

    __slots__ = ("four", "six")

    def __init__(
        self, four: Iterable[tuple[int, int]] = (), six: Iterable[tuple[int, int]] = ()
    ) -> None:
        self.four = _joined(four)
        self.six = _joined(six)

    def __or__(self, other: Extent) -> Extent:
        return Extent((*self.four, *other.four), (*self.six, *other.six))

    def __sub__(self, other: Extent) -> Extent:
        return Extent(_less(self.four, other.four), _less(self.six, other.six))

    def __and__(self, other: Extent) -> Extent:
        return self - (EVERYWHERE - other)

    def __bool__(self) -> bool:
        return bool(self.four or self.six)

    def sizes(self) -> tuple[int, int]:
        """Return how many IPv4 and how many IPv6 addresses there are."""
        four, six = (
            sum(last - first + 1 for first, last in ranges)
            for ranges in (self.four, self.six)
        )
        return four, six


def _joined(ranges: Iterable[tuple[int, int]]) -> Ranges:
    found: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(found[-1][1], last))
        else:
            found.append((first, last))
    return tuple(found)


def _less(ranges: Ranges, others: Ranges) -> Iterator[tuple[int, int]]:
    """Yield the parts of ranges that are in none of others; both are in order."""
    number = 0
    for first, last in ranges:
        while number < len(others) and others[number][1] < first:
            number += 1
        at = number
        while at < len(others) and others[at][0] <= last:
            if first < others[at][0]:
                yield first, others[at][0] - 1
            first = others[at][1] + 1
            at += 1
        if first <= last:
            yield first, last


def extentOfNetworks(networks: Networks) -> Extent:
    """Return the addresses of some networks."""
    return Extent(
        *(
            [
                (prefix << shift, ((prefix + 1) << shift) - 1)
                for shift, prefixes in byShift
                for prefix in prefixes
            ]
            for byShift in (networks.four, networks.six)
        )
    )


EVERYWHERE: Final = Extent([(0, _LAST[4])], [(0, _LAST[6])])
NOWHERE: Final = Extent()


def _ofKind(kind: str) -> Extent:
    return Extent(
        *(
            [
                (first, after - 1)
                for first, after in pairwise(borders(version))
                if kind in kinds(Address(first.to_bytes(octets, "big")))
            ]
            for version, octets in ((4, 4), (6, 16))
        )
    )


_OF_KIND: Final = {kind: _ofKind(kind) for kind in KINDS}

#: All addresses that are globally reachable.
PUBLIC: Final = EVERYWHERE - _OF_KIND[SPECIAL] - _OF_KIND[PRIVATE]


def extentOf(addresses: Addresses | None) -> Extent:
    """
    Return the addresses that words of a configuration mean.

    C{self} and C{listeners} are left out: a few addresses that may change.

    @param addresses: L{None} for all addresses.
    """
    if addresses is None or addresses.everything:
        return EVERYWHERE
    found = extentOfNetworks(addresses.networks)
    for word in addresses.words & KINDS:
        found |= _OF_KIND[word]
    return found


def union(extents: Iterable[Extent]) -> Extent:
    """Return the addresses that are in any of some sets."""
    found = list(extents)
    return Extent(
        (each for extent in found for each in extent.four),
        (each for extent in found for each in extent.six),
    )
