"""
The throttling of logins.

Failures are counted by source, and by source and name together. A source or a
pair that has had too many is refused for a while, unchecked.

A name alone is never counted: a user cannot be locked out who logs in from
elsewhere.
"""

from __future__ import annotations

import os
from collections import OrderedDict, deque
from collections.abc import Callable
from hashlib import blake2b
from random import Random, SystemRandom
from typing import Any, Final, Protocol, final
from unicodedata import normalize

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from socksgw.config.schema import Throttle
from socksgw.login.ring import LONGEST, Event, Ring
from socksgw.wire.address import Address

__all__ = ["LoginThrottle"]

_log = Logger()

#: Failures remembered at most; each counts for three keys. The oldest goes first:
#: to make this forget one, so many others must fail within C{window}.
_FAILURES: Final = 40_000
#: Refusals in force at most.
_REFUSALS: Final = 20_000
#: Durations of failed checks that are remembered, of each method.
_DURATIONS: Final = 64
#: Seconds of a refusal, when no check of the method has failed yet.
_DURATION: Final = 0.05
#: Seconds that every failure is told later by, at random, at most.
_BLUR: Final = 0.01
_RANDOM: Final = SystemRandom()
_OFF: Final = Throttle(0, 0)
#: Good logins of one source under one name that are remembered at most, and for
#: how many seconds.
_GOOD: Final = 20_000
_RECENT: Final = 3600.0
#: Seconds after which another good login of the same kind is remembered anew, and
#: logins of which is known that they need not be.
_RENEWED: Final = 60.0
_FRESH: Final = 4096

#: When, and the keys of the source, of the source and the name, and of both and
#: the password.
_Failure = tuple[float, bytes | None, bytes | None, bytes | None]


class CallLater(Protocol):
    """C{IReactorTime.callLater}."""

    def __call__(
        self, delay: float, call: Callable[..., Any], /, *args: Any
    ) -> Any: ...


