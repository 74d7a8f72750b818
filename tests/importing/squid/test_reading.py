"""
Directives of a Squid server's file: each is in the manual's chapter.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from socksgw.importing.draft import Draft
from socksgw.importing.host import Host, Unreadable
from socksgw.importing.squid.acls import KNOWN
from socksgw.importing.squid.file import directives
from socksgw.importing.squid.reading import (
    CACHING,
    ELSEWHERE,
    KEPT,
    NARROWING,
    NOTHING,
    Reading,
)
from tests.live.running import ROOT, socksgw

CHAPTER = (ROOT / "socksgw" / "manual" / "squid.rst").read_text()
HOST = Host(lambda _: (), lambda _: None, lambda _: None)


def test_eachIsInTheManual() -> None:
    """In the tables, in their first columns; also each type of conditions."""
    table = CHAPTER.partition("What each directive is here")[2]
    first = re.findall(r"(?m)^``.*?(?:  |$)", table.partition("What differs")[0])
    told = set(re.findall(r"``([^`]+)``", "\n".join(first)))
    beginnings = {f"{each}…" for each in (*CACHING, *NOTHING)}
    assert {*ELSEWHERE, *NARROWING, *KEPT, *KNOWN, *beginnings} - told == set()


def test_quotes() -> None:
    """Where they mean something else, the file is not read."""
    text = "configuration_includes_quoted_values {}\n"
    Reading(directives(text.format("off"), HOST), HOST, Draft())
    with pytest.raises(Unreadable, match="quotes are not read so"):
        Reading(directives(text.format("on"), HOST), HOST, Draft())


def test_theChapter(tmp_path: Path) -> None:
    """Its file is imported, and what comes out is good."""
    text = re.search(r"(?s)with a password::\n\n(.*?)\n\nFirst, import", CHAPTER)
    assert text is not None
    file = tmp_path / "squid.conf"
    said = re.sub("(?m)^    ", "", text[1]).replace("/etc/squid/", f"{tmp_path}/")
    file.write_text(said + "\n")
    (tmp_path / "blocked.txt").write_text("bad.example\n")
    made = tmp_path / "gateway.toml"
    users = str(tmp_path / "users")
    assert socksgw("passwd", users, "alice", stdin="wonderland-7\n").returncode == 0
    done = socksgw("import", str(file), "-o", str(made))
    assert done.returncode == 0, done.stderr
    assert "WIDER" not in done.stderr
    done = socksgw("check", str(made))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "anonymous" in done.stdout
