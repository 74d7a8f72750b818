"""
The gateway as a service: it starts, tells that it is ready, and ends with its process.
"""

from __future__ import annotations

import atexit
import gc
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final, NoReturn, Protocol, TypeVar

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.logger import ILogObserver, Logger

from socksgw.gateway.gateway import Gateway
from socksgw.gateway.kept import KeptPorts
from socksgw.gateway.reload import Answer
from socksgw.gateway.starting import CannotStart
from socksgw.system.floors import outdated
from socksgw.system.log import Log
from socksgw.system.readiness import Manager
from socksgw.system.rights import rightsOf
from socksgw.system.signals import Hangups

__all__ = ["Before", "Foreground", "GatewayService", "fail", "spareCollector"]

_log = Logger()

T = TypeVar("T")

#: Thresholds of the garbage collector: new objects before a collection, and
#: collections of each age before one of the next. Sessions leave no cycles, so it
#: only finds those of plug-ins and libraries. A live session has about 50 objects.
_THRESHOLDS: Final = (5_000, 10, 10)


#: Seconds between two looks at what is to be told.
_LOOK: Final = 10.0
#: Seconds that the end may take after the last session.
_END: Final = 30.0


class _Ended(SystemExit, Exception):
    """
    Ends the process with a status.

    It is an L{Exception}, too: only for these does twistd remove its pid file, and
    tell the process that waits until its daemon has started.
    """


def fail(lines: Sequence[str], status: int) -> NoReturn:
    """
    Print the lines to standard error, and exit with a status.
    """
    for line in lines:
        print(f"socksgw: {line}", file=sys.stderr)
    raise _Ended(status)


def _exitFailed() -> None:
    """
    End the process at once, with status 1.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)


def spareCollector() -> None:
    """
    Make the garbage collector run less often, and skip what exists already.

    What was made at the start lives as long as the process.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)


class Foreground(Protocol):
    """What a gateway that stays in the foreground tells people."""

    def start(self, gateway: Gateway, /) -> None:
        """Begin: the gateway serves clients."""

    def stop(self) -> None:
        """End: all sessions are over."""


class Before(Protocol):
    """
    The gateway that this one takes over from.

    @ivar arrived: called when it has left all to us, and has told the service manager.
    """

    arrived: Callable[[], None]

    def prepare(self) -> None:
        """
        Get what is listened on; this is before L{Gateway.listen}.

        @raise CannotStart: that is not possible.
        """

    def take(self) -> None:
        """
        Take over all else, in place of L{Gateway.start}.

        @raise CannotStart: that is not possible.
        """

    def serving(self) -> None:
        """Let the other one go: the reactor runs."""

    def failed(self, lines: Sequence[str]) -> None:
        """Tell the other one why it has to go on."""


