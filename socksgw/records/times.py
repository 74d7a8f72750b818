"""
Points in time, as people write them on a command line.

A point is a stamp as the journal's lines have it (C{2026-11-28T02:10:21.000Z}, UTC), so
that stamps are compared as text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

__all__ = ["FORMS", "momentOf", "stampOf"]

#: What is accepted, for messages.
FORMS: Final = (
    "2026-03-02, 2026-03-02T10:00 (UTC), 2026-03-02T10:00:00+01:00, 10:30, now, today, "
    "yesterday, monday, -2h, -90m or -1d12h"
)
_UNITS: Final[Mapping[str, timedelta]] = {
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}
_AGO: Final = re.compile(r"-((?:\d{1,9}[smhdw])+)|((?:\d{1,9}[smhdw])+) ago", re.ASCII)
_PART: Final = re.compile(r"(\d+)([smhdw])", re.ASCII)
_CLOCK: Final = re.compile(r"\d{1,2}:\d{2}(?::\d{2})?", re.ASCII)
_DAYS: Final = (
    "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday",
)  # fmt: skip


def stampOf(moment: datetime) -> str:
    """Return a moment as the journal writes it."""
    at = moment.astimezone(UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z".rjust(24, "0")


def momentOf(text: str, now: datetime) -> str:
    """
    Return the stamp of a point in time.

    @param text: one of L{FORMS}. Days and times without an offset are in UTC, as in
        the journal. A day means its beginning; the name of a day of the week the last
        such day, today at the latest.
    @param now: the time now, with an offset.
    @raise ValueError: it is none of these; the text says what is accepted.
    """
    word = text.strip().lower()
    today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    try:
        if word == "now":
            return stampOf(now)
        if word == "today":
            return stampOf(today)
        if word == "yesterday":
            return stampOf(today - timedelta(days=1))
        if word in _DAYS:
            back = (today.weekday() - _DAYS.index(word)) % 7
            return stampOf(today - timedelta(days=back))
        if match := _AGO.fullmatch(word):
            parts = _PART.findall(match[1] or match[2])
            past = sum((int(n) * _UNITS[unit] for n, unit in parts), timedelta())
            return stampOf(now - past)
        if _CLOCK.fullmatch(word):
            clock = datetime.strptime(
                word, "%H:%M:%S" if word.count(":") > 1 else "%H:%M"
            )
            return stampOf(
                today.replace(hour=clock.hour, minute=clock.minute, second=clock.second)
            )
        moment = datetime.fromisoformat(text.strip())
        return stampOf(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        raise ValueError(f'"{text}" is not a time; write {FORMS}') from None
