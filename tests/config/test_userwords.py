"""
How users are written in a policy.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socksgw.config.userwords import userWord


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("alice", "alice"),
        ("", ""),
        ("CORP\\alice", "CORP\\alice"),
        ("a\\\\b", "a\\\\b"),
        # A * or ? of a name, also where a pattern would have one.
        ("a\\*b", "a*b"),
        ("ci/\\*", "ci/*"),
        ("what\\?", "what?"),
        ("CORP\\\\*", "CORP\\*"),
        ("\\*", "*"),
        ("\\*\\?\\\\", "*?\\\\"),
    ],
)
def test_names(word: str, name: str) -> None:
    assert userWord(word) == (name, False)


@pytest.mark.parametrize(
    ("word", "beginning"),
    [
        ("spiffe://corp.example/ci/*", "spiffe://corp.example/ci/"),
        ("spiffe://corp.example/*", "spiffe://corp.example/"),
        ("repo:corp/*", "repo:corp/"),
        ("repo:corp/app:*", "repo:corp/app:"),
        ("system:serviceaccount:ci:*", "system:serviceaccount:ci:"),
        ("a\\*/*", "a*/"),
    ],
)
def test_patterns(word: str, beginning: str) -> None:
    assert userWord(word) == (beginning, True)


@pytest.mark.parametrize(
    ("word", "why"),
    [
        ("*", "is the end of a pattern"),
        ("bot-*", "is the end of a pattern"),
        ("spiffe://corp.example/ci*", "is the end of a pattern"),
        ("spiffe://corp.example/*/build", "is the end of a pattern"),
        ("spiffe://*.corp.example/ci/*", "is the end of a pattern"),
        ("ci/**", "is the end of a pattern"),
        ("ci/*x", "is the end of a pattern"),
        ("ci/\\**", "is the end of a pattern"),
        ("b?t", "is no wildcard"),
        ("ci/?", "is no wildcard"),
        ("spiffe://*", "names of everybody's"),
        ("/*", "names of everybody's"),
        (":*", "names of everybody's"),
        ("://*", "names of everybody's"),
        ("uid:*", "of this machine have no patterns"),
        ("gid:a/*", "of this machine have no patterns"),
    ],
)
def test_wrong(word: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        userWord(word)


@given(st.text(alphabet="a/:*?\\", max_size=8))
def test_everyNameCanBeWritten(name: str) -> None:
    """With its stars and question marks escaped a word means itself, and no pattern."""
    written = name.replace("*", "\\*").replace("?", "\\?")
    assert userWord(written) == (name, False)
