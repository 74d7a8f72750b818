"""
Sinks that write lines: to standard output, to a file, to a named pipe.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import select
import stat
import termios
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, final

from zope.interface import implementer

from socksgw.interfaces import (
    Answer,
    AuditSink,
    Entry,
    IAuditSink,
    IProbedSink,
    IReadableSink,
    ProbeFailed,
    SinkFailed,
    SinkSettings,
)

__all__ = ["sinks"]

#: Lines that are written at once.
_BATCH: Final = 1000
#: Octets that a pipe takes without blocking, where it takes any (PIPE_BUF).
_CHUNK: Final = 4096
#: Milliseconds between two looks whether the reader of a pipe has taken all.
_LOOK: Final = 10
#: Octets of the end of a file, in which its last line is looked for.
_TAIL: Final = 1 << 20
#: What each line of the journal begins with.
_NATIVE: Final = b'{"v":1,"n":'
_FOREIGN: Final = "has a line that is none of a journal; name another file"


def _write(fd: int, octets: bytes) -> None:
    """
    Write everything, however long the reader takes.

    @raise SinkFailed: there is no reader, or no room.
    """
    view = memoryview(octets)
    waiting = select.poll()
    waiting.register(fd, select.POLLOUT)
    try:
        while view:
            waiting.poll()
            try:
                view = view[os.write(fd, view[:_CHUNK]) :]
            except BlockingIOError:
                continue
    except BrokenPipeError:
        raise SinkFailed("nobody reads the pipe any more") from None
    except OSError as e:
        raise SinkFailed(e.strerror or str(e)) from None


def _drain(fd: int) -> None:
    """
    Wait until the reader of a pipe has taken everything.

    What is in a pipe when its reader ends is lost.

    @raise SinkFailed: there is no reader any more.
    """
    waiting = select.poll()
    waiting.register(fd, 0)
    while _unread(fd):
        if waiting.poll(_LOOK):
            raise SinkFailed("nobody reads the pipe any more")


def _unread(fd: int) -> int:
    """Return how many octets wait for the reader of a pipe."""
    found = fcntl.ioctl(fd, termios.FIONREAD, b"\0\0\0\0")
    return int.from_bytes(found, "little")


def _linesOf(entries: Sequence[Entry]) -> bytes:
    found = [each.formatted for each in entries]
    return b"".join([each + b"\n" for each in found if each is not None])


@final
class _Stream:
    """Standard output, or a named pipe."""

    batch = _BATCH

    def __init__(self, path: Path | None = None) -> None:
        """
        @param path: the pipe's; L{None} for standard output.
        """
        self._path = path
        self._fd = 1 if path is None else -1
        self._pipe = False

    def open(self) -> None:
        """
        Open it; the follower keeps the position.

        @raise SinkFailed: nobody reads the pipe, or it is none.
        """
        if self._path is not None:
            flags = os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC
            try:
                self._fd = os.open(self._path, flags)
            except OSError as e:
                why = {
                    errno.ENXIO: "nobody reads it",
                    errno.ENOENT: f"{e.strerror} (mkfifo makes the pipe)",
                }.get(e.errno or 0, e.strerror)
                raise SinkFailed(f"{self._path}: {why}") from None
        self._pipe = stat.S_ISFIFO(os.fstat(self._fd).st_mode)
        if self._path is not None and not self._pipe:
            raise SinkFailed(f"{self._path}: not a named pipe (mkfifo makes one)")

    def deliver(self, entries: Sequence[Entry]) -> None:
        """Write lines, and wait until the reader has taken them."""
        _write(self._fd, _linesOf(entries))
        if self._pipe:
            _drain(self._fd)

    def idle(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Close the pipe."""
        if self._path is not None and self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


