"""
Logins that later requests go on with, and their tokens.
"""

from __future__ import annotations

import mmap
import os
import resource
import signal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
)

from socksgw.negotiate import resumption
from socksgw.negotiate.resumption import WINDOW, Resumptions, Window
from socksgw.system.turn import Turn
from socksgw.wire.address import Address
from tests.tools.sockets import descriptors

HERE = Address.parse("192.0.2.7")
THERE = Address.parse("192.0.2.8")


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


def test_theHighestUnspentToken() -> None:
    """A window does not move beyond it (section 8.5.3): it could not be spent then."""
    window = Window(4)
    for token in (1, 2, 3):
        assert window.spend(token)
    assert window.base == 0
    assert window.spend(0)
    assert window.base == 4


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
        every = [(before + place) % (1 << 32) for place in range(self.window.size)]
        token = (before + step) % (1 << 32)
        inside = 0 <= step < self.window.size
        granted = self.window.spend(token)
        assert granted == (inside and token not in self.spent)
        if granted:
            self.spent.add(token)
        moved = (self.window.base - before) % (1 << 32)
        unspent = [n for n, each in enumerate(every) if each not in self.spent]
        assert moved <= max(unspent, default=self.window.size)
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
    assert known.find(b"key" * 4, "lan", HERE) is None
    made = known.begin(b"alice", "lan", HERE)
    assert made is not None
    key, _ = made
    assert len(key) % 4 == 0

    def found(*of: Any) -> bytes:
        login = known.find(*of)
        return b"" if login is None else login.facts

    assert found(key, "lan", HERE) == b"alice"
    assert not found(key, "lan", THERE)
    assert not found(key, "other", HERE)
    assert not found(key[:-1] + b"?", "lan", HERE)
    now = resumption.IDLE - 1
    assert found(key, "lan", HERE)
    now += resumption.IDLE
    assert not found(key, "lan", HERE)
    assert not known


def test_itsLife() -> None:
    """However often it is used, it does not last: its login has to be made again."""
    now = 0.0
    known = Resumptions(lambda: now)
    made = known.begin(b"alice", "lan", HERE)
    assert made is not None
    while now < resumption.LIFE - 1:
        assert known.find(made[0], "lan", HERE) is not None
        now = min(now + resumption.IDLE / 2, resumption.LIFE - 1)
    assert known.find(made[0], "lan", HERE) is not None
    now = resumption.LIFE
    assert known.find(made[0], "lan", HERE) is None
    assert not known


def test_theEnd() -> None:
    """Only who has the key, there, can end it."""
    known = Resumptions(lambda: 0.0)
    made = known.begin(b"", "lan", HERE)
    assert made is not None
    known.end(made[0], "lan", THERE)
    assert len(known) == 1
    known.end(made[0], "lan", HERE)
    assert not known
    known.end(made[0], "lan", HERE)
    assert not known.spend(made[1], 0)


def test_bounds(monkeypatch: Any) -> None:
    """As many as fit, of one source and of those that share its row; or none."""
    monkeypatch.setattr(resumption, "MOST_OF_ONE", 2)
    monkeypatch.setattr(resumption, "MOST", 3)
    monkeypatch.setattr(resumption, "_ROW", 3)
    now = 0.0
    known = Resumptions(lambda: now)
    first = known.begin(b"", "lan", HERE)
    assert first is not None
    assert known.begin(b"", "lan", HERE) is not None
    assert known.begin(b"", "lan", HERE) is None
    assert known.begin(b"", "lan", THERE) is not None
    assert known.begin(b"", "lan", THERE) is None
    known.end(first[0], "lan", HERE)
    assert known.begin(b"", "lan", THERE) is not None
    assert known.begin(bytes(4096), "lan", HERE) is None
    now = resumption.IDLE
    assert known.begin(b"", "lan", HERE) is not None
    assert len(known) == 1


def shared(known: Resumptions) -> Resumptions:
    """The same logins, as another process has them."""
    return Resumptions(lambda: 0.0, known.another())


def test_oneTruth() -> None:
    """What one process gives, spends and ends, is so in all."""
    here = Resumptions(lambda: 0.0)
    there = shared(here)
    made = here.begin(b"alice", "lan", HERE)
    assert made is not None
    found = there.find(made[0], "lan", HERE)
    assert found is not None
    assert found.facts == b"alice"
    there.give(found, 8)
    here.give(made[1], 4)
    assert made[1].window is not None
    assert made[1].window.size == 8
    assert there.spend(found, 3)
    assert not here.spend(made[1], 3)
    there.end(made[0], "lan", HERE)
    assert here.find(made[0], "lan", HERE) is None
    assert not here.spend(made[1], 4)


def test_aProcessThatDies(monkeypatch: Any) -> None:
    """What it was changing is not known any more: its tokens may be spent."""
    here = Resumptions(lambda: 0.0)
    made = here.begin(b"alice", "lan", HERE)
    other = here.begin(b"bob", "lan", HERE)
    assert made is not None
    assert other is not None
    here.give(made[1], 8)
    if not (pid := os.fork()):
        monkeypatch.setattr(
            Window, "written", property(lambda _: os.kill(os.getpid(), signal.SIGKILL))
        )
        shared(here).spend(made[1], 0)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    assert not here.spend(made[1], 0)
    assert here.find(made[0], "lan", HERE) is None
    assert here.find(other[0], "lan", HERE) is not None
    assert len(here) == 1


