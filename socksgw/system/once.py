"""
What is said once, and not each time that it is found.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Final, TypeVar, final

__all__ = ["Once", "Seldom"]

T = TypeVar("T", bound=Hashable)

_IT: Final = ""


@final
class Once:
    """
    Remember what has been said and still holds.
    """

    __slots__ = ("_said",)

    def __init__(self) -> None:
        self._said: set[Hashable] = set()

    def begins(self, what: Hashable = _IT) -> bool:
        """
        Take note that something holds.

        @param what: what it is, where several things are said.
        @return: whether that is to be said, since it has not been yet.
        """
        if what in self._said:
            return False
        self._said.add(what)
        return True

    def ends(self, what: Hashable = _IT) -> bool:
        """
        Take note that something holds no longer.

        @return: whether that is to be said, since its beginning has been.
        """
        if what not in self._said:
            return False
        self._said.remove(what)
        return True

    def holds(self, every: Iterable[T]) -> list[T]:
        """
        Take note of everything that holds now; nothing else does.

        @return: what of it is to be said.
        """
        now = list(every)
        new = [what for what in now if what not in self._said]
        self._said = set(now)
        return new

    def clear(self) -> None:
        """Forget everything: what holds is said again."""
        self._said.clear()


@final
class Seldom:
    """
    Say something, of which the figures change, at most once in some time.
    """

    __slots__ = ("_next", "_seconds")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._next: float | None = None

    def due(self, now: float) -> bool:
        """
        Return whether it may be said now; then it counts as said.

        @param now: monotonic seconds.
        """
        if self._next is not None and now < self._next:
            return False
        self._next = now + self._seconds
        return True
