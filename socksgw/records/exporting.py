"""
Lines of the journal in forms that other programs read, with one fixed schema.

Every row has every column, in the order of the catalogue: DuckDB 2.0.1 fails at a
member that the first 20,480 rows lack. Where these have null, it takes later values for
null without a word, unless it is told to look at all rows; Parquet has types.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

from socksgw.audit.catalogue import CATALOGUE, COMMON
from socksgw.records.criteria import Criteria, Matcher
from socksgw.records.extents import Extent, extentsOf
from socksgw.records.scan import chunks, found
from socksgw.records.values import tame
from socksgw.records.workers import overParts

__all__ = ["SCHEMA", "exported", "header", "wantedLines"]

Form = Literal["jsonl", "csv", "parquet"]

_INTEGERS: Final = frozenset({
    "v", "n", "session", "uid", "pid", "port", "reply", "sent", "received",
    "sent_datagrams", "received_datagrams", "strangers", "limited", "count", "octets",
    "from", "to", "position", "behind", "missed", "aside", "refused", "lost", "ended", "sessions", "opened",
})  # fmt: skip
_TEXTS: Final = frozenset({
    "addresses", "groups", "wanted", "reports", "problems", "files",
})  # fmt: skip


def _type(name: str) -> str:
    if name in _INTEGERS:
        return "BIGINT"
    if name in _TEXTS:
        return "VARCHAR[]"
    if name == "offered":
        return "BIGINT[]"
    return "DOUBLE" if name == "seconds" else "VARCHAR"


#: Every column and its type, as DuckDB calls it. A field that has objects, lists of
#: lists or different kinds of values is text: JSON.
SCHEMA: Final[Mapping[str, str]] = {
    name: _type(name)
    for name in dict.fromkeys(
        [
            *COMMON[:-1],
            *(field for fields in CATALOGUE.values() for field in fields),
            *COMMON[-1:],
        ]
    )
}
_NULLS: Final = dict.fromkeys(SCHEMA)
_AS_TEXT: Final = frozenset(n for n, kind in SCHEMA.items() if kind == "VARCHAR")


def _row(line: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of all columns."""
    row: dict[str, Any] = dict(_NULLS)
    for name, value in line.items():
        if name in row:
            if type(value) is not str and name in _AS_TEXT and value is not None:
                value = json.dumps(value, separators=(",", ":"))
            row[name] = value
    return row


def header() -> bytes:
    """Return the first line of CSV."""
    return _csv([list(SCHEMA)])


def _csv(rows: list[list[Any]]) -> bytes:
    out = io.StringIO()
    csv.writer(out).writerows(rows)
    return out.getvalue().encode("utf-8", "backslashreplace")


def _cell(value: Any) -> Any:
    if isinstance(value, list):
        return json.dumps(value)
    return tame(value)


def _part(matcher: Matcher, form: Form, extent: Extent) -> tuple[int, bytes]:
    """Return how many lines of an extent are wanted, and these in a form."""
    rows = [_row(line) for _, line in found(extent, matcher)]
    if form == "csv":
        return len(rows), _csv([[_cell(v) for v in row.values()] for row in rows])
    return len(rows), b"".join(
        json.dumps(row, separators=(",", ":")).encode("ascii") + b"\n" for row in rows
    )


def exported(
    directory: Path, criteria: Criteria, form: Form, processes: int = 0
) -> Iterator[tuple[int, bytes]]:
    """
    Yield the lines that are wanted in a form, many at a time, with their number.

    @raise OSError: the journal cannot be read.
    @raise ValueError: the criteria cannot be.
    """
    matcher = criteria.matcher()
    extents = extentsOf(directory, criteria.since or None, criteria.until or None)
    for _, part in overParts(partial(_part, matcher, form), extents, processes):
        yield part


def wantedLines(directory: Path, criteria: Criteria) -> Iterator[bytes]:
    """
    Yield the lines that are wanted as they are.

    @raise OSError: the journal cannot be read.
    @raise ValueError: the criteria cannot be.
    """
    matcher = criteria.matcher()
    for extent in extentsOf(directory, criteria.since or None, criteria.until or None):
        if matcher.everything:
            for octets in chunks(extent):
                yield from octets.splitlines()
        else:
            for line, _ in found(extent, matcher):
                yield line
