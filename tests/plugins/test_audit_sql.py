"""
The sink into an SQL database, in a gateway.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from socksgw.config.settings import Settings
from socksgw.interfaces import SinkFailed, SinkSettings
from socksgw.plugins.audit_sql import sinks
from socksgw.testing import AuditSinkContract
from tests.live.postgres import Postgres
from tests.live.running import OPEN, Running, socksgw
from tests.tools.journals import chainOf, decision, ending
from tests.tools.waiting import until


def made(
    directory: Path, url: str = "sqlite:///audit.db", **options: Any
) -> tuple[Any, list[str]]:
    """Return the sink of a configuration, and its mistakes."""
    wrong: list[str] = []
    settings = SinkSettings(
        name="sql",
        kind="sql",
        target=url,
        format="",
        options=Settings(
            options, wrong=lambda key, text: wrong.append(f"{key}: {text}")
        ),
        directory=directory,
        gateway="gw",
    )
    (kind,) = sinks
    return kind.build(settings), wrong


def test_linesAreThereOnce(tmp_path: Path) -> None:
    """The number of the last one is with the lines, and none is needed elsewhere."""
    lines = chainOf([decision(1), ending(1), decision(2)])
    sink, wrong = made(tmp_path, gateway="other")
    assert wrong == []
    assert sink.open() == 0
    sink.deliver(lines[:2])
    sink.idle()
    sink.close()
    sink.close()
    assert sink.open() == 2
    sink.deliver(lines)
    sink.close()
    with sqlite3.connect(tmp_path / "audit.db") as connection:
        found = connection.execute(
            "select gateway, n from events order by n"
        ).fetchall()
    connection.close()
    assert found == [("other", 1), ("other", 2), ("other", 3)]


def test_whatFailsIsTold(tmp_path: Path) -> None:
    sink, _ = made(tmp_path, "sqlite:///nowhere/audit.db")
    with pytest.raises(SinkFailed, match="make the directory"):
        sink.open()
    sink.close()


def test_itsKeys(tmp_path: Path) -> None:
    _, wrong = made(tmp_path, keep="1h", max_size="5kB", gateway="", colour=1)
    assert [each.split(":")[0] for each in wrong] == [
        "colour",
        "keep",
        "max_size",
        "gateway",
    ]
    _, wrong = made(tmp_path, keep="400d", max_size="10GB")
    assert wrong == []


def test_mistakesNameTheirPlace(tmp_path: Path) -> None:
    """C{socksgw check} tells the TOML path, and repeats no password."""
    (tmp_path / "gw.toml").write_text(
        OPEN + '[audit]\nsinks = ["sql:mysql://u:canary@h/d"]\n'
        '[[audit.sink]]\nkind = "sql"\nname = "b"\nurl = "sqlite:///b.db"\nkeep = "1m"\n'
    )
    done = socksgw("check", "--config", "gw.toml", cwd=tmp_path)
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert "audit.sinks[1]: it has to begin with sqlite:///" in said
    assert 'audit.sink[1].keep ("b"): must be at least 1d' in said
    assert "canary" not in said


def test_aGateway(tmp_path: Path) -> None:
    """Each line of its journal is a row, up to the last one of all."""
    config = OPEN + '[audit]\nsinks = ["sql:sqlite:///audit.db"]\n'
    gateway = Running(tmp_path, config).ready()
    until((tmp_path / "var" / "audit.db").exists)
    gateway.healthy()
    connection = sqlite3.connect(tmp_path / "var" / "audit.db")
    found = connection.execute(
        "select n, event, hash from events order by n"
    ).fetchall()
    position = connection.execute("select gateway, position from state").fetchall()
    connection.close()
    lines = gateway.journal()
    assert found == [(each["n"], each["event"], each["hash"]) for each in lines]
    assert position == [("socksgw", len(lines))]


class TestSqlite(AuditSinkContract):
    """What every sink has to hold, of a file."""

    (plugin,) = sinks
    once = True

    @pytest.fixture(autouse=True)
    def impatient(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("socksgw.warehouse.engines._BUSY", 0.05)

    def target(self, directory: Path) -> str:
        return "sqlite:///audit.db"

    def received(self, directory: Path) -> Sequence[int]:
        with closing(sqlite3.connect(directory / "audit.db")) as connection:
            found = connection.execute("select n from events order by n").fetchall()
        return [n for (n,) in found]

    @contextmanager
    def broken(self, directory: Path) -> Iterator[None]:
        file = directory / "audit.db"
        with closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield
            other.execute("ROLLBACK")


class TestPostgres(AuditSinkContract):
    """The same, of a server."""

    (plugin,) = sinks
    once = True
    secret = "p%25contract"
    databases = count()

    @pytest.fixture(autouse=True)
    def served(self, postgres: Postgres) -> None:
        self.server = postgres
        self.name = f"contract{next(self.databases)}"

    def target(self, directory: Path) -> str:
        return self.server.database(self.name)

    def received(self, directory: Path) -> Sequence[int]:
        found = self.server.query(self.name, "select n from events order by n")
        return [n for (n,) in found]

    @contextmanager
    def broken(self, directory: Path) -> Iterator[None]:
        self.server.kill()
        yield
        self.server.start()
