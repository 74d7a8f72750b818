"""
Counters of live sessions and associations: C{[[limit]]}.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, final

from socksgw.config import Limit
from socksgw.policy.rules import Asker

__all__ = ["Limits"]

_NONE: Final = 1 << 62
#: Live associations of one user, where no limit says otherwise.
_ASSOCIATIONS: Final = 4096

Key = tuple[str, object]


@final
class _Counter:
    """
    How many of one kind live: in all, by listener, by source, by user.
    """

    __slots__ = ("_counts", "_most", "_noun")

    def __init__(self, noun: str, limits: Iterable[tuple[str, int | None]]) -> None:
        self._noun = noun
        self._most: dict[str, int] = {}
        for per, most in limits:
            if most is not None:
                self._most[per] = min(most, self._most.get(per, _NONE))
        self._counts: dict[Key, int] = {}

    def take(self, keys: Sequence[Key]) -> str | None:
        if not self._most:
            return None
        counts = self._counts
        for key in keys:
            most = self._most.get(key[0])
            if most is not None and counts.get(key, 0) >= most:
                per = "in all" if key[0] == "all" else f"per {key[0]}"
                return f"{most} {self._noun} {per}"
        self.add(keys)
        return None

    def add(self, keys: Sequence[Key]) -> None:
        counts = self._counts
        for key in keys:
            if key[0] in self._most:
                counts[key] = counts.get(key, 0) + 1

    def give(self, keys: Sequence[Key]) -> None:
        if not self._most:
            return
        counts = self._counts
        for key in keys:
            if key[0] in self._most:
                left = counts[key] - 1
                if left:
                    counts[key] = left
                else:
                    del counts[key]


@final
class Limits:
    """
    How many sessions, and UDP associations among them, live.

    @ivar live: sessions that live.
    """

    __slots__ = ("_associations", "_sessions", "live")

    def __init__(self, limits: Sequence[Limit]) -> None:
        self._sessions = _Counter("sessions", ((x.per, x.sessions) for x in limits))
        self._associations = _Counter(
            "associations",
            [("user", _ASSOCIATIONS), *((x.per, x.associations) for x in limits)],
        )
        self.live = 0

    def changed(
        self, limits: Sequence[Limit], live: Iterable[tuple[Asker, str]]
    ) -> Limits:
        """
        Other limits, with what lives counted already.

        @param live: who lives, and by which command.
        """
        others = Limits(limits)
        for asker, command in live:
            keys = _keys(asker)
            others.live += 1
            others._sessions.add(keys)
            if command == "udp":
                others._associations.add(keys)
        return others

    def take(self, asker: Asker, command: str) -> str | None:
        """
        One more session, if no limit forbids it.

        @return: L{None}, or the limit that is reached, in words.
        """
        keys = _keys(asker)
        over = self._sessions.take(keys)
        if over is None and command == "udp":
            over = self._associations.take(keys)
            if over is not None:
                self._sessions.give(keys)
        if over is None:
            self.live += 1
        return over

    def give(self, asker: Asker, command: str) -> None:
        """
        One session less.
        """
        self.live -= 1
        keys = _keys(asker)
        self._sessions.give(keys)
        if command == "udp":
            self._associations.give(keys)


def _keys(asker: Asker) -> Sequence[Key]:
    return (
        ("all", None),
        ("listener", asker.listener),
        ("source", asker.source),
        ("user", asker.user.name),
    )
