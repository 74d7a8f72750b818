"""
Memory that a crowd of clients needed, and that is of no use when it has gone.

The C library keeps what was freed below anything that still lives: after a crowd has
gone, a few objects that outlive it would hold all of it.
"""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Callable
from typing import Final, final

__all__ = ["Heap", "trim"]

#: The number of clients that makes a crowd, when they have gone.
_CROWD: Final = 250
#: Calls without a change after which the crowd is held to be gone.
_CALM: Final = 20
#: With more clients than this a full garbage collection would hold up everybody.
_FEW: Final = 1000
#: It is looked up once: each look-up makes a class, which waits for the garbage
#: collector.
_release: Final = getattr(ctypes.CDLL(None), "malloc_trim", None)


def trim() -> None:
    """
    Give free memory back to the kernel, where the C library can.

    It is malloc_trim(3), which only glibc has.
    """
    if _release is not None:
        _release(0)


@final
class Heap:
    """
    Give memory back when a crowd has gone.
    """

    def __init__(self, trim: Callable[[], None] = trim) -> None:
        self._trim = trim
        self._most = 0
        #: Calls until memory is given back for the last time after a crowd.
        self._last = 0

    def look(self, clients: int) -> None:
        """
        Give memory back when half of a crowd has gone, and once more later.

        The second time comes when the crowd has not halved for a while. Called four
        times a second.

        @param clients: how many there are now.
        """
        self._most = max(self._most, clients)
        if clients * 2 <= self._most and self._most - clients >= _CROWD:
            self._last = _CALM
        elif self._last:
            self._last -= 1
            if self._last:
                return
        else:
            return
        self._most = clients
        if clients <= _FEW:
            gc.collect()
        self._trim()
