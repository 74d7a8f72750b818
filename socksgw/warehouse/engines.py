"""
Open databases by URL, and say in one line what is wrong with one.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Engine, create_engine, event, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    SQLAlchemyError,
)
from sqlalchemy.pool import NullPool

from socksgw.warehouse.address import checkUrl
from socksgw.warehouse.errors import WarehouseError

__all__ = ["engineOf", "fileOf", "nameOf", "told", "urlOf", "wordsOf"]

#: How long another program may hold the lock of an SQLite file, in seconds.
_BUSY: Final = 10
#: PostgreSQL: how long a connection may take, and how long a lock may be waited for.
_CONNECT: Final = 10
_LOCK: Final = "30s"


def urlOf(text: str, directory: Path) -> URL:
    """
    Read the URL of a database.

    @param directory: where the relative path of an SQLite file begins.
    @raise WarehouseError: it is none that is known here.
    """
    text = text.strip()
    server = checkUrl(text)
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise WarehouseError("the URL is malformed") from None
    if server:
        return url.set(drivername="postgresql+psycopg")
    return url.set(database=str(directory / (url.database or "")))


def fileOf(url: URL) -> Path | None:
    """Return the file of an SQLite database; L{None} for a server."""
    return Path(url.database or "") if url.drivername == "sqlite" else None


def engineOf(url: URL, readOnly: bool = False) -> Engine:
    """
    Return what connects to a database; nothing is connected yet.

    @param url: as L{urlOf} returns it.
    @raise WarehouseError: the driver cannot be imported.
    """
    file = fileOf(url)
    try:
        return _server(url, readOnly) if file is None else _sqlite(file, readOnly)
    except ImportError as e:
        # Such as psycopg without the library libpq.
        raise WarehouseError(told(url, e)) from None


def _server(url: URL, readOnly: bool) -> Engine:
    engine = create_engine(
        url,
        poolclass=NullPool,
        hide_parameters=True,
        paramstyle="format",
        connect_args={
            "connect_timeout": _CONNECT,
            # So that a server that has gone is noticed.
            "keepalives_idle": 30,
            "tcp_user_timeout": 30_000,
            "application_name": "socksgw",
            **url.query,
        },
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _: object) -> None:
        # A pooler (PgBouncer) tells a number of its own for the server's process. Behind
        # it the next transaction may have another connection of the server, which does
        # not know the statements that the driver has prepared.
        process = connection.execute("SELECT pg_backend_pid()").fetchone()[0]
        if process != connection.info.backend_pid:
            connection.prepare_threshold = None
        connection.commit()

    # For the transaction alone: behind a pooler others get this connection next.
    settings = f"SET LOCAL lock_timeout = '{_LOCK}'; SET LOCAL TIME ZONE 'UTC'"
    if readOnly:
        settings = f"SET TRANSACTION READ ONLY; {settings}"

    @event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:
        connection.exec_driver_sql(settings)

    return engine


def _sqlite(file: Path, readOnly: bool) -> Engine:
    def connect() -> sqlite3.Connection:
        # Transactions are begun below: Python's own begin none for a change of tables.
        arguments: dict[str, Any] = {
            "timeout": _BUSY,
            "isolation_level": None,
            "check_same_thread": False,
        }
        if readOnly:
            uri = f"{file.absolute().as_uri()}?mode=ro"
            reading: sqlite3.Connection = sqlite3.connect(uri, uri=True, **arguments)
            return reading
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.close(descriptor)
        connection: sqlite3.Connection = sqlite3.connect(file, **arguments)
        try:
            # It counts before there is a table only.
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            connection.execute("PRAGMA journal_mode = WAL")
            # After a loss of power, the last transactions may be gone, each with the
            # position in it: their lines are read again.
            connection.execute("PRAGMA synchronous = NORMAL")
        except BaseException:
            connection.close()
            raise
        return connection

    engine = create_engine(
        "sqlite://", creator=connect, poolclass=NullPool, hide_parameters=True
    )

    @event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN" if readOnly else "BEGIN IMMEDIATE")

    return engine


def nameOf(url: URL) -> str:
    """Return a URL as text without its password."""
    return url.set(drivername=url.get_backend_name()).render_as_string()


#: What the texts of drivers and of the system hold, in lower case, and what helps.
_OF_FILES: Final = (
    ("database is locked", "another program holds its lock: end its transaction"),
    ("disk is full", "free space, or set keep or max_size of the sink"),
    ("not a database", "it is no SQLite file: move it away"),
    ("malformed", "the file is damaged: move it away; it is filled again from the "
     "lines that the journal still has"),
    ("readonly database", "this user may not write the file or its directory: "
     "change owner or mode"),
    ("unable to open", "this user may not open it, or its directory (the files -wal "
     "and -shm stand beside it): become the gateway's user"),
    ("permission denied", "this user may not open it: change its owner or mode"),
    ("no such file", "make the directory, or correct the path"),
)  # fmt: skip
_OF_SERVERS: Final = (
    ("no space left", "free space at the server, or set keep or max_size of the sink"),
    ("password authentication failed", "correct user and password in the URL"),
    ("no password supplied", "write the password into the URL, in a file (url_file)"),
    ("does not exist", "create what is missing (CREATE DATABASE, CREATE ROLE)"),
    ("permission denied", "let the role create and write tables: make it the owner "
     "of the database, or GRANT CREATE, USAGE ON SCHEMA public"),
    ("pg_hba.conf", "the server's pg_hba.conf does not let this user in from here"),
    ("refused", "start the server, or correct host and port in the URL"),
    ("no such file", "start the server, or correct the path of its socket"),
    ("read-only transaction", "the server is a standby: name the primary in the URL"),
)  # fmt: skip


def told(url: URL, error: BaseException) -> str:
    """
    Say in one line what is wrong with a database, and what helps.

    The parameters are those of L{wordsOf}.
    """
    said, remedy = wordsOf(url, error)
    return ": ".join(filter(None, (nameOf(url), said, remedy)))


def wordsOf(url: URL, error: BaseException) -> tuple[str, str]:
    """
    Say what is wrong with a database, and what helps; empty where that is not known.

    @param error: what SQLAlchemy, a driver or the system has raised. Its text has no
        password, but may have what rows hold in further lines: those are left out.
    """
    cause: BaseException = error
    if isinstance(error, DBAPIError) and error.orig is not None:
        cause = error.orig
    text = str(cause).strip()
    if isinstance(cause, OSError) and cause.strerror:
        text = cause.strerror
    elif isinstance(error, SQLAlchemyError) and not isinstance(error, DBAPIError):
        text = text.split("\n", 1)[0]
    first = text.split("\n", 1)[0].rstrip(".") if text else type(cause).__name__
    lower = text.lower()
    for mark, remedy in _OF_SERVERS if fileOf(url) is None else _OF_FILES:
        if mark in lower:
            return first, remedy
    return first, ""
