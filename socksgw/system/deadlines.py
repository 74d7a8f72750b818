"""
Coarse deadlines: one scan for every session, instead of a timer for each.

A delayed call of the reactor costs as much as a fifth of a whole session, and nearly
every one is cancelled. Here setting and clearing a deadline is an insertion into a
set and its removal. Four times a second the deadlines that are due are called.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from typing import Final, final

from twisted.logger import Logger

__all__ = ["Deadline", "Deadlines"]

_log = Logger()

#: Scans in a second: a power of two, by which nothing is rounded.
_TICKS: Final = 4.0


def _nothing() -> None:
    """Stand for a call that was made or forgotten."""


@final
class Deadline:
    """
    One call that is to come, unless it is cleared.

    Afterwards it does not refer to the call any more: what is called usually keeps
    the deadline.
    """

    __slots__ = ("call", "due")

    due: set[Deadline]
    call: Callable[[], None]

    def clear(self) -> None:
        """
        Forget the call; without effect when it has been made.
        """
        self.due.discard(self)
        self.call = _nothing


@final
class Deadlines:
    """
    All deadlines of a gateway.

    @cvar TICK: seconds between two scans; a call comes at most that much late, and
        never early.
    """

    TICK: Final = 1 / _TICKS

    def __init__(self, clock: Callable[[], float]) -> None:
        """
        @param clock: monotonic seconds.
        """
        self._clock = clock
        self._due: dict[int, set[Deadline]] = {}
        self._scanned = ceil(clock() / self.TICK)

    def set(self, seconds: float, call: Callable[[], None]) -> Deadline:
        """
        Make a deadline.

        @param seconds: after which C{call} is called.
        """
        # Not as a method: the interpreter finds attributes at once.
        clock = self._clock
        tick = ceil((clock() + seconds) * _TICKS)
        try:
            due = self._due[tick]
        except KeyError:
            due = self._due[tick] = set()
        # As its own initializer would, without a call.
        deadline = Deadline()
        deadline.due = due
        deadline.call = call
        due.add(deadline)
        return deadline

    def scan(self) -> None:
        """
        Make every call that is due.

        A call that raises is logged and does not keep the others from theirs.
        """
        now = int(self._clock() / self.TICK)
        if now - self._scanned < len(self._due):
            ticks = [t for t in range(self._scanned, now + 1) if t in self._due]
        else:
            ticks = sorted(t for t in self._due if t <= now)
        self._scanned = now
        for tick in ticks:
            due = self._due[tick]
            while due:
                deadline = due.pop()
                call, deadline.call = deadline.call, _nothing
                try:
                    call()
                except Exception:
                    _log.failure("a deadline's call failed")
            del self._due[tick]

    def sweep(self) -> None:
        """
        Drop the sets whose deadlines were all cleared.

        An emptied set keeps the memory that a crowd needed until it is due.
        """
        for tick in [tick for tick, due in self._due.items() if not due]:
            del self._due[tick]

    @property
    def pending(self) -> int:
        """The number of calls that are to come."""
        return sum(map(len, self._due.values()))
