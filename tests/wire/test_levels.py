"""
The words of rules for protection, and what they mean.
"""

from __future__ import annotations

import pytest

from socksgw.wire.levels import FACTS, LEVELS, WORDS, factOf, factsOf


def test_facts() -> None:
    """A connection's own level, and IPsec below it."""
    assert [factOf(each, False) for each in LEVELS] == list(LEVELS)
    assert [factOf(each, True) for each in LEVELS] == [
        "ipsec",
        "integrity+ipsec",
        "confidentiality+ipsec",
    ]
    assert len(set(FACTS)) == 6


@pytest.mark.parametrize(
    ("word", "facts"),
    [
        ("clear", {"clear"}),
        ("integrity", {"integrity", "integrity+ipsec"}),
        ("confidentiality", {"confidentiality", "confidentiality+ipsec"}),
        ("ipsec", {"ipsec", "integrity+ipsec", "confidentiality+ipsec"}),
    ],
)
def test_words(word: str, facts: set[str]) -> None:
    """What is clear inside IPsec is no longer clear; TLS inside IPsec is both."""
    assert word in WORDS
    assert factsOf(word) == facts
