"""
Patterns of host names, and sets of them: large ones are shared, small ones copied.
"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from socksgw.policy.patterns import NamePattern, NamePatterns
from socksgw.wire.address import parseHost

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


def patterns(words: list[str], *others: NamePatterns) -> NamePatterns:
    return NamePatterns(map(NamePattern, words), others)


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
    """However many sets include them, there is one of each."""
    names = patterns([f"={label}" for label in LABELS])
    assert patterns(["=a.b"], names).exact[1] is names.exact[0]
