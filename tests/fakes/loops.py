"""
Loops and clocks of a test's own: nothing happens before the test turns them.
"""

from __future__ import annotations

import os
import select
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IDelayedCall
from twisted.internet.selectreactor import SelectReactor
from twisted.internet.task import Clock

from tests.tools.waiting import until

__all__ = ["ReactorLoop", "Timer", "Timers", "WatchedLoop", "Watcher"]


class Timer:
    """A deadline on a clock of the test's."""

    def __init__(self, call: IDelayedCall) -> None:
        self._call = call

    def clear(self) -> None:
        """Forget it; nothing, once it has passed."""
        if self._call.active():
            self._call.cancel()


class Timers:
    """
    Set deadlines on a clock of the test's.

    @ivar clock: the clock; its reactor's part can be used besides.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock = clock or Clock()

    @property
    def now(self) -> float:
        """The time of the deadlines."""
        return self.clock.seconds()

    @property
    def pending(self) -> int:
        """How many deadlines are set."""
        return len(self.clock.getDelayedCalls())

    def setDeadline(self, seconds: float, call: Callable[[], None]) -> Timer:
        """Call this when so much time has passed (L{socksgw.interfaces})."""
        return Timer(self.clock.callLater(seconds, call))

    def advance(self, seconds: float) -> None:
        """Let time pass; each call finds the time that it was set for."""
        end = self.now + seconds
        while due := [
            call.getTime()
            for call in self.clock.getDelayedCalls()
            if call.getTime() <= end
        ]:
            self.clock.advance(max(0.0, min(due) - self.now))
        self.clock.advance(max(0.0, end - self.now))


class Watcher:
    """
    Tell readiness from an epoll of its own, as L{socksgw.system.watch.Watch}
    does from the reactor's.

    @ivar calls: what is called for each descriptor that is watched.
    """

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self.calls: dict[int, Callable[[int], None]] = {}
        self._again: dict[int, int] = {}

    def add(self, fd: int, events: int, ready: Callable[[int], None]) -> None:
        assert fd not in self.calls
        self._epoll.register(fd, events)
        self.calls[fd] = ready

    def hand(self, fd: int, ready: Callable[[int], None]) -> None:
        assert fd in self.calls
        self.calls[fd] = ready

    def again(self, fd: int, events: int = 0) -> None:
        assert fd in self.calls
        self._again[fd] = self._again.get(fd, 0) | events

    def change(self, fd: int, events: int) -> None:
        self._epoll.modify(fd, events)

    def remove(self, fd: int) -> None:
        self.closing(fd)
        self._epoll.unregister(fd)

    def closing(self, fd: int) -> None:
        del self.calls[fd]
        self._again.pop(fd, None)

    def turn(self, seconds: float = 0.0) -> bool:
        """Tell once what is ready, and return whether anything was."""
        again, self._again = self._again, {}
        found = self._epoll.poll(0 if again else seconds)
        found += again.items()
        for fd, events in found:
            if fd in self.calls:
                self.calls[fd](events)
        return bool(found)

    def close(self) -> None:
        self._epoll.close()


class WatchedLoop(Timers):
    """
    Serve real sockets by readiness alone, without a reactor.

    @ivar quiet: seconds without readiness after which nothing more is awaited.
    """

    quiet = 0.05

    def __init__(self) -> None:
        super().__init__()
        self.watcher = Watcher()

    def until(self, condition: Callable[..., object], seconds: float = 20.0) -> None:
        """Turn until something is so."""
        until(condition, seconds, lambda: self.watcher.turn(0.01))

    def settle(self) -> None:
        """Turn until nothing is ready any more for a while."""
        quiet = 0
        while quiet < 5:
            quiet = 0 if self.watcher.turn(self.quiet / 5) else quiet + 1

    def closeLoop(self) -> None:
        """See that nothing is watched or due any more."""
        assert self.watcher.calls == {}
        assert self.pending == 0
        self.watcher.close()


class ReactorLoop:
    """
    Serve real sockets by a reactor that nothing else uses.
    """

    def __init__(self) -> None:
        self.reactor: Any = SelectReactor()

    def until(self, condition: Callable[..., object], seconds: float = 20.0) -> None:
        """Turn until something is so."""
        until(condition, seconds, lambda: self.reactor.iterate(0.01))

    def settle(self) -> None:
        """Turn for a moment."""
        for _ in range(20):
            self.reactor.iterate(0.002)

    def closeLoop(self) -> None:
        """Close what the reactor itself has open."""
        waker = self.reactor.waker
        self.reactor.removeReader(waker)
        os.close(waker.i)
        os.close(waker.o)
