"""
What several processes count together, in memory that they share (C{memfd_create(2)}).

Each process writes a column of its own; what is counted of a key is the sum of all
columns. So the count of a process that has died is one column, which is cleared. A key
is known by its hash, in one of a few slots; a slot of which nothing is counted is free.
Whatever is read before it is changed is changed in a turn (L{Turn}).
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable
from hashlib import blake2b
from typing import Final, final

from socksgw.limits.counters import Key
from socksgw.system.turn import Turn

__all__ = ["CELLS", "Board", "Slots", "nameOf"]

#: Octets of a hash: nobody finds two names with the same one.
_NAME: Final = 16
#: Slots that a key may be in.
_WAYS: Final = 16
#: Slots for what lives, for events, for windows, and for rates. Memory of slots that nobody uses
#: is never touched.
_LIVE: Final = 1 << 18
_EVENTS: Final = 1 << 16
_WINDOWS: Final = 1 << 16
_RATES: Final = 1 << 16
#: Cells of the events of one key, each of a part of a second.
CELLS: Final = 17
_PAGE: Final = 4096


def nameOf(key: Key, seconds: float = 0.0) -> bytes:
    """
    Return the hash of a key; of a window's with its length.

    No part but the last may have a NUL, and so no two keys are one text.
    """
    text = f"{seconds!r}\0" + "\0".join(key)
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_NAME).digest()


@final
class Slots:
    """The slots of one kind."""

    def __init__(self, names: memoryview, isFree: Callable[[int], bool]) -> None:
        """
        Take them.

        @param names: the hashes of all slots.
        @param isFree: tells whether nothing is counted in a slot.
        """
        self._names = names
        self._sets = len(names) // (_NAME * _WAYS)
        self._isFree = isFree

    def ways(self, name: bytes) -> range:
        """Return the slots that a hash may be in."""
        first = int.from_bytes(name[:8], "little") % self._sets * _WAYS
        return range(first, first + _WAYS)

    def find(self, name: bytes) -> int:
        """Return the slot of a hash; -1 for none."""
        first = self.ways(name).start
        start = first * _NAME
        names = bytes(self._names[start : start + _NAME * _WAYS])
        at = names.find(name)
        while at % _NAME and at >= 0:
            at = names.find(name, at + 1)
        return first + at // _NAME if at >= 0 else -1

    def make(self, name: bytes) -> int:
        """
        Return the slot of a hash, which may be one that was free; call it in a turn.

        @return: -1 where none is free.
        """
        slot = self.find(name)
        if slot >= 0:
            return slot
        for slot in self.ways(name):
            if self._isFree(slot):
                self.put(slot, name)
                return slot
        return -1

    def put(self, slot: int, name: bytes) -> None:
        """Have a slot belong to a hash."""
        self._names[slot * _NAME : (slot + 1) * _NAME] = name


@final
class Board:
    """
    The memory.

    @ivar fd: its descriptor; another process makes its own of it (L{another}).
    @ivar columns: how many there are; the first is the supervisor's.
    @ivar turn: the turns of this process.
    @ivar changes: how often each has counted octets.
    @ivar ends: how often each has seen a quota used up.
    @ivar live: what lives, by column.
    @ivar moments: the number of the last cell of the events of each slot.
    @ivar cells: the events, C{CELLS} in a row for each slot.
    @ivar scales: the seconds for which the events of each slot count.
    @ivar lasts: the number of the cell of a second from which on none does.
    @ivar numbers: the numbers of windows.
    @ivar lengths: their seconds.
    @ivar behind: since when the clock is behind a window, in monotonic seconds; 0.
    @ivar octets: the octets of windows, by column.
    @ivar ahead: those of them that were taken in advance and have not moved.
    @ivar recalled: whether what was taken in advance of a window is to come back.
    @ivar pools: the octets of rates that are there for anybody; less than 0: owed.
    @ivar paid: up to when they have flowed in, in monotonic seconds.
    @ivar fulls: when the pool is full if nobody takes any.
    @ivar crowds: how many shares of each column wait to be paid.
    @ivar credits: the octets that have flowed in for each column.
    """

    def __init__(self, fd: int, columns: int) -> None:
        """
        Take the memory.

        @raise OSError: it cannot be had.
        """
        self.fd = fd
        self.columns = columns
        self.turn = Turn(fd)
        self._size = 0
        sizes = [
            2 * 8 * columns,
            _NAME * _LIVE,
            *[4 * _LIVE] * columns,
            _NAME * _EVENTS,
            8 * _EVENTS,
            4 * CELLS * _EVENTS,
            _NAME * _WINDOWS,
            *[8 * _WINDOWS] * 3,
            *[8 * _WINDOWS] * columns,
            *[8 * _WINDOWS] * columns,
            _WINDOWS,
            _NAME * _RATES,
            *[8 * _RATES] * 3,
            *[4 * _RATES] * columns,
            *[8 * _RATES] * columns,
            *[8 * _EVENTS] * 2,
        ]
        whole = sum(-(-size // _PAGE) * _PAGE for size in sizes)
        if os.fstat(fd).st_size < whole:
            os.ftruncate(fd, whole)
        self._memory = memoryview(mmap.mmap(fd, whole))
        head = self._part(sizes[0]).cast("Q")
        self.changes, self.ends = head[:columns], head[columns : 2 * columns]
        self.lives = Slots(self._part(_NAME * _LIVE), self._dead)
        self.live = [self._part(4 * _LIVE).cast("I") for _ in range(columns)]
        self.events = Slots(self._part(_NAME * _EVENTS), self._past)
        self.moments = self._part(8 * _EVENTS).cast("Q")
        self.cells = self._part(4 * CELLS * _EVENTS).cast("I")
        self.windows = Slots(self._part(_NAME * _WINDOWS), self._unused)
        self.numbers = self._part(8 * _WINDOWS).cast("q")
        self.lengths = self._part(8 * _WINDOWS).cast("d")
        self.behind = self._part(8 * _WINDOWS).cast("d")
        self.octets = [self._part(8 * _WINDOWS).cast("Q") for _ in range(columns)]
        self.ahead = [self._part(8 * _WINDOWS).cast("Q") for _ in range(columns)]
        self.recalled = self._part(_WINDOWS)
        self.rates = Slots(self._part(_NAME * _RATES), self._isFull)
        self.pools = self._part(8 * _RATES).cast("d")
        self.paid = self._part(8 * _RATES).cast("d")
        self.fulls = self._part(8 * _RATES).cast("d")
        self.crowds = [self._part(4 * _RATES).cast("I") for _ in range(columns)]
        self.credits = [self._part(8 * _RATES).cast("d") for _ in range(columns)]
        self.scales = self._part(8 * _EVENTS).cast("d")
        self.lasts = self._part(8 * _EVENTS).cast("Q")
        #: The present cell of a second, as of the last event here.
        self.now = 0
        #: Monotonic seconds, as of the last octets of a rate here.
        self.moment = 0.0

    @classmethod
    def made(cls, workers: int) -> Board:
        """
        Make one, with nothing counted.

        @raise OSError: the system gives us none.
        """
        return cls(os.memfd_create("socksgw-limits", os.MFD_CLOEXEC), workers + 1)

    def another(self) -> int:
        """
        Return a descriptor for another process: a turn is its own.

        @raise OSError: there is none.
        """
        return os.open(f"/proc/self/fd/{self.fd}", os.O_RDWR | os.O_CLOEXEC)

    def _part(self, size: int) -> memoryview:
        begin = self._size
        self._size += -(-size // _PAGE) * _PAGE
        return self._memory[begin : begin + size]

    def _dead(self, slot: int) -> bool:
        return not any(column[slot] for column in self.live)

    def _past(self, slot: int) -> bool:
        return self.lasts[slot] <= self.now

    def _unused(self, slot: int) -> bool:
        return not self.lengths[slot]

    def _isFull(self, slot: int) -> bool:
        return self.fulls[slot] <= self.moment and not any(
            column[slot] for column in self.crowds
        )

    def counted(self, slot: int) -> int:
        """Return how many live, of the key of a slot."""
        return sum([column[slot] for column in self.live])

    def moved(self, slot: int) -> int:
        """Return how many octets count in the window of a slot."""
        return sum([column[slot] for column in self.octets])

    def isAhead(self, slot: int) -> bool:
        """Return whether somebody has octets of a window that may not move."""
        return any(column[slot] for column in self.ahead)

    def forget(self, column: int) -> bool:
        """
        Count what a dead process had no more; what it has moved stays counted.

        @return: whether that was possible now.
        """
        if not self.turn.take():
            return False
        try:
            self.live[column][:] = memoryview(bytes(4 * _LIVE)).cast("I")
            self.crowds[column][:] = memoryview(bytes(4 * _RATES)).cast("I")
            self.credits[column][:] = memoryview(bytes(8 * _RATES)).cast("d")
            first, own = self.octets[0], self.octets[column]
            ahead = self.ahead[column]
            for slot, octets in enumerate(own.tolist()):
                if octets:
                    first[slot] += octets
                    own[slot] = 0
                if ahead[slot]:
                    ahead[slot] = 0
        finally:
            self.turn.give()
        return True
