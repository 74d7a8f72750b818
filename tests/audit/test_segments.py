"""
The journal's files: moved, deleted, cut, too old, too many, or not ours.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from socksgw.audit import chain, segments
from socksgw.audit.journal import JournalError
from socksgw.audit.verify import verify
from socksgw.config.convert import Octets
from socksgw.config.schema import AuditConfig
from socksgw.errors import AuditFailed
from socksgw.system.files import FileError, ownDirectory
from tests.fakes.journal import NOON, Kept, event, outcome

NOBODY = 65534

asRoot = pytest.mark.skipif(os.geteuid() != 0, reason="files of others need root")


def present(directory: Path) -> Path:
    """The file that is written to."""
    return chain.files(directory)[-1]


def emptied(directory: Path) -> None:
    """The whole directory, with lock and all."""
    for file in directory.iterdir():
        file.unlink()
    directory.rmdir()


def cut(directory: Path) -> None:
    """As logrotate's copytruncate does."""
    os.truncate(present(directory), 0)


LOST: dict[str, Callable[[Path], object]] = {
    "moved away": lambda d: present(d).rename(d.parent / "moved.jsonl"),
    "renamed": lambda d: present(d).rename(d / "old"),
    "deleted": lambda d: present(d).unlink(),
    "cut": cut,
    "the directory moved": lambda d: d.rename(d.parent / "elsewhere"),
    "the directory deleted": emptied,
}


@pytest.mark.parametrize("how", LOST)
def test_aLostFileIsNoticedAndTheChainGoesOn(tmp_path: Path, how: str) -> None:
    """
    Within a second: an alarm, a new file with the next number, a line that
    says what is missing; nothing that is granted then is lost.
    """
    directory = tmp_path / "var" / "audit"
    kept = Kept(directory).open()
    kept.append(event(1), event(2))
    kept.journal.look()
    LOST[how](directory)
    kept.journal.look()
    kept.turn()
    assert len(kept.told) == 1
    assert "lines 1 to 2 were moved, deleted or cut" in kept.told[0]
    committed = outcome(kept.journal.commit(event(3)))
    kept.turn()
    assert committed == [None]
    kept.journal.look()
    assert present(directory).name == chain.nameOf(3)
    kept.close()
    found = kept.lines()
    assert [line["n"] for line in found] == [3, 4]
    assert (found[0]["event"], found[0]["from"], found[0]["to"]) == ("missing", 1, 2)
    assert len(kept.told) == 1
    assert any("1 to 2 were moved" in text for text in verify(directory).problems)
    if how == "moved away":
        # Put back, the chain is whole.
        (tmp_path / "var" / "moved.jsonl").rename(directory / chain.nameOf(1))
        assert verify(directory).problems == []


@pytest.mark.parametrize("how", ["moved away", "deleted", "cut"])
def test_afterARestartTheNumbersGoOn(tmp_path: Path, how: str) -> None:
    """The file was lost while nothing ran: also then nothing begins at 1."""
    directory = tmp_path / "var" / "audit"
    kept = Kept(directory).open()
    kept.append(event(1), event(2))
    kept.close()
    LOST[how](directory)
    assert verify(directory).problems
    kept = Kept(directory).open()
    kept.turn()
    assert "lines 1 to 2" in kept.told[0]
    kept.append(event(3))
    kept.close()
    found = kept.lines()
    assert [line["n"] for line in found] == [3, 4]
    assert found[0]["event"] == "missing"
    assert verify(directory).problems


@pytest.mark.parametrize("then", ["rotated", "closed"])
def test_aLostFileIsNoticedBeforeItIsLeft(tmp_path: Path, then: str) -> None:
    """Between two looks the file may be full, or the gateway end."""
    kept = Kept(tmp_path / "audit").open()
    kept.append(event(1), event(2))
    present(kept.directory).unlink()
    if then == "rotated":
        kept.journal._tail.rotate()
        kept.turn()
    kept.close()
    assert [line["event"] for line in kept.lines()] == ["missing"]
    assert kept.lines()[0]["n"] == 3
    assert sum("were moved" in text for text in kept.told) == 1


