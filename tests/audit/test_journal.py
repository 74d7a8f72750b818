"""
The journal: in the kernel before anything is granted, whole whatever happens.
"""

from __future__ import annotations

import errno
import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from twisted.logger import capturedLogs, eventAsText

from socksgw.audit import chain, segments
from socksgw.audit import journal as journals
from socksgw.audit.journal import JournalError
from socksgw.audit.verify import verify
from socksgw.errors import AuditFailed
from tests.fakes.journal import (
    NOON,
    Kept,
    event,
    filled,
    lines,
    outcome,
    total,
)
from tests.live.running import environment
from tests.tools.sockets import descriptors
from tests.tools.waiting import until


def whole(directory: Path) -> None:
    """The journal's chain is unbroken, and no line is torn."""
    found = verify(directory)
    assert (found.problems, found.remarks) == ([], [])


@contextmanager
def fileLimit(octets: int) -> Iterator[None]:
    """
    The kernel takes no octet behind the given place of a file: a write across
    it is short, one behind it fails.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (octets, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def killed(directory: Path) -> None:
    """As after a kill -9 in the second of the last line: the head is older."""
    (directory / segments.HEAD).unlink()


# Opening.


def test_directoriesAndFilesAreForTheirOwnerAlone(tmp_path: Path) -> None:
    """state_dir is 0700, what is in it 0600."""
    kept = Kept(tmp_path / "var" / "audit").open()
    kept.append(event())
    kept.close()
    for directory in (tmp_path / "var", tmp_path / "var" / "audit"):
        assert directory.stat().st_mode & 0o777 == 0o700
    for file in (tmp_path / "var" / "audit").iterdir():
        assert file.stat().st_mode & 0o777 == 0o600


def test_aRestartGoesOnWhereItStopped(tmp_path: Path) -> None:
    """Numbers and chain go on."""
    for start in range(3):
        kept = Kept(tmp_path).open()
        assert kept.journal.number == start * 2
        kept.append(event(), event())
        kept.close()
    assert [line["n"] for line in lines(tmp_path)] == [1, 2, 3, 4, 5, 6]
    assert len(chain.files(tmp_path)) == 1
    whole(tmp_path)


@pytest.mark.parametrize("cut", [1, 2, 10, 60, 100])
def test_aTornLastLineIsCutOffAndSaid(tmp_path: Path, cut: int) -> None:
    """At the next start the torn line goes, and a line says so."""
    kept = Kept(tmp_path).open()
    kept.append(event(1), event(2))
    kept.close()
    (file,) = chain.files(tmp_path)
    octets = file.read_bytes()
    first, second = octets.splitlines(keepends=True)
    assert cut < len(second)
    file.write_bytes(octets[:-cut])
    killed(tmp_path)
    kept = Kept(tmp_path).open()
    kept.turn()
    kept.append(event(3))
    kept.close()
    found = lines(tmp_path)
    assert [line["event"] for line in found] == ["end", "recovered", "end"]
    assert found[1]["octets"] == len(second) - cut
    assert [line["n"] for line in found] == [1, 2, 3]
    assert file.read_bytes().startswith(first)
    whole(tmp_path)


def test_aFileOfNothingButATornLine(tmp_path: Path) -> None:
    """Also when nothing whole is left, or the rotation was just done."""
    kept = Kept(tmp_path).open()
    kept.append(event(1))
    kept.journal._tail.rotate()
    kept.append(event(2))
    kept.close()
    last = chain.files(tmp_path)[-1]
    last.write_bytes(last.read_bytes()[:20])
    killed(tmp_path)
    kept = Kept(tmp_path).open()
    kept.turn()
    kept.close()
    assert [line["event"] for line in lines(tmp_path)] == ["end", "recovered"]
    whole(tmp_path)


def test_anEmptyLastFile(tmp_path: Path) -> None:
    """A file that was begun and not written to."""
    kept = Kept(tmp_path).open()
    kept.append(event(1))
    kept.journal._tail.rotate()
    kept.close()
    kept = Kept(tmp_path).open()
    kept.append(event(2))
    kept.close()
    assert [line["n"] for line in lines(tmp_path)] == [1, 2]
    whole(tmp_path)


def test_aJournalThatIsNoneIsNotTouched(tmp_path: Path) -> None:
    """Its last line is not ours: an error with the remedy, nothing written."""
    file = tmp_path / chain.nameOf(1)
    file.write_bytes(b"something else\n")
    with pytest.raises(JournalError, match="move the file away"):
        Kept(tmp_path).open()
    assert file.read_bytes() == b"something else\n"


def test_aSecondProcessIsRefused(tmp_path: Path) -> None:
    """Two writers would break the chain."""
    kept = Kept(tmp_path).open()
    code = (
        "import sys; from pathlib import Path\n"
        "from tests.fakes.journal import Kept\n"
        "Kept(Path(sys.argv[1])).open()\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    other = subprocess.run(
        command, env=environment(), capture_output=True, text=True, timeout=60
    )
    assert other.returncode != 0
    assert "in use by another process" in other.stderr
    kept.append(event())
    kept.close()
    # And it may have it afterwards.
    afterwards = subprocess.run(command, env=environment(), timeout=60)
    assert afterwards.returncode == 0
    whole(tmp_path)


def test_aDirectoryThatCannotBeMade(tmp_path: Path) -> None:
    """One line with the remedy."""
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError, match="state_dir"):
        Kept(tmp_path / "file" / "audit").open()


# Writing.


def test_aCommitFiresWhenItsLineIsInTheKernel(tmp_path: Path) -> None:
    """Not before, and another process can read it then."""
    kept = Kept(tmp_path).open()
    found: list[int] = []
    waiting = kept.journal.commit(event(7))
    waiting.addCallback(lambda _: found.append(len(lines(tmp_path))))
    assert (found, lines(tmp_path)) == ([], [])
    kept.turn()
    assert found == [1]
    kept.close()


def test_linesOfOneTurnGoOutInOneWrite(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One write(2) for all that one turn of the reactor decided, in order."""
    writes: list[bytes] = []
    write = os.write

    def counted(fd: int, octets: bytes) -> int:
        writes.append(bytes(octets))
        return write(fd, octets)

    kept = Kept(tmp_path).open()
    monkeypatch.setattr(os, "write", counted)
    for number in range(50):
        kept.journal.commit(event(number))
        kept.journal.append(event(number))
    kept.turn()
    monkeypatch.undo()
    assert len(writes) == 1
    assert [line["session"] for line in lines(tmp_path)] == [
        number for number in range(50) for _ in range(2)
    ]
    kept.close()
    whole(tmp_path)


