"""
Idle time: whether nothing has moved for so long, looked at once a quarter of it.
"""

from __future__ import annotations

from typing import Final, Protocol

from socksgw.interfaces import SetDeadline, Timer

__all__ = ["IdleTime", "IdleWatch"]

#: In how many parts the idle time is watched. What ends for being idle lasts at
#: most one part longer than the idle time, and never ends before it.
_PARTS: Final = 4


class IdleTime:
    """
    Count the parts of the idle time in which nothing moved.

    @cvar BEFORE: what had moved before the first part: less than any figure, so
        that the part in which something began does not count.
    """

    __slots__ = ("_moved", "_parts")

    BEFORE: Final = -1

    def __init__(self, moved: int = BEFORE) -> None:
        """
        @param moved: what has moved so far; 0 to count the first part, too.
        """
        self._moved = moved
        self._parts = 0

    @property
    def passed(self) -> tuple[int, int]:
        """What had moved at the last look, and the parts in which nothing did."""
        return self._moved, self._parts

    @passed.setter
    def passed(self, passed: tuple[int, int]) -> None:
        self._moved, self._parts = passed

    def idles(self, moved: int, busy: bool = False) -> bool:
        """
        Count a part of the idle time.

        @param moved: how much has moved so far, in octets or datagrams.
        @param busy: whether something would move that is only kept back.
        @return: whether nothing has moved in the whole idle time.
        """
        if busy or moved != self._moved:
            self._moved = moved
            self._parts = 0
        else:
            self._parts += 1
        return self._parts >= _PARTS


class _Settings(Protocol):
    """What L{IdleWatch} needs of a generation."""

    @property
    def idle(self) -> float: ...

    @property
    def setDeadline(self) -> SetDeadline: ...


class IdleWatch(IdleTime):
    """
    End what it watches when that is idle.

    @ivar settings: have the idle time, in seconds, and set deadlines.
    """

    __slots__ = ("_deadline", "settings")

    settings: _Settings

    def __init__(self, moved: int = IdleTime.BEFORE) -> None:
        IdleTime.__init__(self, moved)
        self._deadline: Timer | None = None

    def watchIdle(self) -> None:
        """Look in a part of the idle time from now."""
        settings = self.settings
        self._deadline = settings.setDeadline(settings.idle / _PARTS, self._look)

    def ignoreIdle(self) -> None:
        """Watch no longer."""
        if self._deadline is not None:
            self._deadline.clear()

    def _look(self) -> None:
        if self.isIdle():
            self.idled()
        else:
            self.watchIdle()

    def isIdle(self) -> bool:
        """
        Count a part of the idle time (L{idles}).

        @return: whether nothing has moved in the whole idle time.
        """
        raise NotImplementedError

    def idled(self) -> None:
        """Take the consequence: called once, then nothing is watched any more."""
        raise NotImplementedError
