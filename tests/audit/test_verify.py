"""
Whether the files of a journal are whole, and what is said when they are not.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from socksgw.audit import chain, segments
from socksgw.audit.verify import verify
from tests.fakes.journal import Kept, event, only


def test_anUntouchedJournalIsWhole(directory: Path) -> None:
    """And the head is the last line's hash."""
    found = verify(directory)
    assert (found.problems, found.remarks) == ([], [])
    assert (found.lines, found.first, found.last) == (10, 1, 10)
    last = only(directory).read_bytes().splitlines()[-1]
    assert found.head == json.loads(last)["hash"]


def changed(lines: list[bytes], at: int, old: bytes, new: bytes) -> list[bytes]:
    assert old in lines[at]
    return [*lines[:at], lines[at].replace(old, new, 1), *lines[at + 1 :]]


def rehashed(lines: list[bytes], at: int) -> list[bytes]:
    """A changed line with the right hash for its content."""
    previous = json.loads(lines[at - 1])["hash"] if at else chain.FIRST
    body = lines[at].rpartition(b',"hash":"')[0].replace(b'"session":', b'"session":9')
    octets, _ = chain.chained(body[1:].decode(), previous)
    return [*lines[:at], octets.rstrip(b"\n"), *lines[at + 1 :]]


Tamper = Callable[[list[bytes]], list[bytes]]
TAMPERINGS: dict[str, Tamper] = {
    "a value changed": lambda x: changed(x, 4, b'"session":4', b'"session":5'),
    "the first line's value": lambda x: changed(x, 0, b'"session":0', b'"session":5'),
    "the last line's value": lambda x: changed(x, 9, b'"session":9', b'"session":5'),
    "the time changed": lambda x: changed(x, 4, b"2026", b"2025"),
    "the number changed": lambda x: changed(x, 4, b'"n":5', b'"n":6'),
    "a number that is none": lambda x: changed(x, 4, b'"n":5', b'"n":"x"'),
    "a number that is a list": lambda x: changed(x, 4, b'"n":5', b'"n":[]'),
    "a number that is large": lambda x: changed(x, 4, b'"n":5', b'"n":5e9'),
    "a member added": lambda x: changed(x, 4, b"{", b'{"x":1,'),
    "a hash changed": lambda x: changed(x, 4, b'"hash":"', b'"hash":"0'),
    "a line with a new hash": lambda x: rehashed(x, 4),
    "the first with a new hash": lambda x: rehashed(x, 0),
    "a line deleted": lambda x: x[:4] + x[5:],
    "the first deleted": lambda x: x[1:],
    "two lines deleted": lambda x: x[:4] + x[6:],
    "two lines swapped": lambda x: [*x[:4], x[5], x[4], *x[6:]],
    "a line repeated": lambda x: [*x[:5], x[4], *x[5:]],
    "an empty line inserted": lambda x: [*x[:5], b"", *x[5:]],
    "a foreign line inserted": lambda x: [*x[:5], b'{"v":1,"n":6}', *x[5:]],
    "octets that are no line": lambda x: [*x[:5], b"\xff\xfe\x00", *x[5:]],
    "a line cut short": lambda x: [*x[:4], x[4][:40], *x[5:]],
    "a carriage return": lambda x: [*x[:4], x[4] + b"\r", *x[5:]],
    "too deep": lambda x: changed(x, 4, b'"n":5', b'"n":' + b"[" * 99999),
    "two lines in one": lambda x: [*x[:4], x[4] + x[5], *x[6:]],
    "something behind the last": lambda x: [*x, b"{}"],
}


@pytest.mark.parametrize("how", TAMPERINGS)
def test_everyTamperingIsFound(directory: Path, how: str) -> None:
    """Who changes, removes, adds or moves a line breaks the chain."""
    file = only(directory)
    before = file.read_bytes().splitlines()
    after = TAMPERINGS[how](list(before))
    assert after != before
    file.write_bytes(b"".join(line + b"\n" for line in after))
    assert verify(directory).problems


def test_theProblemNamesFileAndLine(directory: Path) -> None:
    """And nothing else is called wrong when one line was changed."""
    file = only(directory)
    lines = file.read_bytes().splitlines()
    lines = changed(lines, 4, b'"session":4', b'"session":5')
    file.write_bytes(b"\n".join(lines) + b"\n")
    (problem,) = verify(directory).problems
    assert problem.startswith(f"{file.name}:5: ")


def test_aTornLastLineIsNotCalledWhole(directory: Path) -> None:
    """Somebody may have cut it; a crash, too, is told until the next start."""
    file = only(directory)
    file.write_bytes(file.read_bytes() + b'{"v":1,"n":11,"ti')
    found = verify(directory, patience=0)
    assert found.lines == 10
    (problem,) = found.problems
    assert f"{file.name}:11" in problem
    assert "next start" in problem