def test_timesAreUtcWithMilliseconds(tmp_path: Path) -> None:
    """RFC 3339, whatever the time of day."""
    kept = Kept(tmp_path).open()
    for kept.now in (NOON, NOON + 0.0015, NOON + 0.9995, NOON + 1, NOON - 86400):
        kept.append(event())
    kept.close()
    assert [line["time"] for line in kept.lines()] == [
        "2026-11-23T12:00:00.000Z",
        "2026-11-23T12:00:00.001Z",
        "2026-11-23T12:00:00.999Z",
        "2026-11-23T12:00:01.000Z",
        "2026-11-22T12:00:00.000Z",
    ]


def test_closingWritesWhatWaits(tmp_path: Path) -> None:
    """A line of the last turn is not lost."""
    kept = Kept(tmp_path).open()
    kept.journal.append(event(1))
    committed = outcome(kept.journal.commit(event(2)))
    kept.close()
    assert committed == [None]
    assert len(kept.lines()) == 2
    whole(tmp_path)


def test_theHeadIsToldOnceAnHourAndAtTheEnd(tmp_path: Path) -> None:
    """
    In the log, so that it is also where the journal's user cannot write, in the
    form that C{verify} compares.
    """
    kept = Kept(tmp_path).open()
    heads: list[str] = []

    def hear(seconds: int) -> None:
        with capturedLogs() as events:
            for _ in range(seconds):
                kept.append(event())
                kept.turn(1)
                kept.journal.look()
            if not seconds:
                kept.close()
        said = [eventAsText(each) for each in events]
        heads.extend(x.split()[-1] for x in said if "journal head " in x)

    hear(3599)
    assert len(heads) == 1
    hear(2)
    assert len(heads) == 2
    hear(0)
    assert len(heads) == 3
    wanted = [(int(n), digest) for n, digest in (x.split(":") for x in heads)]
    assert wanted[2][0] == kept.journal.number
    assert verify(tmp_path, wanted).problems == []


