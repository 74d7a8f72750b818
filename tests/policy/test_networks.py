"""
Sets made of other sets, large ones shared and small ones copied, hold what
their parts hold.
"""

from __future__ import annotations

from functools import cache
from ipaddress import ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from socksgw.policy.networks import (
    NamePattern,
    NamePatterns,
    Network,
    Networks,
    Ports,
)
from socksgw.wire.address import Address, parseHost

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

LABELS = [f"x{i}.example" for i in range(70)]
PATTERNS = [
    *(
        "*.example",
        ".example",
        "=example",
        "*.x7.example",
        ".x7.example",
        "=x7.example",
    ),
    *("=a.x7.example", "*.other", "=other"),
]
NAMES = ["example", "x7.example", "a.x7.example", "b.a.x7.example", "other", "a.other"]
SOME_PATTERNS = st.lists(st.sampled_from(PATTERNS), max_size=3)
PATTERN_LISTS = SOME_PATTERNS | st.builds(
    lambda words, kind: words + [f"{kind}{label}" for label in LABELS],
    SOME_PATTERNS,
    st.sampled_from(["*.", ".", "="]),
)


def networks(words: list[str], *others: Networks) -> Networks:
    return Networks(map(Network.parse, words), others)


def patterns(words: list[str], *others: NamePatterns) -> NamePatterns:
    return NamePatterns(map(NamePattern, words), others)


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


@settings(deadline=None)
@given(PATTERN_LISTS, PATTERN_LISTS, PATTERN_LISTS)
def test_patternsOfOthers(own: list[str], one: list[str], other: list[str]) -> None:
    """A name matches the whole when it matches a part."""
    parts = [patterns(words) for words in (own, one, other)]
    whole = patterns(own, patterns(one, patterns(other)), patterns(other))
    for name in NAMES:
        assert (name in whole) is any(name in part for part in parts)
    assert bool(whole) is any(parts)
    assert all(whole.contains(part) for part in parts)
    for part in parts:
        if part.contains(whole):
            assert {n for n in NAMES if n in whole} == {n for n in NAMES if n in part}


@pytest.mark.parametrize(
    ("pattern", "matched", "others"),
    [
        ("=api-.example", ["api-.example"], ["x.api-.example", "api.example"]),
        (".api-.example", ["api-.example", "x.api-.example"], ["xapi-.example"]),
        ("*.-b.example", ["a.-b.example"], ["b.example", "x-b.example"]),
        (".-b.example", ["a.-b.example"], ["b.example"]),
    ],
)
def test_hyphensAtTheEndsOfLabels(
    pattern: str, matched: list[str], others: list[str]
) -> None:
    """What a client can ask for can be named."""
    found = patterns([pattern])
    for name in [*matched, *others]:
        assert parseHost(name.encode()) == name
        assert (name in found) is (name in matched)


@pytest.mark.parametrize(
    "pattern", ["=-b.example", "*.", ".", "=", ".-1", "*.-0x1", "*.-a b"]
)
def test_whatMatchesNoName(pattern: str) -> None:
    """An error rather than a rule that never holds."""
    with pytest.raises(ValueError, match="never match"):
        NamePattern(pattern)


def test_largeSetsAreShared() -> None:
    """Whoever names them: there is one of each."""
    large = networks(LARGE)
    one, other = networks(["10.0.0.0/8"], large), networks(["10.0.0.0/8"], large)
    assert {id(p) for _, p in one.four} & {id(p) for _, p in other.four} == {
        id(large.four[0][1])
    }
    names = patterns([f"={label}" for label in LABELS])
    assert patterns(["=a.b"], names).exact[1] is names.exact[0]


@given(st.lists(st.sampled_from([80, 443, "1-3", "8000-8099", "1-65535"]), unique=True))
def test_fewPorts(words: list[int | str]) -> None:
    """Each port of those that are not many, and one of those that are some."""
    ports = Ports(words)
    few = ports.few(256)
    assert (few is None) is ("1-65535" in words)
    if few is not None:
        assert few == {port for port in range(1, 9000) if port in ports}
    assert bool(ports) is bool(words)
    if ports:
        assert ports.one() in ports