def test_aLineThatIsJustBeingWrittenIsNoProblem(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever verifies a journal that is in use."""
    file = only(directory)
    octets = file.read_bytes()
    file.write_bytes(octets[:-20])
    (directory / segments.HEAD).unlink()
    monkeypatch.setattr(
        "socksgw.audit.verify.time.sleep", lambda _: file.write_bytes(octets)
    )
    assert verify(directory).problems == []


@pytest.mark.parametrize("octets", [1, 30, 300, 5000])
def test_linesCutOffAtTheEndAreMissed(directory: Path, octets: int) -> None:
    """Whole lines or parts of them: the head says what should be there."""
    file = only(directory)
    file.write_bytes(file.read_bytes()[:-octets])
    assert verify(directory, patience=0).problems
    file.write_bytes(b"")
    (problem,) = verify(directory, patience=0).problems
    assert "10 are missing" in problem


def test_aHeadKeptElsewhere(directory: Path) -> None:
    """
    Whoever rewrites the whole journal, its head too, is found by a line's
    number and hash that somebody else has kept.
    """
    heads = [
        (line["n"], line["hash"])
        for line in map(json.loads, only(directory).read_bytes().splitlines())
    ]
    assert verify(directory, heads).problems == []
    other = Kept(directory.parent / "other").open()
    for number in range(9):
        other.append(event(100 + number))
    other.close()
    assert verify(other.directory).problems == []
    (problem,) = verify(other.directory, [heads[4]]).problems
    assert "line 5 is not the one" in problem
    (problem,) = verify(other.directory, [heads[9]]).problems
    assert "1 are missing" in problem


def several(tmp_path: Path, count: int = 3) -> Path:
    """A journal of several files, each of three lines."""
    kept = Kept(tmp_path / "several").open()
    for number in range(count):
        kept.append(event(number))
        kept.append(event(number))
        kept.append(event(number))
        if number < count - 1:
            kept.journal._tail.rotate()
    kept.close()
    assert len(chain.files(kept.directory)) == count
    return kept.directory


def test_theChainGoesThroughAllFiles(tmp_path: Path) -> None:
    """A rotation is no break."""
    found = verify(several(tmp_path))
    assert (found.problems, found.remarks, found.lines) == ([], [], 9)


def test_aFileInTheMiddleThatIsMissingIsFound(tmp_path: Path) -> None:
    """Files go from the oldest end only."""
    directory = several(tmp_path)
    chain.files(directory)[1].unlink()
    assert verify(directory).problems


@pytest.mark.parametrize("end", [b"\n", b""])
def test_aLineWithoutEnd(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: bytes
) -> None:
    """One that is far longer than any is not read as a whole, and told."""
    directory = several(tmp_path)
    monkeypatch.setattr(chain, "LONGEST", 2000)
    file = chain.files(directory)[-1]
    read: list[int] = []
    lines = chain.lines

    def noting(file: Path) -> Iterator[tuple[bytes, bool]]:
        for octets, whole in lines(file):
            read.append(len(octets))
            yield octets, whole

    monkeypatch.setattr(chain, "lines", noting)
    with file.open("ab") as opened:
        opened.write(b'{"v":1,' + b"x" * 100_000 + end)
    (problem,) = verify(directory, patience=0).problems
    assert ":4: " in problem
    assert ("not a line" if end else "cut off") in problem
    assert max(read) < 2000


def test_aTornLineInTheMiddleIsFound(tmp_path: Path) -> None:
    """Only the very last line may be torn."""
    directory = several(tmp_path)
    file = chain.files(directory)[0]
    file.write_bytes(file.read_bytes()[:-5])
    assert verify(directory).problems


def test_linesMissingAtTheEndOfAFileInTheMiddleAreFound(tmp_path: Path) -> None:
    """The next file's name says what should come."""
    directory = several(tmp_path)
    file = chain.files(directory)[1]
    file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[:-1]))
    assert verify(directory).problems


def test_aRenamedFileIsFound(tmp_path: Path) -> None:
    """A file's name is the number of its first line."""
    directory = several(tmp_path)
    chain.files(directory)[2].rename(directory / chain.nameOf(8))
    assert verify(directory).problems


def test_olderFilesThatWentByKeepAreARemark(tmp_path: Path) -> None:
    """`keep` drops the oldest: no problem, but it is said."""
    directory = several(tmp_path)
    chain.files(directory)[0].unlink()
    found = verify(directory)
    assert found.problems == []
    assert len(found.remarks) == 1
    assert (found.first, found.last) == (4, 9)


def test_otherFilesAreNotRead(directory: Path) -> None:
    """The lock, and whatever else lies there, is no journal."""
    (directory / "audit-1.jsonl").write_text("nonsense\n")
    (directory / "notes.txt").write_text("nonsense\n")
    assert verify(directory).problems == []
