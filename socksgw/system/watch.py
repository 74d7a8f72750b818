"""
Readiness of many plain sockets, seen by the reactor as one.

An epoll instance of our own, itself watched by the reactor: an event costs a
call, where through the reactor it costs several times that in logging
context, and what is watched for changes in one system call.
"""

from __future__ import annotations

import select
from collections.abc import Callable
from typing import Any, Final, Protocol, final

from twisted.internet.interfaces import IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

__all__ = ["GONE", "READ", "WRITE", "Watch", "Watcher"]

_log = Logger()

#: Something to read, or the end of it.
READ: Final = select.EPOLLIN
#: Room to write, or a connect that is decided.
WRITE: Final = select.EPOLLOUT
#: The peer has ended its side, whatever is still unread.
GONE: Final = select.EPOLLRDHUP

#: Events taken up at once; the rest wait for the reactor's next turn.
_AT_ONCE: Final = 256
#: How often more is asked for before others of the reactor have their turn,
#: which costs as much as several events.
_ROUNDS: Final = 4


class Watcher(Protocol):
    """What tells that a descriptor is ready: L{Watch}, and whatever tests use."""

    def add(self, fd: int, events: int, ready: Callable[[int], None]) -> None: ...
    def hand(self, fd: int, ready: Callable[[int], None]) -> None: ...
    def change(self, fd: int, events: int) -> None: ...
    def remove(self, fd: int) -> None: ...
    def closing(self, fd: int) -> None: ...


@implementer(IReadDescriptor)
@final
class Watch:
    """
    Calls C{ready(events)} when a watched descriptor is.

    An event says where to look, not what will be found: a call must try, and
    bear to be told that it would block. Errors and hang-ups are always told.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._epoll = select.epoll()
        self.fileno = self._epoll.fileno
        self._calls: dict[int, Callable[[int], None]] = {}
        #: Descriptors that came while events were being told: a number may
        #: have been used again, and an older event is not for the new one.
        self._new: set[int] = set()
        self._telling = False

    def start(self) -> None:
        """Begin."""
        self._reactor.addReader(self)

    def stop(self) -> None:
        """Tell nothing any more."""
        self._reactor.removeReader(self)
        self._calls.clear()
        self._epoll.close()

    def add(self, fd: int, events: int, ready: Callable[[int], None]) -> None:
        """Watch C{fd} for any of L{READ}, L{WRITE} and L{GONE}."""
        self._epoll.register(fd, events)
        self._calls[fd] = ready
        if self._telling:
            self._new.add(fd)

    def hand(self, fd: int, ready: Callable[[int], None]) -> None:
        """
        C{fd}, which is watched already, tells C{ready} from now on, and of the
        same events.
        """
        self._calls[fd] = ready

    def change(self, fd: int, events: int) -> None:
        """Watch C{fd} for something else."""
        self._epoll.modify(fd, events)

    def remove(self, fd: int) -> None:
        """Do not watch C{fd}."""
        del self._calls[fd]
        self._epoll.unregister(fd)

    def closing(self, fd: int) -> None:
        """
        C{fd} is about to be closed (which takes it out by itself), if it is
        watched at all.
        """
        self._calls.pop(fd, None)

    @property
    def watched(self) -> int:
        """How many descriptors are watched."""
        return len(self._calls)

    # The reactor's calls.

    def doRead(self) -> None:
        calls, new = self._calls, self._new
        self._telling = True
        try:
            for _ in range(_ROUNDS):
                found = self._epoll.poll(0, _AT_ONCE)
                if not found:
                    break
                for fd, events in found:
                    ready = calls.get(fd)
                    if ready is None or (new and fd in new):
                        continue
                    try:
                        ready(events)
                    except Exception:
                        _log.failure("a watched descriptor's call failed")
                new.clear()
        finally:
            self._telling = False
            new.clear()

    def connectionLost(self, reason: Failure) -> None:
        """The reactor lets go."""

    def logPrefix(self) -> str:
        """For the reactor's log context."""
        return "watch"
