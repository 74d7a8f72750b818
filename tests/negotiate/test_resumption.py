"""
Logins that later requests go on with, and their tokens.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from socksgw.negotiate import resumption
from socksgw.negotiate.resumption import WINDOW, Resumptions, Window
from socksgw.wire.address import Address
from tests.fakes.policy import Somebody

HERE = Address.parse("192.0.2.7")
THERE = Address.parse("192.0.2.8")
ALICE: Any = Somebody("alice")


def test_tokensAreSpentOnce() -> None:
    """Each of the window, and none beside it; the lowest moves it up."""
    window = Window(8, 100)
    assert not window.spend(99)
    assert not window.spend(108)
    assert window.spend(101)
    assert not window.spend(101)
    assert window.base == 100
    assert window.spend(100)
    assert window.base == 102
    assert not window.spend(100)
    assert window.spend(108)


def test_aHighTokenMovesTheWindow() -> None:
    """A client that has lost some goes on; what was lost cannot be spent any more."""
    window = Window(8)
    assert window.spend(6)
    assert (window.base, window.size) == (2, 8)
    assert not window.spend(0)
    assert not window.spend(6)
    assert window.spend(7)


def test_tokensAreInACircle() -> None:
    """Behind 2^32 - 1 comes 0 (section 8.5)."""
    window = Window(8, (1 << 32) - 2)
    for token in ((1 << 32) - 2, (1 << 32) - 1, 0, 1):
        assert window.spend(token)
        assert not window.spend(token)
    assert window.base == 2


def test_windowsAreBounded() -> None:
    """Whatever is asked for."""
    assert Window((1 << 31) - 1).size == WINDOW
    assert Window(0).size == 1


class Spending(RuleBasedStateMachine):
    """No token is ever spent twice, in whatever order they are tried."""

    @initialize(size=st.integers(1, 40), base=st.integers(0, (1 << 32) - 1))
    def begins(self, size: int, base: int) -> None:
        """Make a window."""
        self.window = Window(size, base)
        self.spent: set[int] = set()
        self.moved = 0

    @rule(step=st.integers(-50, 90))
    def tries(self, step: int) -> None:
        """Try a token near the window."""
        before = self.window.base
        token = (before + step) % (1 << 32)
        inside = 0 <= step < self.window.size
        granted = self.window.spend(token)
        assert granted == (inside and token not in self.spent)
        if granted:
            self.spent.add(token)
        moved = (self.window.base - before) % (1 << 32)
        assert moved <= self.window.size
        self.moved += moved

    @invariant()
    def theBaseIsNotSpent(self) -> None:
        """The lowest token of a window can be spent."""
        assert self.window.base not in self.spent


TestSpending = Spending.TestCase
TestSpending.settings = settings(max_examples=60, deadline=None)


@given(st.lists(st.integers(0, 60), max_size=80))
def test_whatAClientThatBehavesSpends(tokens: list[int]) -> None:
    """Tokens that are spent in order are all granted, however long it lasts."""
    window = Window(16)
    assert all(window.spend(token) for token in range(len(tokens) * 3))


def test_theKey() -> None:
    """It is of the client that it was given to, there, until it is not used."""
    now = 0.0
    known = Resumptions(lambda: now)
    made = known.begin(ALICE, "job", "lan", HERE)
    assert made is not None
    key, found = made
    assert len(key) % 4 == 0
    assert (found.user, found.tag) == (ALICE, "job")
    assert known.find(key, "lan", HERE) is found
    assert known.find(key, "lan", THERE) is None
    assert known.find(key, "other", HERE) is None
    assert known.find(key[:-1] + b"?", "lan", HERE) is None
    now = resumption.IDLE - 1
    assert known.find(key, "lan", HERE) is found
    now += resumption.IDLE
    assert known.find(key, "lan", HERE) is None
    assert not known


def test_theEnd() -> None:
    """Only who has the key, there, can end it."""
    known = Resumptions(lambda: 0.0)
    made = known.begin(ALICE, "", "lan", HERE)
    assert made is not None
    known.end(made[0], "lan", THERE)
    assert len(known) == 1
    known.end(made[0], "lan", HERE)
    assert not known
    known.end(made[0], "lan", HERE)


def test_bounds(monkeypatch: Any) -> None:
    """As many as fit, of one source and of all; or none."""
    monkeypatch.setattr(resumption, "MOST_OF_ONE", 2)
    monkeypatch.setattr(resumption, "MOST", 3)
    known = Resumptions(lambda: 0.0)
    first = known.begin(ALICE, "", "lan", HERE)
    assert first is not None
    assert known.begin(ALICE, "", "lan", HERE) is not None
    assert known.begin(ALICE, "", "lan", HERE) is None
    assert known.begin(ALICE, "", "lan", THERE) is not None
    assert known.begin(ALICE, "", "lan", THERE) is None
    known.end(first[0], "lan", HERE)
    assert known.begin(ALICE, "", "lan", THERE) is not None
    assert Resumptions(lambda: 0.0, enabled=False).begin(ALICE, "", "l", HERE) is None
