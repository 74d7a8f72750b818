"""
Tables of other versions.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Connection, inspect, text, update

from socksgw.warehouse import migrations, reading, schema
from socksgw.warehouse.engines import engineOf, urlOf
from socksgw.warehouse.errors import WarehouseError
from socksgw.warehouse.writing import Writer


def made(directory: Path, version: int) -> Writer:
    """Return who writes into tables that claim a version."""
    writer = Writer("sqlite:///audit.db", directory, "gw")
    writer.open()
    writer.close()
    with engineOf(writer.url).begin() as connection:
        connection.execute(update(schema.warehouse).values(version=version))
    return writer


def test_newerOnesAreRefused(tmp_path: Path) -> None:
    """Neither written nor read, and the text says what helps."""
    writer = made(tmp_path, schema.VERSION + 1)
    for each in (writer.open, lambda: reading.open("sqlite:///audit.db", tmp_path)):
        with pytest.raises(WarehouseError, match="a newer socksgw made them"):
            each()


def test_olderOnesAreUpgradedAsOne(tmp_path: Path) -> None:
    """Step by step, within one transaction: where one fails, none was made."""
    made(tmp_path, 1)
    engine = engineOf(urlOf("sqlite:///audit.db", tmp_path))

    def second(connection: Connection) -> None:
        connection.execute(text("ALTER TABLE sessions ADD COLUMN colour TEXT"))

    def third(connection: Connection) -> None:
        assert "colour" in columns(connection)
        connection.execute(text("ALTER TABLE sessions ADD COLUMN shape TEXT"))

    def broken(connection: Connection) -> None:
        third(connection)
        raise ZeroDivisionError

    def columns(connection: Connection) -> set[str]:
        return {each["name"] for each in inspect(connection).get_columns("sessions")}

    with pytest.raises(ZeroDivisionError), engine.begin() as connection:
        migrations.prepare(connection, {1: second, 2: broken}, 3)
    with engine.begin() as connection:
        assert migrations.versionOf(connection) == 1
        assert not columns(connection) & {"colour", "shape"}
        migrations.prepare(connection, {1: second, 2: third}, 3)
    with engine.begin() as connection:
        assert migrations.versionOf(connection) == 3
        assert columns(connection) >= {"colour", "shape"}


def test_aStepForEachVersion() -> None:
    assert sorted(migrations.STEPS) == list(range(1, schema.VERSION))
