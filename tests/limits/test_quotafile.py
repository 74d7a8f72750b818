"""
The file that keeps quotas over restarts.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.selectreactor import SelectReactor
from twisted.logger import capturedLogs, eventAsText

from socksgw.limits.counters import Key, ProcessCounters
from socksgw.limits.quotafile import QuotaFile, QuotasUnreadable
from tests.tools.editors import EDITED

KEY: Key = ("octets", "user", 'a "rule"', "älice")
DAY = 86400.0


class Process:
    """
    One run of a gateway, as far as quotas go; with a reactor of its own for
    the file's thread.
    """

    def __init__(self, path: Path) -> None:
        self.reactor: Any = SelectReactor()
        self.counters = ProcessCounters(lambda: 0.0, lambda: 1000 * DAY)
        self.file = QuotaFile(path, self.counters, self.reactor)

    def wait(self, deferred: Deferred[None]) -> None:
        done: list[object] = []
        deferred.addBoth(done.append)
        for _ in range(2000):
            if done:
                break
            self.reactor.iterate(0.01)
        assert done == [None]

    def close(self) -> None:
        self.wait(self.file.close())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "quotas.json"


@pytest.fixture
def process(path: Path) -> Iterator[Process]:
    """A run that is closed at the end."""
    made = Process(path)
    yield made
    made.close()


def test_kept(path: Path, process: Process) -> None:
    """The next process goes on where the last one was."""
    process.counters.spend(KEY, DAY, 123)
    process.close()
    assert path.stat().st_mode & 0o777 == 0o600
    later = Process(path)
    later.file.load()
    assert later.counters.spent(KEY, DAY) == 123
    later.close()
    assert os.listdir(path.parent) == ["quotas.json"]


def test_keptBySource(path: Path, process: Process) -> None:
    """A file with whole IPv6 addresses goes on with what counts as one source."""
    rows = [
        ["source", "", "2001:db8::1", DAY, 1000, 5],
        ["source", "", "2001:db8::2", DAY, 1000, 7],
        ["source", "", "2001:db8::/64", DAY, 999, 100],
        ["source", "", "192.0.2.1", DAY, 1000, 3],
        ["source", "", "uid:1000", DAY, 1000, 4],
    ]
    path.write_text(json.dumps({"version": 1, "windows": rows}))
    path.chmod(0o600)
    process.file.load()
    for who, octets in (
        ("2001:db8::/64", 12), ("192.0.2.1", 3), ("uid:1000", 4),
    ):  # fmt: skip
        assert process.counters.spent(("octets", "source", "", who), DAY) == octets


@pytest.mark.parametrize("edited", EDITED)
def test_aFileOfAnyEditor(path: Path, process: Process, edited: str) -> None:
    """A byte-order mark and other line ends change nothing."""
    rows = [[*KEY[1:], DAY, 1000, 123]]
    octets = json.dumps({"version": 1, "windows": rows}, indent=1) + "\n"
    path.write_bytes(EDITED[edited](octets.encode()))
    path.chmod(0o600)
    process.file.load()
    assert process.counters.spent(KEY, DAY) == 123


def test_nothingIsWrittenWithoutNeed(path: Path, process: Process) -> None:
    """Who has no quota has no file, and no thread."""
    process.file.load()
    process.file.save()
    assert not process.reactor.threadCallQueue
    process.close()
    assert not path.exists()


def test_whatChangesWhileItIsWritten(path: Path, process: Process) -> None:
    """Is written, too, at the end."""
    process.counters.spend(KEY, DAY, 1)
    process.file.save()
    process.counters.spend(KEY, DAY, 1)
    process.file.save()
    process.close()
    assert json.loads(path.read_bytes())["windows"][0][-1] == 2


def test_leftToAnother(path: Path, process: Process) -> None:
    """Nothing is written any more, and no thread is left."""
    process.counters.spend(KEY, DAY, 1)
    process.file.save()
    process.counters.spend(KEY, DAY, 1)
    process.wait(process.file.leave())
    assert json.loads(path.read_bytes())["windows"][0][-1] == 1
    assert not [each for each in threading.enumerate() if "quotas" in each.name]


def test_itCannotBeWritten(path: Path) -> None:
    """It is said once, tried again, and said when it is over."""
    away = Process(path.parent / "no" / "quotas.json")
    away.counters.spend(KEY, DAY, 1)
    with capturedLogs() as logged:
        for _ in range(3):
            away.file.save()
            for _ in range(200):
                away.reactor.iterate(0.01)
                if logged:
                    break
        (path.parent / "no").mkdir()
        away.close()
    said = [eventAsText(event, includeTimestamp=False) for event in logged]
    assert len(said) == 2
    assert "quotas are not kept" in said[0]
    assert "quotas are kept again" in said[1]
    assert (path.parent / "no" / "quotas.json").exists()


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"\xff",
        b"[]",
        b"{}",
        b'{"version": 2, "windows": []}',
        b'{"version": 1, "windows": [["user", "", "alice", 86400, 1]]}',
        b'{"version": 1, "windows": [["user", "", "alice", 86400, 1, -5]]}',
        b'{"version": 1, "windows": [["user", "", "alice", 0, 1, 5]]}',
        b'{"version": 1, "windows": [["user", "", 7, 86400, 1, 5]]}',
        b'{"version": 1, "windows": [["user", "", "alice", 86400, 1, true]]}',
        b'{"version": 1, "windows": [["source", "", "alice", 86400, 1, 5]]}',
        b'{"version": 1, "windows": 5}',
        b"[" * 200_000,
        b'{"version": 1, "windows": [["user", "", "alice", Infinity, 1, 5]]}',
        b'{"version": 1, "windows": [["user", "", "alice", NaN, 1, 5]]}',
        b'{"version": 1, "windows": [["user", "", "alice", 1e-320, 1, 5]]}',
        b'{"version": 1, "windows": [["user", "", "alice", 1%s, 1, 5]]}' % (b"0" * 400),
        b'{"version": 1, "windows": [["user", "", "alice", 9, 1, 1%s]]}' % (b"0" * 400),
        b'{"version": 1, "windows": [["user", "", "alice", 9, 1%s, 1]]}' % (b"0" * 400),
        b'{"version": 1, "windows": [["user", "", "alice", 9, 1, 1%s]]}'
        % (b"0" * 9999),
    ],
    ids=range(20),
)
def test_damaged(path: Path, process: Process, octets: bytes) -> None:
    """What cannot be read is told with its remedy; nothing is taken for 0."""
    path.write_bytes(octets)
    with pytest.raises(QuotasUnreadable, match=r"quotas\.json: .*move it away"):
        process.file.load()


def test_unreadable(path: Path, process: Process) -> None:
    """So is a file that may not be read, and one that would be waited for."""
    path.symlink_to(path)
    with pytest.raises(QuotasUnreadable, match="make it readable"):
        process.file.load()
    path.unlink()
    os.mkfifo(path, 0o600)
    with pytest.raises(QuotasUnreadable, match="not a regular file"):
        process.file.load()


def test_otherPeoples(
    path: Path, process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is a file believed that others have a hand in."""
    path.write_bytes(b'{"version": 1, "windows": []}')
    path.chmod(0o666)
    with pytest.raises(QuotasUnreadable, match="chmod o-w"):
        process.file.load()
    path.chmod(0o644)
    process.file.load()
    if os.getuid() != 0:
        # Only root can give a file away; else it is we who are others.
        monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    else:
        os.chown(path, 12345, -1)
        monkeypatch.setattr(os, "geteuid", lambda: 4321)
    with pytest.raises(QuotasUnreadable, match="somebody else's"):
        process.file.load()


def test_aLinkInItsPlace(path: Path, process: Process) -> None:
    """What a link leads to is not written to."""
    other = path.with_name("other")
    other.write_text("precious")
    path.with_suffix(".new").symlink_to(other)
    process.counters.spend(KEY, DAY, 1)
    process.close()
    assert other.read_text() == "precious"
    assert json.loads(path.read_bytes())["windows"]
    assert not path.is_symlink()
