"""
What a call costs, in figures that are the same on every machine.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable


def allocated(call: Callable[[], object]) -> int:
    """
    Return how many octets a call had allocated at once, at most.
    """
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        call()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
