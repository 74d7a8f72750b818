"""
Tables of other versions.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, inspect, text, update

from socksgw.warehouse import migrations, reading, schema
from socksgw.warehouse.engines import engineOf, urlOf
from socksgw.warehouse.errors import WarehouseError
from socksgw.warehouse.writing import Writer
from tests.tools.journals import chainOf, decision, ending


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


def test_theTablesOfTheVersionBefore(place: Any) -> None:
    """The sink goes on in them: rows of before stay, new ones have the new columns."""
    day = chainOf(
        [
            '"event":"start","gateway":"gw","pid":1',
            decision(1),
            ending(1),
            decision(2, policy="0123456789ab", tls_version="TLSv1.3", serial="0A"),
            ending(2),
        ]
    )
    writer = Writer(place.url, place.directory, "gw")
    writer.write(day[:3])
    writer.close()
    with engineOf(writer.url).begin() as connection:
        for each in ("policy", "tls_version", "tls_group", "fingerprint", "serial"):
            connection.execute(text(f"ALTER TABLE sessions DROP COLUMN {each}"))
        connection.execute(update(schema.warehouse).values(version=1))
    with pytest.raises(WarehouseError, match="its sink upgrades them"):
        reading.open(place.url, place.directory)
    writer = Writer(place.url, place.directory, "gw")
    assert writer.open() == 3
    writer.write(day[3:])
    writer.close()
    assert place.query(
        "select session, policy, tls_version, tls_group, serial, end_reason, extra "
        "from sessions order by n"
    ) == [
        (1, None, None, None, None, "closed", None),
        (2, "0123456789ab", "TLSv1.3", None, "0A", "closed", None),
    ]


def test_aStepForEachVersion() -> None:
    assert sorted(migrations.STEPS) == list(range(1, schema.VERSION))
