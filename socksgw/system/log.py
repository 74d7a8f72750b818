"""
The log of the process: what of it is written, and how often.

Other parts log as they like. What comes again and again is counted here, in one place,
and told in sums.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from threading import RLock
from typing import Any, Final, final

from attrs import define
from twisted.logger import (
    FileLogObserver,
    ILogObserver,
    LogEvent,
    LogLevel,
    formatEvent,
)
from zope.interface import implementer

from socksgw.system.logformats import (
    Formatter,
    inJournal,
    jsonLine,
    levelOf,
    prioritized,
    textLine,
)

__all__ = ["Log", "observing"]

#: Seconds after which an event counts as new again.
_WINDOW: Final = 60.0
#: How many warnings of the same text, and events of the same place in the program, are
#: written in that time.
_SAME, _ALIKE = 3, 100
#: How many of either are remembered.
_MOST: Final = 1000
#: Others of whom all is written; of the rest only what is wrong. Twisted tells of every
#: port and of every connection, and its web server of every request.
_HEARD: Final = ("socksgw", "twisted.scripts", "twisted.internet.base")


@define
class _Seen:
    """
    An event that has come.

    @ivar until: when it counts as new again, in monotonic seconds.
    @ivar written: how often it was written.
    @ivar left: how often it was left out.
    @ivar last: the last one that was left out.
    """

    until: float
    written: int = 0
    left: int = 0
    last: LogEvent | None = None

    def leave(self, event: LogEvent) -> bool:
        """Count an event that is left out; return that it is not to be written."""
        self.left += 1
        self.last = event
        return False


@final
@implementer(ILogObserver)
class Log:
    """
    Passes events on: those of some level, and of what is repeated the first ones.

    It may be called in any thread, and while it writes: the collector of garbage may run
    then, and an error that nobody has handled is logged when its object goes.
    """

    def __init__(
        self,
        write: Callable[[LogEvent], object],
        level: Any = LogLevel.info,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Have seen nothing yet.

        @param write: writes an event.
        @param level: what is less severe is left out.
        @param clock: returns monotonic seconds.
        """
        self._write = write
        self._level = level
        self._clock = clock
        self._seen: dict[Hashable, _Seen] = {}
        self._lock = RLock()

    def __call__(self, event: LogEvent) -> None:
        """Write an event, or count it."""
        level = levelOf(event)
        if level < self._level:
            return
        namespace = str(event.get("log_namespace", ""))
        if level < LogLevel.warn and not namespace.startswith(_HEARD):
            return
        with self._lock:
            now = self._clock()
            self._sum(now)
            if level is LogLevel.critical or self._isNew(namespace, event, level, now):
                self._write(event)

    def _isNew(self, namespace: str, event: LogEvent, level: Any, now: float) -> bool:
        """
        Tell whether an event is to be written; else it is counted.

        Of a text that nothing is wrong with, each is news: a reload, say.
        """
        place = (namespace, event.get("log_format"))
        alike = self._of(place, now)
        if alike.written >= _ALIKE:
            return alike.leave(event)
        if level >= LogLevel.warn:
            same = self._of((*place, formatEvent(event)), now)
            if same.written >= _SAME:
                return same.leave(event)
            same.written += 1
        alike.written += 1
        return True

    def _of(self, what: Hashable, now: float) -> _Seen:
        seen = self._seen.get(what)
        if seen is None:
            if len(self._seen) >= _MOST:
                self._drop(next(iter(self._seen)))
            seen = self._seen[what] = _Seen(now + _WINDOW)
        return seen

    def sweep(self) -> None:
        """
        Tell of what was left out; call it now and then.
        """
        with self._lock:
            self._sum(self._clock())

    def _sum(self, now: float) -> None:
        # They stand in the order in which their time is over.
        while self._seen:
            what, seen = next(iter(self._seen.items()))
            if now < seen.until:
                break
            self._drop(what)

    def _drop(self, what: Hashable) -> None:
        """Forget an event, and tell how often it was left out."""
        seen = self._seen.pop(what, None)
        if seen is not None and seen.last is not None:
            self._write(
                {
                    **{k: v for k, v in seen.last.items() if k != "log_failure"},
                    "log_format": "{left} more within a minute: {last}",
                    "left": seen.left,
                    "last": formatEvent(seen.last),
                }
            )


def observing(options: Any, form: str, level: str) -> Log:
    """
    Return what writes the log where twistd would write it.

    That is standard output, the file of C{--logfile} or the logger of the system
    (C{--syslog}). The last one gets texts in any format.

    @param options: the options of twistd.
    @param form: C{text} or C{json}.
    @param level: the name of the least level.
    """
    from twisted.scripts._twistd_unix import UnixAppLogger

    # It opens the file, and has it rotated at SIGUSR1.
    found: Any = UnixAppLogger(options)._getLogObserver()
    if isinstance(found, FileLogObserver):
        stream = found._outFile
        line: Formatter = jsonLine if form == "json" else textLine
        if inJournal(stream):
            line = prioritized(line)
        found = FileLogObserver(stream, line)
    elif not ILogObserver.providedBy(found):
        from twisted.logger import LegacyLogObserverWrapper

        found = LegacyLogObserverWrapper(found)
    return Log(found, LogLevel.levelWithName(level))
