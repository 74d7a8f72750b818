"""
The tables, and the rows that are made for them.
"""

from __future__ import annotations

from socksgw.warehouse import rows, schema


def test_rowsHaveTheColumnsInTheirOrder() -> None:
    """Values are given by position."""
    assert list(schema.events.c.keys()) == list(rows.EVENT)
    assert list(schema.sessions.c.keys()) == list(rows.SESSION)


def test_noColumnIsAWordOfSql() -> None:
    """PostgreSQL answers C{select user} with the role, and without an error."""
    reserved = {"user", "end", "grant", "groups", "from", "to", "order", "group"}
    for table in schema.metadata.tables.values():
        assert not set(table.c.keys()) & reserved