@final
class _File:
    """A file that grows."""

    batch = _BATCH

    def __init__(self, path: Path, native: bool) -> None:
        """
        @param native: whether lines are as in the journal, with their numbers.
        """
        self._path = path
        self._native = native
        self._fd = -1
        self._stamp = (0, 0)

    def open(self) -> int | None:
        """
        Open the file, and cut off what is left of a line that was not written whole.

        @return: the number of its last line, where that can be told.
        @raise SinkFailed: it cannot be opened.
        """
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        try:
            # Never wait for the other end of a pipe.
            self._fd = os.open(self._path, flags | os.O_NONBLOCK, 0o600)
            found = os.fstat(self._fd)
            if not stat.S_ISREG(found.st_mode):
                raise SinkFailed(f"{self._path}: not a file; for a pipe there is pipe:")
            self._stamp = (found.st_dev, found.st_ino)
            start = max(0, found.st_size - _TAIL)
            octets = os.pread(self._fd, _TAIL, start)
            whole = octets.rfind(b"\n") + 1
            last = octets[octets.rfind(b"\n", 0, max(0, whole - 1)) + 1 : whole]
            number = _numbered(self._path, last)[0] if self._native and last else None
            torn = octets[whole:]
            if torn:
                self._torn(torn, bool(whole))
                os.ftruncate(self._fd, start + whole)
        except OSError as e:
            raise SinkFailed(f"{self._path}: {e.strerror}") from None
        return number

    def _torn(self, octets: bytes, behind: bool) -> None:
        """
        See that the end of the file is a line that was not written whole.

        @param behind: whether whole lines stand before it.
        @raise SinkFailed: it is not: the file is somebody else's, and stays as it is.
        """
        if len(octets) == _TAIL or not (
            octets.startswith(_NATIVE) or _NATIVE.startswith(octets)
            if self._native
            else behind or octets.isascii()
        ):
            raise SinkFailed(f"{self._path}: {_FOREIGN}")

    def _moved(self) -> bool:
        """Tell whether the file was moved away, as logrotate does."""
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return True
        return (found.st_dev, found.st_ino) != self._stamp

    def deliver(self, entries: Sequence[Entry]) -> None:
        """Write lines, and have the disk keep them."""
        if self._moved():
            self.close()
            self.open()
        _write(self._fd, _linesOf(entries))
        try:
            os.fdatasync(self._fd)
        except OSError as e:
            raise SinkFailed(f"{self._path}: {e.strerror}") from None

    def idle(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _numbered(path: Path, line: bytes) -> tuple[int, str]:
    """
    Return the number and the hash of a line.

    @raise SinkFailed: it is none of a journal.
    """
    try:
        found = json.loads(line)
        number, digest = found["n"], found["hash"]
        if type(number) is int and type(digest) is str:
            return number, digest
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    raise SinkFailed(f"{path}: {_FOREIGN}")


def _path(settings: SinkSettings) -> Path:
    settings.options.only()
    if not settings.target or "\0" in settings.target:
        raise ValueError("must be a path")
    return settings.directory / settings.target


#: What helps where a file is closed.
_RIGHTS: Final = "change owner or mode, or ask as the gateway's own user"


def _writable(path: Path, state: Path) -> None:
    """
    Look whether a file can be written, or made.

    @param state: C{state_dir}.
    @raise ProbeFailed: this user may not write there.
    """
    folder = path.parent
    if path.exists():
        if not os.access(path, os.W_OK):
            raise ProbeFailed(f"this user may not write {path}", _RIGHTS)
        return
    while not folder.exists() and folder == state:
        # The gateway makes that one.
        folder = state = folder.parent
    if not folder.is_dir():
        raise ProbeFailed(f"there is no directory {folder}", "make it")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ProbeFailed(f"this user may not make a file in {folder}", _RIGHTS)


@final
@implementer(IAuditSink)
class _StdoutKind:
    kind = "stdout"
    help = "Lines on standard output."
    target = "FORMAT"
    format = "native"

    def build(self, settings: SinkSettings) -> AuditSink:
        settings.options.only()
        return _Stream()


@final
@implementer(IProbedSink, IReadableSink)
class _FileKind:
    kind = "file"
    help = "Lines in a file that grows, and may be moved away."
    target = "PATH"
    format = "native"

    def build(self, settings: SinkSettings) -> AuditSink:
        return _File(_path(settings), settings.format == "native")

    def probe(self, settings: SinkSettings) -> list[Answer]:
        path = _path(settings)
        _writable(path, settings.directory)
        if not path.exists():
            return [Answer(str(path), "is not there yet: the sink makes it")]
        if not path.is_file():
            raise ProbeFailed("it is no file", "for a pipe there is pipe:")
        return [Answer(str(path), f"can be written; {path.stat().st_size:,} octets")]

    def lines(self, settings: SinkSettings) -> Iterator[tuple[int, str]]:
        path = _path(settings)
        if settings.format != "native":
            raise SinkFailed(f"{path}: has no hashes: its format is not native")
        try:
            with path.open("rb") as opened:
                for line in opened:
                    # The last one may be in the middle of being written.
                    if line.endswith(b"\n"):
                        yield _numbered(path, line)
        except OSError as e:
            raise SinkFailed(f"{path}: {e.strerror}") from None


@final
@implementer(IAuditSink, IProbedSink)
class _PipeKind:
    kind = "pipe"
    help = "Lines for the program that reads a named pipe."
    target = "PATH"
    format = "native"

    def build(self, settings: SinkSettings) -> AuditSink:
        return _Stream(_path(settings))

    def probe(self, settings: SinkSettings) -> list[Answer]:
        path = _path(settings)
        if not path.is_fifo():
            raise ProbeFailed("there is no named pipe", f"make one: mkfifo {path}")
        _writable(path, settings.directory)
        # To open it would show its reader an end.
        said = "is a pipe that can be written; whether one reads it was not asked"
        return [Answer(str(path), said)]


sinks = (_StdoutKind(), _FileKind(), _PipeKind())
