"""
Threads for what takes long, or blocks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from threading import Thread
from typing import Any, TypeVar, final

from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.threadpool import ThreadPool

from socksgw.system.fairly import ASKING, FairQueue
from socksgw.system.once import Once
from socksgw.system.usage import shared

__all__ = [
    "DaemonPool",
    "NeverBegun",
    "Pool",
    "SharedThreads",
    "Threads",
    "inPool",
    "threadsFor",
]

_log = Logger()

T = TypeVar("T")


class Pool(ThreadPool):
    """A pool that can be stopped although a thread of it could not be started."""

    def stop(self) -> None:
        """
        Stop, and wait for the threads.
        """
        # What was not started cannot be joined.
        self.threads = [thread for thread in self.threads if thread.ident is not None]
        super().stop()


class DaemonPool(Pool):
    """
    A pool for code of others, which may hold its threads: no exit waits for them.
    """

    threadFactory: Any = staticmethod(partial(Thread, daemon=True))

    def abandon(self) -> None:
        """Stop, and wait for no thread."""
        try:
            Thread(target=self.stop, daemon=True).start()
        except RuntimeError:
            # No thread can be started. Those of the pool end with the process.
            self.started, self.joined = False, True


def inPool(
    reactor: Any, pool: ThreadPool, work: Callable[..., T], *arguments: Any
) -> Deferred[T]:
    """
    Have work done in a thread of a pool that nothing urgent uses.

    @return: fires with the result. Fails with C{RuntimeError} when the pool has no
        thread and none can be started; Twisted's own function raises then.
    """
    try:
        return deferToThreadPool(reactor, pool, work, *arguments)
    except RuntimeError as e:
        return fail(e)


class NeverBegun(CancelledError):
    """What waited is wanted no longer, and nothing of it has been done."""


class _Call:
    """
    Work for a thread, and what waits for its result.
    """

    __slots__ = ("outcome", "source", "stuck", "work")

    def __init__(self, work: Callable[[], Any], source: bytes) -> None:
        self.work: Callable[[], Any] | None = work
        self.source = source
        self.stuck = False
        # A client that goes away leaves no password behind.
        self.outcome: Deferred[Any] = Deferred(self._cancelled)

    def _cancelled(self, outcome: Deferred[Any]) -> None:
        if self.work is not None:
            self.forget()
            outcome.errback(NeverBegun())

    def forget(self) -> None:
        """Drop the work: it is not to be done any more."""
        self.work = None

    def run(self) -> Any:
        """Do the work, in a thread."""
        work, self.work = self.work, None
        return None if work is None else work()


@final
class Threads:
    """
    Threads of one purpose, with a bounded queue.

    A flood of logins takes no threads of other work, and a flood of one source no
    turns of another.
    """

    def __init__(
        self,
        reactor: Any,
        name: str,
        threads: int,
        waiting: int,
        busy: Callable[[], Exception],
        patience: float | None = None,
    ) -> None:
        """
        Make them; they are started as they are needed.

        @param waiting: the most calls that wait for a thread.
        @param busy: makes the failure of a call that there is no room for.
        @param patience: seconds after which a call counts as stuck, where calls may
            be that. As many threads more are started in place of those with stuck
            calls, and no source has more than half of the threads, stuck ones
            included. L{None} where every call ends.
        """
        self._reactor = reactor
        self._name = name
        self._busy = busy
        self._pool = DaemonPool(0, threads, name)
        self._queue: FairQueue[_Call] = FairQueue()
        self._held: Counter[bytes] = Counter()
        self._running = self._stuck = 0
        self._trouble = Once()
        self._stopping = False
        self._atShutdown: Any = None
        self._size: tuple[int, int, float | None] | None = None
        self.resize(threads, waiting, patience)

    def resize(self, threads: int, waiting: int, patience: float | None = None) -> None:
        """Have another number of threads, and of calls that wait."""
        if self._size == (threads, waiting, patience):
            return
        self._size = threads, waiting, patience
        self._threads, self._waiting, self._patience = threads, waiting, patience
        spare = 0 if patience is None else threads
        self._share = threads if patience is None else max(1, threads // 2)
        self._most = threads + spare
        self._pool.adjustPoolsize(0, self._most)

    @property
    def figures(self) -> tuple[str, int, int, int]:
        """Its name, the calls that threads do, how many may be done, and wait."""
        return self._name, self._running, self._most, len(self._queue)

    def do(self, work: Callable[[], T]) -> Deferred[T]:
        """
        Have work done for the source in L{ASKING<socksgw.system.fairly.ASKING>}.

        @return: fires with the result. When the queue is full the last call of
            the source that has most in it fails at once. When it is cancelled
            before a thread has it, it fails with L{NeverBegun}; else the thread goes
            on, and its place is taken until it is done.
        """
        if not self._pool.started:
            self._pool.start()
            self._atShutdown = self._reactor.addSystemEventTrigger(
                "during", "shutdown", self._abandon
            )
        source = ASKING.get()
        call = _Call(work, source)
        self._queue.push(source, call)
        self._next()
        if len(self._queue) > self._waiting:
            self._refuse(self._queue.drop(source))
        return call.outcome

    def stop(self) -> None:
        """End the threads when the last call is done: none comes any more."""
        self._stopping = True
        self._rest()

    def _rest(self) -> None:
        idle = not self._running and not len(self._queue)
        if self._stopping and idle and self._atShutdown is not None:
            self._reactor.removeSystemEventTrigger(self._atShutdown)
            self._abandon()

    def _abandon(self) -> None:
        self._atShutdown = None
        self._pool.abandon()

    def _refuse(self, call: _Call) -> None:
        call.forget()
        if not call.outcome.called:
            call.outcome.errback(self._busy())

    def _next(self) -> None:
        """Start what waits, as far as there are threads."""
        while (
            self._running - self._stuck < self._threads and self._running < self._most
        ):
            found = self._queue.pop(self._mayHave)
            if found is None or not self._start(*found):
                return

    def _mayHave(self, source: bytes) -> bool:
        return self._held[source] < self._share

    def _start(self, source: bytes, call: _Call) -> bool:
        """
        Give a call to a thread.

        @return: whether there is one.
        """

        def finished(success: bool, result: Any) -> None:
            self._reactor.callFromThread(self._finished, call, timer, success, result)

        timer: Any = None
        if self._patience is not None:
            timer = self._reactor.callLater(self._patience, self._isStuck, call)
        try:
            self._pool.callInThreadWithCallback(finished, call.run)
        except RuntimeError as e:
            # The system allows no more threads.
            if timer is not None:
                timer.cancel()
            self._cannotStart(source, call, e)
            return False
        self._trouble.ends()
        self._running += 1
        self._held[source] += 1
        return True

    def _cannotStart(self, source: bytes, call: _Call, error: Exception) -> None:
        if self._trouble.begins():
            _log.error(
                "no thread for {name}: {why}; remedy: raise TasksMax= (or ulimit -u)",
                name=self._name,
                why=str(error),
            )
        if self._running:
            # The call waits for one of the threads that run.
            self._queue.pushBack(source, call)
            return
        self._refuse(call)
        while (found := self._queue.pop()) is not None:
            self._refuse(found[1])

    def _isStuck(self, call: _Call) -> None:
        call.stuck = True
        self._stuck += 1
        self._next()

    def _finished(self, call: _Call, timer: Any, success: bool, result: Any) -> None:
        # It counts until the work is done, and not until the client loses patience.
        self._running -= 1
        self._held[call.source] -= 1
        if not self._held[call.source]:
            del self._held[call.source]
        if call.stuck:
            self._stuck -= 1
        elif timer is not None:
            timer.cancel()
        self._next()
        self._rest()
        if not call.outcome.called:
            if success:
                call.outcome.callback(result)
            else:
                call.outcome.errback(result)


@final
class SharedThreads:
    """
    Threads that generations share, in the number that one of them wants.

    @ivar threads: those that all share.
    """

    def __init__(
        self, threads: Threads, most: int, waiting: int, patience: float | None
    ) -> None:
        """As L{Threads.resize}, which is for whoever asks next."""
        self.threads = threads
        self._size = most, waiting, patience

    def do(self, work: Callable[[], T]) -> Deferred[T]:
        """
        Have work done, as L{Threads.do}.

        A generation that is refused never asks, and so changes nothing.
        """
        self.threads.resize(*self._size)
        return self.threads.do(work)


def threadsFor(
    reactor: Any,
    name: str,
    threads: int,
    waiting: int,
    busy: Callable[[], Exception],
    patience: float | None = None,
) -> SharedThreads:
    """
    Return threads as L{Threads} has them.

    Generations share those of the same name, so that a reload makes no more of them.
    They end with the last one.
    """
    found = shared(
        ("threads", reactor, name),
        lambda: Threads(reactor, name, threads, waiting, busy, patience),
        Threads.stop,
    )
    return SharedThreads(found, threads, waiting, patience)
