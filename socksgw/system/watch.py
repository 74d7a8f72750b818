"""
Readiness of many plain sockets, seen by the reactor as one.

It is an epoll instance of our own, which the reactor watches. An event costs one
call, where through the reactor it costs several in a logging context, and what a
socket is watched for changes in one system call.
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

#: The most events that are taken up by one system call.
_AT_ONCE: Final = 256
#: How often more events are asked for before the reactor has its turn, which
#: costs as much as several events.
_ROUNDS: Final = 4


class Watcher(Protocol):
    """What tells that a descriptor is ready: L{Watch}, and whatever tests use."""

    def add(self, fd: int, events: int, ready: Callable[[int], None]) -> None:
        """Watch a descriptor: L{Watch.add}."""

    def hand(self, fd: int, ready: Callable[[int], None]) -> None:
        """Have another call told of a descriptor: L{Watch.hand}."""

    def change(self, fd: int, events: int) -> None:
        """Watch a descriptor for other events: L{Watch.change}."""

    def remove(self, fd: int) -> None:
        """Watch a descriptor no longer: L{Watch.remove}."""

    def closing(self, fd: int) -> None:
        """Forget a descriptor that is about to be closed: L{Watch.closing}."""


@implementer(IReadDescriptor)
@final
class Watch:
    """
    Call C{ready(events)} when a watched descriptor is ready.

    An event says where to look, not what will be found: a call must try, and accept
    that the descriptor would block. Errors and hang-ups are always told.
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
        Call C{ready} from now on for a descriptor that is watched already.

        It is called for the same events as the call before.
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
        Forget a descriptor, if it is watched, since it is about to be closed.

        Closing takes it out of epoll by itself.
        """
        self._calls.pop(fd, None)

    @property
    def watched(self) -> int:
        """The number of descriptors that are watched."""
        return len(self._calls)

    # The reactor's calls.

    def doRead(self) -> None:
        """Take up what has happened."""
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
        """Do nothing: the reactor lets go."""

    def logPrefix(self) -> str:
        """Return what the reactor's log context calls this."""
        return "watch"
