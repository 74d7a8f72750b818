"""
What only the garbage collector would free.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["withoutCollector"]


@contextmanager
def withoutCollector() -> Iterator[list[str]]:
    """
    The garbage collector waits meanwhile.

    @return: afterwards, the kinds of our objects that only it would have freed.
    """
    kinds: list[str] = []
    gc.collect()
    gc.disable()
    try:
        yield kinds
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        found = {f"{type(x).__module__}.{type(x).__qualname__}" for x in gc.garbage}
        kinds += sorted(kind for kind in found if kind.startswith("socksgw."))
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
