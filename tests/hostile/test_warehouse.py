"""
kill -9 of the gateway, of its sinks' process and of PostgreSQL, under load: rows in
the warehouse = lines in the journal = sessions that clients counted.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from psycopg.errors import UndefinedTable

from tests.live.clients import Server, connected, four
from tests.live.postgres import Postgres
from tests.live.running import OPEN, WORKERS, Running
from tests.live.servers import freePort
from tests.tools.waiting import until

#: How many kills of each.
KILLS = 4
_THREADS = 3


class Load:
    """
    Clients that make sessions, each to an address of its own, for as long as it lasts.

    @ivar granted: the addresses of those that had a success reply.
    """

    def __init__(self, port: int, destination: int) -> None:
        self.granted: set[str] = set()
        self._port, self._destination = port, destination
        self._numbers = count(1)
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(_THREADS)]
        for thread in self._threads:
            thread.start()

    def _ask(self) -> None:
        while not self._over.is_set():
            number = next(self._numbers)
            address = f"127.1.{number >> 8}.{number & 255}"
            # Between two gateways there is none.
            with suppress(OSError, AssertionError):
                client, reply = connected(self._port, four(address), self._destination)
                with closing(client):
                    if reply == 0:
                        self.granted.add(address)
            self._over.wait(0.005)

    def one(self) -> socket.socket:
        """Return a session that is open."""
        number = next(self._numbers)
        address = f"127.2.{number >> 8}.{number & 255}"
        client, reply = connected(self._port, four(address), self._destination)
        assert reply == 0
        self.granted.add(address)
        return client

    def more(self, sessions: int = 15) -> None:
        """Wait until there were some more."""
        before = len(self.granted)
        until(lambda: len(self.granted) >= before + sessions, 30)

    def stop(self) -> None:
        """End it."""
        self._over.set()
        for thread in self._threads:
            thread.join(30)


def childOf(gateway: Running) -> int:
    """Return the process of the sinks."""
    pid = gateway.process.pid

    def found() -> int:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for each in children:
            with suppress(FileNotFoundError):
                if b"socksgw.audit.sinks" in Path(f"/proc/{each}/cmdline").read_bytes():
                    return int(each)
        return 0

    process: int = until(found, 40)
    return process


def test_rowsLinesAndSessionsAgree(tmp_path: Path, postgres: Postgres) -> None:
    """
    After each kill all goes on by itself. In the end both databases have each line
    once, each session that a client has counted is one row, and a session whose
    process was killed has no end.
    """
    url = postgres.database("killed")
    (tmp_path / "pg.url").write_text(url)
    (tmp_path / "pg.url").chmod(0o600)
    port = freePort()
    config = OPEN.replace("127.0.0.1:0", f"127.0.0.1:{port}") + (
        '[audit]\nsinks = ["sql:sqlite:///audit.db"]\n'
        '[[audit.sink]]\nkind = "sql"\nname = "pg"\nurl_file = "pg.url"\n'
    )
    kills = ["gateway", "sinks", "postgres"] * KILLS
    random.shuffle(kills)
    gateway = Running(tmp_path, config).ready()
    with Server("0.0.0.0") as echo:
        load = Load(port, echo.place[1])
        try:
            for each in kills:
                load.more()
                if each == "gateway":
                    with closing(load.one()):
                        gateway.kill()
                    (tmp_path / "log").unlink()
                    gateway = Running(tmp_path, config).ready()
                elif each == "sinks":
                    with suppress(ProcessLookupError):
                        os.kill(childOf(gateway), signal.SIGKILL)
                else:
                    postgres.kill()
                    load.more()
                    postgres.start()
            load.more()
        finally:
            load.stop()
        last = max(each["n"] for each in gateway.journal())
        file = tmp_path / "var" / "audit.db"

        def ask(statement: str) -> list[tuple[Any, ...]]:
            url = f"file:{file}?mode=rw"
            with closing(sqlite3.connect(url, timeout=10, uri=True)) as connection:
                return connection.execute(statement).fetchall()

        def theirs(statement: str) -> list[tuple[Any, ...]]:
            return postgres.query("killed", statement)

        def has(query: Callable[[str], list[tuple[Any, ...]]]) -> bool:
            """Whether a database has all lines; a sink makes its tables when it can."""
            with suppress(sqlite3.OperationalError, UndefinedTable):
                return query("select position from state") >= [(last,)]
            return False

        for query in (ask, theirs):
            # The pause after a failure is half a minute at most.
            until(partial(has, query), 90)
        gateway.healthy()

    lines = gateway.journal()
    numbers = [(each["n"], each["hash"]) for each in lines]
    decisions = [each for each in lines if each["event"] == "decision"]
    asked = [each["asked"] for each in decisions]
    ends = sum(each["event"] == "end" for each in lines)
    assert len(asked) == len(set(asked))
    assert load.granted <= set(asked)
    for query in (ask, theirs):
        assert query("select n, hash from events order by n") == numbers
        rows = query("select asked, verdict from sessions order by n")
        assert rows == [(each, "allow") for each in asked]
        found = query(
            "select count(*), count(end_reason), "
            "sum(case when end_reason = 'not-recorded' then 1 else 0 end) from sessions"
        )
        assert found == [(len(asked), len(asked), len(asked) - ends)]
    # Workers outlive who has started them, and write the ends of their sessions.
    assert len(asked) - ends >= (KILLS if WORKERS == 1 else 0)
