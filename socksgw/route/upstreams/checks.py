"""
Active checks: a real dialogue with an upstream, again and again.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Final, NamedTuple, Protocol, final

from twisted.internet.defer import CancelledError

from socksgw.errors import LimitReached, SocksError, UpstreamFailed
from socksgw.interfaces import Asker, SetDeadline, Timer
from socksgw.route.upstreams.hop import Hop
from socksgw.route.upstreams.standing import Standing
from socksgw.route.upstreams.trip import Names, Opener, Trip
from socksgw.system.coroutines import Running
from socksgw.system.upkeep import defect
from socksgw.wire.address import Address

__all__ = ["ALONE", "Check", "Checked", "Checks", "Prober"]

#: How much the time between two checks varies.
_JITTER: Final = 0.1
#: The reason of a check that takes too long.
_LATE: Final = "upstream-timeout"


class Checked(NamedTuple):
    """
    What a check has found.

    @ivar upstream: its name, and C{domain}: the tag of its routing domain.
    @ivar reason: why it has failed; empty if it has passed.
    @ivar changed: whether that has ejected it, or brought it back, where it was checked.
    @ivar times: how many checks in a row found that.
    """

    upstream: str
    domain: str
    reason: str
    changed: bool
    times: int = 1


class Checks(NamedTuple):
    """
    Who checks, where several processes serve as one gateway.

    @ivar own: whether this process does.
    @ivar tell: tells the others of each check.
    """

    own: bool
    tell: Callable[[Checked], object]


#: There is one process.
ALONE: Final = Checks(True, lambda _: None)


class Random(Protocol):
    """A source of random numbers (L{random.Random})."""

    def uniform(self, a: float, b: float) -> float:
        """Return a number between two."""


@final
class Check:
    """
    The checks of one upstream, one at a time.

    The first comes after a random part of the time between two, and each time varies
    by a tenth, so that neither many upstreams nor many gateways are checked at once.
    """

    __slots__ = (
        "_deadline", "_every", "_expired", "_next", "_probe", "_random", "_running",
        "_setDeadline", "_tell", "_timeout",
    )  # fmt: skip

    def __init__(
        self,
        tell: Callable[[str], object],
        probe: Callable[[], Coroutine[Any, Any, bool]],
        every: float,
        timeout: float,
        setDeadline: SetDeadline,
        random: Random,
    ) -> None:
        """
        Begin with nothing under way.

        @param tell: is told of each result: why it has failed, or nothing.
        @param probe: does the dialogue; raises C{SocksError} if it fails. Its result
            is false where it has found nothing out.
        @param every: seconds from the end of a check to the next one.
        @param timeout: seconds that a check may take.
        """
        self._tell = tell
        self._probe = probe
        self._every = every
        self._timeout = timeout
        self._setDeadline = setDeadline
        self._random = random
        self._next: Timer | None = None
        self._deadline: Timer | None = None
        self._running: Running[None] | None = None
        self._expired = False

    def start(self) -> None:
        """Begin to check; the first check comes later."""
        self._await(self._random.uniform(0, self._every))

    def stop(self) -> None:
        """
        Check no longer, and give up the check that is under way.

        No effect when called again.
        """
        running, self._running = self._running, None
        self._clear()
        if running is not None:
            running.cancel()

    def _await(self, seconds: float) -> None:
        self._next = self._setDeadline(seconds, self._begin)

    def _clear(self) -> None:
        for timer in (self._next, self._deadline):
            if timer is not None:
                timer.clear()
        self._next = self._deadline = None

    def _begin(self) -> None:
        self._next = None
        self._expired = False
        self._deadline = self._setDeadline(self._timeout, self._expire)
        self._running = running = Running(self._once())
        running.addCallback(lambda _: self._ended(running))

    def _expire(self) -> None:
        self._deadline = None
        self._expired = True
        assert self._running is not None
        self._running.cancel()

    async def _once(self) -> None:
        """Check once, and tell the result. It never raises."""
        reason = ""
        try:
            if not await self._probe():
                return
        except CancelledError:
            if not self._expired:
                return
            reason = _LATE
        except SocksError as e:
            reason = e.reason
        except Exception as e:
            defect("the check of an upstream", e)
            reason = "internal"
        self._tell(reason)

    def _ended(self, running: Running[None]) -> None:
        if self._running is running:
            # Else it was stopped meanwhile.
            self._running = None
            self._clear()
            self._await(self._every * self._random.uniform(1 - _JITTER, 1 + _JITTER))


@final
class Prober:
    """
    One upstream, as the places before it in a chain lead to it.

    A probe stands for a client of its own (L{socksgw.route.upstreams.trip.Traveller}).

    @ivar asker: who that is.
    @ivar shown: nothing.
    """

    shown: Final = None

    __slots__ = (
        "_before", "_clock", "_hop", "_names", "_seconds", "_target", "_there",
        "asker",
    )  # fmt: skip

    local: Final = None
    port: Final = 0
    gateways: Final = ()

    def __init__(
        self,
        hop: Hop,
        before: Opener,
        target: tuple[Address | str, int] | None,
        seconds: float,
        clock: Callable[[], float],
        names: Names,
        asker: Asker,
        there: bool = False,
    ) -> None:
        """
        Take the parts.

        @param before: opens the connections to it.
        @param target: what it is to connect to; L{None} for nothing.
        @param seconds: that a probe may take.
        @param clock: monotonic seconds.
        @param names: what looks up the names of upstreams here.
        @param there: whether the upstream looks the target's name up, whatever it does
            else.
        """
        self._hop = hop
        self._there = there
        self._before = before
        self._target = target
        self._seconds = seconds
        self._clock = clock
        self._names = names
        self.asker = asker

    async def probe(self) -> bool:
        """
        Try the upstream.

        @return: whether that says something of it: not where the place before it does
            not work, or where this host has run out of something.
        @raise SocksError: it fails.
        """
        trip = Trip(self, self._seconds, self._clock, self._names)
        try:
            await self._hop.probe(self._before, self._target, trip, self._there)
        except UpstreamFailed as e:
            if e.upstream != self._hop.name:
                return False
            raise
        except LimitReached:
            return False
        return True

    def joins(self, standing: Standing) -> None:
        """As L{Traveller.joins}: the hop parts with it when the probe is over."""

    def parts(self, standing: Standing) -> None:
        """As L{Traveller.parts}."""
        standing.end()
