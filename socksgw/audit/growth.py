"""
Warn when the journal is nearly full, or will be soon.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, final

from socksgw.config.schema import AuditConfig
from socksgw.system.once import Seldom

__all__ = ["Growth"]

#: Shares of C{max_size} at which a warning is given.
_ALARMS: Final = (0.5, 0.8, 0.95)
#: Seconds over which growth is measured.
_MEASURE: Final = 60.0
#: A warning is given when the journal will be full in less than these seconds.
_SOON: Final = 86400.0
#: Seconds between two warnings about growth.
_SAY: Final = 3600.0


@final
class Growth:
    """
    The warnings about the size of one journal.
    """

    def __init__(self, tell: Callable[[str], None]) -> None:
        """
        @param tell: called with each warning, one line.
        """
        self._tell = tell
        self._alarmed = 0
        self._written = 0
        self._since: float | None = None
        self._said = Seldom(_SAY)

    def apply(self, full: int, config: AuditConfig) -> None:
        """
        Use another C{max_size}, without warnings for shares that it has already.

        @param full: the size of the journal in octets.
        """
        self._alarmed = sum(full >= alarm * config.max_size for alarm in _ALARMS)

    def wrote(self, octets: int, full: int, config: AuditConfig) -> None:
        """
        Count octets that were written, and warn when a share is reached.

        @param full: the size of the journal in octets, with these.
        """
        self._written += octets
        share = full / config.max_size
        while self._alarmed and share < _ALARMS[self._alarmed - 1] / 2:
            self._alarmed -= 1
        if self._alarmed < len(_ALARMS) and share >= _ALARMS[self._alarmed]:
            self._tell(f"the journal has {share:.0%} of its max_size")
            self._alarmed += 1

    def look(self, now: float, full: int, config: AuditConfig) -> None:
        """
        Warn when the journal will be full within a day, or holds less than a day.

        It is measured once a minute, and told once an hour at most.

        @param now: monotonic seconds.
        """
        if self._since is None:
            self._since = now
        seconds = now - self._since
        if seconds < _MEASURE:
            return
        rate = self._written / seconds
        self._since, self._written = now, 0
        drops = config.when_full == "drop-oldest"
        room = config.max_size if drops else config.max_size - full
        if room < rate * _SOON and self._said.due(now):
            hours = room / rate / 3600
            self._tell(
                f"the journal grows by {rate * 3600 / 1e6:,.0f} MB an hour: "
                + (
                    f"it holds the last {hours:.1f} hours"
                    if drops
                    else f"it reaches audit.max_size in {hours:.1f} hours"
                )
            )
