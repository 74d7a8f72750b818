"""
Bound the part of the journal that refused clients without a login can fill.

Otherwise a flood of refusals would fill the journal, or, where it drops its oldest
files, push out the records of users. So the lines of these clients have a ration of
octets: a twentieth of C{max_size} at once, and another twentieth in the course of
C{keep}. Half of it is for sums: refusals have no lines of their own when the other
half is used up. When both are, sums wait until there is room for a line.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, final

from socksgw.config.schema import AuditConfig

__all__ = ["Ration"]

#: 1/n of C{max_size} is the ration, and refills within C{keep}.
_PART: Final = 20
#: Octets of a line that are not its body: number, time and hash.
_FRAME: Final = 140


@final
class Ration:
    """
    How many octets refused clients without a login may still fill.

    @ivar left: these octets. The sums of one second may exceed them: then it is
        negative.
    """

    def __init__(
        self, config: AuditConfig, tell: Callable[[str], None], writers: int = 1
    ) -> None:
        """
        Begin with a full ration.

        @param tell: called with one line when the ration is used up.
        @param writers: how many processes have the same share.
        """
        self._tell = tell
        self._writers = writers
        self._said = False
        self.left = self._most = self._perSecond = 0.0
        self.apply(config)
        self.left = self._most

    def apply(self, config: AuditConfig) -> None:
        """
        Use another C{max_size} and C{keep}; octets that are used stay used.
        """
        most = config.max_size / _PART / self._writers
        self.left += most - self._most
        self._most = most
        self._perSecond = most / max(config.keep, 1.0)

    @property
    def isShort(self) -> bool:
        """Whether what is left is for sums."""
        return self.left <= self._most / 2

    @property
    def isUsedUp(self) -> bool:
        """Whether there is no room for a line."""
        return self.left <= 0

    def spend(self, body: str) -> None:
        """
        Charge a line.

        @param body: its JSON members from C{event} on.
        """
        self.left -= len(body) + _FRAME
        if self.isUsedUp and not self._said:
            self._said = True
            self._tell(
                "clients that get in nowhere have filled their part of the journal: "
                "their refusals are counted until there is room for a line"
            )

    def refill(self, seconds: float) -> None:
        """
        Add the octets that become available again.

        @param seconds: how long ago this was last called.
        """
        self.left = min(self._most, self.left + seconds * self._perSecond)
        if not self.isShort:
            self._said = False
