"""
Documents of bounded length.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from socksgw.wire.bounded import document, shortened

_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=300),
    lambda each: (
        st.lists(each, max_size=9) | st.dictionaries(st.text(), each, max_size=9)
    ),
    max_leaves=40,
)


def test_whatFits() -> None:
    """What is short enough stays as it is."""
    members = {"a": "\xfc", "b": [1, {"c": None}]}
    assert document(members, 100) == b'{"a":"\\u00fc","b":[1,{"c":null}]}'


def test_texts() -> None:
    """A text that was cut says so."""
    assert shortened("abcdef", 6) == "abcdef"
    assert shortened("abcdefg", 6) == "abc..."


def test_marked() -> None:
    """Texts and lists are shortened first, and a member says so."""
    members = {"n": 1, "why": "x" * 5000, "groups": ["g"] * 5000}
    found = json.loads(document(members, 1500, "cut"))
    assert found["n"] == 1
    assert found["why"].endswith("x...")
    assert 0 < len(found["groups"]) < 5000
    assert found["cut"] is True


@pytest.mark.parametrize("most", [60, 200, 1000])
@settings(max_examples=40)
@given(members=st.dictionaries(st.text(max_size=9), _values, max_size=20))
def test_everyDocument(most: int, members: dict[str, Any]) -> None:
    """Whatever there is to say, it is one object, in one line, of that length."""
    octets = document(members, most, "cut")
    assert len(octets) <= most
    assert octets.isascii()
    assert b"\n" not in octets
    assert isinstance(json.loads(octets), dict)
