"""
Logins that later requests of the same client go on with.

A client may be given a key at its login, and say that instead of its credentials. It may
also be given a window of tokens, each of which one request can spend, so that a
replayed request is refused.

All of it is in the memory of the process that gave the key: it outlives a reload, and
ends with the process. A process that does not know a key refuses it, so a token is
spent once, wherever a client is served.
"""

from __future__ import annotations

import hashlib
import os
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, final

from socksgw.interfaces import User
from socksgw.wire.address import Address

__all__ = ["MOST", "MOST_OF_ONE", "WINDOW", "Resumption", "Resumptions", "Window"]

#: Keys that are known at a time, and of one source.
MOST: Final = 65_536
MOST_OF_ONE: Final = 256
#: Seconds that one is not used until it is forgotten.
IDLE: Final = 3600.0
#: Tokens of a window, at most.
WINDOW: Final = 1024
_KEY_OCTETS: Final = 16
_MODULUS: Final = 1 << 32


@final
class Window:
    """
    A range of tokens, of 32 bits in a circle, each of which is spent once.

    @ivar base: the first token.
    @ivar size: how many there are.
    """

    __slots__ = ("_spent", "base", "size")

    def __init__(self, size: int, base: int = 0) -> None:
        self.base = base % _MODULUS
        self.size = max(1, min(size, WINDOW))
        # Bit i: the token base + i is spent.
        self._spent = 0

    def spend(self, token: int) -> bool:
        """
        Spend a token.

        @return: whether it could be: it is in the window, and was not spent. The window
            moves up, where its lowest is spent, or one of its highest quarter.
        """
        place = (token - self.base) % _MODULUS
        if place >= self.size or self._spent >> place & 1:
            return False
        self._spent |= 1 << place
        if place >= self.size - self.size // 4:
            self._move(self.size // 4)
        while self._spent & 1:
            self._move(1)
        return True

    def _move(self, by: int) -> None:
        self.base = (self.base + by) % _MODULUS
        self._spent >>= by


@final
class Resumption:
    """
    One login that can be gone on with.

    @ivar user: who has logged in.
    @ivar tag: the tag of the user's name.
    @ivar window: its tokens; L{None} for none.
    """

    __slots__ = ("_listener", "_source", "_used", "tag", "user", "window")

    def __init__(self, user: User, tag: str, listener: str, source: Address) -> None:
        self.user = user
        self.tag = tag
        self.window: Window | None = None
        self._listener = listener
        self._source = source.sourceKey
        self._used = 0.0

    def isOf(self, listener: str, source: Address) -> bool:
        """Return whether a client comes from where it was given to."""
        return (listener, source.sourceKey) == (self._listener, self._source)


@final
class Resumptions:
    """
    What a process knows of them.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        enabled: bool = True,
        random: Callable[[int], bytes] = os.urandom,
    ) -> None:
        """
        Know none.

        @param clock: monotonic seconds.
        @param enabled: whether any are given.
        @param random: makes so many unpredictable octets.
        """
        self._clock = clock
        self._random = random
        self._enabled = enabled
        # By the digest of the key, the one that was used longest ago first.
        self._known: OrderedDict[bytes, Resumption] = OrderedDict()
        self._bySource: dict[bytes, int] = {}

    def __len__(self) -> int:
        return len(self._known)

    def begin(
        self, user: User, tag: str, listener: str, source: Address
    ) -> tuple[bytes, Resumption] | None:
        """
        Have a login gone on with.

        @return: the key for the client, which is a secret; L{None} where there is no
            room for one more.
        """
        self._expire()
        key = source.sourceKey
        if not self._enabled or len(self._known) >= MOST:
            return None
        if self._bySource.get(key, 0) >= MOST_OF_ONE:
            return None
        secret = self._random(_KEY_OCTETS)
        made = Resumption(user, tag, listener, source)
        made._used = self._clock()
        self._known[_digest(secret)] = made
        self._bySource[key] = self._bySource.get(key, 0) + 1
        return secret, made

    def find(self, secret: bytes, listener: str, source: Address) -> Resumption | None:
        """Return the login that a key of a client is of; L{None} for none."""
        self._expire()
        digest = _digest(secret)
        found = self._known.get(digest)
        if found is None or not found.isOf(listener, source):
            return None
        found._used = self._clock()
        self._known.move_to_end(digest)
        return found

    def end(self, secret: bytes, listener: str, source: Address) -> None:
        """Forget a key of a client."""
        found = self.find(secret, listener, source)
        if found is not None:
            self._forget(_digest(secret))

    def _expire(self) -> None:
        """Forget those that were not used for long."""
        late = self._clock() - IDLE
        while self._known:
            digest = next(iter(self._known))
            if self._known[digest]._used > late:
                return
            self._forget(digest)

    def _forget(self, digest: bytes) -> None:
        source = self._known.pop(digest)._source
        self._bySource[source] -= 1
        if not self._bySource[source]:
            del self._bySource[source]


def _digest(secret: bytes) -> bytes:
    """Return what a key is known by: to look for it tells nothing of the others."""
    return hashlib.blake2b(secret, digest_size=16).digest()