def test_aHeadThatCannotBeKeptIsSaidOnce(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk, say; the journal goes on."""
    kept = Kept(tmp_path).open()

    def failing(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", failing)
        for number in range(3):
            kept.append(event(number))
            kept.journal.look()
    assert kept.told == ["where the journal ends is not kept: No space left on device"]
    kept.journal.look()
    kept.append(event(3))
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", failing)
        kept.journal.look()
    assert len(kept.told) == 2
    kept.close()
    assert verify(tmp_path).problems == []


def test_whileNoNewFileCanBeHadNothingIsGranted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file has gone and there are no inodes: refused, and said once."""
    kept = Kept(tmp_path / "audit").open()
    kept.append(event(1))
    present(kept.directory).unlink()

    def begin(first: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(kept.journal._tail.segments, "begin", begin, raising=True)
        kept.journal.look()
        for _ in range(5):
            committed = outcome(kept.journal.commit(event(2)))
            kept.turn(1)
            kept.journal.look()
            assert isinstance(committed[0], AuditFailed)
    assert [text for text in kept.told if "cannot be written" in text] == [
        "the journal cannot be written: No space left on device; new requests are "
        "refused until it can"
    ]
    assert len(kept.told) == 2
    kept.turn(1)
    kept.append(event(3))
    kept.close()
    assert [line["event"] for line in kept.lines()] == ["resumed", "missing", "end"]


def test_noNewFileIsSaidOnce(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Out of inodes at a rotation: the present file goes on."""
    monkeypatch.setattr(segments, "_ROTATE", 1000)
    kept = Kept(tmp_path).open()
    opened = os.open

    def without(path: object, flags: int, *more: int) -> int:
        if flags & os.O_EXCL:
            raise OSError(errno.ENOSPC, "No space left on device")
        return opened(path, flags, *more)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", without)
        for number in range(100):
            kept.append(event(number))
            kept.journal.look()
    assert [text for text in kept.told if "no new" in text] == [
        "no new journal file: No space left on device; the present one goes on"
    ]
    kept.journal.look()
    kept.append(event(100))
    kept.append(event(101))
    kept.close()
    assert len(chain.files(tmp_path)) == 2
    assert verify(tmp_path).problems == []


def test_aShortWriteThatCannotBeTakenBackJoinsNoLines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as truncating fails nothing is written behind the rest of a line."""
    kept = Kept(tmp_path).open()
    kept.append(event(1))
    write, truncate = os.write, os.ftruncate

    def failing(fd: int, size: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda fd, octets: write(fd, octets[:7]))
        patch.setattr(os, "ftruncate", failing)
        committed = outcome(kept.journal.commit(event(2)))
        kept.turn()
        patch.setattr(os, "write", write)
        again = outcome(kept.journal.commit(event(3)))
        kept.turn(1)
        patch.setattr(os, "ftruncate", truncate)
        kept.turn(1)
    assert isinstance(committed[0], AuditFailed)
    assert isinstance(again[0], AuditFailed)
    kept.append(event(4))
    kept.close()
    assert [line.get("session") for line in kept.lines()] == [1, None, 4]
    assert verify(tmp_path).problems == []


# keep and max_size.


def aged(directory: Path, files: int) -> Kept:
    """A journal of that many files, open."""
    kept = Kept(directory, keep=86400.0).open()
    for number in range(files - 1):
        kept.append(event(number))
        kept.journal._tail.rotate()
    kept.append(event(files))
    for file in chain.files(directory):
        os.utime(file, (NOON, NOON))
    return kept


def test_aClockThatJumpsDropsNotEverythingAtOnce(tmp_path: Path) -> None:
    """
    All files look older than `keep`: said once, and at most one in twenty goes
    in an hour; when the clock is right again the rest stays.
    """
    kept = aged(tmp_path, 100)
    kept.turn(3600)
    kept.journal.look()
    assert (len(chain.files(tmp_path)), kept.told) == (100, [])
    kept.now = NOON + 10 * 365 * 86400
    for hour in range(1, 4):
        for _ in range(4):
            kept.turn(900)
            kept.journal.look()
        assert len(chain.files(tmp_path)) >= 100 - hour * 5
    assert len(chain.files(tmp_path)) < 100
    assert sum("has the clock jumped" in text for text in kept.told) == 1
    # A restart is no way around it.
    kept.close()
    before = len(chain.files(tmp_path))
    again = Kept(tmp_path, keep=86400.0)
    again.now = kept.now
    again.open()
    again.journal.look()
    assert before - len(chain.files(tmp_path)) <= 5
    again.now = NOON
    left = len(chain.files(tmp_path))
    again.turn(7200)
    again.journal.look()
    assert len(chain.files(tmp_path)) == left
    again.close()
    assert verify(tmp_path).problems == []


def test_keepDropsWhatIsOldHoweverQuietTheGatewayIs(tmp_path: Path) -> None:
    """Without a rotation, too."""
    kept = aged(tmp_path, 3)
    kept.now = NOON + 2 * 86400
    for _ in range(3):
        kept.turn(3600)
        kept.journal.look()
    assert len(chain.files(tmp_path)) == 1
    kept.close()


def test_dropOldestKeepsAsMuchAsMaxSizeAllows(tmp_path: Path) -> None:
    """Nine tenths at least, at any time; today it was half."""
    most = 400_000
    kept = Kept(tmp_path, max_size=most, when_full="drop-oldest").open()
    line = f'"event":"end","filler":"{"x" * 900}"'
    sizes = []
    for _ in range(100):
        kept.append(*[line] * 10)
        sizes.append(sum(f.stat().st_size for f in chain.files(tmp_path)))
    assert max(sizes) <= most
    assert min(sizes[45:]) >= 0.9 * most
    kept.close()
    assert verify(tmp_path).problems == []


def test_aReloadChangesMaxSize(tmp_path: Path) -> None:
    """Without a restart new requests are granted again."""
    kept = Kept(tmp_path, max_size=20_000).open()
    line = f'"event":"end","filler":"{"x" * 900}"'
    while not kept.journal.failing:
        kept.append(line)
    kept.journal.apply(AuditConfig(sync="never", max_size=Octets(1_000_000)))
    kept.turn(1)
    committed = outcome(kept.journal.commit(event()))
    kept.turn()
    assert committed == [None]
    kept.close()


# Whose directory it is.


@asRoot
@pytest.mark.parametrize("what", ["directory", "parent", "link", "world", "sticky"])
def test_aDirectoryThatOthersCanReplaceIsNotBelieved(tmp_path: Path, what: str) -> None:
    """Also as root: who made it could put links where we write."""
    path = tmp_path / "holder" / "state"
    path.mkdir(parents=True)
    remedy = "chown"
    if what == "directory":
        os.chown(path, NOBODY, NOBODY)
    elif what == "parent":
        os.chown(path.parent, NOBODY, NOBODY)
    elif what == "link":
        target = tmp_path / "target"
        target.mkdir()
        path.rmdir()
        path.symlink_to(target)
        os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
    elif what == "world":
        path.chmod(0o777)
        remedy = "shared_state_dir"
    else:
        # Like /tmp: whoever comes first owns what is in it.
        path.parent.chmod(0o1777)
        os.chown(path, NOBODY, NOBODY)
    with pytest.raises(FileError, match=remedy):
        ownDirectory(path)
    with pytest.raises(JournalError, match=remedy):
        Kept(path / "audit").open()
    assert what == "world" or not (path / "audit" / "lock").exists()


def test_whatTheOperatorMayDo(tmp_path: Path) -> None:
    """Links of our own, and a shared volume when the operator says so."""
    target = tmp_path / "target"
    link = tmp_path / "link"
    link.symlink_to(target)
    target.mkdir(0o700)
    ownDirectory(link)
    ownDirectory(link / "deeper" / "still")
    assert (target / "deeper" / "still").stat().st_mode & 0o777 == 0o700
    target.chmod(0o777)
    with pytest.raises(FileError):
        ownDirectory(link)
    ownDirectory(link, shared=True)
    if os.geteuid() == 0:
        # A volume of the machine that the container runs on.
        os.chown(target, NOBODY, NOBODY)
        ownDirectory(link, shared=True)


@pytest.mark.parametrize("name", ["lock", segments.HEAD, chain.nameOf(1)])
def test_noLinkInTheDirectoryIsFollowed(tmp_path: Path, name: str) -> None:
    """What it leads to is neither written nor cut."""
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    directory = tmp_path / "audit"
    directory.mkdir(0o700)
    (directory / name).symlink_to(victim)
    with pytest.raises(JournalError):
        Kept(directory).open()
    assert victim.read_bytes() == b"precious"
