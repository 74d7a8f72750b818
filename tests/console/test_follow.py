"""
The journal on the console while it is written.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from socksgw.console.follow import ConsoleFollower, followMain
from socksgw.records.criteria import Criteria
from tests.fakes.journal import Kept
from tests.tools.lines import DECISION


def test_whoWaitsForAJournalIsTold(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A wrong --config is not a silence without an end."""

    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("socksgw.console.follow.time.sleep", interrupted)
    out = io.StringIO()
    assert followMain(tmp_path / "audit", out, False, False, False) == 0
    assert out.getvalue() == ""
    said = capsys.readouterr().err
    assert str(tmp_path / "audit") in said
    assert "--config" in said


def decisions(kept: Kept, count: int) -> None:
    body = json.dumps(DECISION)[1:-1].replace('"n": 17, ', "")
    kept.append(*[body.replace('": "', '":"')] * count)


def test_theForegroundPrintsWhatCanBeReadAndCountsTheRest(tmp_path: Path) -> None:
    """The first lines whole, of the others the number."""
    kept = Kept(tmp_path).open()
    out = io.StringIO()
    console = ConsoleFollower(kept.reactor, tmp_path, out, False, "")
    console.start()
    decisions(kept, 2)
    kept.turn(0.25)
    assert out.getvalue().count("DENY") == 2
    decisions(kept, 1025)
    kept.turn(0.25)
    assert out.getvalue().count("DENY") == 27
    assert "1,000 more decisions" in out.getvalue()
    decisions(kept, 1)
    console.stop()
    assert out.getvalue().count("DENY") == 28
    kept.close()


def test_whoseEndIsPassedOverIsForgotten(tmp_path: Path) -> None:
    """What was said of a session is kept until its end, be that read or not."""
    kept = Kept(tmp_path).open()
    out = io.StringIO()
    console = ConsoleFollower(kept.reactor, tmp_path, out, False, "")
    console.start()

    def failed(session: int) -> str:
        return (
            f'"event":"end","session":{session},"address":null,"reason":"refused",'
            '"reply":5,"sent":0,"received":0,"seconds":0.1'
        )

    for session in range(1, 26):
        grant = {**DECISION, "verdict": "allow", "session": session}
        body = json.dumps(grant, separators=(",", ":"))[1:-1]
        kept.append(body.replace('"n":17,', ""))
    kept.append(failed(3), failed(4))
    kept.turn(0.25)
    assert out.getvalue().count("ALLOW") == 25
    assert "FAILED" not in out.getvalue()
    kept.append(failed(3), failed(5))
    kept.turn(0.25)
    assert "FAILED session 3: refused" in out.getvalue()
    assert "FAILED anonymous → 192.168.1.1:80 · from 127.0.0.1:4000: refused" in (
        out.getvalue()
    )
    console.stop()
    kept.close()


def followed(
    directory: Path, monkeypatch: pytest.MonkeyPatch, last: int, **wanted: Any
) -> str:
    """What `follow` prints of two lines that are there, and of four that come."""
    kept = Kept(directory).open()
    decisions(kept, 2)

    def written(_: float) -> None:
        monkeypatch.setattr("socksgw.console.follow.time.sleep", interrupted)
        decisions(kept, 2)
        grant = {**DECISION, "verdict": "allow", "user": "bob", "session": 9}
        body = json.dumps(grant, separators=(",", ":"))[1:-1]
        kept.append(
            body.replace('"n":17,', ""),
            '"event":"end","session":9,"address":null,"reason":"refused","reply":5,'
            '"sent":0,"received":0,"seconds":0.1',
        )

    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("socksgw.console.follow.time.sleep", written)
    out = io.StringIO()
    criteria = Criteria(**wanted)
    assert followMain(directory, out, False, False, False, "", criteria, last) == 0
    kept.close()
    return out.getvalue()


def test_filters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what is wanted, and the failure of what was allowed."""
    said = followed(tmp_path, monkeypatch, 0, user=("bob",))
    assert [line[10:].split()[0] for line in said.splitlines()] == ["ALLOW", "FAILED"]


def test_theLastLinesFirst(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `tail -n 1 -f` prints them."""
    said = followed(tmp_path, monkeypatch, 1, verdict="deny")
    assert said.count("DENY") == 3


def test_linesOfKindsThatAreNotShownElse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who asks for them sees them."""
    said = followed(tmp_path, monkeypatch, 0, event=("end",))
    assert said.count("FAILED session 9: refused") == 1
