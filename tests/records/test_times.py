"""
Points in time, as people write them.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socksgw.records.times import momentOf, stampOf

#: A Saturday.
NOW = datetime(2026, 11, 28, 2, 10, 21, 345_678, UTC)


@pytest.mark.parametrize(
    ("text", "stamp"),
    [
        ("now", "2026-11-28T02:10:21.345Z"),
        ("today", "2026-11-28T00:00:00.000Z"),
        ("Yesterday", "2026-11-27T00:00:00.000Z"),
        ("saturday", "2026-11-28T00:00:00.000Z"),
        ("sunday", "2026-11-22T00:00:00.000Z"),
        ("-2h", "2026-11-28T00:10:21.345Z"),
        ("2h ago", "2026-11-28T00:10:21.345Z"),
        ("-1d12h", "2026-11-26T14:10:21.345Z"),
        ("-90m", "2026-11-28T00:40:21.345Z"),
        ("-1w", "2026-11-21T02:10:21.345Z"),
        ("9:30", "2026-11-28T09:30:00.000Z"),
        ("09:30:15", "2026-11-28T09:30:15.000Z"),
        ("2026-03-02", "2026-03-02T00:00:00.000Z"),
        ("2026-03-02T10:00", "2026-03-02T10:00:00.000Z"),
        ("2026-03-02 10:00:01.5", "2026-03-02T10:00:01.500Z"),
        ("2026-03-02T10:00:00+01:00", "2026-03-02T09:00:00.000Z"),
        ("2026-03-02T10:00:00Z", "2026-03-02T10:00:00.000Z"),
    ],
)
def test_moments(text: str, stamp: str) -> None:
    """As the journal's lines have them, in UTC."""
    assert momentOf(text, NOW) == stamp


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-",
        "2h",
        "-2",
        "-2y",
        "25:00",
        "2026-13-01",
        "noon",
        "-999999999w",
        "²h ago",
    ],
)
def test_whatIsNoTime(text: str) -> None:
    """The message says what is accepted."""
    with pytest.raises(ValueError, match="yesterday"):
        momentOf(text, NOW)


@given(
    st.datetimes(min_value=datetime(1, 1, 2)), st.datetimes(min_value=datetime(1, 1, 2))
)
def test_stampsSortAsTimes(one: datetime, other: datetime) -> None:
    """To a millisecond, in any time zone."""
    one, other = (each.replace(microsecond=0, tzinfo=UTC) for each in (one, other))
    zone = timezone(timedelta(minutes=-30))
    assert (stampOf(one.astimezone(zone)) < stampOf(other)) == (one < other)
