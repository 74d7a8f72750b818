"""
Counters of live sessions: C{[[limit]]}.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

from socksgw.config import Limit
from socksgw.wire.address import Address

__all__ = ["SessionLimits"]


@final
class SessionLimits:
    """
    How many sessions live, in all, by listener and by source.
    """

    __slots__ = ("_all", "_counts", "_listener", "_source", "live")

    def __init__(self, limits: Sequence[Limit]) -> None:
        self._all = self._listener = self._source = 1 << 62
        for limit in limits:
            if limit.per == "all":
                self._all = min(self._all, limit.sessions)
            elif limit.per == "listener":
                self._listener = min(self._listener, limit.sessions)
            else:
                self._source = min(self._source, limit.sessions)
        self.live = 0
        self._counts: dict[str | Address, int] = {}

    def take(self, listener: str, source: Address) -> str | None:
        """
        One more session, if no limit forbids it.

        @return: L{None}, or the limit that is reached, in words.
        """
        counts = self._counts
        byListener = counts.get(listener, 0)
        bySource = counts.get(source, 0)
        if self.live >= self._all:
            return f"{self._all} sessions in all"
        if byListener >= self._listener:
            return f"{self._listener} sessions per listener"
        if bySource >= self._source:
            return f"{self._source} sessions per source"
        self.live += 1
        counts[listener] = byListener + 1
        counts[source] = bySource + 1
        return None

    def give(self, listener: str, source: Address) -> None:
        """
        One session less.
        """
        self.live -= 1
        for key in (listener, source):
            left = self._counts[key] - 1
            if left:
                self._counts[key] = left
            else:
                del self._counts[key]
