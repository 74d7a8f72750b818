"""
Make the values of a row such as its columns take.

The journal's own lines need none of it: it is for lines that somebody has changed, or
that a later version has written.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, Final

from sqlalchemy import BigInteger, Column, Double, Integer, Text

from socksgw.warehouse import rows
from socksgw.warehouse.schema import Instant, events, sessions

__all__ = ["fit"]

#: The greatest numbers of the two kinds of integer columns.
_MOST: Final = (1 << 31) - 1
_MOST_BIG: Final = (1 << 63) - 1


def fit(batch: rows.Batch) -> None:
    """Change the values of a batch that do not fit: they become text, or nothing."""
    of = sessions.c
    batch.events[:] = [tuple(map(_fit, events.c, row)) for row in batch.events]
    for names, found in (
        (rows.SESSION, batch.sessions),
        ((*rows.ENDED, *rows.AMENDED, "n"), batch.ends),
    ):
        columns = [of[each] for each in names]
        for row in found:
            row[:] = map(_fit, columns, row)


def _fit(column: Column[Any], value: Any) -> Any:
    found: Any
    if isinstance(column.type, Instant):
        found, nothing = _moment(value), "1970-01-01T00:00:00.000Z"
    elif isinstance(column.type, Text):
        if value is not None and not isinstance(value, str):
            value = json.dumps(value)
        found, nothing = value, ""
    elif isinstance(column.type, Double):
        found, nothing = _number(value), "0"
    else:
        assert isinstance(column.type, Integer)
        most = _MOST_BIG if isinstance(column.type, BigInteger) else _MOST
        whole = type(value) is int and -most <= value <= most
        found, nothing = value if whole else None, "0"
    if found is None and not column.nullable:
        return int(nothing) if isinstance(column.type, Integer) else nothing
    return found


def _number(value: Any) -> float | None:
    if type(value) not in (int, float):
        return None
    try:
        return float(value)
    except OverflowError:
        return None


def _moment(value: Any) -> str | None:
    try:
        datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    text: str = value
    return text
