"""
Lines are read many at a time, and whole.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from socksgw.audit.shapes import shaped
from socksgw.records import scan
from socksgw.records.criteria import EVERYTHING
from socksgw.records.extents import Extent, extentsOf
from socksgw.records.scan import chunks, found, wanted


@pytest.mark.parametrize("octets", [10, 100, 1_000, 10**7])
def test_chunks(journal: Path, octets: int) -> None:
    """Whatever is read at once, lines are whole."""
    extent = extentsOf(journal)[0]
    several = list(chunks(extent, octets))
    assert all(each.endswith(b"\n") for each in several)
    assert b"".join(several) == extent.file.read_bytes()


@pytest.mark.parametrize("octets", [7, 40, 10**4])
def test_noPartOfALongLine(
    tmp_path: Path, octets: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line that is too long is passed over whole, and so is one that does not end."""
    monkeypatch.setattr(scan, "_LONGEST", 100)
    file = tmp_path / "audit-000000000001.jsonl"
    short = b"".join(b"line %d\n" % n for n in range(20))
    text = short + b"x" * 20_000 + b"\n" + short + b"y" * 20_000
    file.write_bytes(text)
    several = list(chunks(Extent(file, 0, len(text)), octets))
    assert b"".join(several) == short + short
    assert all(each.endswith(b"\n") for each in several)


def test_aFileThatIsCut(tmp_path: Path) -> None:
    """Its lines end sooner than was known."""
    file = tmp_path / "audit-000000000001.jsonl"
    file.write_bytes(b"one\ntwo\nthr")
    assert list(chunks(Extent(file, 0, 100))) == [b"one\ntwo\n"]
    assert list(chunks(Extent(file, 50, 100))) == []


def test_aFileThatIsGone(tmp_path: Path) -> None:
    """It has no lines any more."""
    assert list(chunks(Extent(tmp_path / "audit-000000000001.jsonl", 0, 100))) == []


def test_needles() -> None:
    """One of each kind, anywhere in the line."""
    text = b"a1 b1\na2 b2\nb1 a1 a1\nc\na1\n"
    assert list(wanted(text, [[b"a1"]])) == [b"a1 b1", b"b1 a1 a1", b"a1"]
    assert list(wanted(text, [[b"a2", b"a1"], [b"b"]])) == [
        b"a1 b1",
        b"a2 b2",
        b"b1 a1 a1",
    ]
    assert len(list(wanted(text, []))) == 5


@pytest.mark.parametrize("octets", [b"", b"x", b"[]", b"{}", b'"event"', b"[" * 10_000])
def test_whatIsNoLine(octets: bytes, tmp_path: Path) -> None:
    """It is passed over: `audit verify` tells of it."""
    assert shaped(octets) is None
    file = tmp_path / "audit-000000000001.jsonl"
    file.write_bytes(octets + b"\n")
    assert list(found(Extent(file, 0, len(octets) + 1), EVERYTHING.matcher())) == []
