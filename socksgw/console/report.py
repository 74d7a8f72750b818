"""
Report on the traffic: C{socksgw report}.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO

from attrs import evolve, fields_dict

from socksgw.config.problems import nearest
from socksgw.config.schema import Config
from socksgw.console.auditing import Examples, configured
from socksgw.console.search import tellOdd
from socksgw.console.usage import number
from socksgw.console.verify import remedy
from socksgw.console.wanted import TIMES, WrongUse, criteriaOf, filters, times
from socksgw.console.warehouses import warehouseOf
from socksgw.records.criteria import Criteria
from socksgw.records.searching import journalSpan
from socksgw.records.summing import Summing, summed
from socksgw.records.tally import TABLES, Sums
from socksgw.records.times import stampOf
from socksgw.report.page import pageOf
from socksgw.report.sheets import DEFAULT, Report, reported
from socksgw.report.text import textOf
from socksgw.report.values import COLUMNS, csvOf, jsonOf, rowsOf
from socksgw.report.words import counted
from socksgw.system.output import coloured, widthOf
from socksgw.warehouse.errors import WarehouseError

if TYPE_CHECKING:
    from socksgw.warehouse.reading import Span

__all__ = ["reportMain", "reportOptions"]

#: Days of a report by hours, if nothing else is said.
_DAYS: Final = 3
#: Seconds after which a terminal is told how far it is, and between two such lines.
_PATIENCE: Final = 0.5
#: Seconds by which the warehouse may be behind the journal without a word.
_BEHIND: Final = 10.0
_EXAMPLES: Final = f"""\
{TIMES} A request counts at the time of its decision.

Tables: {", ".join(TABLES)}.

Examples:
  Who reached what, when, by which rule, how much, since yesterday?
    socksgw report --since yesterday
  One user, one destination, on 2 March, by the hour:
    socksgw report --user alice --to db.corp.example --since 2026-03-02 \
--until 2026-03-03 --by hour
  The twenty busiest users of this week, for a spreadsheet:
    socksgw report --since monday --table users --top 20 --csv
  A page to send around:
    socksgw report --since -7d --html week.html

