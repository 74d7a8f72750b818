"""
The garbage collector, while much is made that stays.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["collectorAside"]


@contextmanager
def collectorAside() -> Iterator[None]:
    """
    Have the garbage collector not run, and never look at what is made meanwhile.

    It would go over all of it again and again, and hold up every thread each time. What
    is made is freed when nothing refers to it any more, as long as it is in no cycle.
    """
    if not gc.isenabled():
        # Somebody else has seen to it.
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
