"""
Values that several users share: made for the first, ended after the last.

This is Caddy's UsagePool. A generation of the gateway is one user. Code that builds
parts of it finds the pool through a context variable, since twisted.cred passes
nothing but an argument to the factory of a checker.
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
    One value, its number of users, and the function that ends it.
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
        self._closed = False

    def uses(self, key: Hashable) -> int:
        """Return how many users a value has; 0 where there is none."""
        entry = self._entries.get(key)
        return 0 if entry is None else entry.uses

    def each(self, kind: type[T]) -> list[T]:
        """Return the values of a class."""
        values = [entry.value for entry in self._entries.values()]
        return [value for value in values if isinstance(value, kind)]

    def take(
        self,
        key: Hashable,
        make: Callable[[], T],
        end: Callable[[T], object] | None = None,
    ) -> T:
        """
        Return the value for one more user.

        @param make: makes the value if there is none. Its exceptions are raised.
        @param end: called with the value when the last user has given it back.
            Its exceptions are logged.
        """
        entry = self._entries.get(key)
        if entry is None:
            entry = self._entries[key] = _Entry(make(), end)
        entry.uses += 1
        value: T = entry.value
        return value

    def give(self, key: Hashable) -> None:
        """
        Give a value back; no effect after L{close}.

        @raise KeyError: there is none with that key.
        """
        if self._closed:
            return
        entry = self._entries[key]
        entry.uses -= 1
        if not entry.uses:
            del self._entries[key]
            _end(key, entry)

    def close(self) -> None:
        """
        End all values, the newest first, even if they have users.
        """
        self._closed = True
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
    The values of a pool that one user has; each is counted once.
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
        Return the value of a key; the parameters are those of L{UsagePool.take}.
        """
        if key not in self._keys:
            self._keys[key] = self._pool.take(key, make, end)
        value: T = self._keys[key]
        return value

    @contextmanager
    def building(self) -> Iterator[None]:
        """
        Let L{shared} take values for this user meanwhile.
        """
        token = _BUILDING.set(self)
        try:
            yield
        finally:
            _BUILDING.reset(token)

    def release(self) -> None:
        """
        Give everything back; no effect when called again.
        """
        keys, self._keys = self._keys, {}
        for key in reversed(keys):
            self._pool.give(key)


#: The user of values that are made while no generation is built: the process.
_PROCESS: Final = Holding(UsagePool())
_BUILDING: Final[ContextVar[Holding | None]] = ContextVar("building", default=None)


def shared(
    key: Hashable,
    make: Callable[[], T],
    end: Callable[[T], object] | None = None,
) -> T:
    """
    Return the value of a key for the generation that is being built.

    If none is being built (C{--auth}, a command), the process is the user. The
    parameters are those of L{UsagePool.take}.
    """
    return (_BUILDING.get() or _PROCESS).share(key, make, end)
