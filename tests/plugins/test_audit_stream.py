"""
Sinks that write lines: to standard output, to files, to named pipes.
"""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from socksgw.interfaces import SinkFailed
from socksgw.plugins import audit_stream
from socksgw.testing import AuditSinkContract, entriesOf, sinkSettings

STDOUT, FILE, PIPE = audit_stream.sinks


@contextmanager
def fullDisk(size: int) -> Iterator[None]:
    """No file of this process may have more octets, as if its disk were full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


class TestFile(AuditSinkContract):
    """A file of native lines has the number of its last line."""

    plugin = FILE
    once = True

    def target(self, directory: Path) -> str:
        return "lines.jsonl"

    def received(self, directory: Path) -> Sequence[int]:
        return self.numbers((directory / "lines.jsonl").read_bytes())

    def broken(self, directory: Path) -> AbstractContextManager[None]:
        """The disk is full in the middle of a line."""

        @contextmanager
        def full() -> Iterator[None]:
            with fullDisk((directory / "lines.jsonl").stat().st_size + 1000):
                yield

        return full()


class TestFileOfFormat(TestFile):
    """Of another format the position is kept beside it."""

    form = "ocsf"
    once = False

    def received(self, directory: Path) -> Sequence[int]:
        found = (directory / "lines.jsonl").read_bytes().splitlines()
        by = {each.formatted: each.number for each in entriesOf(40, 1, "ocsf")}
        return [by[line] for line in found]


class Reader:
    """Reads a named pipe, again and again, as a program that is started again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.octets = b""
        self.reading = Event()
        self._stop = Event()
        os.mkfifo(path)
        self._thread = Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._stop.clear()
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()
        self.reading.wait(10)

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(10)
        self.reading.clear()

    def _run(self) -> None:
        fd = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)
        self.reading.set()
        while not self._stop.wait(0.001):
            try:
                self.octets += os.read(fd, 1 << 16)
            except BlockingIOError:
                pass
        os.close(fd)


class TestPipe(AuditSinkContract):
    """A named pipe, whose reader goes and comes."""

    plugin = PIPE

    @pytest.fixture(autouse=True)
    def _reader(self, tmp_path: Path) -> Iterator[None]:
        self.reader = Reader(tmp_path / "pipe")
        self.reader.start()
        yield
        self.reader.stop()

    def target(self, directory: Path) -> str:
        return "pipe"

    def received(self, directory: Path) -> Sequence[int]:
        # Of the line that a reader had half when it ended, another one gets the whole.
        lines = self.reader.octets.split(b"\n")
        whole = [each for each in lines if each.endswith(b'"}')]
        return self.numbers(b"\n".join(each[each.index(b'{"v"') :] for each in whole))

    def broken(self, directory: Path) -> AbstractContextManager[None]:
        """Nobody reads."""

        @contextmanager
        def away() -> Iterator[None]:
            self.reader.stop()
            yield
            self.reader.start()

        return away()


class TestStdout(AuditSinkContract):
    """Standard output, a file here."""

    plugin = STDOUT

    @pytest.fixture(autouse=True)
    def _output(self, capfd: pytest.CaptureFixture[str]) -> None:
        self.capfd, self.printed = capfd, ""

    def target(self, directory: Path) -> str:
        return ""

    def received(self, directory: Path) -> Sequence[int]:
        self.printed += self.capfd.readouterr().out
        return self.numbers(self.printed.encode())


def test_aFileThatIsMovedAwayIsBegunAnew(tmp_path: Path) -> None:
    """As logrotate does; a file that nobody moved grows."""
    sink = FILE.build(sinkSettings(FILE, tmp_path, "lines"))
    sink.open()
    entries = entriesOf(4)
    sink.deliver(entries[:2])
    (tmp_path / "lines").rename(tmp_path / "lines.1")
    sink.deliver(entries[2:3])
    sink.deliver(entries[3:])
    sink.close()
    found = [(tmp_path / name).read_bytes() for name in ("lines.1", "lines")]
    assert list(map(AuditSinkContract.numbers, found)) == [[1, 2], [3, 4]]


def test_aTornLineIsCutOff(tmp_path: Path) -> None:
    """A crash may leave a part of a line; the sink has the one before."""
    file = tmp_path / "lines"
    whole = b"".join(each.octets + b"\n" for each in entriesOf(3))
    file.write_bytes(whole + b'{"v":1,"n":4,"ti')
    sink = FILE.build(sinkSettings(FILE, tmp_path, "lines"))
    assert sink.open() == 3
    assert file.read_bytes() == whole
    sink.close()


@pytest.mark.parametrize(
    ("content", "form"),
    [
        (b"a file of something else\nand its last line", "native"),
        (b"a line without an end", "native"),
        (b"\x7fELF\x02\x01\xff", "cef"),
        (b"x" * (1 << 21), "cef"),
    ],
)
def test_aForeignFileStaysAsItIs(tmp_path: Path, content: bytes, form: str) -> None:
    """What is no line of ours is not taken for a torn one, and is not cut off."""
    file = tmp_path / "there"
    file.write_bytes(content)
    sink = FILE.build(sinkSettings(FILE, tmp_path, "there", form=form))
    with pytest.raises(SinkFailed, match="name another file"):
        sink.open()
    sink.close()
    assert file.read_bytes() == content


def _directory(path: Path) -> None:
    path.mkdir()


def _foreign(path: Path) -> None:
    path.write_text("a file of something else\n")


def _closed(path: Path) -> None:
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("plugin", "make", "why"),
    [
        (FILE, _directory, "Is a directory"),
        (FILE, _foreign, "name another file"),
        (FILE, _closed, "there is pipe:"),
        (PIPE, _closed, "nobody reads it"),
        (PIPE, _foreign, "not a named pipe (mkfifo makes one)"),
        (PIPE, lambda path: None, "mkfifo makes the pipe"),
    ],
)
def test_whatCannotBeWrittenTo(
    tmp_path: Path,
    plugin: Any,
    make: Callable[[Path], None],
    why: str,
) -> None:
    """The text names the path, and what to do."""
    make(tmp_path / "there")
    sink = plugin.build(sinkSettings(plugin, tmp_path, "there"))
    with pytest.raises(SinkFailed) as raised:
        sink.open()
    assert str(tmp_path / "there") in str(raised.value)
    assert why in str(raised.value)
    sink.close()
