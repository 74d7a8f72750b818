"""
What a member of a cluster knows of it, and until when it counts as one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, NamedTuple, final

__all__ = ["Members", "Membership", "boottime"]

#: The part of their time after which leases end here.
_SAFE: Final = 0.8
#: Looks after which it is no longer of late that something was used.
_LATE: Final = 2

#: The clock of leases: it goes on while the machine sleeps.
boottime: Final = partial(time.clock_gettime, time.CLOCK_BOOTTIME)


class Members(NamedTuple):
    """
    A cluster, as one of its members sees it.

    @ivar name: the member's own name.
    @ivar all: the names of all.
    @ivar ttl: seconds for which leases are good.
    """

    name: str
    all: Sequence[str]
    ttl: float

    def share(self, most: int) -> int:
        """Return what one of them may have of a limit by itself."""
        return most // len(self.all)


@final
class Membership:
    """
    What a member's leases of all kinds depend on.

    @ivar members: the cluster, and C{count}: how many members it has.
    @ivar clock: seconds that go on while the machine sleeps.
    @ivar deadline: when the leases end, if nothing is heard.
    @ivar offset: what the clock is behind Redis' one by.
    @ivar turn: how many looks there have been.
    @ivar hurry: called when an exchange is needed at once.
    """

    __slots__ = ("clock", "count", "deadline", "hurry", "members", "offset", "turn")

    def __init__(
        self, members: Members, clock: Callable[[], float], wall: Callable[[], float]
    ) -> None:
        self.change(members)
        self.clock = clock
        self.offset = wall() - clock()
        # Of an earlier process of this name others may think that it lives.
        self.deadline = clock() + members.ttl
        self.turn = 0
        self.hurry: Callable[[], None] = lambda: None

    def change(self, members: Members) -> None:
        """Be a member of another cluster."""
        self.members = members
        self.count = len(members.all)

    @property
    def alone(self) -> bool:
        """Whether the leases have ended, and the shares count."""
        return self.clock() >= self.deadline

    def heard(self, sent: float, now: float) -> None:
        """
        Take note of an answer.

        @param sent: when it was asked for.
        @param now: Redis' time.
        """
        self.deadline = sent + _SAFE * self.members.ttl
        self.offset = now - sent

    def isIdle(self, turn: int) -> bool:
        """Return whether what was used in a turn was not used of late."""
        return self.turn - turn > _LATE

    def present(self, now: float, seconds: float) -> tuple[int, float]:
        """Return the number of the present window, and when it ends."""
        number = int((now + self.offset) // seconds)
        return number, (number + 1) * seconds - self.offset
