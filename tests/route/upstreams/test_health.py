"""
When an upstream is ejected, when it is tried again, and when it returns.
"""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from socksgw.route.upstreams.health import CAP, FALL, FIRST, TRIAL, Health

#: The longest that a first back-off can be.
LONGEST = 1.25 * FIRST


class Watched:
    """A health on a clock of the test's, and what it told."""

    def __init__(self, fall: int = FALL, rise: int = 2, checked: bool = False) -> None:
        self.clock = Clock()
        self.told: list[tuple[str, str]] = []
        self.health = Health(
            self.clock.seconds,
            Random(13),
            lambda state, why: self.told.append((state, why)),
            fall,
            rise,
            checked,
        )

    def fail(self, times: int = FALL) -> None:
        """Have sessions fail."""
        for _ in range(times):
            self.health.begin()
            self.health.failed("upstream-unreachable")

    @property
    def wait(self) -> float:
        """Seconds until it may be tried."""
        return self.health.until - self.clock.seconds()


def test_failuresInARowEject() -> None:
    """An answer in between begins a new row; the third failure ejects."""
    watched = Watched()
    watched.fail(2)
    watched.health.answered()
    watched.fail(2)
    assert watched.health.open
    assert not watched.told
    watched.fail(1)
    assert not watched.health.open
    assert watched.told == [
        ("ejected", "3 sessions in a row failed: upstream-unreachable")
    ]
    # Those that were under way change nothing more.
    until = watched.health.until
    watched.fail(100)
    assert (len(watched.told), watched.health.until) == (1, until)


def test_oneSessionTriesItAgain() -> None:
    """After the back-off one session is led there, and no second one meanwhile."""
    watched = Watched()
    watched.fail()
    watched.clock.advance(LONGEST)
    assert watched.health.open
    watched.health.begin()
    assert not watched.health.open
    watched.health.answered()
    assert watched.health.open
    assert watched.told[1:] == [("returned", "it answered a session")]


def test_oneThatSaysNothing() -> None:
    """A session that tried and was given up by its client does not block others."""
    watched = Watched()
    watched.fail()
    watched.clock.advance(LONGEST)
    watched.health.begin()
    watched.clock.advance(TRIAL - 0.1)
    assert not watched.health.open
    watched.clock.advance(0.2)
    assert watched.health.open


def test_backOffDoubles() -> None:
    """Each failed try doubles the back-off, up to the cap, within the jitter."""
    watched = Watched()
    watched.fail()
    expected = FIRST
    for _ in range(10):
        assert 0.75 * expected <= watched.wait <= 1.25 * expected
        watched.clock.advance(watched.wait)
        watched.fail(1)
        expected = min(2 * expected, CAP)
    assert expected == CAP
    assert len(watched.told) == 1
    assert watched.health.why == "tried again, and failed: upstream-unreachable"


def test_flapping() -> None:
    """One that fails soon after its return waits longer; after a while, as at first."""
    watched = Watched()
    watched.fail()
    watched.clock.advance(watched.wait)
    watched.health.answered()
    watched.fail()
    assert watched.wait >= 1.5 * FIRST
    watched.clock.advance(watched.wait)
    watched.health.answered()
    watched.clock.advance(CAP + 1)
    watched.fail()
    assert watched.wait <= LONGEST


def test_anAnswerWhileEjected() -> None:
    """A session that was led there for want of another brings it back at once."""
    watched = Watched(checked=True)
    watched.fail()
    watched.health.begin()
    watched.health.answered()
    assert watched.health.open


def test_checksEject() -> None:
    """Failed checks in a row eject, and passed ones in a row bring back."""
    watched = Watched(fall=2, rise=3, checked=True)
    health = watched.health
    health.checkFailed("upstream-timeout")
    health.checkPassed()
    health.checkFailed("upstream-timeout")
    assert health.open
    health.checkFailed("upstream-timeout")
    assert not health.open
    health.checkPassed()
    health.checkPassed()
    health.checkFailed("upstream-timeout")
    for _ in range(2):
        health.checkPassed()
        assert not health.open
    health.checkPassed()
    assert health.open
    assert watched.told == [
        ("ejected", "2 checks in a row failed: upstream-timeout"),
        ("returned", "3 checks in a row passed"),
    ]


def test_checksDoNotHideSessions() -> None:
    """Passed checks do not break a row of failed sessions, nor end its back-off."""
    watched = Watched(checked=True)
    for _ in range(FALL):
        watched.health.checkPassed()
        watched.fail(1)
    assert not watched.health.open
    watched.health.checkPassed()
    watched.health.checkPassed()
    assert not watched.health.open
    watched.clock.advance(LONGEST)
    # The clock alone does not bring it back where checks try it.
    assert not watched.health.open
    watched.health.checkPassed()
    assert watched.health.open


#: What may happen to an upstream.
EVENTS = st.one_of(
    st.sampled_from(["begin", "answered", "failed", "checkPassed", "checkFailed"]),
    st.floats(0.01, 100),
)


@given(st.lists(EVENTS, max_size=60), st.booleans())
def test_whateverHappens(events: list[str | float], checked: bool) -> None:
    """
    It tells each change once and in turn, no back-off exceeds the cap, and enough
    good news brings it back.
    """
    watched = Watched(checked=checked)
    health = watched.health
    for event in events:
        if isinstance(event, float):
            watched.clock.advance(event)
        elif event.endswith("ailed"):
            getattr(health, event)("upstream-closed")
        else:
            getattr(health, event)()
        states = [state for state, _ in watched.told]
        assert states == [("ejected", "returned")[i % 2] for i in range(len(states))]
        assert health.out is (len(states) % 2 == 1)
        assert health.ejections == states.count("ejected")
        assert watched.wait <= 1.25 * CAP
    watched.clock.advance(1.25 * CAP)
    assert checked or health.open
    health.checkPassed()
    health.checkPassed()
    assert health.open
    assert not health.out
