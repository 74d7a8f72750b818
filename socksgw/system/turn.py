"""
Turns of processes that change memory which they share (C{flock(2)}).

A process that ends loses its turn. Nobody waits for one without an end: a process may
be stopped in its own.
"""

from __future__ import annotations

import fcntl
import os
import time
from typing import Final, final

__all__ = ["Turn"]

#: How often a turn is asked for at once, and then with a pause.
_AT_ONCE: Final = 50
_LATER: Final = 100
#: Seconds of a pause: 20 ms in all.
_PAUSE: Final = 0.0002


@final
class Turn:
    """
    The turns of one process.

    @ivar fd: of the open file.
    """

    def __init__(self, fd: int) -> None:
        """
        @param fd: of an open file that no other process uses: turns are by open file.
        """
        self.fd = fd

    def take(self) -> bool:
        """
        Take the turn.

        @return: whether we have it; where not, somebody stands still in his.
        """
        try:
            fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return self._wait()
        return True

    def _wait(self) -> bool:
        for tried in range(_AT_ONCE + _LATER):
            if tried < _AT_ONCE:
                os.sched_yield()
            else:
                time.sleep(_PAUSE)
            try:
                fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            return True
        return False

    def give(self) -> None:
        """Let others have theirs."""
        fcntl.flock(self.fd, fcntl.LOCK_UN)
