"""
The tables, their version, and the kinds of database.

C{socksgw/manual/warehouse.rst} describes every column; a test compares both.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final, final

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Dialect,
    Double,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    TypeDecorator,
)
from sqlalchemy.sql.type_api import TypeEngine

__all__ = ["VERSION", "Instant", "events", "metadata", "sessions", "state", "warehouse"]

#: The version of the tables that this program writes.
VERSION: Final = 2

metadata: Final = MetaData()


@final
class Instant(TypeDecorator[datetime]):
    """
    A moment: C{timestamptz}; in SQLite text as in the journal, which sorts.

    It takes L{datetime}s and text, and gives L{datetime}s in UTC.
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Return the type of the database."""
        if dialect.name == "sqlite":
            return dialect.type_descriptor(Text())
        return dialect.type_descriptor(DateTime(timezone=True))

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        """Return a moment as the database takes it."""
        if isinstance(value, datetime):
            text = value.astimezone(UTC).isoformat(timespec="milliseconds")
            value = text.replace("+00:00", "Z")
        if isinstance(value, str) and dialect.name != "sqlite":
            return datetime.fromisoformat(value)
        return value

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """Return a moment of the database."""
        if isinstance(value, str):
            value = datetime.fromisoformat(value)
        return value.astimezone(UTC) if value is not None else None


#: One row: which version the tables have.
warehouse: Final = Table(
    "warehouse",
    metadata,
    Column("version", Integer, nullable=False),
)

#: One row for each gateway: how far its journal has been read. It is written in the
#: transaction of the rows themselves.
state: Final = Table(
    "state",
    metadata,
    Column("gateway", Text, primary_key=True),
    Column("position", BigInteger, nullable=False),
    Column("head", Text, nullable=False),
    Column("run", BigInteger, nullable=False),
    Column("time", Instant),
)

#: Every line of the journal.
events: Final = Table(
    "events",
    metadata,
    Column("gateway", Text, primary_key=True),
    Column("n", BigInteger, primary_key=True, autoincrement=False),
    Column("time", Instant, nullable=False),
    Column("event", Text, nullable=False),
    Column("run", BigInteger, nullable=False),
    Column("session", BigInteger),
    Column("hash", Text, nullable=False),
    Column("line", Text, nullable=False),
)

#: One row for each request that was allowed or denied, refused client and failed
#: login; allowed ones with their end; sums with how many they are.
sessions: Final = Table(
    "sessions",
    metadata,
    Column("gateway", Text, primary_key=True),
    Column("n", BigInteger, primary_key=True, autoincrement=False),
    Column("part", Integer, primary_key=True, autoincrement=False),
    Column("time", Instant, nullable=False),
    Column("event", Text, nullable=False),
    Column("count", BigInteger, nullable=False),
    Column("run", BigInteger, nullable=False),
    Column("session", BigInteger),
    Column("listener", Text),
    Column("network", Text),
    Column("client", Text),
    Column("client_port", Integer),
    Column("protocol", Text),
    Column("username", Text),
    Column("claimed", Text),
    Column("method", Text),
    Column("command", Text),
    Column("asked", Text),
    Column("name", Text),
    Column("address", Text),
    Column("port", Integer),
    Column("verdict", Text, nullable=False),
    Column("rule", Text),
    Column("why", Text),
    Column("reports", Text),
    Column("reply", Integer),
    Column("reason", Text),
    Column("tag", Text),
    Column("ticket", Text),
    Column("grant_id", Text),
    Column("via", Text),
    Column("extra", Text),
    # Of what was allowed, at its end.
    Column("ended", Instant),
    Column("end_reason", Text),
    Column("end_rule", Text),
    Column("end_why", Text),
    Column("sent", BigInteger),
    Column("received", BigInteger),
    Column("sent_datagrams", BigInteger),
    Column("received_datagrams", BigInteger),
    Column("seconds", Double),
    Column("bound", Text),
    Column("path", Text),
    Column("application", Text),
    Column("server_name", Text),
    Column("end_extra", Text),
    # From version 2 on.
    Column("policy", Text),
    Column("tls_version", Text),
    Column("tls_group", Text),
    Column("fingerprint", Text),
    Column("serial", Text),
)

Index("sessions_time", sessions.c.time)
Index("sessions_username", sessions.c.username, sessions.c.time)
# What has not ended yet: few rows, whatever the table has.
_OPEN: Final = (sessions.c.verdict == "allow") & sessions.c.end_reason.is_(None)
Index(
    "sessions_open",
    sessions.c.gateway,
    sessions.c.n,
    sqlite_where=_OPEN,
    postgresql_where=_OPEN,
)
