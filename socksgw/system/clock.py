"""
The clock of the reactor's timers.
"""

from __future__ import annotations

import time
from typing import Any

__all__ = ["steady"]


def steady(reactor: Any) -> None:
    """
    Make the timers of a reactor independent of the clock of the day.

    Twisted's go by C{time.time}: when that is set back by an hour (by NTP, or when
    a virtual machine is resumed), no timer ends for an hour, and when it is set
    forward, all end at once.

    @param reactor: one that has no timers yet.
    """
    reactor.seconds = time.monotonic
