"""
A report as tables for the terminal.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from socksgw.report.sheets import Report, Sheet
from socksgw.report.words import headline, shown
from socksgw.system.output import printable

__all__ = ["textOf"]

#: Columns of a text that is cut where the terminal is no wider.
_LONGEST: Final = 48
_SHORTEST: Final = 12
#: Columns that are left out where the terminal is too narrow, in this order.
_LESS: Final = ("first", "seconds")
_BOLD: Final = "\x1b[1m"
_PLAIN: Final = "\x1b[0m"
_BARS: Final = " ▏▎▍▌▋▊▉█"
#: Columns of a bar.
_BAR: Final = 12


def textOf(report: Report, width: int = 0, coloured: bool = False) -> str:
    """
    Return the tables of a report; those that have no lines are left out.

    @param width: columns of the terminal; 0 for no limit.
    @param coloured: whether headings may be bold.
    """
    lines = [printable(each) for each in headline(report)]
    for sheet in report.sheets:
        if sheet.rows:
            lines += ["", *_table(sheet, width, coloured)]
    lines += ["", f"({printable(report.source)})"]
    return "\n".join(lines) + "\n"


def _table(sheet: Sheet, width: int, coloured: bool) -> Iterator[str]:
    more = (
        f": {len(sheet.rows)} of {sheet.all:,}" if len(sheet.rows) < sheet.all else ""
    )
    note = " (small ones are not exact)" if sheet.approximate else ""
    title = f"{sheet.title}{more}{note}"
    yield f"{_BOLD}{title}{_PLAIN}" if coloured else title
    columns = [
        [c.name.replace("_", " "), *(printable(shown(c, row[i])) for row in sheet.rows)]
        for i, c in enumerate(sheet.columns)
    ]
    names = [each.name for each in sheet.columns]
    kinds = [each.kind for each in sheet.columns]
    if sheet.name == "time":
        numbers = [int(row[1]) for row in sheet.rows]
        columns.append(["", *(_bar(each, max(numbers)) for each in numbers)])
        names.append("")
        kinds.append("text")
    widths = [max(map(len, each)) for each in columns]
    for name in _LESS:
        if width and name in names and _wide(widths) > width:
            at = names.index(name)
            for each in (names, kinds, widths, columns):
                del each[at]
    _fit(widths, [i for i, kind in enumerate(kinds) if kind == "text"], width)
    for row in zip(*columns, strict=True):
        line = "  ".join(
            _cut(cell, w).ljust(w) if kind in ("text", "time") else cell.rjust(w)
            for cell, w, kind in zip(row, widths, kinds, strict=True)
        )
        yield f"  {line}".rstrip()


def _wide(widths: list[int]) -> int:
    """Return the columns of a whole line."""
    return sum(widths) + 2 * len(widths)


def _fit(widths: list[int], texts: list[int], width: int) -> None:
    """Make columns of text narrower, the widest first, until a line fits."""
    for i in texts:
        widths[i] = min(widths[i], max(_LONGEST, width // 2))
    while width and _wide(widths) > width and texts:
        widest = max(texts, key=lambda i: widths[i])
        if widths[widest] <= _SHORTEST:
            return
        widths[widest] -= 1


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _bar(number: int, most: int) -> str:
    eighths = round(number * _BAR * 8 / most) if most else 0
    return "█" * (eighths // 8) + _BARS[eighths % 8].strip()
