"""
Write the audit journal: append-only, numbered, chained lines.

A line is in the kernel before anything is granted. All lines of one batch of
events go out in one C{write(2)}. A write that fails is taken back whole, the requests that
wait for it are refused, and the journal tries again by itself.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias, final

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from socksgw.audit.ration import Ration
from socksgw.audit.refusals import Refusal, Refusals
from socksgw.audit.segments import InUse
from socksgw.audit.sharedend import SharedEnd
from socksgw.audit.tail import TURN, TURNS, JournalError, Tail
from socksgw.audit.waiting import Waiting, Written, awaited, fail, fire
from socksgw.config.schema import AuditConfig
from socksgw.system.coroutines import Awaited
from socksgw.system.files import FileError
from socksgw.system.once import Seldom

if TYPE_CHECKING:
    from socksgw.audit.checkpoints import Checkpoints

__all__ = ["Elsewhere", "Journal", "JournalError"]

_log = Logger()

#: Lines kept while they cannot be written; what comes beyond is counted.
_KEPT: Final = 100_000
#: Seconds between two tries to write again.
_RETRY: Final = 0.25
#: The share of C{max_size} up to which lines of clients without a login are
#: written: the rest is for users that log in.
_STRANGERS: Final = 0.9
#: Seconds between two lines in the log that tell the head.
_SAY: Final = 3600.0


#: Has another process write lines; fires when they are written, or were refused.
Elsewhere: TypeAlias = Callable[[Sequence[Waiting]], Deferred[None]]


@final
class Journal:
    """
    The journal of one process.

    @ivar directory: where its files are.
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
        self._tail = Tail(
            directory, config, reactor, wall, self._tell, self.append, shared
        )
        self._ration = Ration(config, self._tell, writers)
        self._refusals = Refusals(self._ration)
        self.checkpoints: Checkpoints | None = None
        self.failing = False
        self.refused = 0
        self._lost = 0
        self.refusedInAll = self.lostInAll = 0
        # Whether lines of clients without a login are refused, to save room.
        self._short = False
        self._lines: deque[Waiting] = deque()
        self._due = False
        self._second = -1
        self._stamp = ""
        self._headSaid = Seldom(_SAY)
        self._each = config.sync == "each"
        # Whether lines are only kept, since another process may take over.
        self._resting = False
        self._elsewhere: Elsewhere | None = None
        self._handed: Deferred[None] = succeed(None)

    @property
    def number(self) -> int:
        """How many lines there are."""
        return self._tail.number

    @property
    def head(self) -> str:
        """The hash of the last line."""
        return self._tail.head

    @property
    def needed(self) -> Callable[[], int | None]:
        """
        What returns the number of the first line that a sink still needs.

        Files are kept for that longer than C{keep}; L{None} if there is no sink.
        """
        return self._tail.segments.retention.needed

    @needed.setter
    def needed(self, needed: Callable[[], int | None]) -> None:
        self._tail.segments.retention.needed = needed

    def apply(self, config: AuditConfig) -> None:
        """
        Use another configuration from now on.

        @param config: its C{keep}, C{max_size}, C{when_full} and C{on_failure} are
            used; the rest needs a restart.
        """
        self._config = config
        self._ration.apply(config)
        self._tail.apply(config)

    # Opening.

    def open(self, lock: int = -1) -> None:
        """
        Lock the directory, cut off a torn last line, and continue after it.

        @param lock: a descriptor of the lock, where another process of ours has it
            and hands it over.
        @raise JournalError: the directory cannot be used, or is not a journal.
        """
        self._tail.open(lock)

    # Several processes.

    def share(self, end: SharedEnd) -> None:
        """
        Let other processes add to the chain, from now on.

        This one has opened the journal, and sees to its files.
        """
        self._tail.share(end)

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
        self._tail.join(end, lock, worker, latest)

    @property
    def isShared(self) -> bool:
        """Whether other processes add to the chain."""
        return self._tail.isShared

    def succeed(self, end: SharedEnd, lock: int) -> None:
        """
        Open a journal that other processes go on writing, in place of who kept it.

        @param end: where it ends.
        @param lock: as of L{open}.
        @raise JournalError: it cannot be opened.
        """
        self._tail.succeed(end, lock)

    @property
    def lock(self) -> int:
        """The descriptor of the lock, for L{join} in another process."""
        return self._tail.segments.lock

    @property
    def octets(self) -> int:
        """How many octets all its files have."""
        return self._tail.segments.full

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
        self._lines.append((line, waiting, stranger))
        if not self._due:
            self._schedule()
        return waiting

    def commitFor(self, line: str, waiting: Written, stranger: bool = False) -> None:
        """
        Add a line as L{commit} does, for what hears of it by itself.

        @param waiting: is called in the place of the Deferred that L{commit} returns.
        """
        self._lines.append((line, waiting, stranger))
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
        self._lines.append((line, None, stranger))
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
        tail = self._tail
        if not (self._lines or self.failing) or not tail.isOpen or self._resting:
            return
        try:
            if not tail.take(tries):
                self._due = True
                self._reactor.callLater(TURN, self._flush)
                return
        except OSError as e:
            taken = list(self._lines)
            self._lines.clear()
            self._failed(taken, e)
            return
        try:
            written = self._put()
        finally:
            tail.give()
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
        bodies = [body for body, _, _ in taken]
        if resumed:
            bodies.insert(
                0,
                f'"event":"resumed","refused":{self.refused},"lost":{self._lost}',
            )
        try:
            self._tail.put(bodies, self._time())
        except (OSError, FileError, InUse) as e:
            self._failed(taken, e)
            return None
        if resumed:
            self.refused = self._lost = 0
        if self.failing:
            self.failing = False
            self._tell("the journal is written again")
        if self._each:
            self._tail.disk.ask().addCallbacks(
                lambda _: fire(taken), lambda f: fail(taken, str(f.value))
            )
        self._tail.settle()
        return [] if self._each else taken

    def _sign(self, signs: Checkpoints) -> None:
        """Add a checkpoint, if one is due."""
        now = self._reactor.seconds()
        if signs.due(self.number, now):
            self.append(signs.line(self.number, self.head, now))

    def _isShort(self) -> bool:
        """
        Tell whether the room that is left is kept for users who log in.
        """
        most = self._config.max_size
        return (
            self._config.when_full == "refuse"
            and self._tail.segments.full >= most * _STRANGERS
        )

    def _withoutStrangers(self, taken: list[Waiting]) -> list[Waiting]:
        """
        Refuse the lines of clients that have not logged in.

        @return: the other lines.
        """
        strangers = [line for line in taken if line[2]]
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
        return [line for line in taken if not line[2]]

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
        self._lines.extendleft(reversed([t for t in taken if t[1] is None]))
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

    # Once a second.

    def look(self) -> None:
        """
        Do what is due once a second.

        That is: look whether the present file is still there, write the sums of
        refusals and the head, and tell of growth.
        """
        if self._elsewhere is not None:
            self._sum()
        if not self._tail.isOpen or self._resting:
            return
        now = self._reactor.seconds()
        self._sum()
        self._tail.look(now)
        if not self._tail.keeps:
            return
        if self.checkpoints is not None:
            self._sign(self.checkpoints)
        if self._headSaid.due(now):
            self._sayHead()

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
        self._tail.save()
        self._resting = True
        return self._tail.segments.lock

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
        self._tail.leave()
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
            self._tail.disk.stop()
            return self._handed
        if not self._tail.isOpen:
            return succeed(None)
        self._sum(last=True)
        if self._tail.keeps:
            self._tail.lookAtFile()
        self._flush(TURNS)
        if self.checkpoints is not None and not self.failing:
            # The last line is signed, too.
            self.checkpoints.dueAt = 0
            self._sign(self.checkpoints)
            self._flush(TURNS)
        if self._tail.keeps:
            self._tail.save()
            self._sayHead()
        return self._tail.sync().addBoth(lambda _: self._tail.close())
