"""
Tables and figures for people.
"""

from __future__ import annotations

import pytest

from socksgw.console.tables import columns, duration, octets


def test_columns() -> None:
    """As wide as what is in them."""
    assert list(columns(("a", "number"), [("long one", "1"), ("b", "22")], (1,))) == [
        "a         number",
        "long one       1",
        "b             22",
    ]
    assert list(columns(("a", "b"), [])) == ["a  b"]


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (999_999, "1000 kB"),
     (1_234_567, "1.23 MB"), (5 * 10**18, "5000 PB")],
)  # fmt: skip
def test_octets(number: int, text: str) -> None:
    """Three digits."""
    assert octets(number) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0s"), (59.2, "59s"), (65, "1m05s"), (3600, "1h00m"), (90000, "1d01h")],
)
def test_duration(seconds: float, text: str) -> None:
    """The two largest units."""
    assert duration(seconds) == text