def test_closingGivesEverythingBack(tmp_path: Path) -> None:
    """No descriptor is left."""
    before = descriptors()
    for _ in range(3):
        kept = Kept(tmp_path).open()
        kept.append(event())
        kept.journal._tail.rotate()
        kept.append(event())
        kept.journal._tail.rotate()
        kept.close()
        until(lambda: descriptors() <= before)


# What cannot be written.


def test_itIsWrittenAgainWithoutLines(tmp_path: Path) -> None:
    """
    A gateway that cannot write, and that nobody asks meanwhile, sees when it can.
    """
    kept = Kept(tmp_path).open()
    kept.append(event(1))
    (file,) = chain.files(tmp_path)
    with fileLimit(file.stat().st_size + 30):
        committed = outcome(kept.journal.commit(event(2)))
        kept.turn()
        kept.turn(1)
        assert kept.journal.failing
        assert len(kept.told) == 1
    kept.turn(1)
    assert not kept.journal.failing
    kept.close()
    assert isinstance(committed[0], AuditFailed)
    assert [line["event"] for line in kept.lines()][-1] == "resumed"


def test_aShortWriteIsTakenBackWhole(tmp_path: Path) -> None:
    """
    A short write is truncated back to the last whole line; who waited is
    refused; what nobody waited for is kept; a line says what happened.
    """
    kept = Kept(tmp_path).open()
    kept.append(event(1))
    (file,) = chain.files(tmp_path)
    size = file.stat().st_size
    with fileLimit(size + 30):
        kept.journal.append(event(2))
        committed = outcome(kept.journal.commit(event(3)))
        kept.turn()
        assert file.stat().st_size == size
    assert isinstance(committed[0], AuditFailed)
    assert kept.journal.failing
    assert len(kept.told) == 1
    kept.turn(1)
    assert not kept.journal.failing
    assert kept.told[-1] == "the journal is written again"
    later = outcome(kept.journal.commit(event(4)))
    kept.turn()
    assert later == [None]
    kept.close()
    found = kept.lines()
    assert [line.get("session", line["event"]) for line in found] == [
        1,
        "resumed",
        2,
        4,
    ]
    assert (found[1]["refused"], found[1]["lost"]) == (1, 0)
    whole(tmp_path)


def test_whileItCannotBeWrittenEveryCommitIsRefusedSoon(tmp_path: Path) -> None:
    """New requests are refused within a second; nothing hangs."""
    kept = Kept(tmp_path).open()
    kept.append(event(0))
    (file,) = chain.files(tmp_path)
    committed = []
    with fileLimit(file.stat().st_size):
        for number in range(20):
            kept.journal.append(event(100 + number))
            committed.append(outcome(kept.journal.commit(event(number))))
            kept.turn(0.5)
    assert [type(each[0]) for each in committed] == [AuditFailed] * 20
    assert kept.journal.refused == 20
    # The trouble is told once, not for every line.
    assert len(kept.told) == 1
    assert "cannot be written" in kept.told[0]
    kept.turn(1)
    kept.close()
    found = kept.lines()
    assert [line["event"] for line in found] == ["end", "resumed"] + ["end"] * 20
    assert found[1]["refused"] == 20
    whole(tmp_path)