def test_aProcessThatStandsStill() -> None:
    """While it has the turn, nobody goes on with a login, and no token is spent."""
    here = Resumptions(lambda: 0.0)
    made = here.begin(b"alice", "lan", HERE)
    assert made is not None
    here.give(made[1], 8)
    turn = Turn(here.another())
    assert turn.take()
    assert here.find(made[0], "lan", HERE) is None
    assert not here.spend(made[1], 0)
    assert here.begin(b"bob", "lan", HERE) is None
    turn.give()
    assert here.spend(made[1], 0)


def test_memoryInAnotherForm() -> None:
    """Nothing of it is believed, and it is left as it is."""
    fd = os.memfd_create("other", os.MFD_CLOEXEC)
    os.write(fd, b"logins as they are kept one day")
    known = Resumptions(lambda: 0.0)
    known.join(os.dup(fd))
    assert known.begin(b"alice", "lan", HERE) is not None
    with pytest.raises(ValueError, match="another form"):
        Resumptions(lambda: 0.0, fd)
    assert os.pread(fd, 6, 0) == b"logins"
    os.close(fd)


def test_noMemory() -> None:
    """Where the memory cannot be mapped, no descriptor is left open."""
    fd = Resumptions(lambda: 0.0).another()
    known = Resumptions(lambda: 0.0)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    # Less is left than the memory takes.
    bound = pages * mmap.PAGESIZE + (16 << 20)
    before = descriptors()
    resource.setrlimit(resource.RLIMIT_AS, (bound, hard))
    try:
        with pytest.raises(OSError, match="allocate memory"):
            known.join(os.dup(fd))
        with pytest.raises(OSError, match="allocate memory"):
            known.another()
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    assert descriptors() <= before
    known.join(fd)
    assert known.begin(b"alice", "lan", HERE) is not None


class Serving(RuleBasedStateMachine):
    """
    Several processes serve clients, and each knows what is so.

    A process dies, also as it changes something, and another one is in its place.
    """

    keys = Bundle("keys")
    processes = st.integers(0, 2)

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        first = Resumptions(self.clock)
        self.all = [first]
        self.served = [first, self.joined(first), self.joined(first)]
        #: What each key is of, and which of its tokens are spent.
        self.known: dict[bytes, tuple[bytes, set[int]]] = {}
        self.gone: set[bytes] = set()
        self.used: dict[bytes, float] = {}

    def clock(self) -> float:
        """Return what time it is in all processes."""
        return self.now

    def teardown(self) -> None:
        """End all processes: their memory would stay open."""
        for each in self.all:
            memory: Any = each._memory
            os.close(memory.fd)

    def joined(self, other: Resumptions) -> Resumptions:
        """Return what one more process has."""
        self.all.append(Resumptions(self.clock, other.another()))
        return self.all[-1]

    @rule(target=keys, at=processes, name=st.binary(max_size=9), size=st.integers(0, 9))
    def begins(self, at: int, name: bytes, size: int) -> bytes:
        """A client logs in, and may ask for tokens."""
        made = self.served[at].begin(name, "lan", HERE)
        assert made is not None
        key, found = made
        if size:
            self.served[at].give(found, size)
        self.known[key] = name, set()
        self.used[key] = self.now
        return key

    def found(self, at: int, key: bytes) -> Any:
        """Return what a process finds, which is as it has to be."""
        found = self.served[at].find(key, "lan", HERE)
        late = self.now - self.used[key] >= resumption.IDLE
        assert (found is None) == (key in self.gone or late)
        if found is None:
            self.gone.add(key)
        else:
            self.used[key] = self.now
            assert found.facts == self.known[key][0]
        return found

    @rule(key=keys, at=processes, token=st.integers(0, 12))
    def spends(self, key: bytes, at: int, token: int) -> None:
        """A request of it may spend a token, once, wherever it comes."""
        found = self.found(at, key)
        if found is None:
            return
        before = found.window
        inside = before is not None and token in range(
            before.base, before.base + before.size
        )
        spent = self.known[key][1]
        assert self.served[at].spend(found, token) == (inside and token not in spent)
        if inside:
            spent.add(token)

    @rule(key=keys, at=processes)
    def ends(self, key: bytes, at: int) -> None:
        """A client tears it down."""
        self.found(at, key)
        self.served[at].end(key, "lan", HERE)
        self.gone.add(key)

    @rule(at=processes)
    def dies(self, at: int) -> None:
        """A process dies, and another one has its place."""
        self.served[at] = self.joined(self.served[at - 1])

    @rule(key=keys, at=processes)
    def diesInBetween(self, key: bytes, at: int) -> None:
        """It dies as it changes a login, of which nothing is known from then on."""
        found = self.found(at, key)
        if found is not None:
            memory: Any = self.served[at]._memory
            memory.states[found._place] = resumption._CHANGING
            self.gone.add(key)
        self.dies(at)

    @rule(seconds=st.sampled_from([1.0, resumption.IDLE / 2]))
    def passes(self, seconds: float) -> None:
        """Nobody uses it."""
        self.now += seconds

    @rule(key=keys, at=processes)
    def others(self, key: bytes, at: int) -> None:
        """Nobody else can go on with it."""
        assert self.served[at].find(key, "lan", THERE) is None


TestServing = Serving.TestCase
TestServing.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
