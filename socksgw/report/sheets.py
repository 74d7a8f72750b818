"""
The tables of a report: which columns they have, and which lines come first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from attrs import frozen

from socksgw.records.tally import KEYS, REFUSALS, Amounts, Key, Sums, Table

__all__ = ["DEFAULT", "TITLES", "Column", "Report", "Sheet", "reported"]

Value = str | int | float


@frozen
class Column:
    """
    A column of a table.

    @ivar name: for programs.
    @ivar kind: C{text}, C{count}, C{octets}, C{seconds} or C{time} (a stamp, or its
        beginning).
    """

    name: str
    kind: str


@frozen
class Sheet:
    """
    A table of a report.

    @ivar name: for programs, and C{--table}.
    @ivar title: for people.
    @ivar columns: its columns.
    @ivar rows: the first of its lines.
    @ivar all: how many lines there would be.
    @ivar approximate: whether there were so many that small ones may be missing from
        the sums of others.
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Value, ...], ...]
    all: int
    approximate: bool = False


@frozen
class Report:
    """
    Everything that a report says.

    @ivar gateway: name of the gateway.
    @ivar source: where the figures come from, for people.
    @ivar since: the stamp of the beginning.
    @ivar until: the stamp of the end.
    @ivar filters: what was asked for, as it was written.
    @ivar total: of all requests.
    @ivar users: how many users there are; -1 where they were not counted.
    @ivar destinations: the same of destinations.
    @ivar open: how many allowed requests have no end.
    @ivar lacks: how many lines of the journal are not in what was read.
    @ivar odd: how many of its lines were passed over.
    @ivar sheets: the tables.
    """

    gateway: str
    source: str
    since: str
    until: str
    filters: str
    total: Amounts
    users: int
    destinations: int
    open: int
    sheets: tuple[Sheet, ...]
    lacks: int = 0
    odd: int = 0

    def sheet(self, name: str) -> Sheet | None:
        """Return a table, or L{None} where the report does not have it."""
        return next((each for each in self.sheets if each.name == name), None)


TITLES: Final[Mapping[str, str]] = {
    "access": "Who reached what",
    "users": "Users",
    "destinations": "Destinations",
    "applications": "Applications",
    "server-names": "Server names",
    "rules": "Rules",
    "listeners": "Listeners",
    "clients": "Clients",
    "commands": "Commands",
    "protocols": "Protocols",
    "methods": "Login methods",
    "tags": "Tags",
    "tickets": "Tickets",
    "grants": "Grants",
    "policies": "Policies",
    "certificates": "Client certificates",
    "tls": "TLS with clients",
    "upstreams": "Upstreams",
    "time": "Over time",
    "denials": "Denied requests",
    "logins": "Failed logins",
    "refused": "Refused before a request",
}
#: What is reported if nothing else is said.
DEFAULT: Final = (
    "access", "denials", "users", "destinations", "applications", "rules", "logins",
    "refused", "time",
)  # fmt: skip
_REQUESTS: Final = (
    Column("requests", "count"),
    Column("denied", "count"),
    Column("sent", "octets"),
    Column("received", "octets"),
    Column("last", "time"),
)
_ACCESS: Final = (
    Column("requests", "count"),
    Column("sent", "octets"),
    Column("received", "octets"),
    Column("seconds", "seconds"),
    Column("first", "time"),
    Column("last", "time"),
)
_COUNTED: Final = (
    Column("count", "count"),
    Column("first", "time"),
    Column("last", "time"),
)


def _ofRequests(amounts: Amounts) -> tuple[Value, ...]:
    return (
        amounts.requests, amounts.denied, amounts.sent, amounts.received, amounts.last,
    )  # fmt: skip


def _ofAccess(amounts: Amounts) -> tuple[Value, ...]:
    return (
        amounts.allowed, amounts.sent, amounts.received, round(amounts.seconds, 3),
        amounts.first, amounts.last,
    )  # fmt: skip


def _counted(amounts: Amounts) -> tuple[Value, ...]:
    return amounts.denied, amounts.first, amounts.last


def _byOctets(row: tuple[Key, Amounts]) -> tuple[object, ...]:
    return -row[1].octets, -row[1].requests, row[0]


def _byCount(row: tuple[Key, Amounts]) -> tuple[object, ...]:
    return -row[1].denied, row[0]


def _byKey(row: tuple[Key, Amounts]) -> tuple[object, ...]:
    return row[0]


class _Form(NamedTuple):
    """The columns of a table behind its key, their values, and which come first."""

    columns: tuple[Column, ...]
    values: Callable[[Amounts], tuple[Value, ...]]
    order: Callable[[tuple[Key, Amounts]], tuple[object, ...]]


_FORM: Final = _Form(_REQUESTS, _ofRequests, _byOctets)
_FORMS: Final[Mapping[str, _Form]] = {
    "access": _Form(_ACCESS, _ofAccess, _byOctets),
    "time": _Form(_REQUESTS[:-1], lambda each: _ofRequests(each)[:-1], _byKey),
    **{each: _Form(_COUNTED, _counted, _byCount) for each in REFUSALS},
}


def _sheet(name: str, table: Table, top: int) -> Sheet:
    keys = tuple(
        Column(each, "time" if each == "time" else "text") for each in KEYS[name]
    )
    form = _FORMS.get(name, _FORM)
    rows = table.rows()
    if name == "access":
        rows = [each for each in rows if each[1].allowed]
    rows.sort(key=form.order)
    shown = rows if name == "time" or not top else rows[:top]
    return Sheet(
        name,
        TITLES[name],
        (*keys, *form.columns),
        tuple((*key, *form.values(amounts)) for key, amounts in shown),
        len(rows) + table.dropped,
        bool(table.dropped),
    )


def reported(
    sums: Sums,
    tables: Sequence[str],
    top: int,
    gateway: str,
    source: str,
    since: str,
    until: str,
    filters: str,
) -> Report:
    """
    Return the report of some sums.

    @param tables: which tables, in their order.
    @param top: how many lines of each; 0 for all.
    """
    total = sums.total()

    def number(name: str) -> int:
        table = sums.tables.get(name)
        return -1 if table is None else len(table.held) + table.dropped

    return Report(
        gateway,
        source,
        since or total.first,
        until or total.last,
        filters,
        total,
        number("users"),
        number("destinations"),
        sums.open,
        tuple(_sheet(name, sums.tables[name], top) for name in tables),
        sums.lacks,
        sums.odd,
    )
