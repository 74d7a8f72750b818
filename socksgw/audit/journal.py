"""
Write the audit journal: append-only, numbered, chained lines.

A line is in the kernel before anything is granted. All lines of one batch of
events go out in one C{write(2)}. A write that fails is taken back whole, the requests that
wait for it are refused, and the journal tries again by itself.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias, final

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from socksgw.audit import chain
from socksgw.audit.disk import Disk
from socksgw.audit.growth import Growth
from socksgw.audit.ration import Ration
from socksgw.audit.refusals import Refusal, Refusals
from socksgw.audit.segments import InUse, Segments
from socksgw.audit.sharedend import SharedEnd
from socksgw.audit.waiting import Waiting, Written, awaited, fail, fire
from socksgw.config.schema import AuditConfig
from socksgw.system.coroutines import Awaited
from socksgw.system.files import FileError
from socksgw.system.once import Once, Seldom

if TYPE_CHECKING:
    from socksgw.audit.checkpoints import Checkpoints

__all__ = ["Elsewhere", "Journal", "JournalError"]

_log = Logger()

#: Lines kept while they cannot be written; what comes beyond is counted.
_KEPT: Final = 100_000
#: Seconds between two tries to write again.
_RETRY: Final = 0.25
#: Seconds until the turn is asked for again, where several processes write.
_TURN: Final = 0.001
#: How often the last lines ask for it.
_TURNS: Final = 2000
#: The share of C{max_size} up to which lines of clients without a login are
#: written: the rest is for users that log in.
_STRANGERS: Final = 0.9
#: Seconds between two lines in the log that tell the head.
_SAY: Final = 3600.0


#: Has another process write lines; fires when they are written, or were refused.
Elsewhere: TypeAlias = Callable[[Sequence[Waiting]], Deferred[None]]


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
    @ivar checkpoints: what signs the head now and then, if anything does.
    @ivar failing: whether lines cannot be written now.
    @ivar refused: how many decisions were refused because their lines could not be
        written, since it could be written last.
    @ivar refusedInAll: the same, since it was opened.
    @ivar lostInAll: how many lines that no request waited for could not be kept.
    """

    def __init__(
        self,
        directory: Path,
        config: AuditConfig,
        reactor: Any,
        wall: Callable[[], float] = time.time,
        onTrouble: Callable[[str], None] | None = None,
        shared: bool = False,
        soon: Callable[[Callable[[], None]], object] | None = None,
        writers: int = 1,
    ) -> None:
        """
        Prepare; L{open} touches the directory.

        @param wall: returns the time of a line, in seconds since the epoch.
        @param onTrouble: called with one line when something is wrong, and when it
            is over; by default it is logged.
        @param shared: whether other users may write to the directory.
        @param soon: calls something when the events at hand have been told; by
            default that is in the reactor's next turn.
        @param writers: how many processes have a share of what strangers may fill.
        """
        self.directory = directory
        self._config = config
        self._reactor = reactor
        self._soon = soon or (lambda call: reactor.callLater(0, call))
        self._wall = wall
        self._tell = onTrouble or (lambda text: _log.error("{text}", text=text))
        self._segments = Segments(directory, config, wall, self._tell, shared)
        self._ration = Ration(config, self._tell, writers)
        self._refusals = Refusals(self._ration)
        self.number = 0
        self.head = chain.FIRST
        self.checkpoints: Checkpoints | None = None
        self.failing = False
        self.refused = 0
        self._lost = 0
        self.refusedInAll = self.lostInAll = 0
        # Whether the present file was moved, deleted or cut.
        self._gone = False
        # Whether lines of clients without a login are refused, to save room.
        self._short = False
        # Tells each failure once, until it is over.
        self._unable = Once()
        self._growth = Growth(self._tell)
        self._lines: deque[Waiting] = deque()
        self._due = False
        self._disk = Disk(reactor, lambda: self._segments.fd, self._tell)
        self._second = -1
        self._stamp = ""
        self._headSaid = Seldom(_SAY)
        self._each = config.sync == "each"
        # Whether lines are only kept, since another process may take over.
        self._resting = False
        self._elsewhere: Elsewhere | None = None
        self._handed: Deferred[None] = succeed(None)
        #: Where the chain ends, if several processes add to it.
        self._joint: SharedEnd | None = None
        self._mark = ""
        self._writer = 0
        self._latest: Callable[[], int] | None = None
        #: Whether this process sees to the files: one does.
        self._keeps = True

    @property
    def needed(self) -> Callable[[], int | None]:
        """
        What returns the number of the first line that a sink still needs.

        Files are kept for that longer than C{keep}; L{None} if there is no sink.
        """
        return self._segments.retention.needed

    @needed.setter
    def needed(self, needed: Callable[[], int | None]) -> None:
        self._segments.retention.needed = needed

    def apply(self, config: AuditConfig) -> None:
        """
        Use another configuration from now on.

        @param config: its C{keep}, C{max_size}, C{when_full} and C{on_failure} are
            used; the rest needs a restart.
        """
        self._config = self._segments.retention.config = config
        self._ration.apply(config)
        self._growth.apply(self._segments.full, config)

    # Opening.

    def open(self, lock: int = -1) -> None:
        """
        Lock the directory, cut off a torn last line, and continue after it.

        @param lock: a descriptor of the lock, where another process of ours has it
            and hands it over.
        @raise JournalError: the directory cannot be used, or is not a journal.
        """
        try:
            found = self._segments.open(lock)
        except InUse:
            raise JournalError(
                f"the journal {self.directory} is in use by another process; "
                "stop it, or give this one its own [gateway] state_dir"
            ) from None
        except FileError as e:
            raise JournalError(str(e)) from None
        except chain.Broken as e:
            raise JournalError(f"{e}; move the file away to begin another") from None
        except OSError as e:
            raise JournalError(
                f"the journal {self.directory} cannot be opened: {e.strerror}; "
                "make the directory writable for this user, or change "
                "[gateway] state_dir"
            ) from None
        self.number, self.head = found.number, found.head
        sync = self._config.sync
        self._disk.start(None if isinstance(sync, str) else float(sync))
        if found.torn:
            self.append(f'"event":"recovered","octets":{found.torn}')
        if found.missing:
            self._missing(found.missing, found.number, "")

    def _missing(self, first: int, last: int, file: str) -> None:
        """Tell the log and the journal of lines that were taken away."""
        where = f" with {file}" if file else ""
        self._tell(
            f"the journal's lines {first} to {last} were moved, deleted or cut{where}; "
            f"it goes on with line {last + 1}, and audit verify will not call it whole"
        )
        self.append(f'"event":"missing","from":{first},"to":{last}')

    # Several processes.

    def share(self, end: SharedEnd) -> None:
        """
        Let other processes add to the chain, from now on.

        This one has opened the journal, and sees to its files.
        """
        self._joint = end
        end.set(self._segments.end(self.number, self.head))

    def join(
        self, end: SharedEnd, lock: int, worker: int, latest: Callable[[], int]
    ) -> None:
        """
        Add to a chain that another process has opened; this is instead of L{open}.

        @param lock: the descriptor of its lock, which keeps other gateways from the
            journal as long as a process of this one has it.
        @param worker: the number of this process, which each of its lines tells.
        @param latest: returns the number of its last session.
        @raise JournalError: the present file cannot be opened.
        """
        self._joint, self._keeps = end, False
        self._mark = f',"worker":{worker}'
        self._writer, self._latest = worker - 1, latest
        self._segments.join(lock)
        try:
            if not self._taken():
                raise JournalError("the journal is being written for too long")
        except OSError as e:
            raise JournalError(
                f"the journal {self.directory} cannot be opened: {e.strerror}"
            ) from None
        end.give()
        sync = self._config.sync
        self._disk.start(None if isinstance(sync, str) else float(sync))

    @property
    def lock(self) -> int:
        """The descriptor of the lock, for L{join} in another process."""
        return self._segments.lock

    def _taken(self, tries: int = 1) -> bool:
        """
        Take the turn, and see where the journal ends by now.

        @return: whether we have it.
        @raise OSError: the present file cannot be opened; we do not have it then.
        """
        assert self._joint is not None
        while not self._joint.take():
            tries -= 1
            if tries <= 0:
                return False
            time.sleep(_TURN)
        try:
            self._follow(self._joint)
        except BaseException:
            self._joint.give()
            raise
        return True

    def _follow(self, joint: SharedEnd) -> None:
        end = joint.get()
        if self._segments.isOther(end.first):
            # What we have not synced yet is in the file of before.
            if self._disk.dirty:
                self._disk.ask().addErrback(self._disk.failed)
            self._segments.adopt(end.first)
            self._gone = False
        if joint.broken:
            end, torn = self._segments.mended(end)
            joint.set(end)
            if torn:
                self.append(f'"event":"recovered","octets":{torn}')
        if self._keeps:
            self._growth.wrote(
                max(0, end.size - self._segments.size),
                self._segments.full,
                self._config,
            )
        self._segments.size = end.size
        self.number, self.head = end.number, end.head

    @property
    def octets(self) -> int:
        """How many octets all its files have."""
        return self._segments.full

    @property
    def waiting(self) -> int:
        """How many lines are not written yet."""
        return len(self._lines)

    # Lines.

    def commit(self, line: str, stranger: bool = False) -> Deferred[None]:
        """
        Add a line that a request waits for.

        @param line: the JSON members from C{event} on, without braces, ASCII.
        @param stranger: whether the client has not logged in.
        @return: fires when the line is in the kernel (with C{sync = "each"}:
            on the disk); fails with L{AuditFailed} when it cannot be written.
        """
        waiting: Deferred[None] = Awaited()
        self._lines.append(Waiting(line, waiting, stranger))
        if not self._due:
            self._schedule()
        return waiting

    def commitFor(self, line: str, waiting: Written, stranger: bool = False) -> None:
        """
        Add a line as L{commit} does, for what hears of it by itself.

        @param waiting: is called in the place of the Deferred that L{commit} returns.
        """
        self._lines.append(Waiting(line, waiting, stranger))
        if not self._due:
            self._schedule()

    def append(self, line: str, stranger: bool = False) -> None:
        """
        Add a line that no request waits for.

        It is kept until it can be written, unless too many are kept already.

        @param stranger: as of L{commit}.
        """
        if len(self._lines) >= _KEPT:
            self._lost += 1
            self.lostInAll += 1
            return
        self._lines.append(Waiting(line, None, stranger))
        if not self._due:
            self._schedule()

    def refusal(self, refusal: Refusal, line: Callable[[], str]) -> Deferred[None]:
        """
        Add the line of a client that is refused; beyond a rate, only count it.

        @param refusal: what the refusal is counted by.
        @param line: makes the line, where there is to be one.
        @return: as of L{commit}.
        """
        if self._refusals.whole(refusal):
            body = line()
            self._refusals.wrote(refusal, body)
            return self.commit(body, stranger=not refusal.loggedIn)
        return succeed(None)

    def _sum(self, last: bool = False) -> None:
        """Add a line for each sum of refusals that were only counted."""
        for line, stranger in self._refusals.sums(self._reactor.seconds(), last):
            self.append(line, stranger)

    def _schedule(self) -> None:
        self._due = True
        self._soon(self._flush)

    def _time(self) -> str:
        """Return the time now, as RFC 3339 with milliseconds."""
        now = self._wall()
        second = int(now)
        if second != self._second:
            self._second = second
            self._stamp = time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(second))
        return f"{self._stamp}{int((now - second) * 1000):03d}Z"

    def _flush(self, tries: int = 1) -> None:
        """
        Write all lines that wait, with one C{write(2)}.

        After a failure it is tried again although none waits: where nobody sends
        clients to a gateway that cannot write, none would come.

        @param tries: how often the turn is asked for, where several processes write.
        """
        self._due = False
        if self._elsewhere is not None and self._lines:
            taken = list(self._lines)
            self._lines.clear()
            self._handed = self._elsewhere(taken)
            return
        if not (self._lines or self.failing) or self._segments.fd < 0 or self._resting:
            return
        joint = self._joint
        if joint is not None:
            try:
                if not self._taken(tries):
                    self._due = True
                    self._reactor.callLater(_TURN, self._flush)
                    return
            except OSError as e:
                taken = list(self._lines)
                self._lines.clear()
                self._failed(taken, e)
                return
        try:
            written = self._put()
        finally:
            if joint is not None:
                joint.give()
        if written is None:
            return
        fire(written)
        signs = self.checkpoints
        if signs is not None and self.number >= signs.dueAt:
            self._sign(signs)

    def _put(self) -> list[Waiting] | None:
        """
        Write all lines that wait.

        @return: those whose requests go on at once; L{None} if nothing was written.
        """
        taken = list(self._lines)
        self._lines.clear()
        short = self._isShort()
        if short:
            taken = self._withoutStrangers(taken)
        resumed = self.failing or (self._short and not short)
        self._short = short
        if not taken and not resumed:
            return None
        number, head = self.number, self.head
        stamp, mark = self._time(), self._mark
        out: list[bytes] = []
        bodies = [line.body for line in taken]
        if resumed:
            bodies.insert(
                0,
                f'"event":"resumed","refused":{self.refused},"lost":{self._lost}',
            )
        for body in bodies:
            number += 1
            octets, head = chain.chained(
                f'"v":1,"n":{number},"time":"{stamp}",{body}{mark}', head
            )
            out.append(octets)
        octets = b"".join(out)
        try:
            self._write(octets)
        except (OSError, FileError, InUse) as e:
            self._failed(taken, e)
            return None
        self.number, self.head = number, head
        self._disk.dirty = True
        if resumed:
            self.refused = self._lost = 0
        if self.failing:
            self.failing = False
            self._tell("the journal is written again")
        if self._each:
            self._disk.ask().addCallbacks(
                lambda _: fire(taken), lambda f: fail(taken, str(f.value))
            )
        if self._segments.due:
            self._rotate()
        if self._joint is not None:
            self._joint.set(self._segments.end(number, head))
            if self._latest is not None:
                self._joint.reached(self._writer, max(0, self._latest()))
        return [] if self._each else taken

    def _sign(self, signs: Checkpoints) -> None:
        """Add a checkpoint, if one is due."""
        now = self._reactor.seconds()
        if signs.due(self.number, now):
            self.append(signs.line(self.number, self.head, now))

    def _write(self, octets: bytes) -> None:
        """
        Write all of the octets, or nothing.

        @raise OSError: nothing was written.
        @raise FileError: nothing was written: others can change the directory.
        @raise InUse: nothing was written: another process has locked the directory.
        """
        joint = self._joint
        if joint is not None:
            joint.begin()
        try:
            if self._gone:
                self._segments.replace(self.number + 1)
                self._gone = False
            self._segments.write(octets)
        except (OSError, FileError, InUse):
            # Where a part of a line stays, whoever is next removes it.
            if joint is not None and not self._segments.torn:
                joint.set(self._segments.end(self.number, self.head))
            raise
        self._growth.wrote(len(octets), self._segments.full, self._config)

    def _isShort(self) -> bool:
        """
        Tell whether the room that is left is kept for users who log in.
        """
        most = self._config.max_size
        return (
            self._config.when_full == "refuse"
            and self._segments.full >= most * _STRANGERS
        )

    def _withoutStrangers(self, taken: list[Waiting]) -> list[Waiting]:
        """
        Refuse the lines of clients that have not logged in.

        @return: the other lines.
        """
        strangers = [line for line in taken if line.stranger]
        if not self._short:
            self._tell(
                f"the journal has {_STRANGERS:.0%} of its max_size: clients without a "
                "login are refused, and their lines counted; raise audit.max_size, "
                "which a reload applies"
            )
        refused = awaited(strangers)
        self.refused += refused
        self.refusedInAll += refused
        self._lost += len(strangers) - refused
        self.lostInAll += len(strangers) - refused
        self._notWritten(strangers, "the journal is nearly full")
        return [line for line in taken if not line.stranger]

    def _failed(self, taken: list[Waiting], error: Exception) -> None:
        """
        Handle a write that failed: refuse the requests that wait, keep other lines.

        @param taken: the lines that were to be written.
        """
        if not self.failing:
            self.failing = True
            if isinstance(error, InUse):
                why = "another process has taken its directory"
            else:
                why = getattr(error, "strerror", None) or str(error)
            self._tell(
                f"the journal cannot be written: {why}; "
                + (
                    "new requests are refused until it can"
                    if self._config.on_failure == "refuse"
                    else "requests go on without a record"
                )
            )
        self._lines.extendleft(reversed([t for t in taken if t.committed is None]))
        refused = awaited(taken)
        self.refused += refused
        self.refusedInAll += refused
        self._due = True
        self._reactor.callLater(_RETRY, self._flush)
        self._notWritten(taken, "the journal cannot be written")

    def _notWritten(self, lines: list[Waiting], why: str) -> None:
        """Refuse the requests that wait for lines, or not, as C{on_failure} says."""
        if self._config.on_failure == "refuse":
            fail(lines, why)
        else:
            fire(lines)

    def _rotate(self) -> None:
        if self._keeps:
            self._lookAtFile()
        if self._gone:
            return
        # Octets that are not synced yet are all in the present file: ask before it
        # is closed.
        self._disk.ask().addErrback(self._disk.failed)
        self._segments.rotate(self.number + 1)

    # Once a second.

    def look(self) -> None:
        """
        Do what is due once a second.

        That is: look whether the present file is still there, write the sums of
        refusals and the head, and tell of growth.
        """
        if self._elsewhere is not None:
            self._sum()
        if self._segments.fd < 0 or self._resting:
            return
        now = self._reactor.seconds()
        self._sum()
        if not self._keeps:
            return
        if self._joint is not None:
            with self._watched("the journal's file cannot be opened"):
                if self._taken():
                    self._joint.give()
        self._lookAtFile()
        self._save()
        self._segments.look(now)
        self._growth.look(now, self._segments.full, self._config)
        if self.checkpoints is not None:
            self._sign(self.checkpoints)
        if self._headSaid.due(now):
            self._sayHead()

    def _lookAtFile(self) -> None:
        if self._gone:
            return
        with self._watched("the journal's file cannot be looked at"):
            if self._segments.displaced():
                self._gone = True
                first = chain.firstOf(Path(self._segments.name))
                self._missing(first, self.number, self._segments.name)

    def _save(self) -> None:
        if not self._gone:
            with self._watched("where the journal ends is not kept"):
                self._segments.save(self.number, self.head)

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

    def _sayHead(self) -> None:
        """
        Tell the log the head, which C{socksgw audit verify --head} compares.
        """
        if self.number:
            _log.info(
                "journal head {number}:{head}", number=self.number, head=self.head
            )

    # Another process.

    def rest(self) -> int:
        """
        Write what waits, and keep all lines from now on: another process reads them.

        @return: a descriptor of the lock, which stays the journal's.
        """
        self._sum(last=True)
        self._flush()
        self._save()
        self._resting = True
        return self._segments.lock

    def goOn(self) -> None:
        """Write again, after L{rest}: the other process has not taken over."""
        self._resting = False
        self._flush()

    def handOver(self, elsewhere: Elsewhere) -> None:
        """
        Leave the journal to another process, which is given all lines from now on.

        The lock is not let go of: the other process has it, too.
        """
        self._elsewhere, self._resting = elsewhere, False
        self._disk.rest()
        self._segments.close()
        self._flush()

    # Closing.

    def close(self) -> Deferred[None]:
        """
        Write what is left, sync, and close the files.

        @return: fires when all of that is done.
        """
        if self._elsewhere is not None:
            self._sum(last=True)
            self._flush()
            self._disk.stop()
            return self._handed
        if self._segments.fd < 0:
            return succeed(None)
        self._sum(last=True)
        if self._keeps:
            self._lookAtFile()
        self._flush(_TURNS)
        if self.checkpoints is not None and not self.failing:
            # The last line is signed, too.
            self.checkpoints.dueAt = 0
            self._sign(self.checkpoints)
            self._flush(_TURNS)
        if self._keeps:
            self._save()
            self._sayHead()
        self._disk.rest()
        done = self._disk.ask() if self._config.sync != "never" else succeed(None)
        return done.addBoth(self._closed)

    def _closed(self, _: object) -> None:
        self._segments.close()
        self._disk.stop()
        if self._joint is not None:
            self._joint.close()
            self._joint = None
