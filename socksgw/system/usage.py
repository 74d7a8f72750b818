"""
What several users share, counted: made for the first, ended with the last (as
Caddy's UsagePool).

A generation of the gateway is one user. What it is built from gets at the pool
through the context: twisted.cred hands a checker's factory its argument alone.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, TypeVar, final

from socksgw.system.upkeep import defect

__all__ = ["Holding", "UsagePool", "shared"]

T = TypeVar("T")


class _Entry:
    """
    One value, how many have it, and what ends it.
    """

    __slots__ = ("end", "uses", "value")

    def __init__(self, value: Any, end: Callable[[Any], object] | None) -> None:
        self.value = value
        self.end = end
        self.uses = 0


@final
class UsagePool:
    """
    Values by key, each with the number of its users.
    """

    def __init__(self) -> None:
        self._entries: dict[Hashable, _Entry] = {}

    def uses(self, key: Hashable) -> int:
        """Return how many users a value has; 0 where there is none."""
        entry = self._entries.get(key)
        return 0 if entry is None else entry.uses

    def take(
        self,
        key: Hashable,
        make: Callable[[], T],
        end: Callable[[T], object] | None = None,
    ) -> T:
        """
        Return the value, for one user more.

        @param make: makes it, if there is none; what it raises goes through.
        @param end: called with it when its last user has given it back. What it
            raises is logged.
        """
        entry = self._entries.get(key)
        if entry is None:
            entry = self._entries[key] = _Entry(make(), end)
        entry.uses += 1
        value: T = entry.value
        return value

    def give(self, key: Hashable) -> None:
        """
        Give a value back, for one user.

        @raise KeyError: it has none.
        """
        entry = self._entries[key]
        entry.uses -= 1
        if not entry.uses:
            del self._entries[key]
            _end(key, entry)

    def close(self) -> None:
        """
        End all that is left, the newest first, whoever uses it.
        """
        while self._entries:
            _end(*self._entries.popitem())


def _end(key: Hashable, entry: _Entry) -> None:
    if entry.end is not None:
        try:
            entry.end(entry.value)
        except Exception as e:
            defect(f"the end of {key}", e)


@final
class Holding:
    """
    What one user has of a pool: each value once, however often it asks.
    """

    def __init__(self, pool: UsagePool) -> None:
        self._pool = pool
        self._keys: dict[Hashable, Any] = {}

    def share(
        self,
        key: Hashable,
        make: Callable[[], T],
        end: Callable[[T], object] | None = None,
    ) -> T:
        """
        Return what all users share under that key, as L{UsagePool.take}.
        """
        if key not in self._keys:
            self._keys[key] = self._pool.take(key, make, end)
        value: T = self._keys[key]
        return value

    @contextmanager
    def building(self) -> Iterator[None]:
        """
        Let L{shared} take from here meanwhile.
        """
        token = _BUILDING.set(self)
        try:
            yield
        finally:
            _BUILDING.reset(token)

    def release(self) -> None:
        """
        Give everything back. Without effect when that is done.
        """
        keys, self._keys = self._keys, {}
        for key in reversed(keys):
            self._pool.give(key)


#: What has no generation has the process, which never ends.
_PROCESS: Final = Holding(UsagePool())
_BUILDING: Final[ContextVar[Holding | None]] = ContextVar("building", default=None)


def shared(
    key: Hashable,
    make: Callable[[], T],
    end: Callable[[T], object] | None = None,
) -> T:
    """
    Return what the generations of a gateway share under that key, for the one
    that is being built; where none is (C{--auth}, a command), what the process
    has under it.

    @param make: as of L{UsagePool.take}.
    @param end: as of L{UsagePool.take}.
    """
    return (_BUILDING.get() or _PROCESS).share(key, make, end)
