"""
What a quota leaves, and limits in words.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Protocol, final

from socksgw.config.schema import Quota
from socksgw.limits.counters import Counters, Key

__all__ = ["SOME", "Window", "named"]

#: What stands before who these are, in place of a rule.
SOME: Final = "\x1f"

#: More octets than can ever move.
_ENDLESS: Final = 1 << 62

_SIZES: Final = ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "KB"))
_SPANS: Final = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))


def _short(amount: float, units: Iterable[tuple[int, str]], least: str) -> str:
    """Return an amount as the configuration writes it."""
    for size, unit in units:
        if amount >= size and amount % size == 0:
            return f"{amount / size:.0f}{unit}"
    return f"{amount:g}{least}"


class Enforcing(Protocol):
    """
    What says whether quotas end what lives (L{socksgw.limits.limits.Limits}).

    @ivar enforced: whether they do.
    @ivar usedUp: set when one may be used up.
    """

    enforced: bool
    usedUp: bool


def named(what: str, key: Key) -> str:
    """
    Return a limit in words, such as C{50 sessions per user (rule "web")}.

    @param what: the amount and what it is of.
    """
    _, per, rule, who = key
    if rule.startswith(SOME):
        return f"{named(what, (key[0], per, '', who))} ({rule[len(SOME) :]})"
    if per == "rule" and rule:
        return f'{what} (rule "{rule}")'
    where = "in all" if per == "all" else f"per {per}"
    if per in ("group", "rule"):
        where += f' "{who}"'
    return f'{what} {where} (rule "{rule}")' if rule else f"{what} {where}"


@final
class Window:
    """
    What a quota leaves in the present window of one key.

    @ivar ended: whether what it bounds has to end, whatever is left.
    """

    __slots__ = ("_counters", "_key", "_limits", "_quota", "ended")

    def __init__(
        self, limits: Enforcing, counters: Counters, key: Key, quota: Quota
    ) -> None:
        self._limits = limits
        self._counters = counters
        self._key = key
        self._quota = quota
        self.ended = False

    def end(self) -> None:
        """Have what it bounds end: octets of that could not wait, and are lost."""
        self.ended = self._limits.usedUp = True

    def left(self, wanted: int = 1) -> int:
        """
        Return how many octets may still move.

        Where only new sessions are judged by quotas, live sessions move on without
        end.
        """
        return self._left(wanted) if self._limits.enforced else _ENDLESS

    def _left(self, wanted: int = 1) -> int:
        quota = self._quota
        return self._counters.room(self._key, quota.seconds, quota.octets, wanted)

    def spend(self, octets: int) -> None:
        """Count octets that have moved."""
        self._counters.spend(self._key, self._quota.seconds, octets)
        if self.over:
            self._limits.usedUp = True

    @property
    def over(self) -> bool:
        """Whether the quota is used up, for what it bounds."""
        quota = self._quota
        return self.ended or self._counters.over(self._key, quota.seconds, quota.octets)

    @property
    def pending(self) -> bool:
        """Whether more than L{left} may be there in a moment."""
        return self._counters.pending(self._key, self._quota.seconds)

    @property
    def asked(self) -> tuple[Key, float, int]:
        """What counters are asked about it."""
        return self._key, self._quota.seconds, self._quota.octets

    def __str__(self) -> str:
        octets = _short(self._quota.octets, _SIZES, "B")
        seconds = _short(self._quota.seconds, _SPANS, "s")
        return named(f"{octets}/{seconds}", self._key) + " is used up"
