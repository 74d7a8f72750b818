"""
When the disk is asked to keep what was written, and what happens when it fails.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from socksgw.errors import AuditFailed
from tests.fakes.journal import Kept, closing, event, outcome
from tests.tools.waiting import until


def test_eachWaitsForTheDisk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`sync = "each"`: a commit fires only when the disk has answered."""
    synced: list[int] = []
    fdatasync = os.fdatasync

    def counted(fd: int) -> None:
        fdatasync(fd)
        synced.append(fd)

    monkeypatch.setattr(os, "fdatasync", counted)
    kept = Kept(tmp_path, sync="each").open()
    committed = outcome(kept.journal.commit(event()))
    kept.reactor.advance(0)
    assert committed == []
    until(lambda: kept.reactor.fromOthers)
    assert len(synced) == 1
    kept.turn()
    assert committed == [None]
    closing(kept)


def test_aDiskThatFailsRefuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With `each`, what is not on the disk is not granted."""

    def failing(fd: int) -> None:
        raise OSError(5, "Input/output error")

    kept = Kept(tmp_path, sync="each").open()
    monkeypatch.setattr(os, "fdatasync", failing)
    committed = outcome(kept.journal.commit(event()))
    until(lambda: kept.turn() or committed)
    assert isinstance(committed[0], AuditFailed)
    monkeypatch.undo()
    closing(kept)


def test_eachWithoutADescriptorRefuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Out of descriptors, a commit is refused; it does not hang."""

    def failing(fd: int) -> int:
        raise OSError(24, "Too many open files")

    kept = Kept(tmp_path, sync="each").open()
    monkeypatch.setattr(os, "dup", failing)
    committed = outcome(kept.journal.commit(event()))
    kept.turn()
    assert isinstance(committed[0], AuditFailed)
    monkeypatch.undo()
    closing(kept)


def test_anIntervalAsksTheDiskOnceWhenThereIsSomethingNew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`sync = "1s"`: once a second, and not while nothing is written."""
    synced: list[int] = []
    monkeypatch.setattr(os, "fdatasync", synced.append)
    kept = Kept(tmp_path, sync=1.0).open()
    for _ in range(5):
        kept.turn(1)
    assert synced == []
    for expected in (1, 2):
        kept.append(event(), event())
        kept.turn(1)
        until(lambda: kept.turn() or len(synced) == expected)  # noqa: B023
        kept.turn(5)
        assert len(synced) == expected
    closing(kept)


def test_neverDoesNotAskTheDisk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`sync = "never"`: write(2) alone."""

    def asked(fd: int) -> None:
        raise AssertionError("asked")

    monkeypatch.setattr(os, "fdatasync", asked)
    kept = Kept(tmp_path, sync="never").open()
    committed = outcome(kept.journal.commit(event()))
    kept.turn(10)
    assert committed == [None]
    kept.close()
