"""
The log of a command: what people need to know, on standard error.
"""

from __future__ import annotations

import sys

from twisted.logger import (
    FileLogObserver,
    FilteringLogObserver,
    LogLevel,
    LogLevelFilterPredicate,
    eventAsText,
    globalLogBeginner,
)

__all__ = ["beginWarning"]


def beginWarning(prefix: str) -> None:
    """
    Have warnings and worse go to standard error, a line each.

    @param prefix: of each line.
    """
    shown = FileLogObserver(
        sys.stderr,
        lambda event: (
            f"{prefix}"
            f"{eventAsText(event, includeTimestamp=False, includeSystem=False)}\n"
        ),
    )
    wanted = LogLevelFilterPredicate(LogLevel.warn)
    globalLogBeginner.beginLoggingTo(
        [FilteringLogObserver(shown, [wanted])], redirectStandardIO=False
    )