@final
class LoginThrottle:
    """
    The failures of all logins, over all generations.

    A failure counts for C{window}; with the C{per_user}th of one source at one
    name, or its C{per_source}th, that is refused for C{window}. Refusals do
    not count, nor prolong anything, and a success clears nothing: else a
    victim's own logins would wipe out the count of an attacker behind the same
    address, and one known password the count of a client that tries many names.

    The same wrong password of one source at one name counts once: a program
    that tries again is not one that guesses. While a source is refused,
    users who have logged in from there of late are not, until their own name fails
    from there: that is one guess at such a name in a C{window}.

    A source is an IPv4 address, the /64 of an IPv6 address, which is what
    one host has to itself, or a user of this machine.

    @ivar past: the failures that still count.
    @ivar refused: how many logins were refused.
    @ivar tell: called with the keys of the source and of the name of a login that has
        failed, where other machines count it, too; a key that does not count is empty.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        callLater: CallLater,
        random: Random = _RANDOM,
    ) -> None:
        """
        @param clock: monotonic seconds.
        """
        self.past: deque[_Failure] = deque()
        self.refused = 0
        self.tell: Callable[[bytes, bytes], None] | None = None
        self._clock = clock
        self.callLater = callLater
        self._random = random
        self._limits = self._whole = _OFF
        self._parts = 1
        self._secret = os.urandom(16)
        self._counts: dict[bytes, int] = {}
        # By their ends: all last equally long.
        self._refusals: OrderedDict[bytes | None, float] = OrderedDict()
        # By their ends, too.
        self._good: OrderedDict[bytes, float] = OrderedDict()
        # Until when a good login of a source and name need not be noted again.
        self._fresh: dict[tuple[bytes, bytes], float] = {}
        self._took: dict[str, deque[float]] = {}
        self._ring: Ring | None = None
        # What could not be told to others yet.
        self._untold: list[Event] = []

    def join(self, ring: Ring) -> None:
        """
        Count together with other processes from now on; nothing is counted yet.

        While another one stands still in its turn, what fails here counts here alone,
        and for all afterwards.
        """
        self._ring, self._secret = ring, ring.secret

    def together(self) -> Ring:
        """
        Count together with another process from now on, which L{join}s a ring.

        @return: what it is to make its own of: all that counts here is there.
        @raise OSError: the system gives us none.
        """
        if self._ring is None:
            self._forget()
            ring = Ring.made(self._secret)
            for byName, until in self._good.items():
                ring.add(Event(until, True, b"", byName, None))
            for when, bySource, name, tried in self.past:
                ring.add(Event(when, False, bySource or b"", name, tried))
            self._ring = ring
        return self._ring

    def configure(self, limits: Throttle) -> None:
        """
        Set the limits.

        They hold from now on, also for what has failed already.

        @param limits: a limit of 0 is none.
        """
        self._whole = limits
        limits = _divided(limits, self._parts)
        if limits == self._limits:
            return
        past = list(self.past)
        self._limits = limits
        self.past.clear()
        self._counts.clear()
        self._refusals.clear()
        for when, bySource, byName, tried in past:
            self._add(when, bySource, byName, tried)

    def divide(self, parts: int) -> None:
        """Have each limit be one of so many parts, while others are not heard."""
        self._parts = parts
        self.configure(self._whole)

    def share(self, key: bytes) -> None:
        """
        Hash names with a key that other machines have, too.

        What has failed until now is not known by it any more.
        """
        if key != self._secret:
            self._secret = key
            self._good.clear()
            self._fresh.clear()

    def learn(self, ago: float, bySource: bytes, byName: bytes) -> None:
        """
        Count a login that has failed at another machine.

        @param ago: seconds.
        @param bySource: as of L{tell}, and C{byName}.
        """
        when = self._clock() - ago
        self._forget()
        if ago < self._limits.window:
            self._add(when, bySource or None, byName or None)

    @property
    def isAwake(self) -> bool:
        """Whether there may be something to judge."""
        ring = self._ring
        return bool(self.past) or (ring is not None and ring.isNews)

    @property
    def blocked(self) -> int:
        """How many sources, and names of a source, are refused now."""
        self._forget()
        return len(self._refusals)

    @property
    def window(self) -> float:
        """For how many seconds a failure counts."""
        return float(self._limits.window)

    @property
    def counts(self) -> bool:
        """Whether failures count at all."""
        return bool(self._limits.per_source or self._limits.per_user)

    def refuses(self, source: Address, name: bytes) -> bool:
        """
        Return whether a login is not to be checked at all; count it if so.
        """
        refused = self.refusing(source, name)
        self.refused += refused
        return refused

    def refusing(self, source: Address, name: bytes) -> bool:
        """Return the same without counting anything."""
        self._forget()
        return bool(self._refusals) and self._isRefused(
            self._key(source), self._pair(source, name)
        )

    def _isRefused(self, bySource: bytes, byName: bytes | None) -> bool:
        refusals = self._refusals
        return byName in refusals or (bySource in refusals and not self._isGood(byName))

    def _isGood(self, byName: bytes | None) -> bool:
        """Return whether a name has logged in from there of late, and not failed."""
        return (
            byName in self._good
            and byName not in self._counts
            and bool(self._limits.per_user)
        )

    def succeeded(self, source: Address, name: bytes) -> None:
        """
        Remember that a login was right.
        """
        if not self._limits.per_source:
            return
        key, now = (source.sourceKey, name), self._clock()
        if self._fresh.get(key, 0.0) > now:
            return
        byName = self._pair(source, name)
        event = Event(now + _RECENT, True, self._key(source), byName, None)
        isTurn = self._begin()
        try:
            self._remember(byName, event.when)
            self._tell(event, isTurn)
        finally:
            self._end(isTurn)
        if len(self._fresh) >= _FRESH:
            self._fresh.clear()
        self._fresh[key] = now + _RENEWED

    def _remember(self, byName: bytes, until: float) -> None:
        """Remember a right login until then."""
        self._good[byName] = until
        self._good.move_to_end(byName)
        if len(self._good) > _GOOD:
            self._good.popitem(last=False)
            self._fresh.clear()

    def failed(
        self, source: Address, name: bytes | None, password: bytes | None = None
    ) -> bool:
        """
        Count a login that failed by the client's fault.

        @param name: whom it claimed to be; L{None} where the method that failed does
            not say.
        @param password: what it was tried with; L{None} where that is not known, or
            where each try counts.
        @return: L{False} if such logins are refused by now; it is not counted then.
        """
        isTurn = self._begin()
        try:
            return self._failed(source, name, password, isTurn)
        finally:
            self._end(isTurn)

    def _failed(
        self,
        source: Address,
        name: bytes | None,
        password: bytes | None,
        isTurn: bool,
    ) -> bool:
        self._forget()
        bySource = self._key(source)
        byName = None if name is None else self._pair(source, name)
        if self._isRefused(bySource, byName):
            self.refused += 1
            return False
        tried = None
        if password is not None and byName is not None:
            tried = self._digest(byName, password)
            if tried in self._counts:
                return True
        if self.tell is not None:
            self.tell(bySource, byName or b"")
        event = Event(self._clock(), False, bySource, byName, tried)
        self._tell(event, isTurn)
        for limit in self._add(event.when, bySource, byName, tried):
            _log.warn(
                "too many logins{whose} from {source} failed: refused for {seconds:g} s "
                "({limit}); {refused} refused so far",
                whose=" by one name" if limit.endswith("per_user") else "",
                source=source.sourceText,
                seconds=float(self._limits.window),
                limit=limit,
                refused=self.refused,
            )
        return True

    def took(self, method: str, seconds: float) -> None:
        """
        Remember how long it took to find that a login fails.
        """
        taken = self._took.get(method)
        if taken is None:
            taken = self._took[method] = deque(maxlen=_DURATIONS)
        taken.append(seconds)

    def linger(self, seconds: float = 0) -> Deferred[None]:
        """
        Wait as every login that fails does before the client is told.

        @param seconds: how long the check took that was not made.
        @return: fires after these, and up to a hundredth more at random: more than what
            the reactor's timers are late by, and so time does not tell a refusal from a
            wrong password.
        """
        waiting: Deferred[None] = Deferred(lambda _: call.cancel())
        seconds += self._random.uniform(0, _BLUR)
        call = self.callLater(seconds, waiting.callback, None)
        return waiting

    def imitate(self, method: str) -> Deferred[None]:
        """
        Take as long as some check of late took that failed.
        """
        taken = self._took.get(method)
        return self.linger(self._random.choice(taken) if taken else _DURATION)

    # Several processes.

    def _begin(self) -> bool:
        """
        Take the turn, and hear what others have counted.

        @return: whether we have it.
        """
        if self._ring is None or not self._ring.turn.take():
            return False
        self._hear(self._ring)
        for event in self._untold:
            self._ring.add(event)
        self._untold.clear()
        return True

    def _end(self, isTurn: bool) -> None:
        if isTurn and self._ring is not None:
            self._ring.turn.give()

    def _tell(self, event: Event, isTurn: bool) -> None:
        """Tell others what is counted here."""
        if self._ring is None:
            return
        if isTurn:
            self._ring.add(event)
        elif len(self._untold) < _FAILURES:
            self._untold.append(event)

    def _hear(self, ring: Ring) -> None:
        """Count what others have counted."""
        for when, good, bySource, byName, tried in ring.news():
            if good and byName is not None:
                self._remember(byName, when)
            elif not good:
                # What counted no longer then counts no more here either.
                self._expire(when)
                self._add(when, bySource or None, byName, tried)

    # Counting.

    def _key(self, source: Address) -> bytes:
        """Return the key of a source."""
        key = source.sourceKey
        return key if len(key) <= LONGEST else self._digest(key)

    def _pair(self, source: Address, name: bytes) -> bytes:
        """Return the key of a source's tries at a name, of fixed length."""
        return self._digest(source.sourceKey, _folded(name))

    def _digest(self, *parts: bytes) -> bytes:
        digest = blake2b(digest_size=16, key=self._secret)
        # Not joined: that would leave one more copy of a password in memory.
        for part in parts:
            digest.update(part)
        return digest.digest()

    def _add(
        self,
        when: float,
        bySource: bytes | None,
        byName: bytes | None,
        tried: bytes | None = None,
    ) -> list[str]:
        """
        Add a failure.

        @return: the limits that are reached by it.
        """
        limits, counts = self._limits, self._counts
        bySource = bySource if limits.per_source else None
        byName = byName if limits.per_user else None
        if bySource is None and byName is None:
            return []
        if tried is not None:
            counts[tried] = 1
        reached = []
        for limit, key, most in (
            ("auth.throttle.per_source", bySource, limits.per_source),
            ("auth.throttle.per_user", byName, limits.per_user),
        ):
            if key is not None:
                count = counts[key] = counts.get(key, 0) + 1
                if count >= most and key not in self._refusals:
                    self._refusals[key] = when + limits.window
                    reached.append(limit)
        self.past.append((when, bySource, byName, tried))
        if len(self.past) > _FAILURES:
            self._drop()
        if len(self._refusals) > _REFUSALS:
            self._refusals.popitem(last=False)
        return reached

    def _forget(self) -> None:
        """Drop the failures, refusals and good logins whose time is over."""
        if self._ring is not None and self._ring.isNews:
            self._hear(self._ring)
        self._expire(self._clock())

    def _expire(self, now: float) -> None:
        """Drop that whose time is over at a moment."""
        while self.past and self.past[0][0] + self._limits.window <= now:
            self._drop()
        while self._refusals:
            key, end = next(iter(self._refusals.items()))
            if end > now:
                break
            del self._refusals[key]
        while self._good:
            good, end = next(iter(self._good.items()))
            if end > now:
                break
            del self._good[good]

    def _drop(self) -> None:
        """Drop the oldest failure."""
        _, *keys = self.past.popleft()
        for key in keys:
            if key is not None:
                left = self._counts[key] - 1
                if left:
                    self._counts[key] = left
                else:
                    del self._counts[key]


def _divided(limits: Throttle, parts: int) -> Throttle:
    """Return one of so many parts of limits, which is never none."""
    if parts == 1:
        return limits
    return evolve(
        limits,
        per_user=limits.per_user and max(1, limits.per_user // parts),
        per_source=limits.per_source and max(1, limits.per_source // parts),
    )


def _folded(name: bytes) -> bytes:
    """
    Return what is the same for all spellings of a name in a directory.

    A directory takes names for one that differ in case, compatible characters or
    spaces (RFC 4518).
    """
    if name.isascii():
        text = name.decode("ascii").lower()
    else:
        text = normalize("NFKC", name.decode("utf-8", "replace")).casefold()
        text = normalize("NFKC", text)
    return " ".join(text.split()).encode("utf-8", "replace")
