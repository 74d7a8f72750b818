"""
What is held for readers that stall, and the pipes that hold it.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable
from typing import Final, final

from socksgw.system.sockets import isRefusal, tellOnce

__all__ = ["Memory", "Pipe", "Pipes"]

#: The most octets that one direction holds.
MOST: Final = 1 << 20
#: The fewest octets that are worth a system call while memory lasts.
LEAST: Final = 1 << 16
#: The octets that are taken at a time when three quarters of the memory are held.
SCARCE: Final = 1 << 12
#: How a sandbox refuses a system call, whatever it is asked.
_FOR_EVER: Final = (errno.EPERM, errno.EACCES, errno.ENOSYS)


@final
class Memory:
    """
    The budget of all octets that are held for readers that do not read.

    As it fills, what one direction may take shrinks from 1 MiB to 64 KiB, and in the
    last quarter to 4 KiB. When it is used up, directions wait until others give
    back.

    @ivar held: octets held now.
    @ivar limit: the most octets held at any time.
    @ivar scarce: whether so many are held that L{room} has to be asked even for a
        short message.
    """

    __slots__ = ("_waiting", "held", "limit", "scarce")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held = 0
        self.scarce = limit < 2 * MOST
        self._waiting: dict[Callable[[], None], None] = {}

    def room(self) -> int:
        """Return how many octets one direction may take in now; 0 for none."""
        free = self.limit - self.held
        if free > self.limit >> 1:
            # A small budget is not given to one direction alone.
            return min(MOST, self.limit >> 2)
        if free > self.limit >> 2:
            return min(LEAST, free)
        return SCARCE if free >= SCARCE else 0

    def take(self, octets: int) -> None:
        """Count octets that are held from now on."""
        self.held += octets
        self.scarce = self.limit - self.held < 2 * MOST or (self.held > self.limit >> 1)

    def give(self, octets: int) -> None:
        """Count octets that are held no longer, and call what waits for room."""
        self.held -= octets
        self.scarce = self.limit - self.held < 2 * MOST or (self.held > self.limit >> 1)
        if self._waiting and self.room():
            waiting, self._waiting = self._waiting, {}
            for again in waiting:
                again()

    def wait(self, again: Callable[[], None]) -> None:
        """Call C{again} once when there is room."""
        self._waiting[again] = None

    def forget(self, again: Callable[[], None]) -> None:
        """Do not call C{again} any more."""
        self._waiting.pop(again, None)


#: The descriptors of the reading and the writing end.
Pipe = tuple[int, int]


@final
class Pipes:
    """
    Keep empty pipes for the next use.

    A pipe's size counts in slots, and a socket fills a slot with a few octets as
    with a whole page. Hence 1 MiB, where the kernel grants it
    (C{fs.pipe-user-pages-soft} limits unprivileged processes).
    """

    __slots__ = ("_free", "_kept", "_refused")

    def __init__(self, kept: int = 64) -> None:
        """@param kept: the most idle pipes that are kept open."""
        self._kept = kept
        self._free: list[Pipe] = []
        self._refused = not hasattr(os, "splice")

    def refused(self, what: str, error: OSError) -> None:
        """
        Take note that the system refuses a call that works elsewhere.

        Where it will do so again, no more pipes are given out.

        @param what: the system call.
        """
        tellOnce(what, error, "octets are copied instead, which costs more CPU")
        if error.errno in _FOR_EVER:
            self._refused = True

    def take(self) -> Pipe | None:
        """
        Return an empty pipe.

        @return: L{None} when the process is out of descriptors, or the system
            refuses what is needed.
        """
        if self._refused:
            return None
        if self._free:
            return self._free.pop()
        try:
            ends = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as e:
            if isRefusal(e):
                self.refused("pipe2(2)", e)
            return None
        try:
            fcntl.fcntl(ends[1], fcntl.F_SETPIPE_SZ, MOST)
        except OSError:
            # It is not granted; a small pipe works, too.
            pass
        return ends

    def give(self, pipe: Pipe, empty: bool) -> None:
        """
        Take a pipe back.

        @param empty: whether nothing is in it; else it is closed.
        """
        if empty and len(self._free) < self._kept:
            self._free.append(pipe)
        else:
            os.close(pipe[0])
            os.close(pipe[1])

    def close(self) -> None:
        """Close every idle pipe."""
        for reading, writing in self._free:
            os.close(reading)
            os.close(writing)
        self._free.clear()
