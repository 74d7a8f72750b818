"""
A journal in which somebody has written by hand: whoever reads it goes on, and nothing
that stands there gets into a terminal, a spreadsheet or a page.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from socksgw.audit.shapes import shaped
from socksgw.console.command import main
from tests.tools.journallines import LINES, ofEvery

_SCRIPT: Final = "<script>alert(1)</script>"
_VALUES: Final[tuple[Any, ...]] = (
    None, 5, -1, 2**63, 2**200, 1.5, True, "", "=cmd|' /C calc'!A0", _SCRIPT,
    "\x00\x1b[31m\n\u202e", "\ud800", [], [None], ["\x1b[31m", ["b"]], {}, {"a": None},
    float("nan"),
)  # fmt: skip
_HEAD: Final = b'{"v":1,"n":17,"time":"2026-11-28T02:14:15.003456Z","event":'
_ENDED: Final = b'"end","session":7,"address":null,"sent":%b,"received":1,"seconds":%b,"reason":"x","reply":0}'
#: What is no line, or has two meanings.
_RAW: Final = (
    b"", b"\0" * 1000, b"[1,2]", b"17", b"\r\r", b"[" * 100_000,
    _HEAD + b'"decision","session":7,"asked":' + b"[" * 900 + b"]" * 900 + b"}",
    _HEAD + b'"decision","event":"end","session":7,"session":8}',
    _HEAD + b'"end","event":"refusals","session":7,"sent":1,"received":1,"seconds":1}',
    _HEAD + b'"decision","session":7,"user":"\xff\xfe\0"}',
    _HEAD + b'"flow-end","session":7,"address":"\xff","sent":1,"received":1,"seconds":1}',
    _HEAD + b'"decision","x":7}',
    _HEAD + b'"end","x":7,"sent":1,"received":1,"seconds":1}',
    _HEAD + b'"end","session":' + b"9" * 5000 + b"}",
    _HEAD + _ENDED % (b"9" * 5000, b"1"),
    _HEAD + _ENDED % (b"1", b"1.2.3"),
    _HEAD + b'"\x1b[31m","session":7}',
    _HEAD + b'"start","\\u001b[31m":7}',
    _HEAD + b'"decision","session":7,"user":"' + b"a" * 5_000_000 + b'"}',
)  # fmt: skip


def _mutations() -> Iterator[dict[str, Any]]:
    for line in [*LINES.values(), *ofEvery()]:
        for name in line:
            yield {key: value for key, value in line.items() if key != name}
            yield from ({**line, name: value} for value in _VALUES)
        yield {**line, "more": _SCRIPT, "\x1b[31m": "\x1b[31m"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A journal of such lines, among which there are some that are the gateway's."""
    directory = tmp_path_factory.mktemp("rewritten")
    (directory / "gw.toml").write_text('[gateway]\nname = "edge"\n')
    (directory / "var" / "audit").mkdir(parents=True)
    lines = [json.dumps(each, separators=(",", ":")).encode() for each in _mutations()]
    pair = [json.dumps({**LINES[each], "session": 99, "user": "honest"}).encode()
            .replace(b": ", b":").replace(b", ", b",") for each in ("allowed", "closed")]  # fmt: skip
    file = directory / "var" / "audit" / "audit-000000000001.jsonl"
    file.write_bytes(b"\n".join([*pair, *lines, *_RAW, *lines[:500], *pair]) + b"\n")
    return directory


@pytest.mark.parametrize(
    "words",
    [
        "report --table all",
        "report --table all --top 0 --json",
        "report --table all --top 0 --csv",
        "report --table all --top 0 --html page.html",
        "report --to db.corp.example:443 --by hour",
        "report --to 198.51.100.0/24 --client 192.0.2.0/24",
        "audit search",
        "audit search --json",
        "audit search --ends --allowed",
        "audit search --text script",
        "audit search --where port=443",
        "audit search --since 2020-01-01 --denied",
        "audit search --last 30",
        "audit export",
        "audit export --format csv --output lines.csv",
        "audit export --format parquet --output lines.parquet",
        "audit verify",
        "suggest --listener lan",
        "explain --record 17",
    ],
)
def test_read(
    site: Path,
    words: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A status as ever, and no character that does something."""
    monkeypatch.chdir(site)
    at = 2 if words.startswith("audit") else 1
    split = words.split()
    status = main([*split[:at], "--config", "gw.toml", *split[at:]])
    found = capsys.readouterr()
    assert status in (0, 1, 2), found.err
    # CSV ends lines with both.
    said = (found.out + found.err).replace("\r\n", "\n")
    assert re.search(r"[\0-\x09\x0b-\x1f\x7f-\x9f\u202e]", said) is None
    if "csv" in words:
        text = found.out or (site / "lines.csv").read_text()
        cells = [cell for row in csv.reader(text.splitlines()) for cell in row]
        assert len(cells) > 100
        assert not [each for each in cells if each.startswith(("=", "@", "+"))]
    if "--html" in words:
        assert _SCRIPT not in (site / "page.html").read_text()
    if words == "audit search --json":
        assert sum('"honest"' in line for line in said.splitlines()) >= 2


@pytest.mark.parametrize("octets", _RAW)
def test_whatIsNoLine(octets: bytes) -> None:
    """It is none."""
    if b"start" not in octets and b"a" * 99 not in octets:
        assert shaped(octets) is None
