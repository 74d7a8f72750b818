"""
The process of a worker.

It is a gateway as any other. Its sockets, its configuration, and its place in the
journal come by the channel. Signals that go to all of a terminal or a control group
are the supervisor's; when the supervisor is gone, the worker ends at once: two gateways
never serve in one place.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final, final

from twisted.internet.defer import Deferred, fail
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.logger import LogEvent, Logger, LogLevel, formatEvent, globalLogBeginner
from twisted.python.failure import Failure

from socksgw.accept import given
from socksgw.accept.admission import Commons
from socksgw.admin import parts
from socksgw.admin.together import DO
from socksgw.audit.journal import Journal
from socksgw.audit.process import workerLine
from socksgw.audit.sharedend import SharedEnd
from socksgw.config.problems import ConfigError
from socksgw.config.schema import Config
from socksgw.gateway.gateway import Gateway
from socksgw.gateway.measuring import Latest, tally
from socksgw.gateway.reload import Built, problemsOf
from socksgw.gateway.role import Role
from socksgw.gateway.service import spareCollector
from socksgw.gateway.starting import CannotStart
from socksgw.limits.allowance import Bucket
from socksgw.limits.board import Board
from socksgw.limits.counters import Kept, Key
from socksgw.limits.shared import SharedCounters
from socksgw.limits.sharedrates import SharedRates
from socksgw.login.ring import Ring
from socksgw.login.throttle import LoginThrottle
from socksgw.metrics.merging import packed
from socksgw.negotiate.resumption import Resumptions
from socksgw.route.outward import Last
from socksgw.route.upstreams.checks import Checked, Checks
from socksgw.system.channel import Channel, ChannelError, Message
from socksgw.system.clock import steady
from socksgw.system.domains import Domain
from socksgw.system.log import Log
from socksgw.system.logformats import levelOf
from socksgw.system.watch import Watch
from socksgw.workers.destinations import LAST, answer, lastsIn, question
from socksgw.workers.orders import CHANNEL, configIn, socketsIn, told
from socksgw.workers.share import shareOf
from socksgw.workers.succession import Before, Leaver

__all__ = ["Worker", "main"]

_log = Logger()

#: Seconds within which the supervisor says what to do.
_PATIENCE: Final = 60.0
#: Seconds in which the supervisor says what it is asked, with the answers of all.
_ANSWER: Final = 5.0
#: Descriptors at the start that are no sockets of listeners.
_OWN: Final = 2


@final
class Place(Role):
    """
    The place of a worker among the others.

    @ivar latest: returns the number of its last session.
    """

    isWhole = False

    def __init__(
        self,
        number: int,
        count: int,
        first: int,
        end: SharedEnd,
        lock: int,
        board: Board,
        logins: Ring,
        resumptions: int,
    ) -> None:
        """
        Take a place.

        @param count: how many workers there are.
        @param first: the number of the first session.
        @param end: where the journal ends.
        @param lock: the descriptor of the journal's lock.
        @param board: what all count together.
        @param logins: what they tell each other of logins.
        @param resumptions: the memory of logins that requests go on with.
        """
        self.number = number
        self.count = count
        self.numbers = first, count
        self.address = given.address
        self.endpoint = given.endpoint
        self.path = given.path
        self.datagrams = given.datagrams
        self._end = end
        self._lock = lock
        self._board = board
        self._rates = SharedRates(board, number)
        self._logins = logins
        self._resumptions = resumptions
        self.tell: Callable[[Sequence[tuple[Key, float]]], bool] = lambda _: False
        self.latest: Callable[[], int] = lambda: 0
        self.ask: Callable[[Message], Deferred[dict[str, Any]]] | None = None

    def openJournal(self, journal: Journal, lock: int) -> None:
        """As L{Role.openJournal}."""
        journal.join(self._end, self._lock, self.number, self.latest)

    def counters(self, clock: Callable[[], float]) -> Kept:
        """As L{Role.counters}: with the other workers."""
        counters = SharedCounters(self._board, self.number, clock)
        counters.tell = lambda names: self.tell(names)
        return counters

    @property
    def checks(self) -> Checks:
        """As L{Role.checks}: the supervisor does, and tells us."""
        return Checks(False, lambda _: None)

    def destinations(
        self, domain: Domain, client: Any, version: int
    ) -> Deferred[Sequence[Last]]:
        """As L{Role.destinations}: all workers answer."""
        assert self.ask is not None
        return self.ask(question(domain, client, version)).addCallbacks(
            lastsIn, self._unknown
        )

    def _unknown(self, failure: Failure) -> Sequence[Last]:
        """Do without, as one that is alone: the supervisor stands still, or ends."""
        failure.trap(ChannelError, DeferredTimeout)
        _log.error("no other worker said where a client connected to")
        return ()

    def commons(self, clock: Callable[[], float]) -> Commons:
        """As L{Role.commons}: beside what sessions are counted by."""
        return SharedCounters(self._board, self.number, clock)

    def resumptions(self, clock: Callable[[], float]) -> Resumptions:
        """As L{Role.resumptions}: those of all workers."""
        return Resumptions(clock, self._resumptions)

    def join(self, throttle: LoginThrottle) -> None:
        """As L{Role.join}."""
        throttle.join(self._logins)

    def bucket(self, key: Key, rate: int, now: float) -> Bucket:
        """As L{Role.bucket}: with the other workers."""
        return self._rates.bucket(key, rate, now)

    def startLine(self, config: Config) -> str:
        """As L{Role.startLine}."""
        return workerLine("started", os.getpid())

    def stopLine(self, gateway: str) -> str:
        """As L{Role.stopLine}."""
        return workerLine("stopped", os.getpid())


@final
class Worker:
    """A worker, as it obeys."""

    def __init__(self, reactor: Any, connection: socket.socket) -> None:
        """
        Take the channel; nothing is done yet.
        """
        self._reactor = reactor
        self._watch = Watch(reactor)
        self._channel = Channel(
            connection, self._watch, self._told, self._abandoned, self._asked
        )
        self._gateway: Gateway | None = None
        #: The gateway until it takes the place of the worker before, and what leads to
        #: that one; what is asked meanwhile is done afterwards.
        self._coming: Gateway | None = None
        self._before: Before | None = None
        self._meanwhile: list[Callable[[], object]] = []
        self._built: Built | None = None
        self._starting = self._orphaned = False
        self._leaver: Leaver | None = None
        self._checks: Sequence[Sequence[Any]] = ()
        self._count = 1

    def start(self) -> None:
        """Begin to obey."""
        self._watch.start()
        self._channel.start()

    def log(self, event: LogEvent) -> None:
        """Have the supervisor log something; beyond what it reads, it is lost."""
        text = formatEvent(event)
        failure = event.get("log_failure")
        if isinstance(failure, Failure):
            text += "\n" + failure.getTraceback()
        with suppress(ChannelError, OSError):
            self._channel.send(
                {
                    "log": {
                        "level": levelOf(event).name,
                        "namespace": str(event.get("log_namespace", "")),
                        "text": text,
                        "time": event.get("log_time", time.time()),
                    }
                }
            )

    # Orders.

    def _asked(
        self, message: dict[str, Any], descriptors: list[int]
    ) -> Message | Deferred[Message]:
        what = message.get("do")
        if what in ("start", "take"):
            self._starting = True
            try:
                if what == "take":
                    return self._take()
                return self._start(message, descriptors)
            finally:
                self._starting = False
                if self._orphaned:
                    self._abandoned("")
        gateway = self._gateway
        if gateway is None:
            if self._coming is None:
                raise ChannelError("the worker has not started")
            later: Deferred[None] = Deferred()
            self._meanwhile.append(partial(later.callback, None))
            return later.addCallback(lambda _: self._asked(message, descriptors))
        if what == "prepare":
            return self._prepare(gateway, message)
        if what == "use":
            return self._use(gateway, message, descriptors)
        if what == "ping":
            sessions = gateway.sessions
            return {
                "sessions": len(sessions),
                "last": sessions.last,
                "counted": packed(tally(gateway)),
            }
        if what == "leave":
            return self._leave(gateway)
        if what == "measure":
            return Latest().ask(gateway, self._reactor).addCallback(packed)
        if what == LAST:
            return answer(message, gateway.networks)
        if what == DO:
            return Deferred.fromCoroutine(parts.answer(message, gateway, self._reactor))
        raise ChannelError(f"no worker can {what}")

    def _told(self, message: dict[str, Any], descriptors: list[int]) -> None:
        gateway, what = self._gateway, message.get("do")
        if what in ("stop", "end"):
            self._quit(what == "end")
        elif gateway is None:
            if self._coming is not None:
                self._meanwhile.append(partial(self._told, message, descriptors))
        elif what == "accept":
            if self._before is not None:
                self._before.serving()
            gateway.relief.goOn()
        elif what == "listen":
            self._listen(gateway, message, descriptors)
        elif what == "grants":
            gateway.grants.look()
        elif what == "forget":
            self._forget(gateway)
        elif what == "checked":
            self._hear(gateway, message["checks"])
        elif what == "relieve":
            connection = socket.socket(fileno=descriptors.pop())
            self._leaver = Leaver(
                gateway, self._reactor, self._watch, connection, self._reactor.stop
            )

    def _quit(self, atOnce: bool) -> None:
        """End, whether there is a gateway by now or not."""
        gateway = self._gateway or self._coming
        if gateway is None:
            self._reactor.stop()
        else:
            self._stop(gateway, atOnce)

    def _start(self, message: dict[str, Any], descriptors: list[int]) -> Message:
        """
        Be a gateway; where another supervisor is succeeded, only prepare to be one.

        @return: as of L{_begin}, or nothing: L{_take} is to follow.
        """
        lock, memory, limits, logins, resumptions, *listening = descriptors
        before = listening.pop(0) if message["preceded"] else -1
        count = self._count = int(message["count"])
        end = SharedEnd(memory, count)
        place = Place(
            int(message["number"]),
            count,
            int(message["first"]),
            end,
            lock,
            Board(limits, count + 1),
            Ring(logins),
            resumptions,
        )
        place.tell = self._name
        place.ask = self._ask
        config, checkers = configIn(message)
        try:
            gateway = Gateway(
                self._reactor, shareOf(config, count), checkers=checkers, role=place
            )
            sessions = gateway.sessions
            place.latest = lambda: sessions.last
            gateway.give(socketsIn(message["places"], listening))
            gateway.listen()
        except (ConfigError, CannotStart) as e:
            return {"problems": told(problemsOf(e))}
        gateway.failed = self._failed
        gateway.give({})
        spareCollector()
        self._checks = message["checks"]
        self._coming = gateway
        if not message["succeeds"]:
            return self._begin(gateway)
        # The worker before serves on until all who come with us are as far.
        gateway.relief.pause()
        if before >= 0:
            self._before = Before(gateway, self._watch, socket.socket(fileno=before))
        return {}

    def _take(self) -> Message:
        """
        Take the place of the worker before, and accept no clients yet.

        @return: as of L{_begin}; since when nobody is accepted; and whether the one
            before has died, and has told nothing.
        """
        gateway, before = self._coming, self._before
        if gateway is None:
            raise ChannelError("the worker has not been prepared")
        since, lost = time.monotonic(), False
        if before is not None:
            try:
                lost = not before.take()
            except CannotStart as e:
                return {"problems": told(problemsOf(e))}
        return {**self._begin(gateway), "since": since, "lost": lost}

    def _begin(self, gateway: Gateway) -> Message:
        """
        Serve; clients come in the next turn.

        @return: what is wrong, or what it goes on counting from.
        """
        try:
            gateway.start()
        except CannotStart as e:
            return {"problems": told(problemsOf(e))}
        # The upstreams are there from now on.
        self._hear(gateway, self._checks)
        self._gateway, self._coming = gateway, None
        meanwhile, self._meanwhile = self._meanwhile, []
        for each in meanwhile:
            each()
        return {"counted": packed(tally(gateway))}

    @staticmethod
    def _hear(gateway: Gateway, checks: Sequence[Sequence[Any]]) -> None:
        """Take note of what upstreams were found to be."""
        for each in checks:
            gateway.generation.upstreams.heard(Checked(*each))

    def _prepare(self, gateway: Gateway, message: dict[str, Any]) -> Deferred[Message]:
        """Build another configuration, without using it yet."""
        self._forget(gateway)
        config, _ = configIn(message)
        building = gateway.reloads.prepare(shareOf(config, self._count))
        return building.addCallbacks(
            self._prepared, lambda f: {"problems": told(problemsOf(f.value))}
        )

    def _prepared(self, built: Built | None) -> Message:
        self._built = built
        return {}

    def _forget(self, gateway: Gateway) -> None:
        built, self._built = self._built, None
        if built is not None:
            gateway.reloads.drop(built)

    def _use(
        self, gateway: Gateway, message: dict[str, Any], descriptors: list[int]
    ) -> Deferred[Message]:
        """Have what is built in force."""
        built, self._built = self._built, None
        if built is None:
            raise ChannelError("there is nothing that was prepared")
        gateway.give(socketsIn(message["places"], descriptors))
        judging = gateway.reloads.use(built)
        gateway.give({})
        return judging.addCallback(lambda ended: {"ended": ended})

    def _listen(
        self, gateway: Gateway, message: dict[str, Any], descriptors: list[int]
    ) -> None:
        """Listen at other sockets, or at none."""
        gateway.give(socketsIn(message["places"], descriptors))
        gateway.drain()
        if message["places"]:
            try:
                gateway.undrain()
            except CannotStart as e:
                self._failed(str(e))

    def _leave(self, gateway: Gateway) -> Message | Deferred[Message]:
        """Have the sessions go on in the worker that has our place, if it asked."""
        if self._leaver is not None:
            return self._leaver.leave()
        gateway.handOver(None).addBoth(lambda _: self._reactor.stop())
        return {"moved": 0, "left": len(gateway.sessions)}

    def _stop(self, gateway: Gateway, atOnce: bool) -> None:
        if not gateway.stopping:
            gateway.stop().addBoth(lambda _: self._reactor.stop())
        if atOnce:
            gateway.endAll()

    def _name(self, names: Sequence[tuple[Key, float]]) -> bool:
        """
        Tell of windows that are counted here.

        @return: whether that was possible.
        """
        try:
            self._channel.send({"windows": names})
        except (ChannelError, OSError):
            return False
        return True

    def _ask(self, message: Message) -> Deferred[dict[str, Any]]:
        """Ask the supervisor; what it does not answer in time fails."""
        try:
            asked = self._channel.ask(message)
        except (ChannelError, OSError) as e:
            return fail(ChannelError(str(e)))
        return asked.addTimeout(_ANSWER, self._reactor)

    # Failing.

    def _failed(self, line: str) -> None:
        _log.critical("{line}", line=line)
        with suppress(ChannelError, OSError):
            self._channel.send({"failed": line})
        if self._gateway is not None or self._coming is not None:
            self._quit(True)

    def _abandoned(self, why: str) -> None:
        """End at once: the supervisor is gone."""
        self._orphaned = True
        if self._starting:
            # The threads of a gateway end with it alone: L{_start} ends it.
            return
        self._quit(True)


def _ignore() -> None:
    """Leave signals to the supervisor, which gets them, too."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def main() -> None:
    """Run a worker, whose channel is at the descriptor L{CHANNEL}."""
    _ignore()
    from twisted.internet import reactor

    found: Any = reactor
    steady(found)
    worker = Worker(found, socket.socket(fileno=CHANNEL))
    globalLogBeginner.beginLoggingTo(
        [Log(worker.log, LogLevel.debug)], redirectStandardIO=False
    )
    found.callWhenRunning(_ignore)
    worker.start()
    found.run()
    sys.exit(0)