class GatewayService(Service):
    """
    The gateway as a service of Twisted's.
    """

    name = "socksgw"

    def __init__(
        self,
        reactor: Any,
        gateway: Gateway,
        console: Foreground | None,
        signals: Hangups,
        foreground: bool,
        log: Log | None = None,
        statuses: bool = True,
        before: Before | None = None,
    ) -> None:
        """
        Take the parts; nothing is opened yet.

        @param console: tells people in the foreground; L{None} for nothing.
        @param signals: catches SIGHUP.
        @param foreground: whether the process stays in the foreground.
        @param log: writes the log; L{None} where somebody else does.
        @param statuses: whether the service manager is told how it stands.
        @param before: what this one takes over from; L{None} for nothing.
        """
        self._hangups = signals
        self._foreground = foreground
        self._reactor = reactor
        self.gateway = gateway
        self._console = console
        self._log = log
        self._manager = Manager()
        self._kept = KeptPorts(gateway, self._manager)
        gateway.adjoin(self._kept)
        self._statuses = statuses
        self._before = before
        if before is not None:
            before.arrived = self._heard
        self._status = ""
        self._looking = LoopingCall(self._look)
        self._looking.clock = reactor
        self._looks = 0
        # Twice within the time after which the manager takes us for stuck.
        self._pause = min(self._manager.every / 2 or _LOOK, _LOOK)

    def setServiceParent(self, parent: Any) -> None:
        """
        Join an application; it takes our log, where we have one.
        """
        super().setServiceParent(parent)  # type: ignore[no-untyped-call]
        if self._log is not None:
            parent.setComponent(ILogObserver, self._log)

    def privilegedStartService(self) -> None:
        """
        Open the listeners, before twistd gives up the rights of root.
        """
        super().privilegedStartService()  # type: ignore[no-untyped-call]
        if self._before is not None:
            self._try(self._before.prepare)
        else:
            self._kept.give()
        for line in (
            *self.gateway.generation.warnings,
            *self._try(self.gateway.listen),
        ):
            _log.warn("{line}", line=str(line))

    def startService(self) -> None:
        """
        Open the journal and begin to serve.
        """
        super().startService()  # type: ignore[no-untyped-call]
        # If user and group were to be changed, twistd has done that by now.
        kept = rightsOf()
        if kept is not None:
            _log.warn("{line}", line=kept)
        for old in outdated():
            _log.warn("{line}", line=old)
        spareCollector()
        self._try(self.gateway.start if self._before is None else self._before.take)
        self.gateway.failed = self._failed
        # Whoever asks for a reload: the manager is told.
        self.gateway.reloads.begins = self._manager.reloading
        self.gateway.reloads.ends = self._reloaded
        self._hangups.serve(self._reactor, self.gateway.reload, self._hungUp)
        # Only then clients are accepted, and all is open that stays open.
        self._reactor.callWhenRunning(self._ready)

    def _ready(self) -> None:
        """Tell everybody that clients are served."""
        begun = self.gateway.role.begun()
        if begun is None:
            self._serving(())
        else:
            begun.addCallback(self._serving)
        if self._before is None:
            self._looking.start(self._pause)

    def _serving(self, problems: Sequence[str]) -> None:
        """
        Tell everybody that clients are served.

        @param problems: why they cannot be.
        """
        if self.gateway.stopping:
            return
        if self._before is not None:
            if problems:
                self._before.failed(problems)
                # That one has the journal, which is not to be closed here.
                _exitFailed()
            self._before.serving()
        if problems:
            for line in problems[:-1]:
                _log.critical("{line}", line=line)
            self._failed(problems[-1])
            return
        if self._before is None:
            self._tellReady()
        if self._console is not None:
            self._console.start(self.gateway)

    def _tellReady(self) -> None:
        self._status = self._stands()
        self._manager.ready(self._status)

    def _heard(self) -> None:
        """Tell the manager how we are: from now on it hears us, and not the other."""
        if not self.gateway.stopping:
            self._tellReady()
            self._looking.start(self._pause)

    def released(self) -> None:
        """Tell nobody anything any more: another process serves."""
        self._manager.leave()
        if self._looking.running:
            self._looking.stop()
        if self._console is not None:
            self._console.stop()

    def _look(self) -> None:
        """
        Tell the manager that the reactor runs, and now and then how it stands.

        What the log has left out is told, too.
        """
        if self._manager.every:
            self._manager.alive()
        self._looks += 1
        if self._looks * self._pause >= _LOOK:
            self._looks = 0
            if self._log is not None:
                self._log.sweep()
            status = self._stands()
            if self._status and status != self._status:
                self._status = status
                self._manager.status(status)

    def _stands(self) -> str:
        """Return in a line what the gateway does, where that is to be told."""
        if not self._statuses:
            return ""
        sessions = self._sessions
        verb = "stopping" if self.gateway.stopping else "serving"
        return f"{verb}; {sessions:,} session{'' if sessions == 1 else 's'}"

    @property
    def _sessions(self) -> int:
        return len(self.gateway.sessions) + self.gateway.role.sessions

    def _reloaded(self, answer: Answer) -> None:
        """Tell the manager that a reload is over, and what became of it."""
        if self.gateway.stopping:
            return
        status = self._stands()
        if answer.problems and status:
            status += f"; not reloaded: {answer.problems[0]}"
        self._status = status
        self._manager.ready(status)

    def _failed(self, line: str) -> None:
        _log.critical("{line}", line=line)
        # This runs after twistd has cleaned up, which exits with 0 otherwise.
        atexit.register(_exitFailed)
        self._reactor.stop()

    def _hungUp(self) -> None:
        if not self.gateway.stopping:
            _log.warn("the terminal was closed: stopping")
            self._reactor.stop()

    def stopService(self) -> Deferred[None]:
        """
        Stop accepting, and wait until the sessions are over.

        @return: fires when the journal is closed.
        """
        super().stopService()  # type: ignore[no-untyped-call]
        sessions = self._sessions
        drain = float(self.gateway.config.timeouts.drain)
        # From here on a second SIGINT or SIGTERM ends the sessions.
        stopped = self.gateway.stop()
        if self.gateway.relief.done:
            return stopped
        self._manager.stopping(self._stands(), drain + _END)
        if sessions:
            _log.warn(
                "stopping: {sessions} sessions may go on for {drain:g} s; {again} ends "
                "them at once",
                sessions=sessions,
                drain=drain,
                again="^C" if self._foreground else "a second SIGTERM",
            )
        return stopped.addBoth(self._stopped)

    def _stopped(self, result: None) -> None:
        if self._looking.running:
            self._looking.stop()
        if self._console is not None:
            self._console.stop()

    def _try(self, step: Callable[[], T]) -> T:
        try:
            return step()
        except CannotStart as e:
            if self._before is not None:
                self._before.failed(str(e).splitlines())
            if self._console is None:
                # A daemon has no standard error that anybody reads.
                for line in str(e).splitlines():
                    _log.critical("{line}", line=line)
            fail(str(e).splitlines(), 1)
