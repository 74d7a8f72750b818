"""
Logins that later requests of the same client go on with.

A client may be given a key at its login, and say that instead of its credentials. It may
also be given a window of tokens, each of which one request can spend, so that a
replayed request is refused.

All of it is in memory that the processes of a gateway share (C{memfd_create(2)}): there
is one truth, whichever process serves a client. Who looks or changes does so in a turn
(L{Turn}). A login that is being changed is marked so; where a process has died at that,
the mark stays, and the login is forgotten. A process that has not the memory knows no
key, and refuses all.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import struct
from collections.abc import Callable
from typing import Final, final

from socksgw.system.turn import Turn
from socksgw.wire.address import Address

__all__ = ["MOST", "MOST_OF_ONE", "WINDOW", "Resumption", "Resumptions", "Window"]

#: Keys that are known at a time, and of one source.
MOST: Final = 65_536
MOST_OF_ONE: Final = 256
#: Seconds that one is not used until it is forgotten.
IDLE: Final = 3600.0
#: Seconds that one lasts at most: no store is asked for the password meanwhile, which
#: may be another one by then.
LIFE: Final = 43_200.0
#: Tokens of a window, at most.
WINDOW: Final = 1024
_KEY_OCTETS: Final = 16
_MODULUS: Final = 1 << 32
#: Octets of what is known of a login, at most.
_FACTS: Final = 2046
#: Logins of the sources that share a hash; those of one source are in one such row.
_ROW: Final = 1024
#: What the memory begins with: the form of what follows, and the secret of its hashes.
_FORM: Final = b"socksgw logins 1"
_SECRET: Final = 16
_PAGE: Final = 4096
_NAME: Final = 16
#: The base and the size of a window, and which of its tokens are spent.
_WINDOW: Final = struct.Struct(f"<II{WINDOW // 8}s")
#: States of a place in the memory.
_FREE: Final = 0
_WHOLE: Final = 1
_CHANGING: Final = 2


@final
class Window:
    """
    A range of tokens, of 32 bits in a circle, each of which is spent once.

    @ivar base: the first token.
    @ivar size: how many there are.
    """

    __slots__ = ("_spent", "base", "size")

    def __init__(self, size: int, base: int = 0, spent: int = 0) -> None:
        """
        @param spent: bit i: the token base + i is spent.
        """
        self.base = base % _MODULUS
        self.size = max(1, min(size, WINDOW))
        self._spent = spent

    @classmethod
    def read(cls, octets: bytes | memoryview) -> Window | None:
        """Return the window that L{written} has written; L{None} for none."""
        base, size, spent = _WINDOW.unpack(octets)
        return cls(size, base, int.from_bytes(spent, "little")) if size else None

    @property
    def written(self) -> bytes:
        """The window in octets."""
        spent = self._spent.to_bytes(WINDOW // 8, "little")
        return _WINDOW.pack(self.base, self.size, spent)

    def spend(self, token: int) -> bool:
        """
        Spend a token.

        @return: whether it could be: it is in the window, and was not spent. The window
            moves up, where its lowest is spent, or one of its highest quarter; but
            not beyond the highest that is not spent (section 8.5.3 of the draft).
        """
        place = (token - self.base) % _MODULUS
        if place >= self.size or self._spent >> place & 1:
            return False
        self._spent |= 1 << place
        if place >= self.size - self.size // 4:
            unspent = ~self._spent & (1 << self.size) - 1
            self._move(min(self.size // 4, max(unspent.bit_length() - 1, 0)))
        while self._spent & 1:
            self._move(1)
        return True

    def _move(self, by: int) -> None:
        self.base = (self.base + by) % _MODULUS
        self._spent >>= by


@final
class Resumption:
    """
    One login that can be gone on with, as it was found.

    @ivar facts: what was said of it at L{Resumptions.begin}.
    @ivar window: its tokens; L{None} for none.
    """

    __slots__ = ("_name", "_place", "facts", "window")

    def __init__(
        self, facts: bytes, name: bytes, place: int, window: Window | None = None
    ) -> None:
        self.facts = facts
        self.window = window
        self._name = name
        self._place = place


@final
class _Memory:
    """
    The memory, as one process has it.

    @ivar turn: the turns of this process.
    @ivar states: of each place.
    @ivar names: the hash of the key in each place.
    @ivar sources: the hash of the source; 0 where it is free.
    @ivar began: when it began, in monotonic seconds.
    @ivar used: when it was used last, likewise.
    @ivar facts: what is known of it, behind the octets of that.
    @ivar windows: its tokens.
    """

    def __init__(self, fd: int) -> None:
        """
        Take it; new memory is made to be that of no login.

        @raise OSError: it cannot be had.
        @raise ValueError: another program has it in another form.
        """
        self.fd = fd
        self.turn = Turn(fd)
        sizes = [1, _NAME, 8, 8, 8, _FACTS + 2, _WINDOW.size]
        # Pages that nobody has written to take no room.
        whole = _PAGE + sum(size * MOST for size in sizes)
        if not os.fstat(fd).st_size:
            os.ftruncate(fd, whole)
            os.pwrite(fd, _FORM + os.urandom(_SECRET), 0)
        head = os.pread(fd, len(_FORM) + _SECRET, 0)
        if not head.startswith(_FORM) or os.fstat(fd).st_size != whole:
            raise ValueError("logins in another form")
        self._secret = head[len(_FORM) :]
        memory, at = memoryview(mmap.mmap(fd, whole)), _PAGE
        parts = []
        for size in sizes:
            parts.append(memory[at : at + size * MOST])
            at += size * MOST
        self.states, self.names, sources, began, used, self.facts, self.windows = parts
        self.sources = sources.cast("Q")
        self.began, self.used = began.cast("d"), used.cast("d")

    def hashOf(self, *parts: bytes) -> bytes:
        """Return a hash that nobody else can tell."""
        text = b"".join(len(part).to_bytes(2, "big") + part for part in parts)
        digest = hashlib.blake2b(text, digest_size=_NAME, key=self._secret).digest()
        # That of a free place is nobody's.
        return digest if any(digest) else b"\1" * _NAME

    def rowOf(self, source: bytes) -> tuple[int, int]:
        """Return the first place of a source, and its hash, which is not 0."""
        found = self.hashOf(source)
        row = int.from_bytes(found[:8], "big") % (MOST // _ROW)
        return row * _ROW, int.from_bytes(found[8:], "big") | 1

    def find(self, row: int, name: bytes) -> int:
        """Return the place of a hash; -1 for none."""
        start = row * _NAME
        names = bytes(self.names[start : start + _ROW * _NAME])
        at = names.find(name)
        while at >= 0 and at % _NAME:
            at = names.find(name, at + 1)
        return row + at // _NAME if at >= 0 else -1

    def put(self, place: int, name: bytes, source: int, facts: bytes) -> None:
        """Have a login in a place that is free; without tokens."""
        self.states[place] = _CHANGING
        self.names[place * _NAME : (place + 1) * _NAME] = name
        self.sources[place] = source
        at = place * (_FACTS + 2)
        said = len(facts).to_bytes(2, "big") + facts
        self.facts[at : at + len(said)] = said
        self.tokens(place)[:] = bytes(_WINDOW.size)

    def factsOf(self, place: int) -> bytes:
        """Return what is known of a login."""
        at = place * (_FACTS + 2)
        length = int.from_bytes(self.facts[at : at + 2], "big")
        return bytes(self.facts[at + 2 : at + 2 + length])

    def tokens(self, place: int) -> memoryview:
        """Return where the tokens of a login are."""
        return self.windows[place * _WINDOW.size : (place + 1) * _WINDOW.size]

    def isOf(self, found: Resumption) -> bool:
        """Return whether a login is where it was found."""
        at = found._place * _NAME
        return (
            self.names[at : at + _NAME] == found._name
            and self.states[found._place] == _WHOLE
        )

    def forget(self, place: int) -> None:
        """Have a place free."""
        self.states[place] = _CHANGING
        self.names[place * _NAME : (place + 1) * _NAME] = bytes(_NAME)
        self.sources[place] = 0
        self.states[place] = _FREE

    def isOver(self, place: int, now: float) -> bool:
        """Return whether one was not used for long, lasts too long, or is not whole."""
        return (
            self.states[place] != _WHOLE
            or self.used[place] <= now - IDLE
            or self.began[place] <= now - LIFE
        )

    def expire(self, row: int, now: float) -> None:
        """Forget those of a row that are over."""
        for place in range(row, row + _ROW):
            if self.states[place] != _FREE and self.isOver(place, now):
                self.forget(place)

    def free(self, row: int, source: int, now: float) -> int:
        """Return a free place for a source; -1 where it can have none."""
        place = self._vacant(row, source)
        if place < 0:
            self.expire(row, now)
            place = self._vacant(row, source)
        return place

    def _vacant(self, row: int, source: int) -> int:
        if self.sources[row : row + _ROW].tolist().count(source) >= MOST_OF_ONE:
            return -1
        found = bytes(self.states[row : row + _ROW]).find(_FREE)
        return row + found if found >= 0 else -1


def _owned(fd: int) -> _Memory:
    """
    Return memory whose descriptor is ours; where it cannot be had, that is closed.

    @raise OSError: as L{_Memory}.
    @raise ValueError: likewise.
    """
    try:
        return _Memory(fd)
    except BaseException:
        os.close(fd)
        raise


@final
class Resumptions:
    """
    All logins that can be gone on with.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        fd: int = -1,
        random: Callable[[int], bytes] = os.urandom,
    ) -> None:
        """
        Know those in some memory.

        @param clock: monotonic seconds, the same in all processes.
        @param fd: of the memory, which is ours from then on; by default it is made
            when there is a login to be known.
        @param random: makes so many unpredictable octets.
        @raise OSError: the memory cannot be had.
        @raise ValueError: it is in another form.
        """
        self._clock = clock
        self._random = random
        self._memory = _Memory(fd) if fd >= 0 else None

    def __len__(self) -> int:
        memory = self._memory
        return 0 if memory is None else MOST - bytes(memory.states).count(_FREE)

    def another(self) -> int:
        """
        Return a descriptor of the memory for another process: a turn is its own.

        @raise OSError: there is none.
        """
        fd = self._opened().fd
        return os.open(f"/proc/self/fd/{fd}", os.O_RDWR | os.O_CLOEXEC)

    def join(self, fd: int) -> None:
        """
        Know what another process knows, whose descriptor this is; it is ours then.

        Memory in another form is not used: then none of its logins are known here.

        @raise OSError: the memory cannot be had.
        """
        before = self._memory
        try:
            self._memory = _owned(fd)
        except ValueError:
            return
        if before is not None:
            os.close(before.fd)

    def _opened(self) -> _Memory:
        if self._memory is None:
            self._memory = _owned(os.memfd_create("socksgw-sessions", os.MFD_CLOEXEC))
        return self._memory

    def begin(
        self, facts: bytes, listener: str, source: Address
    ) -> tuple[bytes, Resumption] | None:
        """
        Have a login gone on with.

        @param facts: what is to be known of it.
        @return: the key for the client, which is a secret; L{None} where there is no
            room for it.
        @raise OSError: there is no memory.
        """
        memory = self._opened()
        if len(facts) > _FACTS or not memory.turn.take():
            return None
        try:
            row, of = memory.rowOf(source.sourceKey)
            now = self._clock()
            place = memory.free(row, of, now)
            if place < 0:
                return None
            secret = self._random(_KEY_OCTETS)
            name = _nameOf(memory, secret, listener, source)
            memory.put(place, name, of, facts)
            memory.began[place] = memory.used[place] = now
            memory.states[place] = _WHOLE
        finally:
            memory.turn.give()
        return secret, Resumption(facts, name, place)

    def find(self, secret: bytes, listener: str, source: Address) -> Resumption | None:
        """Return the login that a key of a client is of; L{None} for none."""
        memory = self._memory
        if memory is None or not memory.turn.take():
            return None
        try:
            row, _ = memory.rowOf(source.sourceKey)
            name = _nameOf(memory, secret, listener, source)
            place = memory.find(row, name)
            if place < 0:
                return None
            now = self._clock()
            if memory.isOver(place, now):
                memory.forget(place)
                return None
            memory.used[place] = now
            window = Window.read(memory.tokens(place))
            return Resumption(memory.factsOf(place), name, place, window)
        finally:
            memory.turn.give()

    def spend(self, found: Resumption, token: int) -> bool:
        """
        Spend a token of a login.

        @return: whether it could be: as L{Window.spend}, and the login is known still.
        """
        return self._change(
            found, lambda window: window if window and window.spend(token) else None
        )

    def give(self, found: Resumption, size: int) -> None:
        """Give a login a window of tokens, unless it has one."""
        self._change(found, lambda window: None if window else Window(size))

    def _change(
        self,
        found: Resumption,
        change: Callable[[Window | None], Window | None],
    ) -> bool:
        """
        Change the tokens of a login.

        @param change: returns the window as it is to be; L{None} to leave it.
        @return: whether they were.
        """
        memory = self._memory
        assert memory is not None
        if not memory.turn.take():
            return False
        try:
            if not memory.isOf(found):
                return False
            tokens = memory.tokens(found._place)
            changed = change(Window.read(tokens))
            if changed is None:
                found.window = Window.read(tokens)
                return False
            # Whoever dies in between leaves a login that nobody goes on with.
            memory.states[found._place] = _CHANGING
            tokens[:] = changed.written
            memory.states[found._place] = _WHOLE
            found.window = changed
        finally:
            memory.turn.give()
        return True

    def end(self, secret: bytes, listener: str, source: Address) -> None:
        """Forget a key of a client."""
        found, memory = self.find(secret, listener, source), self._memory
        if found is None or memory is None or not memory.turn.take():
            return
        try:
            if memory.isOf(found):
                memory.forget(found._place)
        finally:
            memory.turn.give()


def _nameOf(memory: _Memory, secret: bytes, listener: str, source: Address) -> bytes:
    """Return what a key is known by: it is one client's, at one listener."""
    return memory.hashOf(secret, listener.encode(), source.sourceKey)
