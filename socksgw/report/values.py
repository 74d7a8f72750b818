"""
A report for programs: JSON and CSV.
"""

from __future__ import annotations

import csv
import io
import json
from typing import Any, Final

from socksgw.records.tally import KEYS
from socksgw.records.values import tame
from socksgw.report.sheets import Report, Sheet

__all__ = ["COLUMNS", "csvOf", "jsonOf", "rowsOf"]

#: The columns of several tables in one, in their order.
COLUMNS: Final = (
    "table",
    *dict.fromkeys(each for key in KEYS.values() for each in key),
    "requests", "denied", "count", "sent", "received", "seconds", "first", "last",
)  # fmt: skip


def _table(sheet: Sheet) -> dict[str, Any]:
    names = [each.name for each in sheet.columns]
    return {
        "rows": [dict(zip(names, row, strict=True)) for row in sheet.rows],
        "all": sheet.all,
        "exact": not sheet.approximate,
    }


def jsonOf(report: Report) -> str:
    """Return a report as one JSON object, in ASCII."""
    total = report.total
    return json.dumps(
        {
            "gateway": report.gateway,
            "source": report.source,
            "since": report.since,
            "until": report.until,
            "requests": total.requests,
            "denied": total.denied,
            "sent": total.sent,
            "received": total.received,
            "seconds": round(total.seconds, 3),
            "open": report.open,
            "lacks": report.lacks,
            "passed_over": report.odd,
            "tables": {each.name: _table(each) for each in report.sheets},
        }
    )


def rowsOf(report: Report) -> list[dict[str, Any]]:
    """Return the lines of all tables, each with the name of its table."""
    return [
        {"table": sheet.name, **row}
        for sheet in report.sheets
        for row in _table(sheet)["rows"]
    ]


def csvOf(report: Report) -> str:
    """
    Return the tables of a report as CSV (RFC 4180) with a line of names.

    One table has its own columns, several have those of all. A text that a spreadsheet
    would take for a formula has an apostrophe before it.
    """
    out = io.StringIO()
    columns: tuple[str, ...] = COLUMNS
    if len(report.sheets) == 1:
        columns = tuple(each.name for each in report.sheets[0].columns)
    writer = csv.DictWriter(out, columns, extrasaction="ignore")
    writer.writeheader()
    for row in rowsOf(report):
        writer.writerow({name: tame(value) for name, value in row.items()})
    return out.getvalue()
