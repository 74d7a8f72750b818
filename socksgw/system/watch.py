"""
Readiness of many plain sockets, and of the reactor's own descriptors as one.

An event costs one call here, where through the reactor it costs several in a logging
context. It is an epoll instance of our own. Where the reactor has one, too, this one
is waited on, and the reactor's is a descriptor among the others: the sockets of
sessions cost one waking, and not two. Any other reactor watches this one.

Most descriptors are watched by level: whoever is told, and leaves something, is told
again. A stream socket that lives as long as a session is watched by B{edge}
(L{STREAM}, L{DUPLEX}): it is registered once, and what its owner wants to hear of
changes without a system call. In return these rules hold.

  - An edge is told once. An owner that does not act on it keeps it (L{STAYS} are the
    bits that are kept), and acts when it wants to: L{Watcher.again} has it called.
  - A read that brought fewer octets than it asked for has emptied the socket, and new
    octets are a new edge. It has not where the peer's end, a failure or urgent data
    has been told: then there may be more, until a read would block, ends or fails.
    splice(2) tells nothing by how little it brings.
  - A write that would block, or takes only a part, is followed by an edge once there
    is room. Before such a write there is none.
  - An owner that gives a descriptor away hands what it was told and did not act on
    to the next owner (L{UNWATCHED} where the descriptor is not registered), which
    calls L{Watcher.hand} first, and L{Watcher.again} when it wants to hear of it.
    What is told between the two calls is told to one of them.
"""

from __future__ import annotations

import select
from collections.abc import Callable, Iterable
from itertools import chain
from typing import Any, Final, Protocol, final

from twisted.internet.interfaces import IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

__all__ = [
    "DUPLEX",
    "FAILED",
    "GONE",
    "READ",
    "STAYS",
    "STREAM",
    "UNWATCHED",
    "WRITE",
    "Watch",
    "Watcher",
]

_log = Logger()

#: Something to read, or the end of it.
READ: Final = select.EPOLLIN
#: Room to write, or a connect that is decided.
WRITE: Final = select.EPOLLOUT
#: The peer has ended its side, whatever is still unread.
GONE: Final = select.EPOLLRDHUP
#: What tells of a failure, or of the end of both sides; it needs no asking.
FAILED: Final = select.EPOLLERR | select.EPOLLHUP
#: A stream socket by edge, and the same with the edges of room to write.
STREAM: Final = select.EPOLLET | READ | GONE | select.EPOLLPRI
DUPLEX: Final = STREAM | WRITE
#: The bits of an edge that hold until a read would block: room to write does not.
STAYS: Final = ~WRITE
#: In the place of what was told: the descriptor is not registered.
UNWATCHED: Final = -1

#: The most events that are taken up by one system call.
_AT_ONCE: Final = 256
#: How often more events are asked for before the reactor has its turn, which
#: costs as much as several events.
_ROUNDS: Final = 4
#: How often is waited in one turn of the reactor, as long as it has nothing to do.
_TURNS: Final = 16
#: Seconds that a wait may last at most; the reactor has its turn then.
_LONGEST: Final = 86400.0


class Watcher(Protocol):
    """What tells that a descriptor is ready: L{Watch}, and whatever tests use."""

    def add(self, fd: int, events: int, ready: Callable[[int], None]) -> None:
        """Watch a descriptor: L{Watch.add}."""

    def hand(self, fd: int, ready: Callable[[int], None]) -> None:
        """Have another call told of a descriptor: L{Watch.hand}."""

    def again(self, fd: int, events: int = 0) -> None:
        """Have the call told once more: L{Watch.again}."""

    def change(self, fd: int, events: int) -> None:
        """Watch a descriptor for other events: L{Watch.change}."""

    def remove(self, fd: int) -> None:
        """Watch a descriptor no longer: L{Watch.remove}."""

    def closing(self, fd: int) -> None:
        """Forget a descriptor that is about to be closed: L{Watch.closing}."""


def _tells(reactor: Any) -> bool:
    """Return whether a reactor has what L{_free} reads."""
    return (
        isinstance(getattr(reactor, "_justStopped", None), bool)
        and isinstance(getattr(reactor, "_newTimedCalls", None), list)
        and isinstance(getattr(reactor, "_pendingTimedCalls", None), list)
    )


