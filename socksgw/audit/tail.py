"""
Add to the end of the journal: its files, its chain, and whose turn it is.

Several processes may add to one chain; each takes its turn then, and goes on where the
one before ended.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, final

from twisted.internet.defer import Deferred, succeed

from socksgw.audit import chain
from socksgw.audit.disk import Disk
from socksgw.audit.growth import Growth
from socksgw.audit.segments import InUse, Segments
from socksgw.audit.sharedend import SharedEnd
from socksgw.config.schema import AuditConfig
from socksgw.system.files import FileError
from socksgw.system.once import Once

__all__ = ["TURN", "JournalError", "Tail"]

#: Seconds until the turn is asked for again, where several processes write.
TURN: Final = 0.001
#: How often it is asked for by what has to have it.
TURNS: Final = 2000


class JournalError(Exception):
    """
    The journal cannot be opened; the text has the remedy.
    """


@final
class Tail:
    """
    The end of one journal, as one process adds to it.

    @ivar number: how many lines there are.
    @ivar head: the hash of the last.
    @ivar segments: its files.
    @ivar disk: what syncs them.
    @ivar keeps: whether this process sees to the files: one does.
    """

    def __init__(
        self,
        directory: Path,
        config: AuditConfig,
        reactor: Any,
        wall: Callable[[], float],
        tell: Callable[[str], None],
        append: Callable[[str], None],
        shared: bool,
    ) -> None:
        """
        Prepare; L{open} touches the directory.

        @param wall: returns the time of a line, in seconds since the epoch.
        @param tell: called with one line when something is wrong.
        @param append: adds a line about the journal itself.
        @param shared: whether other users may write to the directory.
        """
        self._directory = directory
        self._config = config
        self._tell = tell
        self._append = append
        self.segments = Segments(directory, config, wall, tell, shared)
        self.disk = Disk(reactor, lambda: self.segments.fd, tell)
        self._growth = Growth(tell)
        self.number = 0
        self.head = chain.FIRST
        self.keeps = True
        # Whether the present file was moved, deleted or cut.
        self._gone = False
        # Tells each failure once, until it is over.
        self._unable = Once()
        #: Where the chain ends, if several processes add to it.
        self._joint: SharedEnd | None = None
        self._mark = ""
        self._writer = 0
        self._latest: Callable[[], int] | None = None

    def apply(self, config: AuditConfig) -> None:
        """Use another configuration from now on, as L{Journal.apply} says."""
        self._config = self.segments.retention.config = config
        self._growth.apply(self.segments.full, config)

    @property
    def isOpen(self) -> bool:
        """Whether lines can be written."""
        return self.segments.fd >= 0

    # Opening.

    def open(self, lock: int = -1) -> None:
        """
        Lock the directory, cut off a torn last line, and continue after it.

        @param lock: a descriptor of the lock, where another process of ours has it
            and hands it over.
        @raise JournalError: the directory cannot be used, or is not a journal.
        """
        try:
            found = self.segments.open(lock)
        except InUse:
            raise JournalError(
                f"the journal {self._directory} is in use by another process; "
                "stop it, or give this one its own [gateway] state_dir"
            ) from None
        except FileError as e:
            raise JournalError(str(e)) from None
        except chain.Broken as e:
            raise JournalError(f"{e}; move the file away to begin another") from None
        except OSError as e:
            raise JournalError(
                f"the journal {self._directory} cannot be opened: {e.strerror}; "
                "make the directory writable for this user, or change "
                "[gateway] state_dir"
            ) from None
        self.number, self.head = found.number, found.head
        self._start()
        if found.torn:
            self._append(f'"event":"recovered","octets":{found.torn}')
        if found.missing:
            self._missing(found.missing, found.number, "")

    def _start(self) -> None:
        sync = self._config.sync
        self.disk.start(None if isinstance(sync, str) else float(sync))

    def _missing(self, first: int, last: int, file: str) -> None:
        """Tell the log and the journal of lines that were taken away."""
        where = f" with {file}" if file else ""
        self._tell(
            f"the journal's lines {first} to {last} were moved, deleted or cut{where}; "
            f"it goes on with line {last + 1}, and audit verify will not call it whole"
        )
        self._append(f'"event":"missing","from":{first},"to":{last}')

    # Several processes.

    def share(self, end: SharedEnd) -> None:
        """As L{Journal.share}."""
        self._joint = end
        end.set(self.segments.end(self.number, self.head))

    @property
    def isShared(self) -> bool:
        """Whether other processes add to the chain."""
        return self._joint is not None

    def succeed(self, end: SharedEnd, lock: int) -> None:
        """As L{Journal.succeed}."""
        for _ in range(TURNS):
            if end.take():
                break
            time.sleep(TURN)
        else:
            raise JournalError("the journal is being written for too long")
        try:
            self.open(lock)
            self.share(end)
        finally:
            end.give()

    def join(
        self, end: SharedEnd, lock: int, worker: int, latest: Callable[[], int]
    ) -> None:
        """As L{Journal.join}."""
        self._joint, self.keeps = end, False
        self._mark = f',"worker":{worker}'
        self._writer, self._latest = worker - 1, latest
        self.segments.join(lock)
        try:
            if not self.take(TURNS):
                raise JournalError("the journal is being written for too long")
        except OSError as e:
            raise JournalError(
                f"the journal {self._directory} cannot be opened: {e.strerror}"
            ) from None
        self.give()
        self._start()

    def take(self, tries: int = 1) -> bool:
        """
        Take the turn, and see where the journal ends by now.

        @param tries: how often the turn is asked for, with a pause between.
        @return: whether we have it; always, where no other process writes.
        @raise OSError: the present file cannot be opened; we do not have it then.
        """
        joint = self._joint
        if joint is None:
            return True
        while not joint.take():
            tries -= 1
            if tries <= 0:
                return False
            time.sleep(TURN)
        try:
            self._follow(joint)
        except BaseException:
            joint.give()
            raise
        return True

    def give(self) -> None:
        """Let others have their turn."""
        if self._joint is not None:
            self._joint.give()

    def _follow(self, joint: SharedEnd) -> None:
        end = joint.get()
        if self.segments.isOther(end.first):
            # What we have not synced yet is in the file of before.
            if self.disk.dirty:
                self.disk.ask().addErrback(self.disk.failed)
            self.segments.adopt(end.first)
            self._gone = False
        if joint.broken:
            end, torn = self.segments.mended(end)
            joint.set(end)
            if torn:
                self._append(f'"event":"recovered","octets":{torn}')
        if self.keeps:
            self._growth.wrote(
                max(0, end.size - self.segments.size),
                self.segments.full,
                self._config,
            )
        self.segments.size = end.size
        self.number, self.head = end.number, end.head

    # Lines.

    def put(self, bodies: Sequence[str], stamp: str) -> None:
        """
        Write lines with one C{write(2)}: all, or none.

        @param bodies: their members from C{event} on.
        @param stamp: their time.
        @raise OSError: nothing was written.
        @raise FileError: nothing was written: others can change the directory.
        @raise InUse: nothing was written: another process has locked the directory.
        """
        number, head, mark = self.number, self.head, self._mark
        out: list[bytes] = []
        for body in bodies:
            number += 1
            octets, head = chain.chained(
                f'"v":1,"n":{number},"time":"{stamp}",{body}{mark}', head
            )
            out.append(octets)
        self._write(b"".join(out))
        self.number, self.head = number, head
        self.disk.dirty = True

    def _write(self, octets: bytes) -> None:
        joint = self._joint
        if joint is not None:
            joint.begin()
        try:
            if self._gone:
                self.segments.replace(self.number + 1)
                self._gone = False
            self.segments.write(octets)
        except (OSError, FileError, InUse):
            # Where a part of a line stays, whoever is next removes it.
            if joint is not None and not self.segments.torn:
                joint.set(self.segments.end(self.number, self.head))
            raise
        self._growth.wrote(len(octets), self.segments.full, self._config)

    def settle(self) -> None:
        """Begin another file where that is due, and tell others where we ended."""
        if self.segments.due:
            self.rotate()
        joint = self._joint
        if joint is not None:
            joint.set(self.segments.end(self.number, self.head))
            if self._latest is not None:
                joint.reached(self._writer, max(0, self._latest()))

    def rotate(self) -> None:
        """Begin another file."""
        if self.keeps:
            self.lookAtFile()
        if self._gone:
            return
        # Octets that are not synced yet are all in the present file: ask before it
        # is closed.
        self.disk.ask().addErrback(self.disk.failed)
        self.segments.rotate(self.number + 1)

    # Once a second.

    def look(self, now: float) -> None:
        """
        Have another file tried, and see to the files, if this process does.

        That is: whether the present one is there, which are too old, growth.

        @param now: monotonic seconds.
        """
        self.segments.retry()
        if not self.keeps:
            return
        if self._joint is not None:
            with self._watched("the journal's file cannot be opened"):
                if self.take():
                    self.give()
        self.lookAtFile()
        self.save()
        self.segments.look(now)
        self._growth.look(now, self.segments.full, self._config)

    def lookAtFile(self) -> None:
        """Look whether the present file is still the one that was opened."""
        if self._gone:
            return
        with self._watched("the journal's file cannot be looked at"):
            if self.segments.displaced():
                self._gone = True
                first = chain.firstOf(Path(self.segments.name))
                self._missing(first, self.number, self.segments.name)

    def save(self) -> None:
        """Keep where the journal ends."""
        if not self._gone:
            with self._watched("where the journal ends is not kept"):
                self.segments.save(self.number, self.head)

    @contextmanager
    def _watched(self, what: str) -> Iterator[None]:
        """Tell once of an C{OSError} of the block, until the block succeeds."""
        try:
            yield
        except OSError as e:
            if self._unable.begins(what):
                self._tell(f"{what}: {e.strerror}")
        else:
            self._unable.ends(what)

    # Closing.

    def leave(self) -> None:
        """Close the file: another process goes on with the journal."""
        self.disk.rest()
        self.segments.close()

    def sync(self) -> Deferred[None]:
        """
        Sync what was written, for the last time.

        @return: fires when it is on the disk, at once with C{sync = "never"}.
        """
        self.disk.rest()
        return self.disk.ask() if self._config.sync != "never" else succeed(None)

    def close(self) -> None:
        """Close the files, and let go of what is shared."""
        self.segments.close()
        self.disk.stop()
        if self._joint is not None:
            self._joint.close()
            self._joint = None
