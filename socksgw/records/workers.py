"""
Work on parts of the journal in several processes, with the results in order.
"""

from __future__ import annotations

import gc
import os
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any, Final, TypeVar

from socksgw.records.extents import Extent, pieces

__all__ = ["overParts"]

Result = TypeVar("Result")

#: Octets of one part.
_PART: Final = 16_000_000
#: Octets for which more processes are not worth their start.
_FEW: Final = 4 * _PART
#: How many processes there are at most.
_MOST: Final = 8


#: What this process does with each part, where it was started for that.
_work: Callable[[Extent], Any]


def _begin(work: Callable[[Extent], Any]) -> None:
    global _work
    _work = work
    # ^C is for the process that was started by hand; it ends these.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.disable()


def _do(part: Extent) -> Any:
    return _work(part)


def _start() -> str:
    """
    Return how processes are started.

    To fork takes no time, but processes that are forked have the locks of threads that
    do not exist in them.
    """
    return "fork" if len(os.listdir("/proc/self/task")) == 1 else "spawn"


def overParts(
    work: Callable[[Extent], Result],
    extents: Sequence[Extent],
    processes: int = 0,
    portable: bool = True,
) -> Iterator[tuple[Extent, Result]]:
    """
    Yield what some work makes of each part of some extents, in their order.

    @param processes: how many at once; 0 for what the machine and the work suggest.
    @param portable: whether the work can be pickled. Else it is done here where no
        process can be forked.
    @raise OSError: a file cannot be read.
    """
    total = sum(each.octets for each in extents)
    parts = pieces(extents, _PART)
    if not processes:
        processes = min(_MOST, len(os.sched_getaffinity(0)), total // _PART)
        processes = 1 if total < _FEW else processes
    start = _start()
    if processes < 2 or (start == "spawn" and not portable):
        for part in parts:
            yield part, work(part)
        return
    pool = ProcessPoolExecutor(processes, get_context(start), _begin, (work,))
    waiting: deque[tuple[Extent, Future[Result]]] = deque()
    try:
        for part in parts:
            waiting.append((part, pool.submit(_do, part)))
            # Results wait for their turn: no more of them than processes need.
            if len(waiting) > 2 * processes:
                first, future = waiting.popleft()
                yield first, future.result()
        while waiting:
            first, future = waiting.popleft()
            yield first, future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
