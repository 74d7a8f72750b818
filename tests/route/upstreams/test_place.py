"""
Which faults lead a session to the next upstream, and what is counted.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock

from socksgw.errors import (
    ConnectFailed,
    LimitReached,
    SocksError,
    UpstreamFailed,
    UpstreamRefused,
    UserRefused,
)
from socksgw.interfaces import Asker
from socksgw.route.upstreams.balance import BALANCES
from socksgw.route.upstreams.health import FALL, Health
from socksgw.route.upstreams.place import PATIENCE, Place
from socksgw.route.upstreams.standing import Standing
from socksgw.route.upstreams.trip import Leg, Trip
from socksgw.wire.address import UNSPECIFIED4
from tests.fakes.policy import loggedIn
from tests.fakes.resolver import Names

#: Seconds of a trip.
SECONDS = 15.0
NOTHING: Any = None


class Hop:
    """
    An upstream that does as the test says.

    @ivar patience: the seconds that it had, each time.
    """

    def __init__(self, name: str, clock: Clock) -> None:
        health = Health(clock.seconds, Random(1), lambda *_: None)
        self.name = name
        self.standing = Standing(name, health)
        self.patience: list[float] = []
        self.does: Callable[[], BaseException | None] = lambda: None

    async def open(self, *given: Any) -> Leg:
        """As L{socksgw.route.upstreams.hop.Hop.open}."""
        self.patience.append(given[-1])
        failure = self.does()
        if failure is not None:
            raise failure
        return Leg(NOTHING, (UNSPECIFIED4, 0), b"", (self.standing,))


class Traveller:
    """A session; with an anonymous user of one address, C{user} tells it apart."""

    local = None
    port = 0
    gateways: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.asker = Asker(loggedIn("alice"), UNSPECIFIED4, "lan")
        self.used: list[Standing] = []
        self.shown: tuple[bytes, bytes] | None = None

    def joins(self, standing: Standing) -> None:
        self.used.append(standing)

    def parts(self, standing: Standing) -> None:
        self.used.remove(standing)
        standing.end()


class Placed:
    """A place of upstreams C{a}, C{b}, C{c}, tried in this order."""

    def __init__(self, last: Any = None) -> None:
        self.clock = Clock()
        self.hops = [Hop(name, self.clock) for name in "abc"]
        everything: Any = self.hops
        # The order of a user is always the same: here that of the names.
        self.place = Place(everything, lambda members, _: list(members), last)
        self.traveller = Traveller()

    def open(self) -> list[str]:
        """Open a connection; return the upstreams that it goes through."""
        trip = Trip(self.traveller, SECONDS, self.clock.seconds, Names())
        opening = self.place.open(NOTHING, "x.example", 80, trip)
        with pytest.raises(StopIteration) as ended:
            opening.send(None)
        leg: Leg = ended.value.value
        return [each.name for each in leg.used]

    def raises(self, kind: type[BaseException]) -> Any:
        """See that none opens it, and return why."""
        trip = Trip(self.traveller, SECONDS, self.clock.seconds, Names())
        with pytest.raises(kind) as raised:
            self.place.open(NOTHING, "x.example", 80, trip).send(None)
        return raised.value

    @property
    def sessions(self) -> list[int]:
        """How many sessions each has."""
        return [hop.standing.sessions for hop in self.hops]


def fault(name: str, counts: bool = True) -> Callable[[], UpstreamFailed]:
    """Return what makes a failure of an upstream's own."""
    return lambda: UpstreamFailed("w", None, "upstream-login", name, counts)


def test_theNextOne() -> None:
    """A fault of its own leads to the next, and after some in a row at once."""
    placed = Placed()
    a, b, _ = placed.hops
    a.does = fault("a")
    for _ in range(FALL + 2):
        assert placed.open() == ["b"]
    assert (len(a.patience), a.standing.state) == (FALL, "ejected")
    assert a.standing.failed == {"upstream-login": FALL}
    assert (b.standing.opened, placed.sessions) == (FALL + 2, [0, FALL + 2, 0])
    assert len(placed.traveller.used) == FALL + 2


