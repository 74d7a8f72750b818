"""
When an upstream is checked, and what becomes of it.
"""

from __future__ import annotations

from random import Random

from twisted.internet.defer import Deferred

from socksgw.errors import ConnectFailed
from socksgw.route.upstreams.checks import Check
from socksgw.route.upstreams.health import Health
from tests.fakes.loops import Timers

#: Seconds between two checks, and for each.
EVERY, TIMEOUT = 10.0, 4.0


class Checked(Timers):
    """
    An upstream that is checked.

    @ivar probes: the checks so far.
    @ivar cancelled: how many of them were given up.
    """

    def __init__(self, seed: int = 1) -> None:
        super().__init__()
        self.probes: list[Deferred[bool]] = []
        self.cancelled = 0
        self.told: list[tuple[str, str]] = []
        random = Random(seed)
        self.health = Health(
            lambda: self.now,
            random,
            lambda state, why: self.told.append((state, why)),
            fall=2,
            rise=2,
            checked=True,
        )
        self.check = Check(
            self.health.checked, self.probe, EVERY, TIMEOUT, self.setDeadline, random
        )
        self.check.start()

    async def probe(self) -> bool:
        """Wait until the test says how the check ends."""

        def cancelled(_: object) -> None:
            self.cancelled += 1

        made: Deferred[bool] = Deferred(cancelled)
        self.probes.append(made)
        return await made

    def next(self) -> Deferred[bool]:
        """Let time pass up to the next check."""
        number, due = len(self.probes), self.clock.getDelayedCalls()
        assert len(due) == 1
        wait = due[0].getTime() - self.now
        # The first one comes sooner.
        assert wait <= 1.1 * EVERY
        assert number == 0 or wait >= 0.9 * EVERY
        self.advance(wait)
        assert len(self.probes) == number + 1
        return self.probes[-1]


def test_results() -> None:
    """Failures in a row eject, with the reason; checks that pass bring it back."""
    checked = Checked()
    checked.next().callback(True)
    for _ in range(2):
        checked.next().errback(ConnectFailed("no", reason="upstream-login"))
    for _ in range(2):
        checked.next().callback(True)
    assert checked.told == [
        ("ejected", "2 checks in a row failed: upstream-login"),
        ("returned", "2 checks in a row passed"),
    ]


def test_nothingFoundOut() -> None:
    """A check that did not get as far as the upstream breaks no row."""
    checked = Checked()
    checked.next().errback(ConnectFailed("no", reason="upstream-login"))
    checked.next().callback(False)
    checked.next().errback(ConnectFailed("no", reason="upstream-login"))
    assert checked.told == [("ejected", "2 checks in a row failed: upstream-login")]


def test_oneAtATime() -> None:
    """A check that takes too long is given up, and the next one waits for that."""
    checked = Checked()
    for number in range(2):
        checked.next()
        checked.advance(TIMEOUT)
        assert checked.cancelled == number + 1
    assert checked.told == [("ejected", "2 checks in a row failed: upstream-timeout")]


def test_stopped() -> None:
    """Nothing is left of it: no timer, no check under way, no result of one."""
    checked = Checked()
    checked.check.stop()
    assert checked.pending == 0
    checked.check.start()
    checked.next()
    checked.check.stop()
    checked.check.stop()
    assert (checked.pending, checked.cancelled) == (0, 1)
    assert checked.told == []


def test_noStorm() -> None:
    """The first checks of many upstreams are spread over the whole time."""
    firsts = []
    for seed in range(40):
        checked = Checked(seed)
        firsts.append(min(c.getTime() for c in checked.clock.getDelayedCalls()))
    assert min(firsts) < EVERY / 5
    assert max(firsts) > EVERY * 4 / 5


def test_aDefect() -> None:
    """A check that fails by a defect of ours counts as failed, and the next comes."""
    checked = Checked()
    for _ in range(2):
        checked.next().errback(ValueError("defect"))
    assert checked.told == [("ejected", "2 checks in a row failed: internal")]
