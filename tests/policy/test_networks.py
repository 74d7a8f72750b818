"""
Sets made of other sets, large ones shared and small ones copied, hold what
their parts hold.
"""

from __future__ import annotations

from functools import cache
from ipaddress import ip_network

from hypothesis import given, settings
from hypothesis import strategies as st

from socksgw.policy.networks import Network, Networks
from socksgw.wire.address import Address

#: More than are ever copied, of IPv4 and of IPv6.
LARGE = [
    *(f"44.0.{i}.0/24" for i in range(70)),
    *(f"2620:{i:x}::/32" for i in range(70)),
]
WORDS = [
    "44.0.0.0/16", "44.0.7.0/24", "44.0.7.9", "44.1.0.0/16", "0.0.0.0/0", "10.0.0.0/8",
    "2620::/16", "2620:7::/32", "2620:7::9", "::/0", "fd00::/8",
]  # fmt: skip
ADDRESSES = ["44.0.7.9", "44.0.200.1", "44.1.2.3", "10.1.1.1", "8.8.8.8", "2620:7::9",
             "2620:ffff::1", "fd00::1", "::9"]  # fmt: skip
SOME = st.lists(st.sampled_from(WORDS), max_size=3)
#: Small lists, and such with a large one in it.
LISTS = SOME | SOME.map(lambda words: words + LARGE)


def networks(words: list[str], *others: Networks) -> Networks:
    return Networks(map(Network.parse, words), others)


@settings(deadline=None)
@given(LISTS, LISTS, LISTS)
def test_networksOfOthers(own: list[str], one: list[str], other: list[str]) -> None:
    """An address is in the whole when it is in a part."""
    parts = [networks(words) for words in (own, one, other)]
    whole = networks(own, networks(one, networks(other)), networks(other))
    for text in ADDRESSES:
        address = Address.parse(text)
        assert (address in whole) is any(address in part for part in parts)
        assert whole.names(address) is any(part.names(address) for part in parts)
    assert bool(whole) is any(parts)
    assert all(whole.contains(part) for part in parts)
    for part in parts:
        if part.contains(whole):
            assert all(
                Address.parse(text) in part
                for text in ADDRESSES
                if Address.parse(text) in whole
            )


@cache
def isWithin(inner: str, outer: str) -> bool:
    one, other = ip_network(inner), ip_network(outer)
    return one.version == other.version and one.subnet_of(other)  # type: ignore[arg-type]


@settings(deadline=None)
@given(LISTS, LISTS)
def test_networksContainOthersOneByOne(mine: list[str], theirs: list[str]) -> None:
    """Each network of the other must be in one of mine."""
    expected = all(any(isWithin(each, word) for word in mine) for each in theirs)
    assert networks(mine).contains(networks(theirs)) is expected


def test_largeSetsAreShared() -> None:
    """However many sets include them, there is one of each."""
    large = networks(LARGE)
    one, other = networks(["10.0.0.0/8"], large), networks(["10.0.0.0/8"], large)
    assert {id(p) for _, p in one.four} & {id(p) for _, p in other.four} == {
        id(large.four[0][1])
    }
