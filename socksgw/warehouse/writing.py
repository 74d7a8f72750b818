"""
Write lines of a journal into a database, each exactly once.

How far the lines have come is written in the transaction of their rows, so a crash
of either side neither loses nor doubles one. Several gateways may write into one
database: every row has its gateway's name.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Final, final

from sqlalchemy import Connection, insert, select
from sqlalchemy.exc import (
    DataError,
    IntegrityError,
    InterfaceError,
    ProgrammingError,
    SQLAlchemyError,
)

from socksgw.warehouse import migrations, rows
from socksgw.warehouse.engines import engineOf, nameOf, told, urlOf
from socksgw.warehouse.errors import WarehouseError
from socksgw.warehouse.fitting import fit
from socksgw.warehouse.retention import Retention
from socksgw.warehouse.schema import sessions, state
from socksgw.warehouse.statements import Statements

__all__ = ["Writer"]

#: The hash before the first line of a journal.
_FIRST: Final = "0" * 64
#: Octets behind a line's body: C{,"hash":"}, the digest, a quote, a brace.
_SUFFIX: Final = len(',"hash":"') + 64 + 2
#: How many columns most rows need.
_USUAL: Final = len(rows.USUAL)
#: What comes of values that a column does not take. Missing rights are among them, and
#: are told at the second try.
_ODD: Final = (
    rows.Odd, DataError, IntegrityError, InterfaceError, ProgrammingError,
    OverflowError, UnicodeError,
)  # fmt: skip


@final
class Writer:
    """
    Writes the lines of one gateway.

    @ivar position: the number of the last line that the database has; 0 for none.
    """

    def __init__(
        self,
        url: str,
        directory: Path,
        gateway: str,
        retention: Retention | None = None,
    ) -> None:
        """
        Read the URL; L{open} connects.

        @param directory: where the relative path of an SQLite file begins.
        @param gateway: the name that the rows get.
        @param retention: what is deleted again; L{None} for nothing.
        @raise WarehouseError: the URL cannot be used.
        """
        self.url = urlOf(url, directory)
        self.gateway = gateway
        self.position = 0
        self._retention = retention
        self._engine = engineOf(self.url)
        self._connection: Connection | None = None
        self._head = _FIRST
        self._rows = rows.Rows(gateway)
        self._sql = Statements(self._engine.dialect)

    def open(self) -> int:
        """
        Connect, make or upgrade the tables, and read how far the lines have come.

        @return: the position.
        @raise WarehouseError: that fails.
        """
        self.close()
        try:
            self._connection = connection = self._engine.connect()
            with connection.begin():
                migrations.prepare(connection)
                self._resume(connection)
        except WarehouseError as e:
            self.close()
            raise WarehouseError(f"{told(self.url, e)}") from None
        except (SQLAlchemyError, OSError, ImportError) as e:
            self.close()
            raise WarehouseError(told(self.url, e)) from None
        return self.position

    def _resume(self, connection: Connection) -> None:
        """Read what the database has of this gateway."""
        found = connection.execute(
            select(state).where(state.c.gateway == self.gateway)
        ).one_or_none()
        if found is None:
            connection.execute(
                insert(state).values(
                    gateway=self.gateway, position=0, head=_FIRST, run=0
                )
            )
            self.position, self._head, run = 0, _FIRST, 0
        else:
            self.position, self._head, run = found.position, found.head, found.run
        self._rows = rows.Rows(self.gateway, run)
        c = sessions.c
        still = select(
            c.session, c.n, c.event, c.address, c.name, c.asked, c.port, c.extra
        ).where(
            c.gateway == self.gateway,
            c.verdict == "allow",
            c.end_reason.is_(None),
            c.run == run,
        )
        for row in connection.execute(still.order_by(c.n)):
            places = {row.address, row.name, row.asked} - {None}
            if row.event == "flow" and row.extra:
                places.update(json.loads(row.extra).get("addresses", ()))
            self._rows.resume(row.session, row.n, row.event, places, row.port)

    def write(self, entries: Sequence[rows.Entry]) -> None:
        """
        Write lines that follow those before. What is there already is left out.

        @raise WarehouseError: none of them was written; L{open} has to come first.
        """
        if entries[0].number <= self.position:
            entries = [each for each in entries if each.number > self.position]
            if not entries:
                return
        if self._connection is None:
            self.open()
        self._follow(entries[0])
        try:
            try:
                self._transaction(entries, careful=False)
            except _ODD:
                assert self._connection is not None
                with self._connection.begin():
                    self._resume(self._connection)
                self._transaction(entries, careful=True)
        except WarehouseError as e:
            self.close()
            raise WarehouseError(told(self.url, e)) from None
        except (SQLAlchemyError, OSError) as e:
            self.close()
            raise WarehouseError(told(self.url, e)) from None

    def _follow(self, entry: rows.Entry) -> None:
        """
        See that a line follows the last one that the database has.

        @raise WarehouseError: it does not: it is of another journal.
        """
        if entry.number != self.position + 1 or not self._head:
            # Those between have been dropped, and the journal says so; or the last one
            # was no line of a journal.
            return
        body, suffix = entry.octets[:-_SUFFIX], entry.octets[-_SUFFIX:]
        wanted = sha256(self._head.encode("ascii") + body).hexdigest()
        if suffix != f',"hash":"{wanted}"}}'.encode("ascii"):
            self.close()
            raise WarehouseError(
                f"{nameOf(self.url)}: line {entry.number} does not follow the line "
                f'{self.position} that the database has of "{self.gateway}": another '
                "gateway has this name, or the journal was replaced or changed. Find "
                "out which, then set gateway of this sink to a name that is not used yet"
            )

    def _transaction(self, entries: Sequence[rows.Entry], careful: bool) -> None:
        connection = self._connection
        assert connection is not None
        batch = self._rows.batch(entries, careful)
        if careful:
            fit(batch)
        last = batch.events[-1]
        number, head, time = last[1], last[6], last[2]
        sql = self._sql
        with connection.begin():
            moved = connection.exec_driver_sql(
                sql.move,
                (number, head, self._rows.run, time, self.gateway, self.position),
            )
            if moved.rowcount != 1:
                raise WarehouseError(
                    f'another process writes lines of "{self.gateway}", too: each '
                    "gateway needs a name of its own ([gateway] name, or gateway of the sink)"
                )
            sql.events.to(connection, batch.events)
            found = batch.sessions
            if more := [row for row in found if len(row) > _USUAL]:
                sql.sessions.to(connection, more)
                found = [row for row in found if len(row) == _USUAL]
            sql.usual.to(connection, found)
            if batch.ends:
                ends = [(*each, self.gateway) for each in batch.ends]
                connection.exec_driver_sql(sql.ends, ends)
            if batch.started:
                connection.exec_driver_sql(sql.lost, (self.gateway, batch.started[-1]))
        self._rows.written(batch)
        self.position, self._head = number, head

    def tend(self, now: float) -> None:
        """
        Delete some of what is too old or too much, when it is time.

        @param now: monotonic seconds.
        @raise WarehouseError: that fails.
        """
        connection, retention = self._connection, self._retention
        if connection is None or retention is None or not retention.due(now):
            return
        try:
            retention.step(connection, now)
        except SQLAlchemyError as e:
            self.close()
            raise WarehouseError(told(self.url, e)) from None

    def close(self) -> None:
        """Let go of the database."""
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.close()
            except SQLAlchemyError:
                # It was lost before.
                connection.invalidate()
