"""
Failed and right logins that several processes tell each other of.

They are in a ring in memory that the processes share (C{memfd_create(2)}), in the order
in which they happened. Each process reads what is new there before it judges, and so
all judge alike. Whoever adds something does so in a turn (L{Turn}), and has read
everything before.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterator
from typing import Final, NamedTuple, final

from socksgw.system.turn import Turn

__all__ = ["LONGEST", "Event", "Ring"]

#: Octets of the longest key of a source.
LONGEST: Final = 24
_KEY: Final = 16
#: When; what is there; the octets of the source's key; the keys.
_EVENT: Final = struct.Struct(f"<dBB{LONGEST}s{_KEY}s{_KEY}s6x")
_GOOD, _NAMED, _TRIED = 1, 2, 4
#: Events of which a process knows that begins: more than a throttle remembers.
_EVENTS: Final = 1 << 16
#: The number of events so far, and the secret of their keys.
_HEAD: Final = struct.Struct("<Q16s")
_PAGE: Final = 4096


class Event(NamedTuple):
    """
    What has happened.

    @ivar when: monotonic seconds: the time of a failed login, or the time at which a
        right login is forgotten.
    @ivar good: whether a login was right.
    @ivar bySource: the key of the source.
    @ivar byName: the key of source and name; L{None} where no name is known.
    @ivar tried: the key of both and the password; L{None} where each try counts.
    """

    when: float
    good: bool
    bySource: bytes
    byName: bytes | None
    tried: bytes | None


@final
class Ring:
    """
    The ring, as one process has it.

    @ivar fd: its descriptor; another process makes its own of it (L{another}).
    @ivar turn: the turns of this process.
    """

    def __init__(self, fd: int) -> None:
        """
        Take the memory.

        @raise OSError: it cannot be had.
        """
        self.fd = fd
        self.turn = Turn(fd)
        size = _PAGE + _EVENTS * _EVENT.size
        if os.fstat(fd).st_size < size:
            os.ftruncate(fd, size)
            os.pwrite(fd, _HEAD.pack(0, os.urandom(16)), 0)
        self._memory = memoryview(mmap.mmap(fd, size))
        self._count = self._memory[:8].cast("Q")
        self._heard = max(0, self._count[0] - _EVENTS)

    @classmethod
    def made(cls, secret: bytes = b"") -> Ring:
        """
        Make one in which nothing has happened.

        @param secret: of its keys; by default a new one.
        @raise OSError: the system gives us none.
        """
        made = cls(os.memfd_create("socksgw-logins", os.MFD_CLOEXEC))
        if secret:
            _HEAD.pack_into(made._memory, 0, 0, secret)
        return made

    def another(self) -> int:
        """
        Return a descriptor for another process: a turn is its own.

        @raise OSError: there is none.
        """
        return os.open(f"/proc/self/fd/{self.fd}", os.O_RDWR | os.O_CLOEXEC)

    @property
    def secret(self) -> bytes:
        """The secret of all keys."""
        _, secret = _HEAD.unpack_from(self._memory)
        return bytes(secret)

    @property
    def isNews(self) -> bool:
        """Whether there is something that this process has not read."""
        return bool(self._count[0] != self._heard)

    def news(self) -> Iterator[Event]:
        """Read what is new."""
        count = self._count[0]
        # What is older has been written over.
        for number in range(max(self._heard, count - _EVENTS), count):
            self._heard = number + 1
            yield self._at(number)
        self._heard = count

    def _at(self, number: int) -> Event:
        at = _PAGE + number % _EVENTS * _EVENT.size
        when, what, length, source, name, tried = _EVENT.unpack_from(self._memory, at)
        return Event(
            when,
            bool(what & _GOOD),
            source[:length],
            name if what & _NAMED else None,
            tried if what & _TRIED else None,
        )

    def add(self, event: Event) -> None:
        """Add what has happened here; call it in a turn, when everything is read."""
        when, good, bySource, byName, tried = event
        what = (
            _GOOD * good + _NAMED * (byName is not None) + _TRIED * (tried is not None)
        )
        count = self._count[0]
        _EVENT.pack_into(
            self._memory,
            _PAGE + count % _EVENTS * _EVENT.size,
            when,
            what,
            len(bySource),
            bySource,
            byName or b"",
            tried or b"",
        )
        # Only now is it there: a process may be killed meanwhile.
        self._count[0] = self._heard = count + 1
