"""
kill -9 of the gateway and of the process of its sinks, under load: every line comes,
and where a sink keeps the position with the lines, it comes once.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import threading
import time
from pathlib import Path

from tests.live.clients import four, verdict5
from tests.live.running import OPEN, Running
from tests.tools.waiting import until

#: Kills of each of both.
KILLS = 3
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
    pid = gateway.process.pid
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(found[0]) if found else None


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
