"""
What may be a tag, and a pattern of tags.
"""

from __future__ import annotations

import pytest

from socksgw.config.tags import SEPARATORS, isPatternOfTags, isTag


@pytest.mark.parametrize("text", ["job", "4711", "a:b", "a+b", SEPARATORS, "x" * 64])
def test_tags(text: str) -> None:
    """Letters, digits, colons and all separators; 64 octets at most."""
    assert isTag(text)
    assert isPatternOfTags(text)
    assert isPatternOfTags(text + "*")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x" * 65,
        "a b",
        "a@b",
        "a\n",
        "a*b",
        "a?",
        "a\\b",
        'a"',
        "ä",
        "\u0661",
        "a\0",
    ],
)
def test_noTags(text: str) -> None:
    """Nothing that a rule, a name or a log would have to escape."""
    assert not isTag(text)
    assert not isPatternOfTags(text)


def test_anyTag() -> None:
    """An asterisk alone is a pattern."""
    assert isPatternOfTags("*")
    assert not isPatternOfTags("**")
