"""
Whether a database would take the rows of a journal; nothing in it is changed.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

from socksgw.warehouse import migrations, schema
from socksgw.warehouse.engines import engineOf, fileOf, urlOf, wordsOf
from socksgw.warehouse.errors import WarehouseError

__all__ = ["Unfit", "probe"]


#: What helps where a file is closed.
_RIGHTS: Final = "change owner or mode, or ask as the gateway's own user"


class Unfit(WarehouseError):
    """
    The database would take no rows.

    @ivar remedy: what to do; may be empty.
    """

    def __init__(self, said: str, remedy: str) -> None:
        super().__init__(said)
        self.remedy = remedy


def probe(url: str, directory: Path) -> str:
    """
    Connect, and look at the tables and at our rights.

    @param url: as the sink's, C{sqlite:///FILE} or C{postgresql://…}.
    @param directory: where the relative path of an SQLite file begins: C{state_dir}.
    @return: what was found, for people.
    @raise Unfit: no rows could be written.
    @raise WarehouseError: the URL is none.
    """
    found = urlOf(url, directory)
    file = fileOf(found)
    if file is not None and not file.exists():
        return _absent(file)
    try:
        with engineOf(found, readOnly=True).connect() as connection:
            version = migrations.versionOf(connection)
            if version is not None:
                migrations.check(version)
            if file is None:
                _mayWrite(connection, version)
    except Unfit:
        raise
    except (SQLAlchemyError, OSError, WarehouseError) as e:
        raise Unfit(*wordsOf(found, e)) from None
    if file is not None:
        _writable(file)
    return _said(version)


def _said(version: int | None) -> str:
    if version is None:
        return "answers; it has no tables yet: the sink makes them"
    if version < schema.VERSION:
        return (
            f"answers; its tables have version {version}, which the sink upgrades to "
            f"{schema.VERSION}"
        )
    return f"answers; its tables have version {version}, as they should"


def _absent(file: Path) -> str:
    """
    @raise Unfit: it cannot be made.
    """
    folder = file.parent
    while not folder.exists():
        folder = folder.parent
    if not os.access(folder, os.W_OK | os.X_OK):
        raise Unfit(f"this user may not make it in {folder}", _RIGHTS)
    return "is not there yet: the sink makes it"


def _writable(file: Path) -> None:
    """
    @raise Unfit: the file, or its directory, is closed to this user.
    """
    for path in (file, file.parent):
        if not os.access(path, os.W_OK):
            raise Unfit(f"this user may not write {path}", _RIGHTS)


def _mayWrite(connection: Connection, version: int | None) -> None:
    """
    Look at our rights in PostgreSQL.

    @raise Unfit: they do not suffice.
    """
    if connection.scalar(text("SELECT pg_is_in_recovery()")):
        raise Unfit(
            "the server is a standby, which takes no rows",
            "name the primary in the URL",
        )
    if version is None:
        ask = text("SELECT has_schema_privilege(current_schema(), 'CREATE')")
        if not connection.scalar(ask):
            raise Unfit(
                "the role may not make tables",
                "make it the owner of the database, or GRANT CREATE, USAGE ON SCHEMA "
                "public",
            )
        return
    for table in (schema.events, schema.sessions, schema.state):
        ask = text("SELECT has_table_privilege(:table, 'INSERT')")
        if not connection.scalar(ask, {"table": table.name}):
            raise Unfit(
                f'the role may not write the table "{table.name}"',
                "make it the owner, or GRANT INSERT, UPDATE, DELETE, SELECT",
            )