def _free(reactor: Any) -> float:
    """
    Return for how many seconds a reactor has nothing to do; 0 where it has.

    Its C{timeout} tells the same of delayed calls, from the same lists, and costs as
    much as the wait itself. The calls that are new are not in order yet.
    """
    if (
        reactor.threadCallQueue
        or reactor._newTimedCalls
        or reactor._justStopped
        or not reactor.running
    ):
        return 0.0
    pending = reactor._pendingTimedCalls
    if not pending:
        return _LONGEST
    seconds: float = pending[0].time - reactor.seconds()
    return seconds if 0.0 < seconds <= _LONGEST else 0.0


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
        #: What is told once more, in the next round.
        self._again: dict[int, int] = {}
        #: The reactor's call for those of them that no event comes for.
        self._later: Any = None
        #: What is called when the events at hand have been told.
        self._soon: list[Callable[[], None]] = []
        #: The reactor's own epoll instance, where this one is waited on.
        self._inner: int | None = None
        self._turns = 1
        #: Descriptors that came while events were being told: a number may
        #: have been used again, and an older event is not for the new one.
        self._new: set[int] = set()
        self._telling = False

    def start(self) -> None:
        """Begin."""
        reactor = self._reactor
        inner = getattr(reactor, "_poller", None)
        if not isinstance(inner, select.epoll) or "doIteration" in vars(reactor):
            # Another kind, or there is one of these already.
            reactor.addReader(self)
            return
        self._inner = inner.fileno()
        if _tells(reactor):
            # Any other has its turn after each wait.
            self._turns = _TURNS
        self._iterate = reactor.doIteration
        self._epoll.register(self._inner, READ)
        reactor.doIteration = self.iterate

    def stop(self) -> None:
        """Tell nothing any more."""
        if self._inner is None:
            self._reactor.removeReader(self)
        else:
            # What it is of its class.
            del self._reactor.doIteration
            self._inner = None
        if self._later is not None:
            self._later.cancel()
            self._later = None
        self._calls.clear()
        self._again.clear()
        self._epoll.close()
        for call in self._soon:
            self._reactor.callLater(0, call)
        self._soon.clear()

    def add(self, fd: int, events: int, ready: Callable[[int], None]) -> None:
        """
        Watch C{fd}.

        @param events: any of L{READ}, L{WRITE} and L{GONE}; or L{STREAM} or L{DUPLEX}.
            What holds already is told, too.
        """
        self._epoll.register(fd, events)
        self._calls[fd] = ready
        if self._telling:
            self._new.add(fd)

    def hand(self, fd: int, ready: Callable[[int], None]) -> None:
        """
        Call C{ready} from now on for a descriptor that is watched already.

        It is called for the same events as the call before. What that one was told
        by edge, and has not acted upon, is not told again.
        """
        self._calls[fd] = ready

    def again(self, fd: int, events: int = 0) -> None:
        """
        Tell a descriptor's call once more, when others have had their turn.

        @param events: what it is told; 0 where it has kept what it was told.
        """
        again = self._again
        again[fd] = again.get(fd, 0) | events
        if not self._telling and self._later is None and self._inner is None:
            self._later = self._reactor.callLater(0, self._tellLater)

    def change(self, fd: int, events: int) -> None:
        """Watch C{fd} for something else; what holds already is told, too."""
        self._epoll.modify(fd, events)

    def remove(self, fd: int) -> None:
        """
        Do not watch C{fd}.

        When this has stopped nothing is watched: coroutines that waited then end with
        the process.
        """
        if self._epoll.closed:
            return
        del self._calls[fd]
        if self._again:
            self._again.pop(fd, None)
        self._epoll.unregister(fd)

    def closing(self, fd: int) -> None:
        """
        Forget a descriptor, if it is watched, since it is about to be closed.

        Closing takes it out of epoll by itself.
        """
        self._calls.pop(fd, None)
        if self._again:
            self._again.pop(fd, None)

    @property
    def watched(self) -> int:
        """The number of descriptors that are watched."""
        return len(self._calls)

    def soon(self, call: Callable[[], None]) -> None:
        """
        Call something when the events at hand have been told.

        Where none are being told it is called in the reactor's next turn.
        """
        if self._telling:
            self._soon.append(call)
        else:
            self._reactor.callLater(0, call)

    # The reactor's calls.

    def iterate(self, seconds: float | None) -> None:
        """
        Wait for something to happen, and tell it: the reactor's C{doIteration}.

        What a running reactor does before each wait costs as much as to pass a short
        message on. It is asked whether it has anything to do (a call that is due, one
        from a thread, its end), and has its turn then, and in any case now and then.

        @param seconds: the longest time to wait; L{None} for as long as it takes.
        """
        reactor = self._reactor
        # Who is not to wait at all (C{reactor.iterate()}) is not to wait later either.
        for _ in range(1 if seconds == 0 else self._turns):
            again = self._again
            if again or self._soon:
                seconds = 0
            elif seconds is None:
                seconds = -1
            found: Iterable[tuple[int, int]] = self._epoll.poll(seconds, _AT_ONCE)
            if again:
                self._again = {}
                found = chain(found, again.items())
            elif not found and not self._soon:
                # So long has nothing happened.
                return
            self._telling = True
            try:
                self._tell(found)
                if self._soon:
                    self._callSoon()
            finally:
                self._telling = False
                self._new.clear()
            if self._inner is None:
                return
            seconds = _free(reactor)
            if not seconds:
                return

    def _callSoon(self) -> None:
        """Make the calls that waited for the events; for theirs the next are told."""
        calls, self._soon = self._soon, []
        for call in calls:
            try:
                call()
            except Exception:
                _log.failure("a call after events failed")

    def doRead(self) -> None:
        """Take up what has happened."""
        new = self._new
        self._telling = True
        try:
            again, self._again = self._again, {}
            for _ in range(_ROUNDS):
                found: Iterable[tuple[int, int]] = self._epoll.poll(0, _AT_ONCE)
                if again:
                    found = chain(found, again.items())
                    again = {}
                elif not found:
                    break
                self._tell(found)
                new.clear()
            if self._soon:
                self._callSoon()
        finally:
            self._telling = False
            new.clear()
        if (self._again or self._soon) and self._later is None:
            self._later = self._reactor.callLater(0, self._tellLater)

    def _tell(self, found: Iterable[tuple[int, int]]) -> None:
        """Call whoever watches what is ready."""
        calls, new = self._calls, self._new
        for fd, events in found:
            ready = calls.get(fd)
            if ready is None or (new and fd in new):
                if fd == self._inner:
                    self._iterate(0)
                continue
            try:
                ready(events)
            except Exception:
                _log.failure("a watched descriptor's call failed")

    def _tellLater(self) -> None:
        """Tell once more what no event has come for meanwhile."""
        self._later = None
        if self._again or self._soon:
            self.doRead()

    def connectionLost(self, reason: Failure) -> None:
        """Do nothing: the reactor lets go."""

    def logPrefix(self) -> str:
        """Return what the reactor's log context calls this."""
        return "watch"
