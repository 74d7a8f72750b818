"""
Lines of the journal that are found by number, and those that belong together.
"""

from __future__ import annotations

import json
from pathlib import Path

from socksgw.audit.lines import JournalLines
from tests.tools.journallines import LINES


def _body(name: str) -> str:
    line = {k: v for k, v in LINES[name].items() if k not in ("v", "n", "time", "hash")}
    return json.dumps(line, separators=(",", ":"))[1:-1]


_GRANT = _body("allowed")
_END = _body("closed")


def test_theEndOfAnotherProcess(tmp_path: Path) -> None:
    """Sessions are numbered anew by each process: nobody's end is another's."""
    text = "\n".join(
        f'{{"v":1,"n":{n},"time":"2026-11-27T10:00:00Z",{body}}}'
        for n, body in enumerate(
            (
                '"event":"start","gateway":"g","pid":1',
                _GRANT.replace(":7,", ":1,"),
                '"event":"start","gateway":"g","pid":2',
                _END.replace(":7,", ":1,"),
            ),
            1,
        )
    )
    (tmp_path / "audit-000000000001.jsonl").write_text(text + "\n")
    journal = JournalLines(tmp_path)
    granted, ended = journal.line(2), journal.line(4)
    assert granted is not None
    assert ended is not None
    assert journal.outcome(granted) is None
    assert journal.decision(ended) is None


def test_aJournalWithoutLines(tmp_path: Path) -> None:
    """It holds none, whatever its files are called; a file that is torn counts not."""
    journal = JournalLines(tmp_path)
    assert journal.span() is None
    (tmp_path / "audit-000000000001.jsonl").write_text('{"v":1')
    journal = JournalLines(tmp_path)
    assert (journal.span(), journal.line(1)) == (None, None)


def test_acrossFiles(tmp_path: Path) -> None:
    """The end may stand in a later file than the decision."""
    lines = [
        '"event":"start","gateway":"g","pid":1',
        _GRANT,
        '"event":"stop","gateway":"x"',
        _END,
    ]
    for n, body in enumerate(lines, 1):
        (tmp_path / f"audit-{n:012}.jsonl").write_text(
            f'{{"v":1,"n":{n},"time":"2026-11-27T10:00:00Z",{body}}}\n'
        )
    journal = JournalLines(tmp_path)
    granted, ended = journal.line(2), journal.line(4)
    assert granted is not None
    assert ended is not None
    assert journal.outcome(granted) == ended
    assert journal.decision(ended) == granted
    assert journal.line(5) is None
