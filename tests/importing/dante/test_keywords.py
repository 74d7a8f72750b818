"""
Keywords of a Dante server's file: each is in the manual's chapter.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from socksgw.importing.dante.keywords import ELSEWHERE, NARROWING, SOCKETS, WRITTEN
from tests.live.running import ROOT, socksgw

CHAPTER = (ROOT / "socksgw" / "manual" / "dante.rst").read_text()


def test_eachIsInTheManual() -> None:
    """In the table, in its first column."""
    table = CHAPTER.partition("What each keyword is here")[2]
    table = table.partition("What differs")[0]
    told = set(
        re.findall(r"``([^`]+)``", "\n".join(re.findall(r"(?m)^``.*?  |^``.*$", table)))
    )
    assert {*WRITTEN, *ELSEWHERE, *NARROWING} - told == set()


@pytest.mark.parametrize(
    ("keyword", "expected"),
    [
        ("external.ip.ip_tos.tos", True),
        ("internal.log.warning.error", True),
        ("internal.socket.so_keepalive", True),
        ("cpu.mask.io", True),
        ("external.rotation", False),
        ("external", False),
    ],
)
def test_sockets(keyword: str, expected: bool) -> None:
    """Options of sockets are told as what they are."""
    assert bool(SOCKETS.fullmatch(keyword)) == expected


def test_theChapter(tmp_path: Path) -> None:
    """Its file is imported, and what comes out is good."""
    text = re.search(r"(?s)passwords::\n\n(.*?)\n\nFirst, import", CHAPTER)
    assert text is not None
    file = tmp_path / "danted.conf"
    file.write_text(re.sub("(?m)^    ", "", text[1]) + "\n")
    made = tmp_path / "gateway.toml"
    done = socksgw("import", str(file), "-o", str(made))
    assert done.returncode == 0, done.stderr
    assert "WIDER" not in done.stderr
    done = socksgw("check", str(made))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "anonymous" in done.stdout
