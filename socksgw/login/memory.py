"""
The memory of logins: which credentials were right of late, and which wrong.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable
from hashlib import blake2b
from typing import Any, Final, NamedTuple, final

from twisted.cred.credentials import IAnonymous, IUsernamePassword

from socksgw.interfaces import IBearerToken
from socksgw.login.realm import SocksUser
from socksgw.login.refusal import Refused

__all__ = ["Again", "LoginMemory"]

#: Logins remembered at most, right and wrong ones each.
_REMEMBERED: Final = 10_000


class Again(Refused):
    """
    A password is the same that was wrong a moment ago.

    No store is asked twice about it: some lock an account after a few.
    """


class _Wrong(NamedTuple):
    """
    A password that was wrong.

    @ivar until: when it is forgotten, in monotonic seconds.
    @ivar reason: as of L{Refused}.
    @ivar why: as of L{Refused}.
    """

    until: float
    reason: str
    why: str


@final
class LoginMemory:
    """
    What checkers said of credentials.

    Credentials are remembered by a keyed hash, with a key that no other process has.

    @ivar seconds: how long a right login is remembered; 0 for not at all.
    """

    __slots__ = ("_clock", "_keyed", "_right", "_wall", "_wrong", "seconds")

    def __init__(
        self,
        seconds: float,
        clock: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        """
        Make a memory without any logins.

        @param clock: monotonic seconds.
        @param wall: seconds since the epoch.
        """
        self.seconds = seconds
        self._clock = clock
        self._wall = wall
        # Copied for each login. BLAKE2 takes a key by itself (RFC 7693 section 2.9).
        self._keyed = blake2b(key=os.urandom(32), digest_size=32)
        self._right: OrderedDict[object, tuple[SocksUser, float]] = OrderedDict()
        self._wrong: OrderedDict[object, _Wrong] = OrderedDict()

    def digest(self, credentials: Any, method: str) -> object:
        """
        Return what credentials are remembered by.

        @param method: the policy's name of the method.
        @return: L{None} when they must not be remembered.
        """
        password: bytes | None = None
        if IUsernamePassword.providedBy(credentials):
            password = credentials.password
        elif IBearerToken.providedBy(credentials):
            password = credentials.token
        if password is not None:
            return self.digestOf(credentials.username, password, method)
        if IAnonymous.providedBy(credentials):
            return method
        return None

    def digestOf(self, name: bytes, password: bytes, method: str) -> bytes:
        """Return the same of a name and a password, or a token."""
        digest = self._keyed.copy()
        digest.update(b"%d:%d:%b" % (len(name), len(password), name))
        # By itself: joined it would be one more copy in memory.
        digest.update(password)
        digest.update(method.encode())
        return digest.digest()

    def right(self, key: object) -> SocksUser | None:
        """
        Return who has logged in by the credentials of this digest.

        Credentials that have an end are not remembered beyond it.
        """
        found = self._right.get(key)
        # An anonymous user is no store's, and does not age; such a key is the
        # method's name.
        if found is None or (type(key) is not str and self._clock() >= found[1]):
            return None
        user = found[0]
        if user.expires is not None and self._wall() >= user.expires:
            return None
        return user

    def wrong(self, key: object) -> None:
        """
        Make sure that credentials were not refused of late.

        @raise Again: they were.
        """
        found = self._wrong.get(key)
        if found is not None and self._clock() < found.until:
            raise Again(found.reason, found.why, True)

    def wasRight(self, key: object, user: SocksUser) -> None:
        """Remember who has logged in."""
        if self.seconds > 0 and key is not None:
            self._right[key] = (user, self._clock() + self.seconds)
            _bound(self._right, key)

    def wasWrong(self, key: object, refused: Refused, seconds: float) -> None:
        """
        Remember that credentials are wrong.

        @param seconds: for how long.
        """
        if key is not None:
            # Not the exception: its traceback leads to the password.
            until = self._clock() + seconds
            self._wrong[key] = _Wrong(until, refused.reason, refused.why)
            _bound(self._wrong, key)

    def forget(self, key: object) -> None:
        """Forget a right login."""
        self._right.pop(key, None)

    def clear(self, names: frozenset[str] | None = None) -> None:
        """
        Forget everything.

        @param names: the users whose right logins alone are forgotten; what was wrong
            may be right for anybody.
        """
        self._wrong.clear()
        if names is None:
            self._right.clear()
        else:
            gone = [key for key, (user, _) in self._right.items() if user.name in names]
            for key in gone:
                del self._right[key]

    def inherit(
        self, before: LoginMemory, today: Callable[[SocksUser], SocksUser | None]
    ) -> None:
        """
        Remember what another memory does.

        @param today: who a user is by now; L{None} when they are to be forgotten.
        """
        self._keyed = before._keyed
        self._wrong.update(before._wrong)
        latest = self._clock() + self.seconds
        for key, (user, end) in before._right.items():
            found = today(user)
            if found is not None:
                self._right[key] = (found, min(end, latest))


def _bound(memory: OrderedDict[object, Any], key: object) -> None:
    """Make one entry the newest, and forget the oldest where there are too many."""
    memory.move_to_end(key)
    if len(memory) > _REMEMBERED:
        memory.popitem(last=False)
