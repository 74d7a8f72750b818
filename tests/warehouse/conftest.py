"""
Databases of every kind.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.live.postgres import Postgres

_numbers = count()


class Place(NamedTuple):
    """
    An empty database.

    @ivar query: returns what a query yields, by another way than ours.
    @ivar directory: where an SQLite file is.
    """

    url: str
    query: Callable[[str], list[tuple[Any, ...]]]
    directory: Path


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Return an empty database."""
    if request.param == "postgres":
        server: Postgres = request.getfixturevalue("postgres")
        name = f"place{next(_numbers)}"
        url = server.database(name)
        return Place(url, lambda query: server.query(name, query), tmp_path)

    def query(statement: str) -> list[tuple[Any, ...]]:
        connection = sqlite3.connect(tmp_path / "audit.db")
        try:
            return connection.execute(statement).fetchall()
        finally:
            connection.close()

    return Place("sqlite:///audit.db", query, tmp_path)
