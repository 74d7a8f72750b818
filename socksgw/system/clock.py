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

    Timers that run already end after what is left of their time.
    """
    earlier = time.monotonic() - reactor.seconds()
    reactor.seconds = time.monotonic
    for call in reactor.getDelayedCalls():
        call.seconds = time.monotonic
        call.delay(earlier)
