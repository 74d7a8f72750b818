"""
The tables of a report, in every form; names come from hostile clients.
"""

from __future__ import annotations

import csv
import io
import json
from html.parser import HTMLParser

import pytest

from socksgw.records.requests import Ended
from socksgw.records.tally import TABLES, Tally
from socksgw.report.page import pageOf
from socksgw.report.sheets import Report, reported
from socksgw.report.text import textOf
from socksgw.report.values import COLUMNS, csvOf, jsonOf
from socksgw.report.words import moment, octets
from socksgw.system.output import printable

EVIL = "=<script>alert(1)</script>\"'&\x1b[31m\u202e"


def report(user: str = "alice", tables: tuple[str, ...] = TABLES) -> Report:
    """Two hours of one user, and of one who is denied."""
    tally = Tally(tables, 13)
    for hour in range(2):
        line = {
            "event": "decision", "time": f"2026-11-28T0{hour}:10:21.000Z", "user": user,
            "listener": "lan", "client": "10.0.0.7:9", "command": "connect", "asked": "",
            "name": "db.example", "port": 443, "verdict": "allow", "rule": "web",
        }  # fmt: skip
        more = {"application": EVIL, "server_name": EVIL}
        tally.request(line, Ended(1000, 2_000_000, 1.5, "", more))
        tally.request({**line, "verdict": "deny", "user": EVIL, "reason": EVIL}, None)
        tally.refusal("logins", {**line, "claimed": EVIL}, EVIL, 3)
    tally.sums.close()
    return reported(tally.sums, tables, 10, EVIL, "from the journal", "", "", EVIL)


class _Tags(HTMLParser):
    """Collects the elements and attributes of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.values: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.values += [(name, value or "") for name, value in attrs]


def test_thePage() -> None:
    """It runs nothing, loads nothing, and has every name as text."""
    page = pageOf(report())
    parser = _Tags()
    parser.feed(page)
    assert not parser.tags & {"script", "link", "img", "iframe", "object", "base"}
    assert not [name for name, _ in parser.values if name.startswith("on")]
    assert all(v.startswith("#") for name, v in parser.values if name == "href")
    assert any(v.startswith("default-src 'none'") for _, v in parser.values)
    for hostile in ("http://", "https://", "<script", "\x1b", "\u202e"):
        assert hostile not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert page.count('<svg class="chart"') == 2
    assert "prefers-color-scheme:dark" in page
    assert 'name="viewport"' in page


def test_theText() -> None:
    """Who reached what is the first table, after what was asked for and the sums."""
    said = textOf(report()).splitlines()
    assert "4 requests of 2 users to 1 destination, 2 denied" in said[0]
    assert "2.00 kB sent, 4.00 MB received" in said[0]
    at = said.index("Who reached what")
    assert at <= 4
    row = said[at + 2].split()
    assert row[:6] == ["alice", "db.example:443", "web", "2", "2.00", "kB"]
    assert all(line.isprintable() for line in said)
    assert any("█" in line for line in said)


@pytest.mark.parametrize("width", [40, 60, 80])
def test_narrowTerminals(width: int) -> None:
    """Columns are left out, and text is cut, as far as that goes."""
    long = report("a" * 60, ("access",))
    wide = max(map(len, textOf(long).splitlines()[3:]))
    narrow = max(map(len, textOf(long, width).splitlines()[3:]))
    assert narrow < wide
    assert narrow <= max(width, 88)


def test_forPrograms() -> None:
    """The values are exact, and what they are called is fixed."""
    found = json.loads(jsonOf(report()))
    assert (found["requests"], found["sent"]) == (4, 2000)
    assert set(found["tables"]) == set(TABLES)
    (row,) = found["tables"]["applications"]["rows"]
    assert row["application"] == EVIL
    rows = list(csv.DictReader(io.StringIO(csvOf(report()))))
    assert tuple(rows[0]) == COLUMNS
    assert {row["table"] for row in rows} <= set(TABLES)
    assert {row["table"] for row in rows} >= {"access", "denials", "logins", "time"}


def test_spreadsheets() -> None:
    """A name is no formula, and has no characters that do something."""
    (row,) = csv.DictReader(io.StringIO(csvOf(report(tables=("applications",)))))
    assert row["application"] == f"'{printable(EVIL)}"
    assert "table" not in row


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (0, "0 B"), (999, "999 B"), (1000, "1.00 kB"), (9_999, "10.0 kB"),
        (999_499, "999 kB"), (999_500, "1.00 MB"), (1_234_567_890, "1.23 GB"),
    ],
)  # fmt: skip
def test_octets(number: int, said: str) -> None:
    """With three digits."""
    assert octets(number) == said


def test_moments() -> None:
    """Of a stamp, an hour and a day."""
    assert moment("2026-11-28T02:10:21.345Z") == "2026-11-28 02:10:21"
    assert moment("2026-11-28T02") == "2026-11-28 02:00"
    assert moment("2026-11-28") == "2026-11-28"
