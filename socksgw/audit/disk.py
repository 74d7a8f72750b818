"""
Sync the journal to the disk, in a thread.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, final

from twisted.internet.defer import Deferred, fail
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure

from socksgw.system.threads import Pool

__all__ = ["Disk"]


@final
class Disk:
    """
    The disk that holds one journal.

    @ivar dirty: whether octets were written since the last sync began.
    """

    def __init__(
        self, reactor: Any, descriptor: Callable[[], int], tell: Callable[[str], None]
    ) -> None:
        """
        Prepare; L{start} begins.

        @param descriptor: returns the descriptor of the file that is written to.
        @param tell: called with one line when the disk fails.
        """
        self.dirty = False
        self._reactor = reactor
        self._descriptor = descriptor
        self._tell = tell
        self._pool = Pool(0, 1, "audit")
        self._asking: Deferred[None] | None = None
        self._call: Any = None

    def start(self, interval: float | None) -> None:
        """
        Start the thread, and syncing at intervals.

        @param interval: seconds between two syncs; L{None} for only when asked.
        """
        self._pool.start()
        if interval is not None:
            self._call = self._reactor.callLater(interval, self._again, interval)

    def ask(self) -> Deferred[None]:
        """
        Sync what was written so far.

        @return: fires when it is on the disk; fails when that does not work.
        """
        self.dirty = False
        try:
            # A duplicate, since rotation may close the file in the meantime.
            duplicate = os.dup(self._descriptor())
        except OSError:
            return fail()
        try:
            return deferToThreadPool(self._reactor, self._pool, _sync, duplicate)
        except RuntimeError:
            # No thread can be started.
            os.close(duplicate)
            return fail()

    def _again(self, interval: float) -> None:
        self._call = self._reactor.callLater(interval, self._again, interval)
        if self.dirty and self._asking is None:
            self._asking = self.ask()
            self._asking.addBoth(self._asked)

    def _asked(self, result: object) -> None:
        self._asking = None
        self.failed(result)

    def failed(self, result: object) -> None:
        """
        Tell of a sync that failed, and have it tried again at the next interval.

        @param result: of a sync; everything but a C{Failure} is fine.
        """
        if isinstance(result, Failure):
            self.dirty = True
            self._tell(f"the journal's disk failed: {result.getErrorMessage()}")

    def rest(self) -> None:
        """Stop syncing at intervals."""
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def stop(self) -> None:
        """Stop the thread."""
        self._pool.stop()


def _sync(fd: int) -> None:
    """
    Sync a file, and close its descriptor. Runs in the thread.
    """
    try:
        os.fdatasync(fd)
    finally:
        os.close(fd)
