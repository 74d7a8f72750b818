"""
The end of a journal that several processes write.

All of them add to one chain of lines, in one file: whoever has the turn
(C{flock(2)}) goes on after the last line of whoever had it before. Where that is,
shared memory says (C{memfd_create(2)}). A process that is killed in its turn loses it,
and the next one sees that by a mark, and looks at the file itself.

Nobody ever waits for a turn without an end: a process may be stopped in its own.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
from typing import Final, NamedTuple, final

__all__ = ["End", "SharedEnd"]

#: Whether somebody is at it; the number of the last line, the number of the first line
#: of the present file, its octets, the hash of the last line.
_END: Final = struct.Struct("<QQQQ64s")
#: What each process tells of itself: its last session.
_SLOT: Final = struct.Struct("<Q")
_BUSY: Final = struct.Struct("<Q")
#: How often a turn is asked for before others in this process have theirs.
_TRIES: Final = 50


class End(NamedTuple):
    """
    Where a journal ends.

    @ivar number: of its last line.
    @ivar first: the number of the first line of the present file.
    @ivar size: octets of that file.
    @ivar head: the hash of the last line.
    """

    number: int
    first: int
    size: int
    head: str


@final
class SharedEnd:
    """
    The end of a journal, in memory that processes share.

    @ivar fd: the descriptor of this memory; a process that gets it makes its own of
        it (L{another}) and never uses this one: turns are by open file.
    """

    def __init__(self, fd: int, writers: int) -> None:
        """
        Take the memory.

        @param writers: how many processes write at most.
        """
        self.fd = fd
        self._memory = mmap.mmap(fd, _END.size + writers * _SLOT.size)

    @classmethod
    def made(cls, writers: int) -> SharedEnd:
        """
        Make one.

        @raise OSError: the system gives us none.
        """
        fd = os.memfd_create("socksgw-journal")
        os.ftruncate(fd, _END.size + writers * _SLOT.size)
        return cls(fd, writers)

    def another(self) -> int:
        """
        Return a descriptor for another process: a turn is its own.

        @raise OSError: there is none.
        """
        return os.open(f"/proc/self/fd/{self.fd}", os.O_RDWR | os.O_CLOEXEC)

    def take(self) -> bool:
        """
        Take the turn.

        @return: whether we have it; where not, it is to be tried again soon.
        """
        for _ in range(_TRIES):
            try:
                fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.sched_yield()
            else:
                return True
        return False

    def give(self) -> None:
        """Let others have their turn."""
        fcntl.flock(self.fd, fcntl.LOCK_UN)

    @property
    def broken(self) -> bool:
        """Whether somebody ended within a turn: the file may have more than we say."""
        (busy,) = _BUSY.unpack_from(self._memory)
        return bool(busy)

    def begin(self) -> None:
        """Take note that the file changes, until L{set}."""
        _BUSY.pack_into(self._memory, 0, 1)

    def set(self, end: End) -> None:
        """Say where the journal ends now."""
        number, first, size, head = end
        _END.pack_into(self._memory, 0, 0, number, first, size, head.encode("ascii"))

    def get(self) -> End:
        """Return where the journal ends."""
        _, number, first, size, head = _END.unpack_from(self._memory)
        return End(number, first, size, head.decode("ascii"))

    def reached(self, writer: int, session: int) -> None:
        """
        Tell the number of the last session of a process; call it in a turn.

        One before it that has sessions yet may tell a lower number.
        """
        if session > self.last(writer):
            _SLOT.pack_into(self._memory, _END.size + writer * _SLOT.size, session)

    def last(self, writer: int) -> int:
        """Return the number of the last session that a process has told."""
        found: int = _SLOT.unpack_from(self._memory, _END.size + writer * _SLOT.size)[0]
        return found

    def close(self) -> None:
        """Let go of the memory."""
        self._memory.close()
        os.close(self.fd)
