"""
Where in the files the lines of a time are.
"""

from __future__ import annotations

import json
import os
from datetime import timedelta
from pathlib import Path

import pytest

from socksgw.audit import chain
from socksgw.records import extents
from socksgw.records.extents import Extent, extentsOf, headOf, pieces
from socksgw.records.times import stampOf
from tests.fakes.journal import lines
from tests.tools.traffic import BEGAN, kept


def text(found: list[Extent]) -> list[bytes]:
    """All lines of extents."""
    octets = b"".join(each.file.read_bytes()[each.start : each.end] for each in found)
    assert not octets or octets.endswith(b"\n")
    return octets.splitlines()


@pytest.mark.parametrize("since", [None, 0, 700, 1500, 10**6])
@pytest.mark.parametrize("until", [None, 0, 650, 1600, 10**6])
def test_nothingIsLeftOut(
    journal: Path, monkeypatch: pytest.MonkeyPatch, since: int | None, until: int | None
) -> None:
    """Every line of the time is in the extents, and few others are."""
    monkeypatch.setattr(extents, "_SLACK", timedelta())
    monkeypatch.setattr(extents, "_CLOSE", 2048)
    first, last = (
        None if each is None else stampOf(BEGAN + timedelta(seconds=each))
        for each in (since, until)
    )
    wanted = [
        line["n"]
        for line in lines(journal)
        if (first is None or line["time"] >= first)
        and (last is None or line["time"] < last)
    ]
    found = [json.loads(each)["n"] for each in text(extentsOf(journal, first, last))]
    assert set(wanted) <= set(found)
    # Two of the distances at which the search stops have fewer lines than this.
    assert len(found) <= len(wanted) + 20
    assert found == sorted(found)


def test_aClockThatWasSetBack(journal: Path) -> None:
    """Lines somewhat before and behind the time are read, too."""
    middle = stampOf(BEGAN + timedelta(minutes=15))
    assert len(text(extentsOf(journal, middle, middle))) > 500


def test_onlyWholeLines(tmp_path: Path) -> None:
    """Not the one that is being written, nor a file that has nothing yet."""
    kept(tmp_path, 20_000)
    whole = text(extentsOf(tmp_path))
    (file,) = chain.files(tmp_path)
    with file.open("ab") as opened:
        opened.write(b'{"v":1,"n":' + b"9" * 100_000)
    (tmp_path / chain.nameOf(99_999)).touch()
    assert text(extentsOf(tmp_path)) == whole
    assert text(extentsOf(tmp_path, "2026-11-01T00:00:00.000Z")) == whole


def test_aFileThatIsDroppedMeanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`keep` and `max_size` do not wait for who reads."""
    kept(tmp_path, 60_000, rotate=20_000)
    files = chain.files(tmp_path)
    os.unlink(files[0])
    monkeypatch.setattr(chain, "files", lambda _: files)
    assert [each.file for each in extentsOf(tmp_path)] == files[1:]
    assert [each.file for each in extentsOf(tmp_path, "2026-11-01T00:00:00.000Z")] == (
        files[1:]
    )


@pytest.mark.parametrize("octets", [1, 700, 5_000, 10**9])
def test_pieces(journal: Path, octets: int) -> None:
    """They are whole lines, and together they are the extents."""
    whole = extentsOf(journal)
    found = list(pieces(whole, octets))
    assert text(found) == text(whole)
    for each in found:
        assert text([each])
        assert each.octets <= max(octets * 1.5, octets + 1_000)


def test_heads() -> None:
    """Of lines of a journal alone."""
    line = b'{"v":1,"n":17,"time":"2026-11-28T02:10:21.000Z","event":"stop"}'
    assert headOf(line) == (17, "2026-11-28T02:10:21.000Z")
    assert headOf(b"#" + line) is None
