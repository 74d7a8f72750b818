"""
Make the tables, or bring older ones to the version of this program.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from sqlalchemy import Connection, insert, inspect, select, text, update

from socksgw.warehouse import schema, views
from socksgw.warehouse.errors import WarehouseError

__all__ = ["STEPS", "prepare", "versionOf"]


def _policyAndTLS(connection: Connection) -> None:
    """Add what lines tell of the configuration and of TLS; older rows have neither."""
    for name in ("policy", "tls_version", "tls_group", "fingerprint", "serial"):
        connection.exec_driver_sql(f"ALTER TABLE sessions ADD COLUMN {name} TEXT")


#: What makes tables of one version those of the next one.
STEPS: Final[Mapping[int, Callable[[Connection], None]]] = {1: _policyAndTLS}

#: Programs that start at once make the tables one after the other.
_LOCK: Final = 0x50C5_14


def versionOf(connection: Connection) -> int | None:
    """
    Return the version of the tables; L{None} where there are none.

    @raise WarehouseError: the tables are none of this program's.
    """
    if not inspect(connection).has_table(schema.warehouse.name):
        return None
    version: int | None = connection.scalar(select(schema.warehouse.c.version))
    if version is None:
        raise WarehouseError(
            'its table "warehouse" is empty, or another program\'s: name an empty database'
        )
    return version


def prepare(
    connection: Connection,
    steps: Mapping[int, Callable[[Connection], None]] = STEPS,
    version: int = schema.VERSION,
) -> None:
    """
    Make the tables, or upgrade them, within the transaction that is open.

    @param steps: what makes each version the next one.
    @param version: the version that is wanted.
    @raise WarehouseError: the tables are of a newer program.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    found = versionOf(connection)
    if found is None:
        schema.metadata.create_all(connection, checkfirst=False)
        views.make(connection)
        connection.execute(insert(schema.warehouse).values(version=version))
        return
    check(found, version)
    for each in range(found, version):
        steps[each](connection)
    if found != version:
        connection.execute(update(schema.warehouse).values(version=version))


def check(found: int, version: int = schema.VERSION) -> None:
    """
    Refuse tables of a newer program.

    @raise WarehouseError: they are.
    """
    if found > version:
        raise WarehouseError(
            f"its tables have version {found}, and this program knows them up to "
            f"{version}: a newer socksgw made them; run that one, or name an empty database"
        )