def test_countGoesOnWithoutARecordAndSaysSo(tmp_path: Path) -> None:
    """`on_failure = "count"`: nobody is refused, and it is counted."""
    kept = Kept(tmp_path, on_failure="count").open()
    kept.append(event(0))
    (file,) = chain.files(tmp_path)
    with fileLimit(file.stat().st_size):
        committed = [outcome(kept.journal.commit(event(n))) for n in range(3)]
        kept.turn(0.5)
        assert committed == [[None]] * 3
    assert "without a record" in kept.told[0]
    kept.turn(1)
    kept.append(event(4))
    kept.close()
    assert kept.lines()[1]["refused"] == 3
    whole(tmp_path)


def test_linesThatNobodyWaitsForAreKeptBoundedAndCounted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes beyond the bound is lost, and the number of it is said."""
    monkeypatch.setattr(journals, "_KEPT", 10)
    kept = Kept(tmp_path).open()
    kept.append(event(0))
    (file,) = chain.files(tmp_path)
    with fileLimit(file.stat().st_size):
        kept.journal.append(event(0))
        kept.turn()
        for number in range(1, 25):
            kept.journal.append(event(number))
        kept.turn(1)
    kept.turn(1)
    kept.close()
    found = kept.lines()
    assert found[1]["event"] == "resumed"
    assert found[1]["lost"] == 15
    assert [line["session"] for line in found[2:]] == list(range(10))
    whole(tmp_path)


@contextmanager
def smallDisk(place: Path, octets: int) -> Iterator[Path]:
    """A file system with so much room."""
    place.mkdir()
    options = f"size={octets},mode=0700"
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "none", str(place)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("this user cannot mount a tmpfs")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def fill(file: Path) -> None:
    """Write until there is no room."""
    with file.open("wb", buffering=0) as filler:
        try:
            while True:
                filler.write(b"x" * 512)
        except OSError as e:
            if e.errno != errno.ENOSPC:
                raise


def test_aFullDisk(tmp_path: Path) -> None:
    """
    ENOSPC: commits are refused, appended lines kept, and when there is room
    again it goes on by itself.
    """
    with smallDisk(tmp_path / "disk", 65536) as disk:
        kept = Kept(disk / "audit").open()
        kept.append(event(0))
        fill(disk / "filler")
        refused = granted = 0
        for number in range(200):
            kept.journal.append(event(number))
            committed = outcome(kept.journal.commit(event(number)))
            kept.turn(0.3)
            if isinstance(committed[0], AuditFailed):
                refused += 1
            else:
                granted += 1
        assert refused
        # Until the room in the file's last page was used up.
        assert len(kept.lines()) >= granted
        assert verify(kept.directory).problems == []
        (disk / "filler").unlink()
        kept.turn(1)
        committed = outcome(kept.journal.commit(event(999)))
        kept.turn(1)
        assert committed == [None]
        kept.close()
        whole(kept.directory)
        found = kept.lines()
        resumed = [line for line in found if line["event"] == "resumed"]
        assert sum(line["refused"] for line in resumed) == refused
        assert sum(line["event"] == "end" for line in found) == 1 + 200 + granted + 1


# Rotation, keep, max_size.


@pytest.mark.usefixtures("small")
def test_rotation(tmp_path: Path) -> None:
    """A file that is full is left, and the next begins with the next number."""
    kept = Kept(tmp_path).open()
    filled(kept, 500_000)
    kept.close()
    files = chain.files(tmp_path)
    assert len(files) >= 4
    for file in files:
        first = (
            json.loads(file.read_bytes().split(b"\n", 1)[0])
            if (file.stat().st_size)
            else {"n": kept.journal.number + 1}
        )
        assert file.name == f"audit-{first['n']:012d}.jsonl"
        assert file.stat().st_mode & 0o777 == 0o600
    whole(tmp_path)


@pytest.mark.usefixtures("small")
def test_keepDropsOldFilesAndSaysSo(tmp_path: Path) -> None:
    """Files go by `keep`, the present one never."""
    kept = Kept(tmp_path, keep=86400.0).open()
    filled(kept, 250_000)
    old = chain.files(tmp_path)
    for file in old:
        os.utime(file, (NOON - 90_000, NOON - 90_000))
    filled(kept, 250_000)
    kept.close()
    left = chain.files(tmp_path)
    assert set(old[:-1]).isdisjoint(left)
    for file in old[:-1]:
        assert any(file.name in text for text in kept.told)
    found = verify(tmp_path)
    assert found.problems == []


@pytest.mark.usefixtures("small")
def test_whenFullRefuse(tmp_path: Path) -> None:
    """
    `when_full = "refuse"`: at max_size commits are refused and nothing is
    dropped; when older files have gone, it goes on by itself.
    """
    kept = Kept(tmp_path, max_size=1_000_000).open()
    filled(kept, 1_200_000)
    assert total(tmp_path) <= 1_000_000
    committed = outcome(kept.journal.commit(event()))
    kept.turn(1)
    assert isinstance(committed[0], AuditFailed)
    files = chain.files(tmp_path)
    assert files[0].name == chain.nameOf(1)
    # The oldest have passed `keep`.
    for file in files[:-1]:
        os.utime(file, (0, 0))
    kept.turn(1)
    committed = outcome(kept.journal.commit(event()))
    kept.turn(1)
    assert committed == [None]
    kept.close()
    assert verify(tmp_path).problems == []


@pytest.mark.parametrize("files", ["small files", "files as large as they are"])
def test_whenFullDropOldest(
    tmp_path: Path, files: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    `when_full = "drop-oldest"`: every commit is granted, the whole stays
    within max_size, and what was dropped is said.
    """
    if files == "small files":
        monkeypatch.setattr(segments, "_ROTATE", 100_000)
    kept = Kept(tmp_path, max_size=1_000_000, when_full="drop-oldest").open()
    for _ in range(15):
        filled(kept, 200_000)
        committed = outcome(kept.journal.commit(event()))
        kept.turn()
        assert committed == [None]
        assert total(tmp_path) <= 1_000_000
    kept.close()
    assert chain.files(tmp_path)[0].name != chain.nameOf(1)
    assert any("dropped" in text for text in kept.told)
    assert verify(tmp_path).problems == []


