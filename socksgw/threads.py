"""
Threads for what takes long, or blocks.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from threading import Thread
from typing import Any, Final, TypeVar, final

from twisted.internet.defer import Deferred, fail
from twisted.python.threadpool import ThreadPool

__all__ = ["DaemonPool", "Threads", "threadsFor"]

T = TypeVar("T")


class DaemonPool(ThreadPool):
    """Threads that somebody else's code may hold for long: no exit waits."""

    threadFactory: Any = staticmethod(partial(Thread, daemon=True))

    def abandon(self) -> None:
        """Stop, and wait for no thread."""
        Thread(target=self.stop, daemon=True).start()


@final
class Threads:
    """
    Threads of one purpose, with a bounded queue: a flood of logins takes no
    other work's threads.
    """

    def __init__(
        self,
        reactor: Any,
        name: str,
        threads: int,
        waiting: int,
        busy: Callable[[], Exception],
    ) -> None:
        """
        @param waiting: most calls that wait for a thread.
        @param busy: makes the failure of a call that there is no room for.
        """
        self._reactor = reactor
        self._busy = busy
        self._pool = DaemonPool(0, threads, name)
        self._most = threads + waiting
        self._under = 0

    def resize(self, threads: int, waiting: int) -> None:
        """Another number of them, and of those who wait."""
        self._most = threads + waiting
        self._pool.adjustPoolsize(0, threads)

    def do(self, work: Callable[[], T]) -> Deferred[T]:
        """
        @return: fires with the result; fails at once when the queue is full.
            When it is cancelled the thread goes on, and its place is taken
            until it is done.
        """
        if self._under >= self._most:
            return fail(self._busy())
        if not self._pool.started:
            self._pool.start()
            self._reactor.addSystemEventTrigger(
                "during", "shutdown", self._pool.abandon
            )
        self._under += 1
        outcome: Deferred[T] = Deferred()

        def wanted() -> T | None:
            # Whoever went away in the meantime needs no answer.
            return None if outcome.called else work()

        def finished(success: bool, result: Any) -> None:
            self._reactor.callFromThread(self._finished, outcome, success, result)

        self._pool.callInThreadWithCallback(finished, wanted)
        return outcome

    def _finished(self, outcome: Deferred[Any], success: bool, result: Any) -> None:
        # Counted when the work is done, not when the client lost patience.
        self._under -= 1
        if not outcome.called:
            if success:
                outcome.callback(result)
            else:
                outcome.errback(result)


#: Those that outlive a configuration, by reactor and name.
_lasting: Final[dict[tuple[Any, str], Threads]] = {}


def threadsFor(
    reactor: Any, name: str, threads: int, waiting: int, busy: Callable[[], Exception]
) -> Threads:
    """
    As L{Threads}; for the same name the same, so that a reload makes no more
    of them.
    """
    found = _lasting.get((reactor, name))
    if found is None:
        found = Threads(reactor, name, threads, waiting, busy)
        _lasting[reactor, name] = found
    else:
        found.resize(threads, waiting)
    return found
