"""
What a thread that computes for long does to the reactor's thread, made less.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Final

__all__ = ["collectorAside", "givingWay"]

#: Seconds after which a thread that computes lets another one run.
_OFTEN: Final = 0.0005

#: Guards the others: threads that compute now, and the interval without any.
_lock: Final = Lock()
_computing = 0
_usual = 0.0


@contextmanager
def collectorAside(stays: bool = False) -> Iterator[None]:
    """
    Have the garbage collector not run meanwhile.

    It would go over all that is made again and again, and hold up every thread each
    time.

    @param stays: whether it is never to look at anything that there is at the end. What
        is in no cycle is freed all the same when nothing refers to it any more.
    """
    if not gc.isenabled():
        # Somebody else has seen to it.
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        if stays:
            gc.freeze()
        gc.enable()


@contextmanager
def givingWay() -> Iterator[None]:
    """
    Have a thread that computes let others run more often.

    The reactor gives up the interpreter with each call of a socket, and would wait for
    it as long after each. Several threads may compute at the same time.
    """
    global _computing, _usual
    with _lock:
        if not _computing:
            _usual = sys.getswitchinterval()
            sys.setswitchinterval(min(_OFTEN, _usual))
        _computing += 1
    try:
        yield
    finally:
        with _lock:
            _computing -= 1
            if not _computing:
                sys.setswitchinterval(_usual)
