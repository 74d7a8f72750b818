"""
Sinks that follow the journal of a running gateway, in their own process.
"""

from __future__ import annotations

import json
from pathlib import Path

from tests.live.running import OPEN, Running
from tests.tools.waiting import until


def linesIn(text: str) -> list[dict[str, object]]:
    """The lines of a journal in what was printed."""
    return [json.loads(each) for each in text.splitlines() if each.startswith('{"v":')]


def test_eachLineGoesToEachSink(tmp_path: Path) -> None:
    """Standard output and a file have every line of the journal, up to the last."""
    config = OPEN + '[audit]\nsinks = ["stdout:native", "file:copy.jsonl"]\n'
    gateway = Running(tmp_path, config).ready()
    copy = tmp_path / "var" / "copy.jsonl"
    until(lambda: copy.exists() and linesIn(gateway.log))
    gateway.stop()
    written = gateway.journal()
    assert [each["event"] for each in written] == ["start", "stop"]
    assert linesIn(gateway.log) == linesIn(copy.read_text()) == written
