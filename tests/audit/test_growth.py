"""
Alarms about how full the journal is.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from socksgw.errors import AuditFailed
from tests.fakes.journal import Kept, filled, outcome, total


@pytest.mark.parametrize(
    ("when", "words"),
    [
        ("refuse", "reaches audit.max_size in 1.0 hours"),
        ("drop-oldest", "holds the last 1.0 hours"),
    ],
)
def test_growthIsAlarmed(tmp_path: Path, when: str, words: str) -> None:
    """When it is full within a day at this rate; once an hour."""
    kept = Kept(tmp_path, max_size=3_700_000, when_full=when).open()
    line = f'"event":"end","filler":"{"x" * 877}"'
    for _ in range(130):
        kept.append(line)
        kept.turn(1)
        kept.journal.look()
    (alarm,) = [text for text in kept.told if "grows" in text]
    assert words in alarm
    kept.close()
    quiet = Kept(tmp_path / "quiet", max_size=200_000_000).open()
    for _ in range(130):
        quiet.append(line)
        quiet.turn(1)
        quiet.journal.look()
    assert quiet.told == []
    quiet.close()


def test_theLastTenthIsToldOfWhoeverCameToIt(tmp_path: Path) -> None:
    """Also when a user's line did."""
    kept = Kept(tmp_path, max_size=100_000).open()
    body = f'"event":"end","filler":"{"x" * 900}"'
    for _ in range(95):
        kept.append(body)
    committed = outcome(kept.journal.commit(body, stranger=True))
    kept.turn()
    assert isinstance(committed[0], AuditFailed)
    assert sum("login are refused" in text for text in kept.told) == 1
    kept.close()


@pytest.mark.usefixtures("small")
def test_alarmsAt50And80And95PerCent(tmp_path: Path) -> None:
    """Each once, before it is full."""
    kept = Kept(tmp_path, max_size=1_000_000).open()
    shares = []
    for _ in range(60):
        filled(kept, 0)
        for text in kept.told:
            shares.append((total(tmp_path) / 1_000_000, text))
        kept.told.clear()
    kept.close()
    alarms = [(share, text) for share, text in shares if "max_size" in text]
    assert [round(share, 1) for share, _ in alarms[:2]] == [0.5, 0.8]
    assert 0.9 < alarms[2][0] <= 1.0
    assert "%" in alarms[0][1]
