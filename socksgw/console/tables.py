"""
Tables for people, and figures in them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Final

__all__ = ["columns", "duration", "octets"]

_UNITS: Final = ("B", "kB", "MB", "GB", "TB", "PB")


def columns(
    titles: Sequence[str], rows: Sequence[Sequence[str]], right: Collection[int] = ()
) -> Iterator[str]:
    """
    Yield the lines of a table.

    @param right: the columns that stand to the right.
    """
    widths = [
        max(len(title), *(len(row[i]) for row in rows)) if rows else len(title)
        for i, title in enumerate(titles)
    ]
    for row in (titles, *rows):
        cells = [
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()


def octets(number: int) -> str:
    """Return octets in three digits or four, as 1.23 MB."""
    amount = float(number)
    for unit in _UNITS:
        if amount < 1000 or unit == _UNITS[-1]:
            break
        amount /= 1000
    if unit == "B":
        return f"{number} B"
    return f"{amount:.3g} {unit}" if amount < 999.5 else f"{amount:.0f} {unit}"


def duration(seconds: float) -> str:
    """Return a duration in its two largest units, as 3h05m."""
    whole = int(seconds)
    for size, unit, smaller, below in (
        (86400, "d", 3600, "h"),
        (3600, "h", 60, "m"),
        (60, "m", 1, "s"),
    ):
        if whole >= size:
            return f"{whole // size}{unit}{whole % size // smaller:02d}{below}"
    return f"{seconds:.0f}s"