def test_killedWhileWritingEveryLineBeforeIsWhole(tmp_path: Path) -> None:
    """
    kill -9 of a process that commits as fast as it can: whatever it saw
    committed is there, and after the next start the journal is whole.
    """
    code = (
        "import sys; from pathlib import Path\n"
        "from tests.fakes.journal import Kept, event\n"
        "kept = Kept(Path(sys.argv[1])).open(); n = 0\n"
        "while True:\n"
        "    for _ in range(50):\n"
        "        n += 1; kept.journal.commit(event(n))\n"
        "    kept.turn(); print(n, flush=True)\n"
    )
    for _ in range(3):
        with (tmp_path / "out").open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-c", code, str(tmp_path / "audit")],
                env=environment(),
                stdout=out,
            )
        began = len(lines(tmp_path / "audit")) if (tmp_path / "audit").exists() else 0
        try:
            until(lambda: (tmp_path / "out").read_bytes().count(b"\n") > 3, 30)
        finally:
            process.kill()
            process.wait(10)
        seen = int((tmp_path / "out").read_bytes().split(b"\n")[-2])
        kept = Kept(tmp_path / "audit").open()
        kept.turn()
        kept.close()
        whole(tmp_path / "audit")
        sessions = [x["session"] for x in kept.lines()[began:] if "session" in x]
        assert sessions[:seen] == list(range(1, seen + 1))
