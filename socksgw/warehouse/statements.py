"""
The statements that write lines, as the driver takes them.

They are compiled once. Values are given as tuples, by position: that takes a third of
the time of SQLAlchemy's own way by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

from sqlalchemy import (
    ClauseElement,
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

__all__ = ["Statements"]


@final
class Statements:
    """
    The statements, for one kind of database.

    @ivar events: adds a row; values as L{rows.EVENT}.
    @ivar sessions: adds a row; values as L{rows.SESSION}.
    @ivar usual: adds a row; values as L{rows.USUAL}.
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

        def adding(into: Table, names: Sequence[str]) -> str:
            # The columns of an insertion come in the order of the table.
            ours = table(into.name, *(column(k, into.c[k].type) for k in names))
            return text(insert(ours))

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
