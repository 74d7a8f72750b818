"""
The statements that write lines, as the driver takes them.

They are compiled once. Values are given as tuples, by position: that takes a third of
the time of SQLAlchemy's own way by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any, Final, final

from sqlalchemy import (
    ClauseElement,
    Connection,
    Dialect,
    Table,
    bindparam,
    column,
    func,
    insert,
    literal_column,
    table,
    update,
)

from socksgw.warehouse import rows
from socksgw.warehouse.schema import events, sessions, state

__all__ = ["Adding", "Statements"]

Row = Sequence[Any]


#: Rows of one statement. It opens each index once: with 8, rows take a tenth less.
_TOGETHER: Final = 8


@final
class Adding:
    """An insertion."""

    def __init__(self, one: str, several: str) -> None:
        """
        Take both statements.

        @param one: the statement for one row.
        @param several: that for L{_TOGETHER}.
        """
        self._one, self._several = one, several

    def to(self, connection: Connection, rows: Sequence[Row]) -> None:
        """
        Add rows.

        @raise SQLAlchemyError: the database does not take them.
        """
        whole = len(rows) - len(rows) % _TOGETHER
        if whole:
            together = [
                tuple(chain.from_iterable(rows[i : i + _TOGETHER]))
                for i in range(0, whole, _TOGETHER)
            ]
            connection.exec_driver_sql(self._several, together)
        if rest := [tuple(row) for row in rows[whole:]]:
            connection.exec_driver_sql(self._one, rest)


@final
class Statements:
    """
    The statements, for one kind of database.

    @ivar events: adds rows; values as L{rows.EVENT}.
    @ivar sessions: adds rows; values as L{rows.SESSION}.
    @ivar usual: adds rows; values as L{rows.USUAL}.
    @ivar ends: completes a row; values as L{rows.ENDED}, L{rows.AMENDED}, C{n} and
        C{gateway}.
    @ivar lost: ends what a killed process left open; values: the gateway, and the
        number of the line from which on rows may be open.
    @ivar move: moves the position; values: position, head, run, time, the gateway and
        the position before.
    """

    def __init__(self, dialect: Dialect) -> None:
        def text(statement: ClauseElement) -> str:
            return str(statement.compile(dialect=dialect))

        def adding(into: Table, names: Sequence[str]) -> Adding:
            # The columns of an insertion come in the order of the table.
            ours = table(into.name, *(column(k, into.c[k].type) for k in names))
            head, values, marks = text(insert(ours)).partition(" VALUES ")
            return Adding(
                f"{head}{values}{marks}",
                f"{head}{values}{', '.join([marks] * _TOGETHER)}",
            )

        self.events = adding(events, rows.EVENT)
        self.sessions = adding(sessions, rows.SESSION)
        self.usual = adding(sessions, rows.USUAL)
        c, named = sessions.c, bindparam
        amended: list[tuple[Any, Any]] = [
            (c[k], func.coalesce(named(k), c[k])) for k in rows.AMENDED
        ]
        self.ends = text(
            update(sessions)
            .ordered_values(*((c[k], named(k)) for k in rows.ENDED), *amended)
            .where(c.n == named("_n"), c.gateway == named("_gateway"))
            .where(c.part == literal_column("0"))
        )
        self.lost = text(
            update(sessions)
            .values(end_reason=literal_column(f"'{rows.LOST}'"))
            .where(c.gateway == named("_gateway"), c.n < named("_n"))
            .where(c.verdict == literal_column("'allow'"), c.end_reason.is_(None))
        )
        moved = ("position", "head", "run", "time")
        self.move = text(
            update(state)
            .ordered_values(*((state.c[k], named(k)) for k in moved))
            .where(state.c.gateway == named("_gateway"))
            .where(state.c.position == named("_position"))
        )
