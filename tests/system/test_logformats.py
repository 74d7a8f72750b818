"""
Lines of the log.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from twisted.logger import ILogObserver, LogEvent, Logger, LogLevel
from zope.interface import provider

from socksgw.system.logformats import inJournal, jsonLine, prioritized, textLine


def _events() -> list[LogEvent]:
    events: list[LogEvent] = []

    @provider(ILogObserver)
    def keep(event: LogEvent) -> None:
        events.append({**event, "log_time": 1.5})

    log = Logger("socksgw.part", observer=keep)
    log.warn("two\nlines {what}", what="\xfc\x1b")
    try:
        raise ValueError("x" * 20000)
    except ValueError:
        log.failure("it failed")
    return events


def test_json() -> None:
    """An event is one object in one line of ASCII, and bounded."""
    first, second = (jsonLine(each) or "" for each in _events())
    assert json.loads(first) == {
        "time": "1970-01-01T00:00:01.500000Z",
        "level": "warn",
        "system": "socksgw.part",
        "message": "two\nlines \xfc\x1b",
    }
    assert first.isascii()
    assert first.count("\n") == second.count("\n") == 1
    found = json.loads(second)
    assert found["level"] == "critical"
    assert "test_logformats.py" in found["traceback"]
    assert len(second) < 30000


def test_nothingToSay() -> None:
    """An event without a text is no line."""
    for form in (textLine, jsonLine, prioritized(textLine), prioritized(jsonLine)):
        assert form({"log_level": LogLevel.info, "log_time": 0.0}) is None


def test_priorities() -> None:
    """Each line has its priority; the journal of systemd has a time of its own."""
    event = _events()[0]
    lines = (prioritized(textLine)(event) or "").splitlines()
    assert lines[0] == "<4>[socksgw.part#warn] two"
    assert lines[1].startswith("<4>")
    priority, _, found = (prioritized(jsonLine)(event) or "").partition("{")
    assert priority == "<4>"
    assert json.loads("{" + found)["level"] == "warn"


def test_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream that JOURNAL_STREAM names leads there, and no other."""
    with (tmp_path / "stream").open("w") as stream:
        found = os.fstat(stream.fileno())
        assert not inJournal(stream)
        monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino}")
        assert inJournal(stream)
        monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino + 1}")
        assert not inJournal(stream)
    nothing: Any = None
    assert not inJournal(nothing)
