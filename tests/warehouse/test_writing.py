"""
Lines of a journal in SQLite, each once.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from socksgw.warehouse.errors import WarehouseError
from socksgw.warehouse.writing import Writer
from tests.tools.journals import Line, chainOf, decision, ending

START = '"event":"start","gateway":"gw","pid":1'


def rowsOf(directory: Path, query: str) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(directory / "audit.db")
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def writer(directory: Path, gateway: str = "gw") -> Writer:
    found = Writer("sqlite:///audit.db", directory, gateway)
    found.open()
    return found


def splits(lines: list[Line]) -> list[list[list[Line]]]:
    """The lines at once, and each by itself."""
    return [[lines], [[each] for each in lines]]


@pytest.mark.parametrize("at", [0, 1])
def test_aSessionIsOneRow(tmp_path: Path, at: int) -> None:
    """The decision and the end, whether they come together or not."""
    lines = chainOf([START, decision(1), decision(2, user="bob"), ending(1)])
    for each in splits(lines)[at]:
        writing = writer(tmp_path)
        writing.write(each)
        writing.close()
    assert rowsOf(
        tmp_path,
        "select n, session, username, address, sent, received, end_reason, run "
        "from sessions order by n",
    ) == [
        (2, 1, "alice", "198.51.100.1", 100, 2000, "closed", 1),
        (3, 2, "bob", "198.51.100.1", None, None, None, 1),
    ]
    assert rowsOf(tmp_path, "select n, line from events order by n") == [
        (each.number, each.octets.decode()) for each in lines
    ]
    assert rowsOf(tmp_path, "select gateway, position, head, run from state") == [
        ("gw", 4, lines[-1].fields["hash"], 1)
    ]


def test_linesThatComeAgainAreLeftOut(tmp_path: Path) -> None:
    lines = chainOf([START, decision(1), ending(1), decision(2)])
    writing = writer(tmp_path)
    writing.write(lines[:3])
    writing.write(lines)
    writing.write(lines)
    assert rowsOf(tmp_path, "select count(*), max(n) from events") == [(4, 4)]
    assert rowsOf(tmp_path, "select count(*) from sessions") == [(2,)]


def test_theFileIsForItsOwnerAlone(tmp_path: Path) -> None:
    writing = writer(tmp_path)
    writing.write(chainOf([START]))
    for name in ("audit.db", "audit.db-wal"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600


def test_anotherJournalOfTheSameName(tmp_path: Path) -> None:
    """It is refused: its lines are not those that follow."""
    writing = writer(tmp_path)
    writing.write(chainOf([START, decision(1)]))
    other = chainOf([START, decision(7), decision(8)])
    with pytest.raises(WarehouseError, match="does not follow the line 2"):
        writing.write(other)
