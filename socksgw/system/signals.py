"""
Signals that come before the reactor runs, and SIGHUP.

SIGHUP reloads, or stops a gateway in the foreground whose terminal was closed.
SIGTERM before the reactor runs stops the gateway then: process 1 of a container
ignores signals without a handler, and Twisted installs its own later.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any, Final, final

__all__ = ["Hangups", "hangups"]

#: Seconds until the kernel has taken a closed terminal from its processes; the
#: signal comes before.
_SETTLE: Final = 0.2


def _hasTerminal() -> bool:
    """
    Tell whether this process has a controlling terminal.

    One that was hung up cannot be opened any more (tty(4), ENXIO).
    """
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK))
    except OSError:
        return False
    return True


@final
class Hangups:
    """
    The handler of SIGHUP; a signal that comes early is handled later.
    """

    def __init__(self) -> None:
        self._foreground = False
        self._came = False
        self._act: Callable[[], None] | None = None
        self._ended = False
        self._reactor: Any = None
        self._terminal = _hasTerminal()
        # As nohup(1) does: a closed terminal ends nothing.
        self._ignored = signal.signal(signal.SIGHUP, self._caught) is signal.SIG_IGN
        # It may be blocked until here (env --block-signal=HUP, as in the Makefile):
        # a mask outlasts execve(2), and what has come meanwhile comes now.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGHUP])

    def foreground(self) -> None:
        """
        Take note that this process stays in the foreground of its terminal.
        """
        self._foreground = True
        signal.signal(signal.SIGTERM, self._stopLater)

    def _stopLater(self, *_: object) -> None:
        # The reactor may be half imported now.
        if self._reactor is None:
            self._ended = True
        else:
            self._reactor.callWhenRunning(self._reactor.stop)

    def _caught(self, *_: object) -> None:
        if self._act is None:
            self._came = True
        else:
            self._act()

    def serve(
        self,
        reactor: Any,
        reload: Callable[[], object],
        stop: Callable[[], None],
    ) -> None:
        """
        Act on signals from now on.

        @param stop: called when the terminal is closed.
        """
        terminal = self._foreground and self._terminal

        def decide() -> None:
            if not terminal or _hasTerminal():
                reload()
            elif not self._ignored:
                stop()

        def act() -> None:
            # In a signal handler: hand it to the reactor's thread.
            delay = _SETTLE if terminal else 0
            reactor.callFromThread(reactor.callLater, delay, decide)

        # From here on the handlers act by themselves; then what has come before.
        self._act, self._reactor = act, reactor
        if self._ended:
            reactor.callWhenRunning(reactor.stop)
        if self._came:
            self._came = False
            act()


_first: Final[list[Hangups]] = []


def hangups() -> Hangups:
    """
    Return what catches this process's signals; from the first call on it does.
    """
    if not _first:
        _first.append(Hangups())
    return _first[0]
