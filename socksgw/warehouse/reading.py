"""
Read a warehouse, without changing it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple, final

from sqlalchemy import (
    URL,
    BigInteger,
    ColumnElement,
    Connection,
    Engine,
    cast,
    extract,
    func,
    literal_column,
    select,
)
from sqlalchemy.exc import SQLAlchemyError

from socksgw.warehouse import migrations, schema
from socksgw.warehouse.engines import engineOf, fileOf, nameOf, told, urlOf
from socksgw.warehouse.errors import WarehouseError
from socksgw.wire.codes import DATAGRAMS

__all__ = [
    "Reader",
    "Span",
    "carried",
    "decidedBy",
    "destination",
    "hashes",
    "open",
    "spanOf",
]

#: Rows that are fetched at once.
_ROWS: Final = 5000
_c: Final = schema.sessions.c

#: What a request was for: the name where there is one, else the address.
destination: Final[ColumnElement[str]] = func.coalesce(
    _c.name, _c.address, _c.asked
).label("destination")
#: The rule that a session lived by at its end; that of the decision before.
decidedBy: Final[ColumnElement[str]] = func.coalesce(_c.end_rule, _c.rule).label("rule")
#: Whether octets of a row count: those of an association are the sum of its flows'.
carried: Final[ColumnElement[bool]] = ~(
    (_c.event == "decision") & (func.coalesce(_c.command, "").in_(DATAGRAMS))
)


@final
class Reader:
    """
    A database that is read.

    @ivar engine: connects to it; it can only read.
    @ivar version: the version of the tables.
    """

    def __init__(self, engine: Engine, url: URL, version: int) -> None:
        self.engine = engine
        self.version = version
        self._url = url

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """
        Connect; what is read is of one moment.

        @raise WarehouseError: that fails, or a query does.
        """
        try:
            with self.engine.connect() as connection:
                yield connection
        except SQLAlchemyError as e:
            raise WarehouseError(told(self._url, e)) from None

    def bucket(self, width: timedelta) -> ColumnElement[int]:
        """
        Return the beginning of the span that a row falls into, to group by.

        @param width: how long the spans are, in whole seconds; they begin at the
            epoch.
        @return: seconds since the epoch.
        """
        seconds = int(width.total_seconds())
        epoch: ColumnElement[int]
        if self.engine.dialect.name == "sqlite":
            epoch = cast(func.strftime("%s", _c.time), BigInteger)
        else:
            epoch = cast(func.floor(extract("epoch", _c.time)), BigInteger)
        # A value given apart would make PostgreSQL take two uses for two expressions.
        return epoch - epoch % literal_column(str(seconds), BigInteger)


class Span(NamedTuple):
    """
    The lines of a gateway that a database has.

    @ivar first: the time of the first one.
    @ivar last: the time of the last one.
    @ivar position: the number of the last one.
    """

    first: datetime
    last: datetime
    position: int


def spanOf(reader: Reader, gateway: str) -> Span | None:
    """
    Return which lines of a gateway there are; L{None} for none.

    @raise WarehouseError: they cannot be read.
    """
    c, known = schema.events.c, schema.state.c
    first = select(c.time).where(c.gateway == gateway).order_by(c.n).limit(1)
    state = select(known.time, known.position).where(known.gateway == gateway)
    with reader.connect() as connection:
        begun = connection.scalar(first)
        reached = connection.execute(state).one_or_none()
    if begun is None or reached is None or reached.time is None:
        return None
    return Span(begun, reached.time, reached.position)


def hashes(reader: Reader, gateway: str) -> Iterator[tuple[int, str]]:
    """
    Yield the number and the hash of each line of a gateway, in their order.

    @raise WarehouseError: they cannot be read.
    """
    c = schema.events.c
    query = select(c.n, c.hash).where(c.gateway == gateway).order_by(c.n)
    with reader.connect() as connection:
        found = connection.execution_options(yield_per=_ROWS).execute(query)
        yield from ((row.n, row.hash) for row in found)


def open(url: str, directory: Path = Path()) -> Reader:  # noqa: A001
    """
    Open a database to read it.

    @param url: as the sink's, C{sqlite:///FILE} or C{postgresql://…}.
    @param directory: where the relative path of an SQLite file begins: C{state_dir}.
    @raise WarehouseError: it cannot be read, or holds no journal.
    """
    read = urlOf(url, directory)
    file = fileOf(read)
    try:
        if file is not None and not file.exists():
            raise WarehouseError(
                f"{nameOf(read)}: there is no such file: the sink makes it (socksgw "
                "help warehouse)"
            )
    except OSError as e:
        # Its directory is closed to this user.
        raise WarehouseError(told(read, e)) from None
    engine = engineOf(read, readOnly=True)
    try:
        with engine.connect() as connection:
            version = migrations.versionOf(connection)
        if version is None:
            raise WarehouseError("it holds no journal: name the database of a sink")
        migrations.check(version)
        if version < schema.VERSION:
            raise WarehouseError(
                f"its tables have version {version}, this program reads "
                f"{schema.VERSION}: start the gateway of this version first; its "
                "sink upgrades them"
            )
    except (SQLAlchemyError, OSError, WarehouseError) as e:
        raise WarehouseError(told(read, e)) from None
    return Reader(engine, read, version)