Exit status: 0 found, 1 nothing found, 2 wrong use, or neither journal nor warehouse
can be read."""


def reportOptions(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.epilog = _EXAMPLES
    parser.formatter_class = Examples
    configured(parser)
    times(parser)
    parser.add_argument(
        "--by",
        choices=["hour", "day"],
        help="the spans of the table over time; default: hours of up to three days",
    )
    parser.add_argument(
        "--table",
        metavar="NAME",
        action="append",
        default=[],
        help="only this table; may be repeated; all: every table",
    )
    parser.add_argument(
        "--top",
        metavar="N",
        type=lambda text: 0 if text == "0" else number(text),
        default=10,
        help="lines of each table; 0 for all; default: 10",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON")
    form.add_argument("--csv", action="store_true", help="print CSV")
    form.add_argument(
        "--html",
        metavar="FILE",
        type=Path,
        help="write one page with charts, which needs no other file and no network",
    )
    form.add_argument(
        "--parquet",
        metavar="FILE",
        type=Path,
        help="write Parquet; needs the extra parquet",
    )
    parser.add_argument(
        "--from",
        dest="source",
        choices=["journal", "warehouse"],
        help="read the journal's files, or the database of the sink sql; default: the "
        "database, where the configuration has one that can be read",
    )
    filters(parser, lines=False)


def reportMain(
    options: argparse.Namespace,
    config: Config,
    journal: Path,
    out: TextIO,
) -> int:
    """
    Print a report.

    @param journal: the journal's directory.
    @return: the exit status: 0 found, 1 nothing found, 2 wrong use, or what is to be
        read cannot be read.
    """
    try:
        criteria, tables = criteriaOf(options), _tables(options.table)
    except WrongUse as e:
        print(f"socksgw report: {e}", file=sys.stderr)
        return 2
    summing = Summing(criteria, tables)
    try:
        found = None
        if options.source != "journal":
            found = _fromWarehouse(config, summing, journal, options)
        if found is None:
            source = f"from the journal, {journal}"
            summing = evolve(summing, unit=_unit(options, criteria, _kept(journal)))
            found = summed(journal, summing, told=_progress(sys.stderr)), source
    except OSError as e:
        print(f"socksgw report: {journal}: {remedy(e)}", file=sys.stderr)
        return 2
    except WarehouseError as e:
        print(f"socksgw report: {e}", file=sys.stderr)
        return 2
    sums, source = found
    tellOdd("socksgw report", sums.odd)
    report = reported(
        sums, tables, options.top, config.gateway.name, source, criteria.since,
        criteria.until, _asked(options),
    )  # fmt: skip
    if not sums.lines:
        print("socksgw report: nothing found", file=sys.stderr)
        return 1
    return _give(report, options, out)


def _fromWarehouse(
    config: Config, summing: Summing, journal: Path, options: argparse.Namespace
) -> tuple[Sums, str] | None:
    """
    Return the sums of a warehouse, and where they are from.

    @return: L{None} when there is none, or it cannot be read, and the journal may be
        read instead.
    @raise WarehouseError: it cannot be read.
    """
    try:
        warehouse = warehouseOf(config)
        if warehouse is None:
            if options.source == "warehouse":
                raise WarehouseError(
                    "--from warehouse: the configuration has no sink sql"
                )
            return None
        reader = warehouse.open()

        # It imports SQLAlchemy.
        from socksgw.report.warehoused import summedFrom
        from socksgw.warehouse.reading import spanOf

        held = spanOf(reader, warehouse.gateway)
        stamps = None if held is None else (stampOf(held.first), stampOf(held.last))
        unit = _unit(options, summing.criteria, stamps)
        sums = summedFrom(reader, warehouse.gateway, evolve(summing, unit=unit))
    except WarehouseError as e:
        if options.source == "warehouse":
            raise
        print(
            f"socksgw report: the journal is read, not the warehouse: {e}",
            file=sys.stderr,
        )
        return None
    if held is not None:
        sums.lacks = _compared(held, summing.criteria.until, journal)
    return sums, "from the warehouse"


def _compared(held: Span, until: str, journal: Path) -> int:
    """
    Tell where the warehouse does not have the end of the journal.

    @return: how many lines of it are lacking.
    """
    try:
        kept = journalSpan(journal) if journal.is_dir() else None
    except OSError:
        # Nobody has asked for the journal, which may be closed to this user.
        return 0
    reached = stampOf(held.last)
    if kept is None or (until and until <= reached):
        return 0
    lacks = kept[1].number - held.position
    if lacks <= 0 or _daysBetween(reached, kept[1].time) * 86400 <= _BEHIND:
        return 0
    print(
        f"socksgw report: the warehouse ends at {reached}, without "
        f"{counted(lacks, 'line')} of the journal (--from journal has them)",
        file=sys.stderr,
    )
    return lacks


def _tables(names: Sequence[str]) -> tuple[str, ...]:
    for name in names:
        if name not in TABLES and name != "all":
            raise WrongUse(
                f'--table "{name}": there is none{nearest(name, TABLES)} '
                f"({', '.join(TABLES)}, all)"
            )
    if "all" in names:
        return TABLES
    return tuple(dict.fromkeys(names)) or DEFAULT


def _kept(journal: Path) -> tuple[str, str] | None:
    """Return the stamps of the first and the last line of a journal."""
    held = journalSpan(journal) if journal.is_dir() else None
    return None if held is None else (held[0].time, held[1].time)


def _unit(
    options: argparse.Namespace, criteria: Criteria, held: tuple[str, str] | None
) -> int:
    """
    Return how many characters of a stamp name the time of the table over time.

    @param held: the stamps of the first and the last line of what is read.
    """
    if options.by is not None:
        return 13 if options.by == "hour" else 10
    since, until = criteria.since, criteria.until
    if held is not None:
        since, until = since or held[0], until or held[1]
    if not since or not until:
        return 10
    return 13 if _daysBetween(since, until) <= _DAYS else 10


def _daysBetween(since: str, until: str) -> float:
    span = datetime.fromisoformat(until) - datetime.fromisoformat(since)
    return span.total_seconds() / 86400


def _asked(options: argparse.Namespace) -> str:
    """Return the filters as they were written."""
    found: list[str] = []
    for name in fields_dict(Criteria):
        value = getattr(options, name, None)
        option = f"--{name.replace('_', '-')}"
        if name in ("since", "until") or not value:
            continue
        for each in value if isinstance(value, list) else [value]:
            found.append(f"{option} {shlex.quote(str(each))}")
    return " ".join(found)


def _progress(errors: TextIO) -> Callable[[int, int], None] | None:
    """Return what tells a terminal how far it is; L{None} where there is none."""
    if not errors.isatty():
        return None
    begun = told = time.monotonic()

    def tell(done: int, total: int) -> None:
        nonlocal told
        now = time.monotonic()
        if done == total:
            if told != begun:
                errors.write("\r\x1b[K")
        elif now - told > _PATIENCE:
            told = now
            errors.write(
                f"\r{done / 1e6:,.0f} of {total / 1e6:,.0f} MB of the journal\x1b[K"
            )
        errors.flush()

    return tell


def _give(report: Report, options: argparse.Namespace, out: TextIO) -> int:
    """Print or write a report in the form that is wanted."""
    if options.json:
        print(jsonOf(report), file=out)
    elif options.csv:
        out.write(csvOf(report))
    elif options.html is not None:
        return _written(
            options.html, lambda: options.html.write_text(pageOf(report), "utf-8")
        )
    elif options.parquet is not None:
        return _written(options.parquet, lambda: _parquet(report, options.parquet))
    else:
        out.write(textOf(report, widthOf(out), coloured(out)))
    return 0


def _parquet(report: Report, file: Path) -> None:
    from socksgw.records.parquet import fromRows

    kinds = {
        column.name: {"text": "VARCHAR", "time": "VARCHAR", "seconds": "DOUBLE"}.get(
            column.kind, "BIGINT"
        )
        for sheet in report.sheets
        for column in sheet.columns
    }
    columns = {name: kinds.get(name, "VARCHAR") for name in COLUMNS}
    fromRows(rowsOf(report), columns, file)


def _written(file: Path, write: Callable[[], object]) -> int:
    from socksgw.records.parquet import Unavailable

    try:
        write()
    except OSError as e:
        print(f"socksgw report: {file}: {e.strerror}", file=sys.stderr)
        return 2
    except Unavailable as e:
        print(f"socksgw report: {e}", file=sys.stderr)
        return 2
    return 0
