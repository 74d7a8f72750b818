"""
Lines of the log: texts for people, JSON for programs, both for systemd's journal.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from typing import IO, Any, Final

from twisted.logger import (
    LogEvent,
    LogLevel,
    eventAsText,
    formatEvent,
    formatEventAsClassicLogText,
)

__all__ = ["Formatter", "inJournal", "jsonLine", "levelOf", "prioritized", "textLine"]

#: Turns an event into whole lines, or L{None} where there is nothing to say.
Formatter = Callable[[LogEvent], str | None]

#: Characters of the longest message, and of the longest traceback.
_MESSAGE: Final = 8192
_TRACEBACK: Final = 16384
#: Severities of RFC 5424, as sd-daemon(3) has them before a line.
_PRIORITIES: Final = {
    LogLevel.debug: "<7>", LogLevel.info: "<6>", LogLevel.warn: "<4>",
    LogLevel.error: "<3>", LogLevel.critical: "<2>",
}  # fmt: skip


def levelOf(event: LogEvent) -> Any:
    """Return the level of an event; one that has none is told for information."""
    return event.get("log_level") or LogLevel.info


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}... ({len(text)} characters)"


def textLine(event: LogEvent) -> str | None:
    """Return an event as twistd writes it, with its line feed; L{None} for no text."""
    return formatEventAsClassicLogText(event)


def jsonLine(event: LogEvent) -> str | None:
    """
    Return an event as a JSON object with its line feed, in ASCII.

    It has C{time} (UTC), C{level}, C{system} (the module) and C{message}, and
    C{traceback} where something failed.
    """
    message = formatEvent(event)
    failure = event.get("log_failure")
    if not message and failure is None:
        return None
    when = datetime.fromtimestamp(event.get("log_time", 0.0), UTC)
    line = {
        "time": when.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "level": levelOf(event).name,
        "system": str(event.get("log_namespace", "-")),
        "message": _cut(message, _MESSAGE),
    }
    if failure is not None:
        line["traceback"] = _cut(failure.getTraceback(), _TRACEBACK)
    return json.dumps(line) + "\n"


def prioritized(lineOf: Formatter) -> Formatter:
    """
    Return a format whose lines begin with their priority, as of sd-daemon(3).

    Texts have no time then: the journal of systemd has its own.
    """

    def line(event: LogEvent) -> str | None:
        if lineOf is textLine:
            text = eventAsText(event, includeTimestamp=False)
        else:
            text = lineOf(event) or ""
        priority = _PRIORITIES[levelOf(event)]
        # Each line is an entry of its own there.
        lines = [f"{priority}{each}\n" for each in text.splitlines() if each]
        return "".join(lines) or None

    return line


def inJournal(stream: IO[Any]) -> bool:
    """Tell whether a stream leads to the journal of systemd, as systemd.exec(5) says."""
    device, _, inode = os.environ.get("JOURNAL_STREAM", "").partition(":")
    try:
        found = os.fstat(stream.fileno())
    except (OSError, ValueError, AttributeError):
        return False
    return (str(found.st_dev), str(found.st_ino)) == (device, inode)
