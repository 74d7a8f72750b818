"""
One worker, as the supervisor sees it.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, final

from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import LogLevel, globalLogPublisher
from twisted.python.failure import Failure

from socksgw.gateway.sinks import childEnvironment
from socksgw.limits.counters import Key
from socksgw.metrics.snapshot import Snapshot
from socksgw.system.channel import Channel, ChannelError, Message, channels
from socksgw.system.watch import Watcher
from socksgw.workers.orders import CHANNEL, windowsIn

__all__ = ["Child"]

#: Looks that a worker need not answer before it counts as silent.
_LATE: Final = 2
#: Standard output is the supervisor's; what a worker prints is an error.
_ERRORS: Final = 2


def _ignore(why: str) -> None:
    """Do nothing when a channel is closed: the end of the process is told."""


@final
class Child(ProcessProtocol):
    """
    A process of a worker.

    @ivar number: of the worker; 0 of a process that waits to become one.
    @ivar pid: of the process.
    @ivar began: when the process was started, in the reactor's seconds.
    @ivar serves: whether it has said that it serves clients.
    @ivar silent: for how many looks it has not answered.
    @ivar sessions: how many it has.
    @ivar why: what it said before it ended.
    @ivar measured: the values of its metrics: counters of the last second, others as
        of the last time they were asked for.
    """

    transport: Any

    def __init__(
        self,
        ended: Callable[[Child, str], None],
        named: Callable[[Sequence[tuple[Key, float]]], object],
        asked: Callable[[Message], Deferred[Message]],
    ) -> None:
        """
        Make one that is not started.

        @param named: called with the windows of quotas that it counts.
        @param ended: called once when the process has ended, with how.
        @param asked: answers what it asks.
        """
        self.number = 0
        self._ended = ended
        self._named = named
        self._answering = asked
        self.pid = 0
        self.began = 0.0
        self.serves = False
        self.silent = 0
        self.sessions = 0
        self.why = ""
        self.measured: Snapshot | None = None
        self._channel: Channel | None = None

    def spawn(self, reactor: Any, watch: Watcher) -> None:
        """
        Start the process.

        @raise OSError: that is not possible.
        """
        ours, theirs = channels()
        nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        try:
            reactor.spawnProcess(
                self,
                sys.executable,
                [sys.executable, "-m", "socksgw.workers"],
                env=childEnvironment(),
                childFDs={
                    0: nothing,
                    1: _ERRORS,
                    2: _ERRORS,
                    CHANNEL: theirs.fileno(),
                },
            )
        except BaseException:
            ours.close()
            raise
        finally:
            os.close(nothing)
            theirs.close()
        self.pid = self.transport.pid
        self.began = reactor.seconds()
        self._begin(ours, watch)

    def _begin(self, ours: socket.socket, watch: Watcher) -> None:
        # Without its channel it ends by itself.
        self._channel = Channel(ours, watch, self._said, _ignore, self._asked)
        self._channel.start()

    def awaitStart(self, seconds: float) -> None:
        """Wait until it hears orders; without effect if it does not in time."""
        assert self._channel is not None
        until = time.monotonic() + seconds
        heard: list[object] = []
        # It refuses that before it serves.
        self.ask({"do": "ping"}).addBoth(heard.append)
        while not heard and (left := until - time.monotonic()) > 0:
            if not self._channel.wait(left) and not self._channel.isOpen:
                break

    def ask(
        self, message: Message, descriptors: Sequence[int] = ()
    ) -> Deferred[dict[str, Any]]:
        """
        Ask it something.

        @return: fires with its answer; fails with L{ChannelError}.
        """
        assert self._channel is not None
        try:
            return self._channel.ask(message, descriptors)
        except (ChannelError, OSError) as e:
            failed: Deferred[dict[str, Any]] = Deferred()
            failed.errback(e)
            return failed

    def count(self, counted: Snapshot) -> None:
        """Take note of what it has counted so far."""
        if self.measured is None:
            self.measured = counted
        else:
            self.measured.renew(counted)

    def tell(self, message: Message, descriptors: Sequence[int] = ()) -> None:
        """Tell it something; one that does not read is ended by L{kill} later."""
        assert self._channel is not None
        with suppress(ChannelError, OSError):
            self._channel.send(message, descriptors)

    @property
    def isSilent(self) -> bool:
        """Whether it has not answered for too long."""
        return self.silent > _LATE

    @property
    def answers(self) -> bool:
        """Whether it serves, and answers."""
        return self.serves and not self.isSilent

    def kill(self) -> None:
        """End the process at once."""
        with suppress(ProcessExitedAlready):
            self.transport.signalProcess("KILL")

    def _asked(
        self, message: dict[str, Any], descriptors: list[int]
    ) -> Deferred[Message]:
        for fd in descriptors:
            os.close(fd)
        return self._answering(message)

    def _said(self, message: dict[str, Any], descriptors: list[int]) -> None:
        for fd in descriptors:
            os.close(fd)
        if "failed" in message:
            self.why = str(message["failed"])
        if "windows" in message:
            self._named(windowsIn(message["windows"]))
        if "log" in message:
            self._log(message["log"])

    def _log(self, said: Mapping[str, Any]) -> None:
        """Log what it has logged."""
        level = str(said.get("level", "info"))
        text = f"worker {self.number}: {said.get('text', '')}"
        globalLogPublisher(
            {
                "log_namespace": str(said.get("namespace", "")),
                "log_level": LogLevel.lookupByName(level),
                "log_format": text.replace("{", "{{").replace("}", "}}"),
                "log_time": float(said.get("time", 0.0)),
            }
        )

    def processEnded(self, reason: Failure) -> None:
        """Take note that it has ended."""
        if self._channel is not None:
            self._channel.close()
        value: Any = reason.value
        if value.signal is not None:
            how = f"by signal {value.signal}"
        elif value.exitCode or self.why:
            how = self.why or f"with status {value.exitCode}"
        else:
            how = ""
        self._ended(self, how)
