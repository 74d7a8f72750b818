"""
The audit journal: append-only, numbered, chained, in the kernel before
anything is granted.

All lines of one reactor turn go out in one C{write(2)}. What cannot be
written is taken back whole, whoever waits for it is refused, and the journal
tries again by itself.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, final

from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure

from socksgw.audit import chain
from socksgw.errors import AuditFailed
from socksgw.shape import AuditConfig
from socksgw.threads import Pool

__all__ = ["Journal", "JournalError"]

_log = Logger()

#: Octets after which a new file is begun, unless max_size wants it sooner.
_ROTATE: Final = 64_000_000
#: Lines kept while they cannot be written; what comes beyond is counted.
_KEPT: Final = 100_000
#: Seconds between two tries to write again.
_RETRY: Final = 0.25
#: Shares of C{max_size} that are told of.
_ALARMS: Final = (0.5, 0.8, 0.95)


class JournalError(Exception):
    """
    The journal cannot be opened; the text has the remedy.
    """


@final
class Journal:
    """
    The journal of one process.

    @ivar directory: where its files are.
    @ivar number: how many lines there are.
    @ivar head: the hash of the last.
    @ivar failing: whether lines cannot be written now.
    @ivar refused: decisions that were refused for want of a line.
    """

    def __init__(
        self,
        directory: Path,
        config: AuditConfig,
        reactor: Any,
        wall: Callable[[], float] = time.time,
        onTrouble: Callable[[str], None] | None = None,
    ) -> None:
        """
        @param wall: seconds since the epoch, for the lines' times.
        @param onTrouble: told in one line what is wrong, and that it is
            over; logged by default.
        """
        self.directory = directory
        self._config = config
        self._reactor = reactor
        self._wall = wall
        self._onTrouble = onTrouble or (lambda text: _log.error("{text}", text=text))
        self.number = 0
        self.head = chain.FIRST
        self.failing = False
        self.refused = 0
        self._lost = 0
        self._size = 0
        self._others = 0
        self._alarmed = 0
        self._fd = -1
        self._lock = -1
        self._lines: deque[tuple[str, Deferred[None] | None]] = deque()
        self._due = False
        self._dirty = False
        self._second = -1
        self._stamp = ""
        self._pool = Pool(0, 1, "audit")
        self._syncing: Deferred[None] | None = None
        self._call: Any = None
        sync = config.sync
        self._each = sync == "each"
        # What is dropped, or goes by `keep`, goes by whole files.
        self._rotateAt = min(_ROTATE, config.max_size // 4)
        self._interval = None if isinstance(sync, str) else float(sync)

    # Opening.

    def open(self) -> None:
        """
        Take the directory, cut off a torn last line, go on behind it.

        @raise JournalError: it cannot be had, or is not a journal.
        """
        try:
            self.directory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.directory.mkdir(mode=0o700, exist_ok=True)
            self._lock = os.open(
                self.directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
            )
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise JournalError(
                    f"the journal {self.directory} is in use by another process; "
                    "stop it, or give this one its own [gateway] state_dir"
                ) from None
            torn = self._recover()
        except OSError as e:
            raise JournalError(
                f"the journal {self.directory} cannot be opened: {e.strerror}; "
                "make the directory writable for this user, or change "
                "[gateway] state_dir"
            ) from None
        self._pool.start()
        if torn:
            self.append(f'"event":"recovered","octets":{torn}')
        if self._interval is not None:
            self._call = self._reactor.callLater(self._interval, self._sync)

    def _recover(self) -> int:
        """
        @return: the octets of a torn last line.
        """
        found = chain.files(self.directory)
        if not found:
            self._begin(1)
            return 0
        last = found[-1]
        whole, octets = chain.tail(last)
        if octets:
            try:
                line = chain.read(octets, None)
            except chain.Broken as e:
                raise JournalError(
                    f"{last}: the last line is {e}; move the file away to begin anew"
                ) from None
            self.number, self.head = line.number, line.hash
        else:
            self.number = chain.firstOf(last) - 1
            if len(found) > 1:
                _, octets = chain.tail(found[-2])
                self.head = chain.read(octets, None).hash
        self._fd = os.open(last, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        self._size = os.fstat(self._fd).st_size
        torn = self._size - whole
        if torn:
            os.ftruncate(self._fd, whole)
            self._size = whole
        self._count()
        return torn

    def _begin(self, first: int) -> None:
        """
        Begin the file whose first line has the number C{first}.
        """
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        fd = os.open(self.directory / chain.nameOf(first), flags, 0o600)
        if self._fd >= 0:
            self._fsync().addErrback(self._synced)
            os.close(self._fd)
        self._fd = fd
        self._size = 0
        self._count()

    def _count(self) -> None:
        """
        How large the other files are; drop those that are too old, or, if so
        told, too many.
        """
        others = chain.files(self.directory)[:-1]
        sizes = {file: file.stat().st_size for file in others}
        oldest = self._wall() - self._config.keep
        for file in others:
            full = sum(sizes.values()) + 2 * self._rotateAt > self._config.max_size
            if file.stat().st_mtime < oldest or (
                full and self._config.when_full == "drop-oldest"
            ):
                file.unlink()
                del sizes[file]
                self._onTrouble(f"the journal dropped {file.name}")
        self._others = sum(sizes.values())

    # Lines.

    def commit(self, line: str) -> Deferred[None]:
        """
        Add a line that somebody waits for.

        @param line: its members from C{event} on, without braces, ASCII.
        @return: fires when the line is in the kernel (with C{sync = "each"}:
            on the disk); fails with L{AuditFailed} when it cannot be.
        """
        waiting: Deferred[None] = Deferred()
        self._lines.append((line, waiting))
        if not self._due:
            self._schedule(0)
        return waiting

    def append(self, line: str) -> None:
        """
        Add a line that nobody waits for; kept until it can be written.
        """
        if len(self._lines) >= _KEPT:
            self._lost += 1
            return
        self._lines.append((line, None))
        if not self._due:
            self._schedule(0)

    def _schedule(self, seconds: float) -> None:
        self._due = True
        self._reactor.callLater(seconds, self._flush)

    def _time(self) -> str:
        """Now, as RFC 3339 with milliseconds."""
        now = self._wall()
        second = int(now)
        if second != self._second:
            self._second = second
            self._stamp = time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(second))
        return f"{self._stamp}{int((now - second) * 1000):03d}Z"

    def _flush(self) -> None:
        """
        Write all lines that wait, in one go.
        """
        self._due = False
        if not self._lines or self._fd < 0:
            return
        taken = list(self._lines)
        self._lines.clear()
        number, head = self.number, self.head
        stamp = self._time()
        out: list[bytes] = []
        bodies = [line for line, _ in taken]
        if self.failing:
            bodies.insert(
                0,
                f'"event":"resumed","refused":{self.refused},"lost":{self._lost}',
            )
        for body in bodies:
            number += 1
            octets, head = chain.chained(
                f'"v":1,"n":{number},"time":"{stamp}",{body}', head
            )
            out.append(octets)
        octets = b"".join(out)
        try:
            self._write(octets)
        except OSError as e:
            self._failed(taken, e)
            return
        self.number, self.head = number, head
        self._size += len(octets)
        self._dirty = True
        if self.failing:
            self.failing = False
            self.refused = self._lost = 0
            self._onTrouble("the journal is written again")
        waiting = [w for _, w in taken if w is not None]
        if self._each:
            self._fsync().addCallbacks(
                lambda _: _fire(waiting), lambda f: _fail(waiting, f.value)
            )
        else:
            _fire(waiting)
        if self._size >= self._rotateAt:
            self._rotate()

    def _write(self, octets: bytes) -> None:
        """
        All of C{octets}, or nothing.

        @raise OSError: nothing was written.
        """
        full = self._others + self._size + len(octets)
        if full > self._config.max_size and self._config.when_full == "refuse":
            # Unless some files have passed `keep` since.
            self._count()
            full = self._others + self._size + len(octets)
            if full > self._config.max_size:
                raise OSError(errno.ENOSPC, "[audit] max_size is reached")
        share = full / self._config.max_size
        if self._alarmed < len(_ALARMS) and share >= _ALARMS[self._alarmed]:
            self._onTrouble(f"the journal has {share:.0%} of its max_size")
            self._alarmed += 1
        try:
            written = os.write(self._fd, octets)
            if written != len(octets):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            os.ftruncate(self._fd, self._size)
            raise

    def _failed(
        self, taken: list[tuple[str, Deferred[None] | None]], error: OSError
    ) -> None:
        """
        Nothing was written: keep what nobody waits for, refuse the rest.
        """
        if not self.failing:
            self.failing = True
            self._onTrouble(
                f"the journal cannot be written: {error.strerror}; "
                + (
                    "new requests are refused until it can"
                    if self._config.on_failure == "refuse"
                    else "requests go on without a record"
                )
            )
        self._lines.extendleft(reversed([t for t in taken if t[1] is None]))
        waiting = [w for _, w in taken if w is not None]
        self.refused += len(waiting)
        self._schedule(_RETRY)
        if self._config.on_failure == "refuse":
            _fail(waiting, AuditFailed("the journal cannot be written"))
        else:
            _fire(waiting)

    def _rotate(self) -> None:
        try:
            self._begin(self.number + 1)
        except OSError as e:
            # The old file goes on; the next line tries again.
            self._onTrouble(f"no new journal file: {e.strerror}")

    # The disk.

    def _fsync(self) -> Deferred[None]:
        self._dirty = False
        try:
            # A duplicate, since rotation may close the file in the meantime.
            duplicate = os.dup(self._fd)
        except OSError:
            return fail()
        try:
            return deferToThreadPool(self._reactor, self._pool, _sync, duplicate)
        except RuntimeError:
            # No thread can be started.
            os.close(duplicate)
            return fail()

    def _sync(self) -> None:
        """
        Once an interval: ask the disk, if there is anything to ask.
        """
        assert self._interval is not None
        self._call = self._reactor.callLater(self._interval, self._sync)
        if self._dirty and self._syncing is None:
            self._syncing = self._fsync()
            self._syncing.addBoth(self._synced)

    def _synced(self, result: object) -> None:
        self._syncing = None
        if isinstance(result, Failure):
            self._dirty = True
            self._onTrouble(f"the journal's disk failed: {result.getErrorMessage()}")

    # Closing.

    def close(self) -> Deferred[None]:
        """
        Write what is left, ask the disk, and let go.

        @return: fires when all is done.
        """
        if self._fd < 0:
            return succeed(None)
        self._flush()
        if self._call is not None:
            self._call.cancel()
            self._call = None
        done = (
            maybeDeferred(self._fsync)
            if self._config.sync != "never"
            else succeed(None)
        )
        return done.addBoth(self._closed)

    def _closed(self, _: object) -> None:
        os.close(self._fd)
        os.close(self._lock)
        self._fd = self._lock = -1
        self._pool.stop()


def _sync(fd: int) -> None:
    """
    Ask the disk, in the journal's thread.
    """
    try:
        os.fdatasync(fd)
    finally:
        os.close(fd)


def _fire(waiting: list[Deferred[None]]) -> None:
    for each in waiting:
        if not each.called:
            each.callback(None)


def _fail(waiting: list[Deferred[None]], error: Exception) -> None:
    for each in waiting:
        if not each.called:
            each.errback(AuditFailed(str(error)))
