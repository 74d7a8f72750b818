"""
What is too old or too much goes, a little at a time.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from socksgw.warehouse import retention
from socksgw.warehouse.retention import Retention
from socksgw.warehouse.writing import Writer
from tests.tools.journals import chainOf, decision, ending

DAY = 86_400.0
#: When the lines are of.
THEN = datetime(2026, 11, 27, 10, 0, tzinfo=UTC).timestamp()


def filled(place: Any, sessions: int, gateway: str = "gw") -> Writer:
    """Return a writer that has written two lines for each session."""
    writing = Writer(place.url, place.directory, gateway)
    writing.open()
    bodies = [f(i) for i in range(1, sessions + 1) for f in (decision, ending)]
    writing.write(chainOf(bodies))
    return writing


def steps(writing: Writer, found: Retention, now: float = 0.0) -> int:
    """Return how many steps there were until nothing is to be done."""
    connection = writing._connection
    assert connection is not None
    for i in range(1000):
        if not found.due(now):
            return i
        found.step(connection, now)
    raise AssertionError("it does not end")


def counts(place: Any) -> list[tuple[str, int, int]]:
    found: list[tuple[str, int, int]] = place.query(
        "select e.gateway, count(*), "
        "(select count(*) from sessions s where s.gateway = e.gateway) "
        "from events e group by 1 order by 1"
    )
    return found


def test_byAge(place: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is older goes, of this gateway alone; what is younger stays."""
    monkeypatch.setattr(retention, "_STEP", 20)
    filled(place, 30, "other").close()
    writing = filled(place, 30)
    now = [THEN + 2 * DAY - 1]
    found = Retention("gw", 2 * DAY, 0, lambda: now[0])
    steps(writing, found)
    assert counts(place) == [("gw", 60, 30), ("other", 60, 30)]
    now[0] += 3
    # 1/20 of the lines in an hour, and one step: here two of three steps.
    steps(writing, found, 100.0)
    assert counts(place) == [("gw", 20, 10), ("other", 60, 30)]
    steps(writing, found, 300.0)
    assert counts(place) == [("gw", 20, 10), ("other", 60, 30)]
    steps(writing, found, 4000.0)
    assert counts(place) == [("other", 60, 30)]
    # The next lines still follow.
    assert writing.open() == 60


def test_bySize(place: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest go until the rest fits; an SQLite file becomes smaller by itself."""
    for name, value in (("_STEP", 100), ("_PAGES", 20)):
        monkeypatch.setattr(retention, name, value)
    writing = filled(place, 2_000)
    found = Retention("gw", 0, 800_000, lambda: THEN)
    assert 20 < steps(writing, found) < 60
    ((gateway, lines, sessions),) = counts(place)
    assert gateway == "gw"
    assert 500 < lines < 3_000
    assert sessions == lines // 2
    assert place.query("select max(n) from events") == [(4_000,)]
    file = place.directory / "audit.db"
    if file.exists():
        writing.close()
        assert file.stat().st_size < 1_000_000
