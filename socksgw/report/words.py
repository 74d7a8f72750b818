"""
Values of a report as people read them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from socksgw.report.sheets import Column, Report

__all__ = ["counted", "headline", "moment", "octets", "shown"]

_UNITS: Final = ("kB", "MB", "GB", "TB", "PB", "EB")


def octets(number: float) -> str:
    """Return a number of octets with three digits; MB are 10⁶."""
    if number < 1000:
        return f"{number:.0f} B"
    for unit in _UNITS:
        number /= 1000
        # What would be rounded to 1000 is 1.00 of the next unit.
        if number < 999.5 or unit == _UNITS[-1]:
            digits = 2 if number < 9.995 else 1 if number < 99.95 else 0
            return f"{number:.{digits}f} {unit}"
    raise AssertionError


def moment(stamp: str) -> str:
    """Return a stamp without its fraction; of an hour or a day, that."""
    text = stamp.replace("T", " ").removesuffix("Z").partition(".")[0]
    return f"{text}:00" if len(text) == 13 else text


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    if hours >= 48:
        return f"{hours // 24} d {hours % 24} h"
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min"


def shown(column: Column, value: object) -> str:
    """Return a value of a column; of text it is the text itself, which may be hostile."""
    if column.kind == "octets" and isinstance(value, int):
        return octets(value)
    if column.kind == "count" and isinstance(value, int):
        return f"{value:,}"
    if column.kind == "seconds" and isinstance(value, int | float):
        return _duration(value)
    return moment(str(value)) if column.kind == "time" else str(value)


def counted(number: int, what: str) -> str:
    """Return a number of things, of which one has no C{s}."""
    return f"{number:,} {what}" + ("" if number == 1 else "s")


def headline(report: Report) -> list[str]:
    """Return the sentences that a report begins with."""
    total = report.total
    if not total.requests:
        said = "no requests"
    else:
        said = counted(total.requests, "request")
        if report.users >= 0:
            said += f" of {counted(report.users, 'user')}"
        if report.destinations >= 0:
            said += f" to {counted(report.destinations, 'destination')}"
        said += f", {total.denied:,} denied" if total.denied else ", none denied"
        said += f"; {octets(total.sent)} sent, {octets(total.received)} received"
    span = f"{moment(report.since)} to {moment(report.until)} UTC"
    lines = [f"{report.gateway}, {span}: {said}" if report.since else said]
    if report.filters:
        lines.append(f"of those with {report.filters}")
    if report.open:
        lines.append(f"{counted(report.open, 'allowed request')} have no end so far")
    return lines
