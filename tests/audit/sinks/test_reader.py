"""
The journal is read from a number on, while it is written, turned over and dropped.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from socksgw.audit import chain
from socksgw.audit.sinks import reader as reading
from socksgw.audit.sinks.entries import Lines
from socksgw.audit.sinks.reader import JournalReader, Misplaced, hashOf
from tests.tools.journals import Line, chainOf, decision


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_SETTLE", 0.0)


def journal(directory: Path, *files: int) -> list[Line]:
    """Write files with so many lines each, and return all lines."""
    lines = chainOf([decision(n) for n in range(1, sum(files) + 1)])
    rest = list(lines)
    for count in files:
        part, rest = rest[:count], rest[count:]
        file = directory / chain.nameOf(part[0].number)
        file.write_bytes(b"".join(each.octets + b"\n" for each in part))
    return lines


def numbers(reader: JournalReader) -> list[int]:
    """What it reads until there is no more."""
    found = []
    while lines := reader.read():
        found += [line.number for line in lines]
    return found


@pytest.mark.parametrize("after", [0, 1, 9, 10, 11, 19, 25, 29, 30])
@pytest.mark.parametrize("chunk", [700, 1 << 20])
def test_fromAnyLine(
    tmp_path: Path, after: int, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over files, and however much is read at once; the hash of the line is checked."""
    monkeypatch.setattr(reading, "_CHUNK", chunk)
    lines = journal(tmp_path, 10, 10, 10)
    reader = JournalReader(tmp_path, Lines())
    reader.after(after, hashOf(lines[after - 1].octets) if after else "")
    assert numbers(reader) == list(range(after + 1, 31))
    assert reader.missed == 0
    reader.close()


def test_whileItIsWritten(tmp_path: Path) -> None:
    """A line comes when it is whole; a file when the one before has been read."""
    reader = JournalReader(tmp_path / "audit", Lines())
    reader.after(0)
    assert reader.read() == []
    (tmp_path / "audit").mkdir()
    lines = journal(tmp_path / "audit", 3)
    file = tmp_path / "audit" / chain.nameOf(1)
    octets = file.read_bytes()
    file.write_bytes(octets[:-10])
    assert numbers(reader) == [1, 2]
    file.write_bytes(octets)
    assert numbers(reader) == [3]
    more = chainOf([decision(4)], 4, hashOf(lines[-1].octets))
    (tmp_path / "audit" / chain.nameOf(4)).write_bytes(more[0].octets + b"\n")
    assert numbers(reader) == [4]
    reader.close()


def test_aWriteThatIsTakenBack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the disk takes a part of a write, its lines are not the sink's yet."""
    journal(tmp_path, 3)
    file = tmp_path / chain.nameOf(1)
    octets = file.read_bytes()
    one = octets.index(b"\n") + 1

    def cut(_: float) -> None:
        file.write_bytes(octets[:one])

    monkeypatch.setattr("socksgw.audit.sinks.reader.time.sleep", cut)
    reader = JournalReader(tmp_path, Lines())
    reader.after(0)
    assert reader.read() == []
    assert numbers(reader) == [1]
    reader.close()


@pytest.mark.parametrize("dropped", [[0], [1], [0, 1]])
def test_filesThatWereDropped(tmp_path: Path, dropped: list[int]) -> None:
    """Their lines are counted."""
    journal(tmp_path, 10, 10, 10)
    for i in dropped:
        (tmp_path / chain.nameOf(10 * i + 1)).unlink()
    reader = JournalReader(tmp_path, Lines())
    reader.after(0)
    gone = {n for i in dropped for n in range(10 * i + 1, 10 * i + 11)}
    assert numbers(reader) == [n for n in range(1, 31) if n not in gone]
    assert reader.missed == len(gone)
    reader.close()


def test_aFileThatIsDroppedWhileItIsRead(tmp_path: Path) -> None:
    """Whoever has it open reads it to its end."""
    journal(tmp_path, 10, 10)
    reader = JournalReader(tmp_path, Lines())
    reader.after(4)
    (tmp_path / chain.nameOf(1)).unlink()
    assert numbers(reader) == list(range(5, 21))
    assert reader.missed == 0
    reader.close()


def test_anotherJournal(tmp_path: Path) -> None:
    """One that ends before, has another line there, or skips one, is not followed."""
    journal(tmp_path, 10)
    reader = JournalReader(tmp_path, Lines())
    with pytest.raises(Misplaced, match="the journal ends with line 10"):
        reader.after(11)
    with pytest.raises(Misplaced, match="line 5 is not the one"):
        reader.after(5, "0" * 64)
    file = tmp_path / chain.nameOf(1)
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:5] + lines[6:]))
    reader.after(0)
    with pytest.raises(Misplaced, match="line 6 should follow"):
        reader.read()
    reader.close()
