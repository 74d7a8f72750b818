"""
The workers of a supervisor: started, replaced, changed together, ended.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, final

from twisted.cred.checkers import ICredentialsChecker
from twisted.internet.defer import Deferred, DeferredList, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from socksgw.accept.held import Held, Place
from socksgw.audit.journal import Journal, JournalError
from socksgw.audit.process import workerLine
from socksgw.audit.sharedend import SharedEnd
from socksgw.config.problems import Finding
from socksgw.config.schema import Config
from socksgw.gateway.parts import Part
from socksgw.gateway.role import Role, WorkerStanding
from socksgw.gateway.starting import CannotStart
from socksgw.limits.board import Board
from socksgw.limits.counters import Kept
from socksgw.limits.shared import SharedCounters
from socksgw.login.ring import Ring
from socksgw.login.throttle import LoginThrottle
from socksgw.metrics.merging import counted, unpacked
from socksgw.metrics.merging import packed as packedSnapshot
from socksgw.metrics.snapshot import Snapshot
from socksgw.negotiate.resumption import Resumptions
from socksgw.route.upstreams.checks import Checked, Checks
from socksgw.system.channel import Message
from socksgw.workers.child import Child
from socksgw.workers.orders import NotForWorkers, findings, packed
from socksgw.workers.questions import Questions
from socksgw.workers.relieving import Together, awaitAll, moved, relieved
from socksgw.workers.steering import Steering
from socksgw.workers.storm import Storm

if TYPE_CHECKING:
    from socksgw.gateway.gateway import Gateway

__all__ = ["Workforce"]

_log = Logger()

#: Looks, one a second, after which a worker that answers none is ended.
_SILENT: Final = 15
#: The same of one that starts.
_STARTING: Final = 60
#: Seconds after which another process is started that waits.
_SPARE: Final = 2.0
#: Seconds that a worker may take to end after its last session.
_END: Final = 20.0


@final
class Workforce(Part, Role):
    """
    All workers of a gateway: a part of it, and its role.

    @ivar count: how many there are to be.
    @ivar children: the processes, by the number of the worker.
    @ivar deaths: how many have died so far, by the number of the worker.
    """

    named = "the workers"

    def __init__(
        self,
        reactor: Any,
        count: int,
        checkers: Sequence[ICredentialsChecker] | None = None,
    ) -> None:
        """
        Start nobody yet.

        @param checkers: used instead of those that the configuration names.
        """
        self.count = count
        self._reactor = reactor
        self._checkers = checkers
        self._held = Held(count)
        self.address = self._held.address
        self.endpoint = self._held.endpoint
        self.path = self._held.path
        self.datagrams = self._held.datagrams
        self._board = Board.made(count)
        self._logins = Ring.made()
        self._resumptions = Resumptions(time.monotonic)
        self._counters = SharedCounters(self._board, 0, time.monotonic)
        self._gateway: Gateway | None = None
        self._journal: Journal | None = None
        self._end: SharedEnd | None = None
        self.children: dict[int, Child] = {}
        #: Processes that become workers when this supervisor serves.
        self._waiting: list[Child] = []
        #: A process that has not become a worker yet.
        self._spare: Child | None = None
        self._again: dict[int, Any] = {}
        self._begun: Deferred[Sequence[str]] = Deferred()
        self._hasBegun = False
        self._storm = Storm()
        self._stopping = False
        #: Whether another supervisor serves.
        self._leaving = False
        #: What leads to the worker before each, by number.
        self._before: dict[int, int] = {}
        #: How workers begin where another supervisor is succeeded.
        self._together: Together | None = None
        #: Whether another supervisor is about to serve.
        self._relieved = False
        self._stopped = 0.0
        self.deaths: Counter[int] = Counter()
        self._past = Snapshot(0.0)
        self._steering = Steering(self._held.groupOf)
        self._questions = Questions(reactor, self._all)

    def of(self, gateway: Gateway) -> None:
        """Belong to a gateway, which has been built with this as its role."""
        self._gateway = gateway
        gateway.adjoin(self)

    # The role of the supervisor.

    def openJournal(self, journal: Journal, lock: int) -> None:
        """As L{Role.openJournal}: others write, too."""
        self._journal = journal
        if self._end is not None:
            # Workers of another supervisor write, too.
            journal.succeed(self._end, lock)
            return
        journal.open(lock)
        try:
            self._end = SharedEnd.made(self.count)
        except OSError as e:
            raise JournalError(f"memory for workers: {e.strerror}") from None
        journal.share(self._end)

    @property
    def checks(self) -> Checks:
        """As L{Role.checks}: this process does, and tells all."""
        return Checks(True, lambda found: self._tellOf([found], self._all()))

    def _tellOf(self, found: Sequence[Checked], whom: Iterable[Child]) -> None:
        """Tell workers of checks of upstreams."""
        for each in whom:
            if each.serves:
                each.tell({"do": "checked", "checks": found})

    def counters(self, clock: Callable[[], float]) -> Kept:
        """As L{Role.counters}: those of all workers."""
        return self._counters

    @property
    def sessions(self) -> int:
        """As L{Role.sessions}; not older than a second."""
        return sum(each.sessions for each in self.children.values())

    @property
    def isBusy(self) -> bool:
        """As L{Role.isBusy}."""
        return bool(self.children) or self._spare is not None

    def standings(self) -> Sequence[WorkerStanding]:
        """As L{Role.standings}."""
        return [self._standing(number) for number in range(1, self.count + 1)]

    def _standing(self, number: int) -> WorkerStanding:
        child = self.children.get(number)
        deaths = self.deaths[number]
        if child is None:
            return WorkerStanding(number, 0, "dead", 0.0, 0, deaths)
        state = "serves" if child.serves else "starts"
        if child.serves and child.isSilent:
            state = "silent"
        seconds = self._reactor.seconds() - child.began
        return WorkerStanding(number, child.pid, state, seconds, child.sessions, deaths)

    def unready(self) -> Sequence[str]:
        """As L{Role.unready}."""
        serving = sum(each.serves for each in self.children.values())
        return () if serving else ("no worker serves",)

    def begun(self) -> Deferred[Sequence[str]]:
        """As L{Role.begun}."""
        return self._begun

    # Another supervisor.

    def handlesOf(self, port: Any) -> Sequence[int]:
        """As L{Role.handlesOf}: a socket for each worker."""
        return self._held.handlesOf(port)

    def given(self, sockets: Sequence[socket.socket]) -> Any:
        """As L{Role.given}: all of them."""
        return sockets

    def prepare(self) -> None:
        """As L{Role.prepare}: have a process wait for each worker."""
        assert self._gateway is not None
        self._waiting += [self._child() for _ in range(self.count)]
        awaitAll(self._waiting, self._reactor, self._gateway.watch)

    def relieve(
        self, throttle: LoginThrottle, resumptions: Resumptions
    ) -> tuple[Message, list[int]]:
        """As L{Role.relieve}: each worker has a channel to the one in its place."""
        assert self._end is not None
        ours = [x.another() for x in (self._end, self._logins, self._resumptions)]
        self._relieved = True
        theirs, descriptors = relieved(self._all())
        told = {**theirs, "past": packedSnapshot(self._past), "resumptions": True}
        return told, [*ours, *descriptors]

    def resumptions(self, clock: Callable[[], float]) -> Resumptions:
        """As L{Role.resumptions}: those of all workers."""
        return self._resumptions

    def succeed(
        self,
        told: Message,
        descriptors: list[int],
        throttle: LoginThrottle,
        resumptions: Resumptions,
    ) -> None:
        """As L{Role.succeed}."""
        end, logins, *others = descriptors
        # A gateway of an older release has none for all.
        if told.get("resumptions"):
            resumptions.join(others.pop(0))
        self._end = SharedEnd(end, self.count)
        os.close(self._logins.fd)
        self._logins = Ring(logins)
        self._before = dict(zip(map(int, told["numbers"]), others, strict=True))
        self._past = unpacked(told["past"])
        self._together = Together(
            self.count, told, self._started, self._failed, self._keep
        )

    @property
    def paused(self) -> float | None:
        """As L{Role.paused}."""
        return None if self._together is None else self._together.paused

    def goOn(self) -> None:
        """As L{Role.goOn}."""
        self._relieved = False
        for number in range(1, self.count + 1):
            if number not in self.children and number not in self._again:
                self._spawn(number)

    def leave(self) -> Deferred[tuple[int, int]]:
        """As L{Role.leave}."""
        self._leaving = True
        self._startNone()
        for each in self._all():
            if not each.serves:
                each.tell({"do": "end"})
        # However long it takes: what is not told would be counted as lost.
        return self._questions.ask({"do": "leave"}, None).addCallback(moved)

    # Starting and replacing.

    def start(self) -> None:
        """As L{Part.start}."""
        for number in range(1, self.count + 1):
            self._spawn(number)

    def _spawn(self, number: int) -> None:
        self._again.pop(number, None)
        gateway, end = self._gateway, self._end
        if self._ends or gateway is None or end is None or self._journal is None:
            return
        if self._relieved:
            # The worker in its place has its numbers.
            return
        first = (end.last(number - 1) or number - self.count) + self.count
        places, sockets = self._sockets(number)
        opened: list[int] = []
        before = self._before.pop(number, -1)
        preceding = [before] if before >= 0 else []
        try:
            if not self._counters.forget(number):
                raise BlockingIOError(0, "another worker stands still as it counts")
            for each in (end, self._board, self._logins, self._resumptions):
                opened.append(each.another())
            child = self._ready(number, gateway)
            starting = child.ask(
                {
                    "do": "start",
                    "number": number,
                    "count": self.count,
                    "first": first,
                    "preceded": bool(preceding),
                    "succeeds": self._together is not None and not self._hasBegun,
                    "places": places,
                    "checks": gateway.generation.upstreams.failing,
                    "config": packed(gateway.config, self._checkers),
                },
                [self._journal.lock, *opened, *preceding, *sockets],
            )
        except NotForWorkers as e:
            raise CannotStart(str(e)) from None
        except OSError as e:
            self._unable(number, str(e.strerror))
            return
        finally:
            for fd in (*opened, *preceding):
                os.close(fd)
        starting.addCallbacks(
            partial(self._started, child), partial(self._failed, child)
        )

    def _child(self) -> Child:
        return Child(self._ended, self._counters.know, self._questions.asked)

    @property
    def _ends(self) -> bool:
        """Whether no worker is started any more."""
        return self._stopping or self._leaving

    def _ready(self, number: int, gateway: Gateway) -> Child:
        """
        Return a process for a worker: the one that waits, if there is one.

        @raise OSError: none can be started.
        """
        if self._waiting:
            child: Child | None = self._waiting.pop()
        else:
            child, self._spare = self._spare, None
        if child is None:
            child = self._child()
            child.spawn(self._reactor, gateway.watch)
        child.number = number
        self.children[number] = child
        self._later(0)
        return child

    def _prepare(self) -> None:
        """Have a process wait, which takes the place of a worker at once."""
        waiting = self._again.pop(0, None)
        if waiting is not None and waiting.active():
            waiting.cancel()
        if self._ends or self._spare is not None or self._gateway is None:
            return
        child = self._child()
        try:
            child.spawn(self._reactor, self._gateway.watch)
        except OSError as e:
            self._unable(0, str(e.strerror))
        else:
            self._spare = child

    def _unable(self, number: int, why: str) -> None:
        """Take note that a process cannot be started; try again."""
        line = f"worker {number} cannot be started: {why}"
        _log.error("{line}", line=line)
        if not self._hasBegun:
            # Nobody would serve: that is told whoever starts the gateway.
            self._tellBegun(
                [f"{line}; a worker is {sys.executable} -m socksgw.workers"]
            )
            return
        self._later(number)

    def _started(self, child: Child, answer: dict[str, Any]) -> None:
        problems = findings(answer)
        if problems:
            child.why = "; ".join(map(str, problems))
            if not self._hasBegun:
                self._tellBegun([str(each) for each in problems])
            child.kill()
            return
        if "counted" not in answer:
            assert self._together is not None
            self._together.built(child)
            return
        child.serves, child.silent = True, 0
        # The counts of the worker before it: it may die before it is asked.
        child.count(unpacked(answer["counted"]))
        assert self._gateway is not None
        # And what was found since it began.
        self._tellOf(self._gateway.generation.upstreams.failing, [child])
        self._steer()
        _log.info(
            "worker {number} serves (process {pid})", number=child.number, pid=child.pid
        )
        serving = sum(each.serves for each in self.children.values())
        if serving == self.count:
            self._tellBegun(())

    def _tellBegun(self, problems: Sequence[str]) -> None:
        if not self._hasBegun:
            self._hasBegun = True
            self._begun.callback(problems)

    def _failed(self, child: Child, failure: Failure) -> None:
        """End a worker that could not do what it was asked."""
        child.why = child.why or failure.getErrorMessage()
        child.kill()

    def _ended(self, child: Child, how: str) -> None:
        """Take note that a process has ended; replace it, unless all end."""
        number = child.number
        if child in self._waiting:
            self._waiting.remove(child)
            return
        if child is self._spare:
            self._spare = None
            self._later(0)
            if self._ends and self._gateway is not None:
                self._gateway.settled()
            return
        if self.children.get(number) is child:
            del self.children[number]
        self._counters.forget(number)
        self._steer()
        if child.measured is not None:
            self._keep(child.measured)
        assert self._gateway is not None
        if self._ends:
            if how and number:
                self._tellDied(child, how)
            self._gateway.settled()
            return
        self.deaths[number] += 1
        self._tellDied(child, how or "it has ended by itself")
        if not self._hasBegun and not child.serves:
            self._tellBegun([f"worker {number} ended: {how}"])
            return
        self._later(number)

    def _keep(self, counts: Snapshot) -> None:
        """Go on counting from what a worker had counted that has died."""
        self._past = counted([self._past, counts])

    def _tellDied(self, child: Child, how: str) -> None:
        assert self._gateway is not None
        _log.error(
            "worker {number} (process {pid}) died {how}; its sessions are lost",
            number=child.number,
            pid=child.pid,
            how=how,
        )
        self._gateway.journal.append(workerLine("died", child.pid, how, child.number))

    def _later(self, number: int) -> None:
        """
        Replace a worker: at once, or after a pause where they die in a row.

        @param number: 0 for the process that waits, which has time.
        """
        if not number:
            if not self._again.get(0) and not self._ends:
                self._again[0] = self._reactor.callLater(_SPARE, self._prepare)
            return
        pause = self._storm.died(self._reactor.seconds())
        if pause:
            # It begins meanwhile.
            self._prepare()
            if self._gateway is not None and self._storm.isNew:
                self._gateway.journal.append(workerLine("storm", 0, "", number))
        self._again[number] = self._reactor.callLater(pause, self._spawn, number)

    # Who gets clients.

    def _steer(self) -> None:
        """Have new clients come to workers alone that answer, if some do not."""
        if self._gateway is None or self._ends:
            return
        found = sorted(n - 1 for n, each in self.children.items() if each.answers)
        members = found if len(found) < self.count else []
        self._steering.to(members, [port for _, port in self._gateway.ports()])

    # Changing.

    def _sockets(self, number: int) -> tuple[list[Place], list[int]]:
        """Return the places that are open, and the sockets of one worker there."""
        assert self._gateway is not None
        ports = self._gateway.ports()
        return [place for place, _ in ports], [
            self._held.socketOf(port, number - 1) for _, port in ports
        ]

    def _all(self) -> Iterator[Child]:
        """Go over the processes of now; some may end meanwhile."""
        return iter(list(self.children.values()))

    def agree(self, config: Config) -> Deferred[Sequence[Finding]]:
        """As L{Role.agree}."""
        try:
            order = {"do": "prepare", "config": packed(config, self._checkers)}
        except NotForWorkers as e:
            return succeed([Finding(config.file, "", str(e))])
        return self._questions.agree(order)

    def forget(self) -> None:
        """As L{Role.forget}."""
        for each in self._all():
            each.tell({"do": "forget"})

    def use(self) -> Deferred[int]:
        """As L{Role.use}."""
        answers = []
        for each in self._all():
            places, sockets = self._sockets(each.number)
            answer = each.ask({"do": "use", "places": places}, sockets)
            # What is in force is one thing: who cannot follow begins anew with it.
            answer.addCallbacks(lambda a: int(a["ended"]), partial(self._useless, each))
            answers.append(answer)
        all_: Deferred[Any] = DeferredList(answers)
        return all_.addCallback(lambda found: sum(ended for _, ended in found))

    def _useless(self, child: Child, failure: Failure) -> int:
        if self.children.get(child.number) is child:
            self._failed(child, failure)
        return 0

    def askAll(self, question: Message) -> Deferred[list[dict[str, Any]]]:
        """As L{Role.askAll}."""
        return self._questions.ask(question)

    def measured(self) -> Deferred[list[Snapshot]]:
        """As L{Role.measured}."""
        measuring = self._questions.measured()
        return measuring.addCallback(lambda found: [self._past, *found])

    def regranted(self) -> None:
        """As L{Role.regranted}."""
        for each in self._all():
            each.tell({"do": "grants"})

    def relisten(self) -> None:
        """As L{Role.relisten}."""
        for each in self._all():
            places, sockets = self._sockets(each.number)
            each.tell({"do": "listen", "places": places}, sockets)

    def look(self) -> None:
        """As L{Part.look}: ask how they are, and end those that are stuck."""
        for each in self._all():
            each.silent += 1
            most = _SILENT if each.serves else _STARTING
            if each.silent > most:
                each.why = f"it has not answered for {most} s"
                each.kill()
            elif each.serves:
                each.ask({"do": "ping"}).addCallbacks(
                    partial(self._pong, each), lambda _: None
                )
        self._steer()
        if self._stopped and self._reactor.seconds() > self._stopped:
            for each in self._all():
                each.kill()

    def _pong(self, child: Child, answer: dict[str, Any]) -> None:
        before, child.silent = child.isSilent, 0
        if before:
            self._steer()
        child.sessions = int(answer["sessions"])
        child.count(unpacked(answer["counted"]))

    # Ending.

    def draining(self) -> None:
        """As L{Part.draining}."""
        self._stopping = True
        self._tellBegun(())
        self._startNone()
        assert self._gateway is not None
        drain = float(self._gateway.config.timeouts.drain)
        self._stopped = self._reactor.seconds() + drain + _END
        for each in self._all():
            each.tell({"do": "stop"})

    def _startNone(self) -> None:
        """Start no processes any more."""
        for call in self._again.values():
            call.cancel()
        self._again.clear()
        if self._spare is not None:
            self._spare.tell({"do": "end"})

    def endAll(self) -> None:
        """As L{Role.endAll}."""
        now = self._reactor.seconds()
        self._stopped = min(self._stopped or now + _END, now + _END)
        for each in self._all():
            each.tell({"do": "end"})
