"""
A warehouse that is read.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, update

from socksgw.warehouse import reading
from socksgw.warehouse.errors import WarehouseError
from socksgw.warehouse.schema import sessions, warehouse
from socksgw.warehouse.writing import Writer
from tests.tools.journals import chainOf, decision, ending

NOON = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)


def test_whatIsThere(place: Any) -> None:
    """Moments come back as such, and can be compared and put into spans."""
    writer = Writer(place.url, place.directory, "gw")
    lines = chainOf(
        [decision(1), decision(2), ending(1)], time="2026-11-27T12:34:56.789Z"
    )
    writer.write(lines)
    reader = reading.open(place.url, place.directory)
    c = sessions.c
    hour = reader.bucket(timedelta(hours=1))
    with reader.connect() as connection:
        times = connection.scalars(select(c.time).where(c.time >= NOON)).all()
        spans = connection.execute(select(hour, func.sum(c.sent)).group_by(hour)).all()
        later = connection.scalars(
            select(c.n).where(c.time >= NOON + timedelta(hours=1))
        )
        assert later.all() == []
    assert times == [NOON + timedelta(minutes=34, seconds=56, milliseconds=789)] * 2
    assert spans == [(NOON.timestamp(), 100)]


def test_itCannotBeWritten(tmp_path: Path) -> None:
    writer = Writer("sqlite:///audit.db", tmp_path, "gw")
    writer.open()
    reader = reading.open("sqlite:///audit.db", tmp_path)
    with (
        pytest.raises(WarehouseError, match="readonly database"),
        reader.connect() as connection,
    ):
        connection.execute(update(warehouse).values(version=7))


def test_whatIsNoWarehouse(tmp_path: Path) -> None:
    """A file that is not there is not made; other files are named as what they are."""
    with pytest.raises(WarehouseError, match="no such file"):
        reading.open("sqlite:///audit.db", tmp_path)
    assert not list(tmp_path.iterdir())
    (tmp_path / "audit.db").write_bytes(b"")
    with pytest.raises(WarehouseError, match="holds no journal"):
        reading.open("sqlite:///audit.db", tmp_path)
    (tmp_path / "audit.db").write_text("nothing that SQLite knows" * 100)
    with pytest.raises(WarehouseError, match="it is no SQLite file"):
        reading.open("sqlite:///audit.db", tmp_path)
