"""
Long work in steps: all at once, or in turns with everything else that a reactor does.

A generator is such work. It yields L{None} where others may have a turn, and a function
where work may as well be done in another thread; it goes on when that is done.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, nullcontext
from contextvars import copy_context
from functools import partial
from time import monotonic
from typing import Final, TypeVar

from twisted.internet.defer import Deferred

from socksgw.system.aside import givingWay

__all__ = ["Steps", "Unwanted", "Work", "atOnce", "inTurns"]

T = TypeVar("T")

#: Work for any thread.
Work = Callable[[], object]
#: Long work, and its result.
Steps = Generator[Work | None, None, T]

#: Seconds of one turn: others wait as long.
_TURN: Final = 0.003


class Unwanted(Exception):
    """What was in work is not wanted any more."""


def atOnce(
    steps: Steps[T], within: Callable[[], AbstractContextManager[object]] = nullcontext
) -> T:
    """Do all of it here and now; the parameters are those of L{inTurns}."""
    with within():
        try:
            while True:
                work = next(steps)
                if work is not None:
                    work()
        except StopIteration as e:
            result: T = e.value
            return result


async def inTurns(
    steps: Steps[T],
    elsewhere: Callable[[Work], Deferred[object]],
    wanted: Callable[[], bool],
    within: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> T:
    """
    Do it in turns of the reactor.

    Context variables are those of the caller, in every turn and every thread. They
    are copied: what is set there is not seen elsewhere.

    @param elsewhere: does work in a thread.
    @param wanted: tells whether it is to go on; it is asked after every turn.
    @param within: what holds during every turn of the reactor's own thread.
    @raise Unwanted: it is not to go on.
    """
    context = copy_context()
    while True:
        work: Work | None = None
        with within():
            ends = monotonic() + _TURN
            try:
                while work is None and monotonic() < ends:
                    work = context.run(next, steps)
            except StopIteration as e:
                result: T = e.value
                return result
        try:
            await elsewhere(partial(context.run, _giving, work))
        except BaseException:
            context.run(steps.close)
            raise
        if not wanted():
            context.run(steps.close)
            raise Unwanted


def _giving(work: Work | None) -> None:
    """Do work in a thread, and let others run."""
    if work is not None:
        with givingWay():
            work()
