"""
Open, write and rotate the journal's files, and notice when they are taken away.

A small file beside them, C{head}, holds the number and the hash of the last line.
It is written once a second. A start that does not find the last file continues
with its number, instead of with 1.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple, final

from socksgw.audit import chain
from socksgw.audit.retention import Retention
from socksgw.audit.sharedend import End
from socksgw.config.schema import AuditConfig
from socksgw.system.files import ownDirectory
from socksgw.system.once import Once

__all__ = ["HEAD", "Found", "InUse", "Segments", "headOf"]

#: Octets after which a new file is begun, unless max_size wants it sooner.
_ROTATE: Final = 64_000_000
#: The share of max_size that one file has at most: whole files are dropped.
_PARTS: Final = 16
#: The name of the file with the head.
HEAD: Final = "head"
_HEAD: Final = re.compile(rb"(\d{20}):([0-9a-f]{64})\n", re.ASCII)


class InUse(Exception):
    """Another process has the journal."""


class Found(NamedTuple):
    """
    What a start found.

    @ivar number: the number of the last line that was written.
    @ivar head: the hash of that line.
    @ivar torn: how many octets of a torn last line were cut off.
    @ivar missing: the number of the first line that is missing; 0 when none is.
    """

    number: int
    head: str
    torn: int
    missing: int


def headOf(directory: Path) -> tuple[int, str] | None:
    """
    Read the number and the hash that C{head} holds; L{None} when it holds none.

    @raise OSError: it cannot be read.
    """
    try:
        octets = (directory / HEAD).read_bytes()
    except FileNotFoundError:
        return None
    match = _HEAD.fullmatch(octets)
    return (int(match[1]), match[2].decode("ascii")) if match else None


@final
class Segments:
    """
    The files of one journal, of one process.

    @ivar fd: the descriptor of the present file; -1 when closed.
    @ivar size: octets of the present file.
    @ivar retention: the files before it, and when they are dropped.
    """

    def __init__(
        self,
        directory: Path,
        config: AuditConfig,
        wall: Callable[[], float],
        tell: Callable[[str], None],
        shared: bool = False,
    ) -> None:
        """
        Prepare; L{open} touches the directory.

        @param wall: returns the time, in seconds since the epoch.
        @param tell: called with one line for the operator.
        @param shared: whether other users may write to the directory.
        """
        self._shared = shared
        self.retention = Retention(directory, config, wall, tell)
        self.size = 0
        self.fd = -1
        self._directory = directory
        self._tell = tell
        self._path = directory
        # The number of the first line of the present file.
        self._first = 0
        self._lock = self._head = -1
        self._kept = (0, "")
        # Whether a partial line could not be cut off the present file.
        self._torn = False
        # Whether no new file could be created since the last look.
        self._stuck = False
        self._unable = Once()

    # Opening and closing.

    @property
    def lock(self) -> int:
        """The descriptor of the lock."""
        return self._lock

    def open(self, lock: int = -1) -> Found:
        """
        Lock the directory, cut off a torn last line, and continue after it.

        @param lock: a descriptor of the lock that is held already; -1 for none. It is
            closed here.
        @raise OSError: the directory cannot be used.
        @raise FileError: other users can change the directory.
        @raise InUse: another process has locked the directory.
        @raise chain.Broken: the last line is not one of a journal; the text names
            the file.
        """
        self._take(lock)
        kept = headOf(self._directory)
        found = chain.files(self._directory)
        number, head, torn = 0, chain.FIRST, 0
        if found:
            number, head, whole = self._lastOf(found)
            self._append(found[-1])
            torn = self.size - whole
            if torn:
                os.ftruncate(self.fd, whole)
                self.size = whole
        missing = 0
        if kept is not None and kept[0] > number:
            missing = number + 1
            number, head = kept
        if missing or not found:
            self.begin(number + 1)
        self.retention.begun(self._path)
        self.save(number, head)
        return Found(number, head, torn, missing)

    # Several processes.

    @property
    def torn(self) -> bool:
        """Whether a partial line could not be cut off the present file."""
        return self._torn

    def join(self, lock: int) -> None:
        """
        Write to files that another process keeps.

        @param lock: the descriptor of its lock.
        """
        self._lock = lock
        # Which lines the sinks have, that process knows: nothing is dropped for its age.
        self.retention.needed = lambda: 0

    def end(self, number: int, head: str) -> End:
        """Return where the journal ends, with the last line and its hash."""
        return End(number, self._first, self.size, head)

    def isOther(self, first: int) -> bool:
        """Tell whether the file that begins with a line is not the present one."""
        return self.fd < 0 or self._first != first

    def adopt(self, first: int) -> None:
        """
        Write to a file that another process has begun.

        @param first: the number of its first line.
        @raise OSError: it cannot be opened.
        """
        before = self.fd
        self._append(self._directory / chain.nameOf(first))
        if before >= 0:
            os.close(before)
        self._torn = self._stuck = False
        self._unable.ends()
        self.retention.begun(self._path)

    def mended(self, end: End) -> tuple[End, int]:
        """
        Find out what a process has written that was killed at it.

        @param end: where the journal ended before.
        @return: where it ends now, and how many octets of a torn line were cut off.
        @raise OSError: the file cannot be read, or cut.
        """
        number, head, size = end.number, end.head, end.size
        with self._path.open("rb") as file:
            file.seek(size)
            more = file.read()
        for octets in more.splitlines(keepends=True):
            try:
                line = chain.read(octets.rstrip(b"\n"), head)
            except chain.Broken:
                break
            if not octets.endswith(b"\n") or line.number != number + 1:
                break
            number, head, size = line.number, line.hash, size + len(octets)
        torn = end.size + len(more) - size
        if torn:
            os.ftruncate(self.fd, size)
        following = self._directory / chain.nameOf(number + 1)
        if following != self._path and following.exists():
            # It had begun the next file, and not said so.
            self.adopt(number + 1)
            size = self.size
        return End(number, self._first, size, head), torn

    def _take(self, held: int = -1) -> None:
        """
        Lock the directory.

        @param held: as of L{open}.
        """
        ownDirectory(self._directory.parent, self._shared)
        ownDirectory(self._directory, self._shared)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        lock = os.open(self._directory / "lock", flags, 0o600)
        if held >= 0:
            # flock(2) locks what was opened, and whoever has a descriptor of that.
            if os.path.sameopenfile(lock, held):
                lock, held = held, lock
            os.close(held)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise InUse from None
        except OSError as e:
            os.close(lock)
            raise OSError(e.errno, f"flock(2): {e.strerror}") from None
        head = os.open(self._directory / HEAD, flags, 0o600)
        for old in (self._lock, self._head):
            if old >= 0:
                os.close(old)
        self._lock, self._head = lock, head

    def _lastOf(self, found: list[Path]) -> tuple[int, str, int]:
        """
        Read the last whole line.

        @return: its number, its hash, and where it ends in the last file.
        """
        whole, octets = chain.tail(found[-1])
        number = chain.firstOf(found[-1]) - 1
        for file in reversed(found[-2:]):
            if file is not found[-1]:
                _, octets = chain.tail(file)
            if octets:
                try:
                    line = chain.read(octets, None)
                except chain.Broken as e:
                    raise chain.Broken(f"{file}: the last line is {e}") from None
                number = line.number if file is found[-1] else number
                return number, line.hash, whole
        return number, chain.FIRST, whole

    def _append(self, file: Path) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        self.fd = os.open(file, flags)
        self.size = os.fstat(self.fd).st_size
        self._path, self._first = file, chain.firstOf(file)

    def begin(self, first: int) -> None:
        """
        Begin a new file. The caller has to sync the present one before.

        @param first: the number of its first line.
        @raise OSError: it cannot be created; the present file stays in use.
        """
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL
        path = self._directory / chain.nameOf(first)
        fd = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        if self.fd >= 0:
            os.close(self.fd)
        self.fd, self._path, self._first = fd, path, first
        self.size = 0
        self._torn = self._stuck = False
        self._unable.ends()
        self.retention.begun(path)

    def close(self) -> None:
        """Close the files and unlock the directory."""
        for fd in (self.fd, self._lock, self._head):
            if fd >= 0:
                os.close(fd)
        self.fd = self._lock = self._head = -1

    # Writing.

    @property
    def full(self) -> int:
        """Return how many octets all files have."""
        return self.retention.octets + self.size

    def write(self, octets: bytes) -> None:
        """
        Write all of the octets, or nothing.

        @raise OSError: nothing was written.
        """
        self.retention.room(self.size + len(octets))
        if self._torn:
            self._cut()
        try:
            written = os.write(self.fd, octets)
            if written != len(octets):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            self._torn = True
            self._cut()
            raise
        self.size += len(octets)

    def _cut(self) -> None:
        """
        Cut a partial line off the present file.

        As long as that fails nothing is written after it.

        @raise OSError: it fails.
        """
        os.ftruncate(self.fd, self.size)
        self._torn = False

    def rotate(self, first: int) -> None:
        """
        Begin a new file, or tell once that it cannot be created.

        @param first: the number of its first line.
        """
        try:
            self.begin(first)
        except OSError as e:
            self._stuck = True
            if self._unable.begins():
                self._tell(
                    f"no new journal file: {e.strerror}; the present one goes on"
                )
        else:
            self.retention.expire(1)

    @property
    def due(self) -> bool:
        """Tell whether a new file should be begun now."""
        size = self.size
        return (
            size >= _ROTATE or size >= self.retention.config.max_size // _PARTS
        ) and not self._stuck

    # What others did to the files, once a second.

    @property
    def name(self) -> str:
        """Return the name of the present file."""
        return self._path.name

    def displaced(self) -> bool:
        """
        Tell whether the present file was moved, deleted or cut.

        @raise OSError: that cannot be found out.
        """
        opened = os.fstat(self.fd)
        try:
            found = self._path.lstat()
        except FileNotFoundError:
            return True
        return (found.st_ino, found.st_dev) != (opened.st_ino, opened.st_dev) or (
            opened.st_size < self.size
        )

    def replace(self, first: int) -> None:
        """
        Begin a new file in place of one that has gone, in a new directory if needed.

        @param first: the number of its first line.
        @raise OSError: it cannot be created.
        @raise FileError: other users can change the directory.
        @raise InUse: another process has locked the directory.
        """
        held = os.fstat(self._lock)
        try:
            found = (self._directory / "lock").lstat()
        except FileNotFoundError:
            found = None
        if found is None or (found.st_ino, found.st_dev) != (held.st_ino, held.st_dev):
            self._take()
        self._kept = (0, "")
        self.begin(first)

    def save(self, number: int, head: str) -> None:
        """
        Write the number and the hash of the last line to C{head}, if they changed.

        @raise OSError: they cannot be written.
        """
        if (number, head) != self._kept:
            os.pwrite(self._head, f"{number:020d}:{head}\n".encode("ascii"), 0)
            self._kept = (number, head)

    def retry(self) -> None:
        """Allow another try to begin a file, where the last one has failed."""
        self._stuck = False

    def look(self, now: float) -> None:
        """
        Drop files that are older than C{keep}.

        @param now: monotonic seconds.
        """
        self.retention.look(now)
