"""
Delete what is older than wanted, or more than wanted, a little at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final, final

from sqlalchemy import Connection, delete, func, select, text

from socksgw.warehouse.schema import events, sessions

__all__ = ["Retention"]

#: Lines whose rows are deleted at once: a tenth of a second.
_STEP: Final = 5_000
#: Seconds between two looks, when the last one found nothing to do.
_LOOK: Final = 60.0
_HOUR: Final = 3600.0
#: C{keep} deletes at most 1/n of the lines in an hour, as that of the journal: when
#: the clock jumps, people have time to notice.
_SHARE: Final = 20
#: SQLite: free pages are kept for new rows, up to 1/n of the file; pages that are
#: given back at once.
_SPARE: Final = 16
_PAGES: Final = 2_000
#: PostgreSQL: octets of a line's row, and of a session's, beside their values: the
#: head of the row and entries of indexes.
_ROW: Final = 100
_ROW_SESSION: Final = 200
#: How many of the newest lines tell what one takes.
_SAMPLE: Final = 1_000


@final
class Retention:
    """
    How long, and how much, a database keeps of one gateway.
    """

    def __init__(
        self,
        gateway: str,
        keep: float,
        most: int,
        wall: Callable[[], float],
    ) -> None:
        """
        Take the wishes.

        @param keep: seconds, at least L{socksgw.warehouse.address.LEAST}; 0 for ever.
        @param most: octets; 0 for no bound. An SQLite file has at most so many; in
            PostgreSQL, the rows of the gateway as they are estimated.
        @param wall: returns the time, in seconds since the epoch.
        """
        self._gateway = gateway
        self._keep, self._most = keep, most
        self._wall = wall
        self._next = 0.0
        # Lines that may be deleted by age until the hour is over.
        self._left, self._hour = 0, 0.0

    def due(self, now: float) -> bool:
        """
        Tell whether it is time to look.

        @param now: monotonic seconds.
        """
        return bool(self._keep or self._most) and now >= self._next

    def step(self, connection: Connection, now: float) -> int:
        """
        Delete the rows of a few lines, if there is need, in a transaction of its own.

        @param now: monotonic seconds.
        @return: up to which number lines were looked at for deletion; 0 for none.
        """
        with connection.begin():
            last = self._tooMany(connection) or self._tooOld(connection, now)
            if last:
                for table in (sessions, events):
                    connection.execute(
                        delete(table).where(
                            table.c.gateway == self._gateway, table.c.n <= last
                        )
                    )
        freed = connection.dialect.name == "sqlite" and _shrunk(connection)
        self._next = now if last or freed else now + _LOOK
        return last

    def _oldest(self, connection: Connection, older: datetime | None = None) -> int:
        """Return the number of the last of the oldest lines; 0 where there is none."""
        first = (
            select(events.c.n, events.c.time)
            .where(events.c.gateway == self._gateway)
            .order_by(events.c.n)
            .limit(_STEP)
            .subquery()
        )
        wanted = select(func.max(first.c.n))
        if older is not None:
            wanted = wanted.where(first.c.time < older)
        return connection.scalar(wanted) or 0

    def _tooOld(self, connection: Connection, now: float) -> int:
        if not self._keep:
            return 0
        if now >= self._hour:
            self._hour = now + _HOUR
            self._left = self._lines(connection) // _SHARE + _STEP
        if self._left <= 0:
            return 0
        wall = datetime.fromtimestamp(self._wall(), UTC)
        last = self._oldest(connection, wall - timedelta(seconds=self._keep))
        if last:
            self._left -= _STEP
        return last

    def _lines(self, connection: Connection) -> int:
        """Return how many lines there are: their numbers have no gaps to speak of."""
        c = events.c
        own = c.gateway == self._gateway
        # Two questions: SQLite answers each by one look into the index.
        first = connection.scalar(select(func.min(c.n)).where(own))
        last = connection.scalar(select(func.max(c.n)).where(own))
        return last - first + 1 if first is not None and last is not None else 0

    def _tooMany(self, connection: Connection) -> int:
        if not self._most:
            return 0
        if connection.dialect.name == "sqlite":
            pages, free, size = _pages(connection)
            used = (pages - free) * size
        else:
            used = self._estimate(connection)
        return self._oldest(connection) if used > self._most else 0

    def _estimate(self, connection: Connection) -> int:
        """
        Return about how many octets the rows of the gateway take.

        The files of the tables do not tell: deleted rows leave room in them.
        """
        averages = text(
            "SELECT (SELECT avg(pg_column_size(e.*)) FROM (SELECT * FROM events "
            "WHERE gateway = :gateway ORDER BY n DESC LIMIT :sample) e), "
            "count(s.*), avg(pg_column_size(s.*)) FROM sessions s WHERE "
            "gateway = :gateway AND n > (SELECT max(n) - :sample FROM events "
            "WHERE gateway = :gateway)"
        )
        row = connection.execute(
            averages, {"gateway": self._gateway, "sample": _SAMPLE}
        ).one()
        lines = self._lines(connection)
        each = float(row[0] or 0) + _ROW
        share = row[1] / max(1, min(_SAMPLE, lines))
        return int(lines * (each + share * (float(row[2] or 0) + _ROW_SESSION)))


def _pages(connection: Connection) -> tuple[int, int, int]:
    """Return how many pages an SQLite file has, how many are free, and their size."""
    names = ("page_count", "freelist_count", "page_size")
    pages, free, size = (
        connection.exec_driver_sql(f"PRAGMA {name}").scalar_one() for name in names
    )
    return pages, free, size


def _shrunk(connection: Connection) -> bool:
    """Give pages back to the disk where many are free; tell whether there were."""
    with connection.begin():
        pages, free, _ = _pages(connection)
    if free <= max(_PAGES, pages // _SPARE):
        return False
    # It frees a page with each step of the statement. As the statement has no columns,
    # Python makes one step; of a script, all.
    driver = connection.connection.driver_connection
    assert driver is not None
    driver.executescript(f"PRAGMA incremental_vacuum({_PAGES})")
    return True
