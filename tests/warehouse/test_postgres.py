"""
What is told of a real PostgreSQL server that cannot be used, in one line with a remedy.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from socksgw.warehouse import reading
from socksgw.warehouse.errors import WarehouseError
from socksgw.warehouse.writing import Writer
from tests.live.postgres import Postgres
from tests.tools.journals import chainOf, decision


def why(url: str, directory: Path) -> str:
    """Return what opening says; no password is in it, nor a second line."""
    with pytest.raises(WarehouseError) as raised:
        Writer(url, directory, "gw").open()
    text = str(raised.value)
    assert "\n" not in text
    assert "p%" not in text
    assert "canary" not in text
    return text


def test_wrongPassword(postgres: Postgres, tmp_path: Path) -> None:
    url = postgres.database("wrong").replace("p%25wrong@", "canary@")
    assert "password authentication failed" in (said := why(url, tmp_path))
    assert said.endswith("correct user and password in the URL")


def test_noSuchDatabase(postgres: Postgres, tmp_path: Path) -> None:
    url = postgres.database("without").removesuffix("without") + "nowhere"
    assert "CREATE DATABASE" in why(url, tmp_path)


def test_missingRights(postgres: Postgres, tmp_path: Path) -> None:
    """To make tables; and, when they are there, to write them."""
    url = postgres.database("granted")
    guest = url.replace("granted", "guest", 1).replace("p%25granted", "p%25guest")
    with postgres.connect() as connection:
        connection.execute("CREATE ROLE guest LOGIN PASSWORD 'p%guest'")
    assert "GRANT CREATE" in why(guest, tmp_path)
    Writer(url, tmp_path, "gw").open()
    assert "permission denied for table" in why(guest, tmp_path)


def test_readingNeedsNoRightToWrite(postgres: Postgres, tmp_path: Path) -> None:
    url = postgres.database("shown")
    writing = Writer(url, tmp_path, "gw")
    writing.write(chainOf([decision(1)]))
    with postgres.connect("shown") as connection:
        connection.execute("CREATE ROLE reader LOGIN PASSWORD 'p%reader'")
        connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader")
    reader = reading.open(
        url.replace("shown", "reader", 1).replace("p%25shown", "p%25reader")
    )
    with reader.connect() as connection:
        assert connection.exec_driver_sql("select n from events").all() == [(1,)]
    # Nor does one who may write change anything.
    with (
        pytest.raises(WarehouseError, match="read-only transaction"),
        reading.open(url).connect() as connection,
    ):
        connection.exec_driver_sql("delete from events")


def test_aServerThatHasGone(postgres: Postgres, tmp_path: Path) -> None:
    """A connection that breaks is told, and the next one goes on."""
    writing = Writer(postgres.database("gone"), tmp_path, "gw")
    lines = chainOf([decision(1), decision(2)])
    writing.write(lines[:1])
    with postgres.connect() as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'gone'"
        )
    with pytest.raises(WarehouseError, match="terminating connection"):
        writing.write(lines[1:])
    assert writing.open() == 1
    writing.write(lines[1:])
    assert postgres.query("gone", "select count(*) from events") == [(2,)]


def test_onlyWhatIsWrittenTells(postgres: Postgres, tmp_path: Path) -> None:
    """Another program's table of our name is no warehouse."""
    url = postgres.database("theirs")
    with postgres.connect("theirs") as connection:
        connection.execute("CREATE TABLE warehouse (version int)")
        connection.execute("GRANT ALL ON warehouse TO theirs")
    assert "name an empty database" in why(url, tmp_path)
