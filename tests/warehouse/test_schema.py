"""
The tables, and the rows that are made for them.
"""

from __future__ import annotations

from socksgw.warehouse import rows, schema


def test_rowsHaveEachColumn() -> None:
    """And none twice."""
    assert list(schema.events.c.keys()) == list(rows.EVENT)
    assert sorted(schema.sessions.c.keys()) == sorted(rows.SESSION)
    assert rows.SESSION[: len(rows.USUAL)] == rows.USUAL


def test_noColumnIsAWordOfSql() -> None:
    """PostgreSQL answers C{select user} with the role, and without an error."""
    reserved = {"user", "end", "grant", "groups", "from", "to", "order", "group"}
    for table in schema.metadata.tables.values():
        assert not set(table.c.keys()) & reserved
