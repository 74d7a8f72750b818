"""
kill -9 of the gateway and of the process of its sinks, under load, and places that
take nothing for long: every line comes, and where a sink keeps the position with the
lines, it comes once.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path

import psycopg

from tests.live.clients import four, verdict5
from tests.live.disks import fill, smallDisk
from tests.live.postgres import Postgres
from tests.live.running import OPEN, Running
from tests.tools.waiting import until

#: Kills of each of both.
KILLS = 3
#: Clients that ask at once.
_CLIENTS = 4
_CONFIG = OPEN + (
    '[audit]\nsinks = ["file:once", "sql:sqlite:///audit.db", "file:second"]\n'
    '[[audit.sink]]\nkind = "file"\nname = "least"\nurl = "ecs"\nformat = "ecs"\n'
)


def _load(gateway: Running, over: threading.Event) -> None:
    while not over.is_set():
        try:
            verdict5(gateway.port, four("127.0.0.1"), 1)
        except OSError:
            return


def _child(gateway: Running) -> int | None:
    found = set(gateway.children) - set(gateway.processes)
    return found.pop() if found else None


def _numbers(file: Path) -> list[int]:
    return [json.loads(line)["n"] for line in file.read_bytes().splitlines()]


def test_killedAtRandomPoints(tmp_path: Path) -> None:
    """Rows are lines: of two files, a database, and a file of another format."""
    chance = random.Random(14)
    for _ in range(KILLS):
        gateway = Running(tmp_path, _CONFIG)
        try:
            gateway.ready()
            over = threading.Event()
            load = threading.Thread(target=_load, args=(gateway, over))
            load.start()
            try:
                time.sleep(0.4 + chance.random() / 2)
                if (child := _child(gateway)) is not None:
                    os.kill(child, signal.SIGKILL)
                time.sleep(0.3 + chance.random() / 2)
            finally:
                gateway.kill()
                over.set()
                load.join(10)
        finally:
            gateway.kill()
        (tmp_path / "log").unlink()
    gateway = Running(tmp_path, _CONFIG)
    try:
        gateway.ready()
        least = tmp_path / "var" / "ecs"
        until(lambda: least.exists() and _child(gateway))
        gateway.healthy()
    finally:
        gateway.kill()
    wanted = [line["n"] for line in gateway.journal()]
    assert len(wanted) > 100
    assert wanted == list(range(1, len(wanted) + 1))
    assert _numbers(tmp_path / "var" / "once") == wanted
    assert _numbers(tmp_path / "var" / "second") == wanted
    database = sqlite3.connect(tmp_path / "var" / "audit.db")
    assert [n for (n,) in database.execute("select n from events order by n")] == wanted
    database.close()
    # Without positions in it: none lacks, and some may have come twice.
    found = least.read_bytes().splitlines()
    assert all(json.loads(line) for line in found)
    assert len(set(found)) == len(wanted)


def _asking(gateway: Running, sessions: int) -> None:
    """Sessions, of several clients at once, that are all answered."""
    answers: list[int | None] = []

    def ask() -> None:
        for _ in range(sessions // _CLIENTS):
            answers.append(verdict5(gateway.port, four("127.0.0.1"), 1))

    threads = [threading.Thread(target=ask) for _ in range(_CLIENTS)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(60)
    assert answers == [5] * (sessions // _CLIENTS * _CLIENTS)


def test_downForLong(tmp_path: Path, postgres: Postgres) -> None:
    """
    A disk is full, a database is locked and another one is gone for as long as the
    journal takes several files: each session is answered, the standings tell it, and
    in the end each sink has each line.
    """
    (tmp_path / "pg.url").touch(0o600)
    (tmp_path / "pg.url").write_text(postgres.database("away"))
    with smallDisk(tmp_path / "disk", 16 << 20) as disk:
        config = OPEN + (
            '[audit]\nmax_size = "2MB"\n'
            f'[[audit.sink]]\nname = "file"\nkind = "file"\nurl = "{disk}/lines"\n'
            '[[audit.sink]]\nname = "lite"\nkind = "sql"\nurl = "sqlite:///audit.db"\n'
            '[[audit.sink]]\nname = "pg"\nkind = "sql"\nurl_file = "pg.url"\n'
        )
        gateway = Running(tmp_path, config)
        try:
            gateway.ready()
            _asking(gateway, _CLIENTS)
            until(lambda: _hasAll(gateway, tmp_path, postgres, disk), 40)
            fill(disk)
            postgres.kill()
            locked = sqlite3.connect(
                tmp_path / "var" / "audit.db", isolation_level=None
            )
            locked.execute("begin exclusive")
            _asking(gateway, 1200)
            files = sorted((tmp_path / "var" / "audit").glob("*.jsonl"))
            assert len(files) > 4
            assert files[0].name == "audit-000000000001.jsonl"

            def failing() -> set[str]:
                return {
                    line["sink"]
                    for line in gateway.journal("sink")
                    if line["state"] == "failing"
                }

            until(lambda: failing() == {"file", "lite", "pg"}, 60)
            _asking(gateway, _CLIENTS)
            (disk / "filler").unlink()
            locked.close()
            postgres.start()
            until(lambda: _hasAll(gateway, tmp_path, postgres, disk), 90)
            gateway.healthy()
        finally:
            gateway.kill()
        assert _hasAll(gateway, tmp_path, postgres, disk)


def _hasAll(gateway: Running, directory: Path, postgres: Postgres, disk: Path) -> bool:
    """Tell whether each sink has each line of the journal, once."""
    wanted = [line["n"] for line in gateway.journal()]
    text = "select n from events order by n"
    try:
        if _numbers(disk / "lines") != wanted:
            return False
        with closing(sqlite3.connect(directory / "var" / "audit.db")) as database:
            found = [n for (n,) in database.execute(text)]
        return found == wanted == [n for (n,) in postgres.query("away", text)]
    except (
        FileNotFoundError,
        # A line is being written.
        json.JSONDecodeError,
        sqlite3.OperationalError,
        psycopg.errors.UndefinedTable,
    ):
        # It is not made yet.
        return False
