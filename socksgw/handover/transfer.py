"""
The old process: what it tells the one that takes over, and what becomes of it.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final, final

from twisted.internet.defer import Deferred, ensureDeferred, gatherResults
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from socksgw.admin.parts import answers
from socksgw.gateway.gateway import Gateway
from socksgw.gateway.starting import CannotStart
from socksgw.handover.leaving import Leaving
from socksgw.handover.lines import GivenLines
from socksgw.handover.place import VERSION
from socksgw.system.channel import MOST, Channel, ChannelError, Message
from socksgw.system.watch import Watch

__all__ = ["Transfer"]

_log: Final = Logger()

#: Octets that may wait in the channel while sessions are told.
_BOUND: Final = 1 << 20
#: Seconds that the new process may take from the state to the first turn of its
#: reactor: meanwhile nobody is served.
_PATIENCE: Final = 15.0
#: Seconds between two messages of what the sessions that are left take of limits.
_TELL: Final = 0.25
#: Seconds in which it reads the last counts.
_LAST: Final = 5.0


@final
class Transfer:
    """
    One process that wants to take over.

    @ivar pid: its number; 0 before it has said that.
    @ivar why: why it has not taken over.
    @ivar done: whether it has.
    @ivar seconds: for how long no client was accepted.
    @ivar arrived: fires when it has everything; fails if it is gone before.
    @ivar settled: fires then, too, and never fails.
    @ivar sessions: how many sessions have moved there, and how many are left here.
    """

    def __init__(
        self,
        gateway: Gateway,
        reactor: Any,
        connection: socket.socket,
        release: Callable[[Transfer, Deferred[None]], None],
        over: Callable[[Transfer], None],
    ) -> None:
        """
        Answer what it asks.

        @param release: called when it serves, with what fires when the last session
            that is left here is over.
        @param over: called when it is gone without having taken over.
        """
        self._gateway = gateway
        self._reactor = reactor
        self._release = release
        self._over = over
        self._resting = self._ended = False
        self._late: Any = None
        self.pid = 0
        self.why: Sequence[str] = ()
        self.done = False
        self.arrived: Deferred[None] = Deferred()
        self.settled: Deferred[None] = Deferred()
        # Fires when it has the parts, whether sessions move yet or not.
        self._parts: Deferred[None] = Deferred()
        self._leaving: Leaving | None = None
        self.sessions = (0, 0)
        self._since = self.seconds = 0.0
        self._telling = LoopingCall(self._tellCounts)
        self._telling.clock = reactor
        # The gateway's own ends before its last lines are written.
        self._watch = Watch(reactor)
        self._watch.start()
        self.channel = Channel(
            connection, self._watch, self._received, self._closed, self._asked, _BOUND
        )
        self.channel.start()

    # What it asks.

    def _asked(self, message: dict[str, Any], fds: list[int]) -> Any:
        _close(fds)
        gateway, what = self._gateway, message.get("what")
        if what == "part" and self.done:
            return ensureDeferred(answers(message["of"], gateway, self._reactor))
        if gateway.stopping or gateway.relief.done:
            raise ChannelError("the gateway is stopping")
        if what == "sockets":
            if message.get("version") != VERSION:
                raise self._refused(
                    f"the new process speaks version {message.get('version')} of the "
                    f"handover, and the one that serves version {VERSION}: stop the "
                    "gateway, and start the new version"
                )
            if message.get("workers") != gateway.role.count:
                raise self._refused(
                    f"{gateway.role.count} processes serve clients, and in the new "
                    f"configuration {message.get('workers')} are to: another number of "
                    "[gateway] workers takes effect when the gateway is stopped and "
                    "started"
                )
            self.pid = int(message["pid"])
            return self._sockets()
        if what == "state" and not self._resting and self.pid:
            return self._state()
        raise ChannelError("that is not to be asked now")

    def _refused(self, why: str) -> ChannelError:
        """Note why it cannot take over: another version may not tell that itself."""
        self.why = [why]
        return ChannelError(why)

    def _sockets(self) -> Message:
        handles = self._gateway.relief.handles()
        for at in range(0, len(handles), MOST):
            part = handles[at : at + MOST]
            places = [place for place, _ in part]
            told = {"what": "sockets", "places": places}
            self.channel.send(told, [fd for _, fd in part])
        return {"pid": os.getpid()}

    def _state(self) -> Message:
        self._late = self._reactor.callLater(_PATIENCE, self._tooLate)
        self._since = self._reactor.seconds()
        gateway = self._gateway
        lock = gateway.relief.rest()
        self._resting = True
        others, fds = gateway.role.relieve(gateway.throttle, gateway.resumptions)
        try:
            self.channel.send({"what": "lock", "others": others}, [lock, *fds])
        finally:
            _close(fds)
        return {
            **gateway.relief.told(),
            "left": self._left() + gateway.role.sessions,
            "counts": gateway.relief.counts(),
        }

    # What it tells.

    def _received(self, message: dict[str, Any], fds: list[int]) -> None:
        _close(fds)
        what = message.get("what")
        if what == "failed":
            self.why = [str(each) for each in message["why"]]
        elif what == "adopted" and self._resting:
            self.channel.send({"what": "go"})
        elif what == "serving" and self._resting:
            self._served(message.get("paused"))
        elif what == "arrived" and self.done:
            self._parts.callback(None)
        elif what == "stop" and self.done:
            self._gateway.relief.hasten(float(message["seconds"]))
        elif what == "reload" and self.done:
            self._gateway.reload()
        else:
            raise ValueError(f"{what!r} was not to be said now")

    def _tooLate(self) -> None:
        """Do without it: nobody was served for too long."""
        self._late = None
        self.why = [f"it did not serve within {_PATIENCE:g} seconds"]
        # It may begin at any time, and must not beside us: its end is told.
        with suppress(OSError):
            os.kill(self.pid, signal.SIGKILL)

    def _served(self, paused: Any) -> None:
        """
        Let go: it serves.

        @param paused: as of L{Role.paused} there.
        """
        here = self._reactor.seconds() - self._since
        self.seconds = here if paused is None else float(paused)
        self._inTime()
        self._resting = False
        self.done = True
        gateway = self._gateway
        self._leaving = Leaving(gateway, self.channel)
        over = gateway.handOver(GivenLines(self.channel))
        self._telling.start(_TELL, now=False)
        leaving = gateway.relief.leave()
        moving: list[Deferred[Any]] = [gateway.role.leave(), self._move(), self._parts]
        gatherResults(moving).addCallbacks(self._arrived, lambda _: None)
        self._release(self, over)
        # Only then does the service manager hear the other process.
        leaving.addBoth(self._partsLeft)

    def _left(self) -> int:
        """Return how many sessions are here, and in processes before this one."""
        return sum(count for *_, count in self._gateway.relief.living())

    def _move(self) -> Deferred[None]:
        """Have sessions go on there; some that cannot now may later."""
        assert self._leaving is not None
        moving = ensureDeferred(self._leaving.move())
        return moving.addErrback(self._unmoved)

    def idle(self) -> Deferred[None]:
        """As L{Leaving.idle}, once it L{done}."""
        assert self._leaving is not None
        return self._leaving.idle()

    def _unmoved(self, failure: Failure) -> None:
        # Its end is told by itself; and where there is no descriptor there may be later.
        if not failure.check(ChannelError, OSError):
            _log.failure("sessions could not move", failure)

    def _arrived(self, results: list[Any]) -> None:
        (moved, left), *_ = results
        if self._leaving is not None:
            moved += self._leaving.moved
            left += self._left()
        self.sessions = moved, left
        if not self.settled.called:
            if left:
                # They live by the rules of now, too.
                self._gateway.reload()
            self.arrived.callback(None)
            self.settled.callback(None)

    def _tellCounts(self) -> None:
        """Tell what the sessions that are left here take of limits and quotas."""
        relief = self._gateway.relief
        if not self.channel.isOpen:
            return
        self._move()
        if not self.channel.hasRoom:
            # What is taken of the meters has to arrive.
            return
        counts, spent = relief.counts(), relief.spent()
        told = {"what": "counts", "counts": counts, "spent": spent}
        self.channel.send(
            {**told, "meters": relief.metered(), "living": relief.living()}
        )

    def _partsLeft(self, result: object) -> None:
        if isinstance(result, Failure):
            _log.failure("a part could not be left", result)
        with suppress(ChannelError):
            self.channel.send({"what": "left"})

    def _inTime(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _closed(self, why: str) -> None:
        """Act on its end."""
        self._inTime()
        if self.done:
            if not self._ended:
                if not self.settled.called:
                    self.arrived.errback(CannotStart("it ended when it had taken over"))
                    self.settled.callback(None)
                # Nobody writes our lines, and whoever serves now judges nothing here.
                _log.error("the process that has taken over is gone: ending")
                self._gateway.relief.hasten(0)
            return
        self._unwatch()
        if self._telling.running:
            self._telling.stop()
        if self._resting:
            self._resting = False
            self._gateway.relief.goOn()
            self._gateway.role.goOn()
        self.why = self.why or ["the new process ended before it served"]
        self._over(self)

    def close(self) -> None:
        """End: everything is recorded."""
        self._ended = True
        if self._telling.running:
            self.channel.flush(_LAST)
            self._tellCounts()
            self._telling.stop()
        if self.channel.isOpen:
            self.channel.flush(_LAST)
            self.channel.close()
            self._unwatch()

    def _unwatch(self) -> None:
        """Let go of the epoll instance, but not while it tells something."""
        self._reactor.callLater(0, self._watch.stop)


def _close(fds: Sequence[int]) -> None:
    """Close descriptors that are not wanted."""
    for fd in fds:
        os.close(fd)
