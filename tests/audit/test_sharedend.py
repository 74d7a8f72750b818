"""
One journal that several processes write: real files, each with its own memory.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.task import Clock

from socksgw.audit.journal import Journal
from socksgw.audit.sharedend import End, SharedEnd
from socksgw.audit.verify import verify
from socksgw.config.schema import AuditConfig


class Writers:
    """A supervisor and two workers, in one process."""

    def __init__(self, directory: Path, **keys: Any) -> None:
        clock: Any = Clock()
        clock.callFromThread = lambda call, *arguments: call(*arguments)
        self.clock = clock
        self._made: list[Journal] = []
        self.config = AuditConfig(sync="never", **keys)
        self.directory = directory / "audit"
        self.told: list[str] = []
        self.first = Journal(
            self.directory, self.config, self.clock, onTrouble=self.told.append
        )
        self._made.append(self.first)
        self.first.open()
        self.end = SharedEnd.made(2)
        self.first.share(self.end)
        self.sessions = [0, 0]
        self.workers = [self.worker(1), self.worker(2)]

    def worker(self, number: int) -> Journal:
        """Have a process join."""
        journal = Journal(
            self.directory, self.config, self.clock, onTrouble=self.told.append
        )
        self._made.append(journal)
        end = SharedEnd(self.end.another(), 2)
        journal.join(
            end, os.dup(self.first.lock), number, lambda: self.sessions[number - 1]
        )
        return journal

    def lines(self) -> list[dict[str, Any]]:
        """All lines, in the order of the chain."""
        return [
            json.loads(line)
            for file in sorted(self.directory.glob("*.jsonl"))
            for line in file.read_bytes().splitlines()
        ]

    def whole(self) -> None:
        """See that the chain is whole."""
        assert verify(self.directory).problems == []

    def close(self) -> None:
        """End what syncs their files: the tests' process waits for such threads."""
        for each in self._made:
            each._tail.disk.stop()


@pytest.fixture
def writers(tmp_path: Path) -> Iterator[Writers]:
    """Three who write."""
    made = Writers(tmp_path)
    yield made
    made.close()


def test_oneChain(writers: Writers) -> None:
    """Whoever writes, each line follows the one before, and says whose it is."""
    one, two = writers.workers
    for _ in range(3):
        one.append('"event":"stores","problems":[]')
        two.append('"event":"stores","problems":[]')
        writers.first.append('"event":"stores","problems":[]')
        writers.clock.advance(0)
    writers.sessions[1] = 42
    two.append('"event":"stores","problems":[]')
    writers.clock.advance(0)
    found = writers.lines()
    assert [line["n"] for line in found] == list(range(1, 11))
    assert [line.get("worker") for line in found] == [1, 2, None] * 3 + [2]
    assert writers.end.last(1) == 42
    writers.first.look()
    assert (writers.first.number, writers.first.head) == (10, found[-1]["hash"])
    writers.whole()


def test_whoHasNoTurn(writers: Writers) -> None:
    """Nobody waits for one who was stopped in its turn; the line comes after it."""
    one, two = writers.workers
    assert one._tail._joint is not None
    assert one._tail._joint.take()
    done: list[object] = []
    two.commit('"event":"stores","problems":[]').addCallback(done.append)
    writers.clock.advance(0)
    assert done == []
    one._tail._joint.give()
    writers.clock.advance(0.1)
    assert done == [None]


def test_whoJoinsWhileOthersWrite(writers: Writers) -> None:
    """It waits for its turn; nobody gives up because another one is at it for a moment."""
    one, _ = writers.workers
    joint = one._tail._joint
    assert joint is not None
    assert joint.take()
    soon = threading.Timer(0.05, joint.give)
    soon.start()
    joined = writers.worker(2)
    soon.join()
    joined.append('"event":"stores","problems":[]')
    writers.clock.advance(0)
    assert [line["worker"] for line in writers.lines()] == [2]
    writers.whole()


