"""
Schedules of rules: days, hours and dates in a time zone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Final, final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

__all__ = ["Schedule"]

_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_UTC: Final = ("UTC", "Etc/UTC")
_HOURS: Final = re.compile(r"(\d{2}):(\d{2})-(\d{2}):(\d{2})\Z", re.ASCII)


def _dayNumbers(words: Sequence[str]) -> frozenset[int]:
    found: set[int] = set()
    for word in words:
        first, dash, last = word.partition("-")
        try:
            start = _DAYS.index(first)
            end = _DAYS.index(last) if dash else start
        except ValueError:
            raise ValueError(
                f'"{word}" is no day and no range of days such as "mon-fri"'
            ) from None
        while True:
            found.add(start)
            if start == end:
                break
            start = (start + 1) % 7
    return frozenset(found)


def _minutes(text: str) -> tuple[int, int]:
    match = _HOURS.match(text)
    if match is None:
        raise ValueError(f'"{text}" is not of the form "08:00-18:00"')
    hours = [int(number) for number in match.groups()]
    if hours[0] > 23 or hours[2] > 24 or hours[1] > 59 or hours[3] > 59:
        raise ValueError(f'"{text}" is no time of day')
    start, end = hours[0] * 60 + hours[1], hours[2] * 60 + hours[3]
    if end > 24 * 60 or start == end:
        raise ValueError(f'"{text}" is no time of day')
    return start, end


def _zone(name: str) -> tzinfo:
    """
    Find a time zone by its name.

    @raise ValueError: it is not known, or this system has no time zones.
    """
    if name in _UTC:
        # Works without the database of time zones, which small containers lack.
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        pass
    if not available_timezones():
        raise ValueError(
            f'"{name}": this system has no time zones but UTC; install tzdata (its '
            "package, or: pip install tzdata)"
        )
    raise ValueError(f'"{name}" is no time zone that is known here')


@final
class Schedule:
    """
    The times at which a rule holds: some hours of some days.

    Hours that end before they begin cross midnight, and belong to the day on which
    they began.
    """

    def __init__(
        self,
        days: Sequence[str],
        hours: str,
        zone: str,
        first: date | None = None,
        last: date | None = None,
    ) -> None:
        """
        Read a schedule as it is written in a configuration.

        @param days: such as C{"mon"} or C{"mon-fri"}; without any, every day.
        @param hours: such as C{"08:00-18:00"}; empty for the whole day.
        @param zone: such as C{"Europe/Berlin"}.
        @param first: the first day on which it holds.
        @param last: the last day on which it holds.
        @raise ValueError: one of these is wrong.
        """
        self._days = _dayNumbers(days) if days else frozenset(range(7))
        self._start, self._end = _minutes(hours) if hours else (0, 24 * 60)
        self._zone = _zone(zone)
        if first is not None and last is not None and last < first:
            raise ValueError("it ends before it begins")
        self._first, self._last = first, last

    def covers(self, at: float) -> bool:
        """
        Tell whether the schedule holds at a time.

        @param at: seconds since the epoch.
        """
        now = datetime.fromtimestamp(at, self._zone)
        minute = now.hour * 60 + now.minute
        if self._start < self._end:
            return self._start <= minute < self._end and self._isDay(now.date())
        if minute >= self._start:
            return self._isDay(now.date())
        return minute < self._end and self._isDay(now.date() - timedelta(days=1))

    def isOver(self, at: float) -> bool:
        """
        Tell whether the schedule never holds again.

        @param at: seconds since the epoch.
        """
        if self._last is None:
            return False
        # The last day's hours may end on the next one.
        today = datetime.fromtimestamp(at, self._zone).date()
        return today > self._last + timedelta(days=1)

    def _isDay(self, day: date) -> bool:
        return (
            day.weekday() in self._days
            and (self._first is None or day >= self._first)
            and (self._last is None or day <= self._last)
        )