def test_faultsInDoubt() -> None:
    """One that may be a refusal leads to the next, too, and does not eject."""
    placed = Placed()
    placed.hops[0].does = fault("a", counts=False)
    for _ in range(20):
        assert placed.open() == ["b"]
    assert placed.hops[0].standing.state == "up"


@pytest.mark.parametrize(
    "failure",
    [
        # It tells of the destination.
        UpstreamRefused("no", reason="refused"),
        # It is of this user, and others would count the wrong password, too.
        UserRefused("no"),
        # Descriptors have run out here.
        LimitReached("EMFILE", reason="resources"),
        # The place before does not work.
        UpstreamFailed("w", upstream="elsewhere"),
        # The client is gone.
        CancelledError(),
    ],
)
def test_noOtherWouldDoBetter(failure: BaseException) -> None:
    """Then none is tried, and nothing counts against it."""
    placed = Placed()
    placed.hops[0].does = lambda: failure
    for _ in range(2 * FALL):
        assert placed.raises(type(failure)) is failure
    assert (placed.sessions, placed.hops[1].patience) == ([0, 0, 0], [])
    assert (placed.hops[0].standing.failed, placed.traveller.used) == ({}, [])


def test_noneWorks() -> None:
    """The last failure is told; when all are ejected, they are still tried."""
    placed = Placed()
    for hop in placed.hops:
        hop.does = fault(hop.name)
    for _ in range(FALL):
        assert placed.raises(UpstreamFailed).upstream == "c"
    assert [hop.standing.state for hop in placed.hops] == ["ejected"] * 3
    placed.hops[2].does = lambda: None
    assert placed.open() == ["c"]
    assert placed.hops[2].standing.state == "up"


def test_patience() -> None:
    """Whoever has another behind it gets a share of the time, and not too long."""
    placed = Placed()
    a, b, c = placed.hops
    a.does, b.does = fault("a"), fault("b")
    placed.open()
    assert a.patience == [min(PATIENCE, SECONDS / 3)]
    assert b.patience == [min(PATIENCE, SECONDS / 2)]
    assert c.patience == [SECONDS]

    def slow() -> UpstreamFailed:
        placed.clock.advance(SECONDS)
        return fault("b")()

    # No time is left for the third.
    b.does = slow
    assert placed.raises(UpstreamFailed).upstream == "b"
    assert len(c.patience) == 1


class Straight:
    """The way without an upstream."""

    def __init__(self) -> None:
        self.failure: SocksError | None = None
        self.opened = 0

    async def open(self, *_: Any) -> Leg:
        """As L{socksgw.route.upstreams.ground.Straight.open}."""
        self.opened += 1
        if self.failure is not None:
            raise self.failure
        return Leg(NOTHING, (UNSPECIFIED4, 0))


def test_lastResort() -> None:
    """It is taken where none works, and by no refusal; ejected ones are left alone."""
    straight = Straight()
    placed = Placed(straight)
    placed.hops[0].does = lambda: UpstreamRefused("no", reason="refused")
    placed.raises(UpstreamRefused)
    assert straight.opened == 0
    for hop in placed.hops:
        hop.does = fault(hop.name)
    for _ in range(FALL + 3):
        assert placed.open() == []
    assert [len(hop.patience) for hop in placed.hops[1:]] == [FALL, FALL]
    # A closed connection may be a refusal.
    again = Placed(straight)
    again.hops[0].does = fault("a", counts=False)
    again.hops[1].does, again.hops[2].does = fault("b"), fault("c")
    opened = straight.opened
    again.raises(UpstreamFailed)
    assert straight.opened == opened
    straight.failure = ConnectFailed("no", reason="refused")
    assert placed.raises(ConnectFailed) is straight.failure


def test_leastSessions() -> None:
    """Sessions are counted from the beginning, so that a burst is spread."""
    placed = Placed()
    everything: Any = placed.hops
    placed.place = Place(everything, BALANCES["sessions"](Random(1)))
    for _ in range(30):
        placed.open()
    assert placed.sessions == [10, 10, 10]
    for each in placed.traveller.used[:]:
        placed.traveller.parts(each)
    assert placed.sessions == [0, 0, 0]