@pytest.mark.parametrize("torn", [b"", b'{"v":1,"n":3,"ti'])
def test_whoIsKilledInItsTurn(writers: Writers, torn: bytes) -> None:
    """
    Lines that it wrote are lines; a part of one is cut off, and a line says so.
    """
    one, two = writers.workers
    one.append('"event":"stores","problems":[]')
    writers.clock.advance(0)
    before = writers.end.get()
    one.append('"event":"stores","problems":["written"]')
    writers.clock.advance(0)
    # As if it had been killed before it said so.
    writers.end.set(before)
    writers.end.begin()
    with next(writers.directory.glob("*.jsonl")).open("ab") as file:
        file.write(torn)
    two.append('"event":"stores","problems":["next"]')
    writers.clock.advance(0)
    writers.clock.advance(0)
    found = writers.lines()
    assert [each.get("problems") for each in found if each["event"] == "stores"] == [
        [], ["written"], ["next"],
    ]  # fmt: skip
    recovered = [each["octets"] for each in found if each["event"] == "recovered"]
    assert recovered == ([len(torn)] if torn else [])
    assert not writers.end.broken
    writers.whole()


def test_aNewFile(tmp_path: Path) -> None:
    """Whoever begins one, the others go on in it."""
    writers = Writers(tmp_path, max_size=1_000_000)
    body = '"event":"stores","problems":["' + "x" * 20_000 + '"]'
    for _ in range(6):
        for each in (*writers.workers, writers.first):
            each.append(body)
            writers.clock.advance(0)
    assert len(list(writers.directory.glob("*.jsonl"))) > 3
    writers.first.look()
    sizes = sum(file.stat().st_size for file in writers.directory.glob("*.jsonl"))
    assert writers.first.octets == sizes
    writers.whole()
    writers.close()


def test_aNewFileIsTriedAgain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Workers that could not begin a file, as where the disk was full, do so once there is
    room, though the supervisor writes nothing.
    """
    writers = Writers(tmp_path, max_size=1_000_000)
    body = '"event":"stores","problems":["' + "x" * 20_000 + '"]'
    opened = os.open

    def without(path: object, flags: int, *more: int) -> int:
        if flags & os.O_EXCL:
            raise OSError(errno.ENOSPC, "No space left on device")
        return opened(path, flags, *more)  # type: ignore[arg-type]

    def write() -> int:
        """Have each worker write more than a file has; return how many there are."""
        for _ in range(4):
            for each in writers.workers:
                each.append(body)
                writers.clock.advance(0)
                each.look()
        return len(list(writers.directory.glob("*.jsonl")))

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", without)
        assert write() == 1
    assert sum("no new journal file" in each for each in writers.told) == 2
    for each in writers.workers:
        each.look()
    assert write() > 1
    writers.whole()
    writers.close()


def test_aFileThatIsGone(writers: Writers) -> None:
    """The supervisor begins another one, and the others follow."""
    one, _ = writers.workers
    one.append('"event":"stores","problems":[]')
    writers.clock.advance(0)
    next(writers.directory.glob("*.jsonl")).unlink()
    writers.first.look()
    writers.clock.advance(0)
    one.append('"event":"stores","problems":["next"]')
    writers.clock.advance(0)
    assert [each["event"] for each in writers.lines()] == ["missing", "stores"]


def test_theLock(writers: Writers) -> None:
    """As long as a worker lives, no other gateway has the journal."""
    done: list[object] = []
    with (writers.directory / "lock").open("rb") as lock:
        os.close(writers.first.lock)
        with pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for each in writers.workers:
            os.close(each.lock)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert done == []


def test_theMemory() -> None:
    """What one says the others read."""
    end = SharedEnd.made(1)
    other = SharedEnd(end.another(), 1)
    said = End(1 << 40, 7, 12345, "ab" * 32)
    end.set(said)
    assert other.get() == said
    assert end.take()
    assert not other.take()
    end.give()
    assert other.take()
    other.close()
    assert end.take()
    end.close()
