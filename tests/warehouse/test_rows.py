"""
Rows of single lines.
"""

from __future__ import annotations

from typing import Any

import pytest

from socksgw.warehouse import rows
from tests.tools.journals import chainOf, decision, ending


def made(*bodies: str) -> list[dict[str, Any]]:
    """Return the rows of sessions that lines make."""
    batch = rows.Rows("gw").batch(chainOf(bodies))
    return [asked(each) for each in batch.sessions]


def asked(row: rows.Row) -> dict[str, Any]:
    """Return a row by its columns."""
    full = row + [None] * (len(rows.SESSION) - len(row))
    return dict(zip(rows.SESSION, full, strict=True))


@pytest.mark.parametrize(
    ("first", "last", "columns"),
    [
        ({}, {}, {}),
        ({"tag": "t"}, {}, {"tag": "t"}),
        ({}, {"rule": "r", "path": "p"}, {"end_rule": "r", "path": "p"}),
        ({"via": "hop"}, {"novel": 1}, {"via": "hop", "end_extra": '{"novel": 1}'}),
        ({}, {"ticket": "T"}, {"ticket": "T"}),
    ],
)
def test_mostRowsAreShort(
    first: dict[str, Any], last: dict[str, Any], columns: dict[str, Any]
) -> None:
    """One that has a value in another column has all of them, and loses none."""
    made = rows.Rows("gw")
    (row,) = made.batch(chainOf([decision(1, **first), ending(1, **last)])).sessions
    assert len(row) == len(rows.SESSION if columns else rows.USUAL)
    usual, *_ = rows.Rows("gw").batch(chainOf([decision(1), ending(1)])).sessions
    assert asked(row) == {**asked(usual), **columns}


def test_whatHasNoColumnIsKept() -> None:
    """Also what this version does not know."""
    (row,) = made(
        decision(1, groups=["a", "b"], addresses=["192.0.2.1", "192.0.2.2"], novel=[1])
    )
    assert row["address"] == "192.0.2.1"
    assert row["extra"] == (
        '{"groups": ["a", "b"], "novel": [1], "addresses": ["192.0.2.1", "192.0.2.2"]}'
    )


def test_aSumIsARowForEachReason() -> None:
    """And failed logins among them are told from refusals."""
    found = made(
        '"event":"refusals","source":"192.0.2.9","count":5,'
        '"reasons":{"protocol":2,"wrong-credentials":3}',
        '"event":"denials","source":null,"user":"bob","rule":"no","count":7,'
        '"reasons":{"policy":7},"first":"a:1","last":"b:2"',
    )
    keys = ("n", "part", "event", "verdict", "reason", "count", "client", "username")
    assert [tuple(each[k] for k in keys) for each in found] == [
        (1, 0, "refusals", "refused", "protocol", 2, "192.0.2.9", None),
        (1, 1, "refusals", "login-failed", "wrong-credentials", 3, "192.0.2.9", None),
        (2, 0, "denials", "deny", "policy", 7, None, "bob"),
    ]
    assert found[2]["extra"] == '{"first": "a:1", "last": "b:2"}'


def test_flowsOfOneSession() -> None:
    """Each end goes to the flow of its host and port."""
    flow = {"command": "udp", "port": 53}
    found = made(
        decision(1, command="udp"),
        decision(1, "flow", **flow, name="a.example", addresses=["192.0.2.1"]),
        decision(1, "flow", **flow, name="b.example", addresses=[], asked="b.example"),
        decision(1, "flow", **flow, name=None, addresses=["2001:db8::1"]),
        ending(1, "flow-end", address="[2001:db8::1]:53", sent=3),
        ending(1, "flow-end", address="b.example:53", sent=2),
        ending(1, "flow-end", address="192.0.2.1:53", sent=1),
        ending(1, address=None, sent=6),
    )
    assert [(each["address"], each["sent"]) for each in found] == [
        ("198.51.100.1", 6),
        ("192.0.2.1", 1),
        (None, 2),
        ("2001:db8::1", 3),
    ]
