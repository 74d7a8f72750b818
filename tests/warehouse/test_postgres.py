"""
What is told of a real PostgreSQL server that cannot be used, in one line with a remedy.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from socksgw.warehouse import reading
from socksgw.warehouse.errors import WarehouseError
from socksgw.warehouse.writing import Writer
from tests.live.postgres import Postgres
from tests.live.servers import Daemon, freePort, package, program
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


def test_behindAPooler(postgres: Postgres, tmp_path: Path) -> None:
    """
    Transactions of two gateways, and of a reader, take turns at one connection of the
    server, and nothing of them stays there for other programs.
    """
    package("psycopg")
    import psycopg

    url = postgres.database("pooled")
    port = freePort(kind=socket.SOCK_STREAM)
    users, settings = (
        postgres.directory / f"pooled.{each}" for each in ("users", "ini")
    )
    users.write_text('"pooled" "p%pooled"\n')
    settings.write_text(
        f"""
[databases]
pooled = host=127.0.0.1 port={postgres.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = plain
auth_file = {users}
pool_mode = transaction
default_pool_size = 1
"""
    )
    command = [program("pgbouncer", "pgbouncer"), str(settings)]
    if os.geteuid() == 0:
        # It does not run as root.
        command[1:1] = ["-u", "postgres"]
    url = url.replace(f":{postgres.port}/", f":{port}/")
    lines = chainOf([decision(n) for n in range(1, 13)])
    with Daemon(command, port, tmp_path / "pgbouncer.log", dict(os.environ)):
        writers = [Writer(url, tmp_path, name) for name in ("edge-1", "edge-2")]
        for writer in writers:
            writer.open()
        for line in lines:
            for writer in writers:
                writer.write([line])
            with reading.open(url).connect() as connection:
                count = connection.exec_driver_sql("select count(*) from events")
                assert count.scalar() == 2 * line.number
        with psycopg.connect(url) as other:
            names = ("lock_timeout", "default_transaction_read_only")
            found = [other.execute(f"SHOW {name}").fetchone() for name in names]
        assert found == [("0",), ("off",)]
        for writer in writers:
            writer.close()


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
