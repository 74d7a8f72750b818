"""
The part of the journal that clients fill who get in nowhere.

A journal that drops its oldest files would lose the records of users to a flood
of refusals, and one that does not would be full. So their lines have a ration of
octets: a twentieth of C{max_size} at once, and a twentieth more in the course of
C{keep}. What exceeds it waits in sums.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, final

from socksgw.config.schema import AuditConfig

__all__ = ["Ration"]

#: The share of C{max_size} that is had at once, and that comes back within
#: C{keep}, as 1/n.
_PART: Final = 20
#: Octets of a line that are not its body: number, time and hash.
_FRAME: Final = 140


@final
class Ration:
    """
    How many octets there are for clients who get in nowhere.

    @ivar left: octets; at most one second's sums below 0.
    """

    def __init__(self, config: AuditConfig, tell: Callable[[str], None]) -> None:
        """
        @param tell: told in one line when it is used up.
        """
        self._tell = tell
        self._short = False
        self.left = self._most = self._perSecond = 0.0
        self.apply(config)
        self.left = self._most

    def apply(self, config: AuditConfig) -> None:
        """
        Go by another C{max_size} and C{keep}. What has been used stays used.
        """
        most = config.max_size / _PART
        self.left += most - self._most
        self._most = most
        self._perSecond = most / max(config.keep, 1.0)

    def spend(self, body: str) -> None:
        """
        Count a line.

        @param body: its members from C{event} on.
        """
        self.left -= len(body) + _FRAME
        if self.left <= 0 and not self._short:
            self._short = True
            self._tell(
                "clients that get in nowhere have filled their part of the journal: "
                "their refusals are summed until there is room for a line"
            )

    def refill(self, seconds: float) -> None:
        """
        Add what comes back in so many seconds.
        """
        self.left = min(self._most, self.left + seconds * self._perSecond)
        if self.left > self._most / 2:
            self._short = False
