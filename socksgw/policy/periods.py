"""
Which of the rules with times hold now, as long as that does not change.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, final

from socksgw.policy.rules import Rule
from socksgw.policy.schedules import Schedule

__all__ = ["Periods"]

#: Schedules begin and end with a minute, in every time zone of today.
_MINUTE: Final = 60.0


@final
class Periods:
    """
    The times between two changes in which rules hold.

    @ivar held: the numbers of the rules with times that hold in the present period.
    """

    __slots__ = ("_begins", "_ends", "_number", "_timed", "held")

    def __init__(self, rules: Sequence[Rule]) -> None:
        """
        Read nothing yet.

        @param rules: all rules; those without times are of no concern.
        """
        self._timed = [(n, rule) for n, rule in enumerate(rules) if rule.timed]
        # No time is within this.
        self._begins, self._ends = 1.0, 0.0
        self._number = 0
        self.held: frozenset[int] = frozenset()

    def at(self, now: float) -> int:
        """
        Return the number of the period that a time is in, which becomes the present.

        The same number means the same rules; a later period has another number.

        @param now: seconds since the epoch.
        """
        if not self._begins <= now < self._ends:
            self._read(now)
        return self._number

    def _read(self, now: float) -> None:
        begins = now - now % _MINUTE
        ends = begins + _MINUTE
        covering: dict[Schedule, bool] = {}
        held = set()
        for number, rule in self._timed:
            until = rule.until
            if until is not None:
                if until <= now:
                    begins = max(begins, until)
                    continue
                ends = min(ends, until)
            if rule.during is not None:
                for each in rule.during:
                    if each not in covering:
                        covering[each] = each.covers(now)
                if not any(map(covering.__getitem__, rule.during)):
                    continue
            held.add(number)
        if held != self.held or not self._number:
            self.held = frozenset(held)
            self._number += 1
        self._begins, self._ends = begins, ends
