"""
The throttle of logins, and what the login makes of it.
"""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Sequence
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import Anonymous, IUsernamePassword, UsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, eventAsText
from zope.interface import implementer

from socksgw.config.convert import Duration
from socksgw.config.schema import Throttle
from socksgw.errors import AuthenticationFailed
from socksgw.interfaces import IChangingStore, IVerifiedIdentity
from socksgw.login import checks, memory
from socksgw.login import throttle as module
from socksgw.login.checkers import Refused
from socksgw.login.portal import Login
from socksgw.login.throttle import LoginThrottle
from socksgw.wire.address import Address

HERE, THERE = Address.parse("192.0.2.7"), Address.parse("192.0.2.8")
SIX = Address.parse("2001:db8:0:7::1")
#: What etc/socksgw.toml says.
LIMITS = Throttle(10, 50, Duration(60))


class Chance(Random):
    """Takes the most, and of what is drawn out the least."""

    choice = staticmethod(max)  # type: ignore[assignment]

    def uniform(self, a: float, b: float) -> float:
        return a


def throttling(
    clock: Clock, limits: Throttle = LIMITS, random: Random | None = None
) -> LoginThrottle:
    """A throttle on the test's clock."""
    made = LoginThrottle(clock.seconds, clock.callLater, random or Chance())
    made.configure(limits)
    return made


# Counting.


def test_perUser() -> None:
    """
    The tenth failure within the window is the last that is checked; for as
    long as the window, from this source, at this name.
    """
    clock = Clock()
    throttle = throttling(clock)
    for _ in range(10):
        assert not throttle.refuses(HERE, b"alice")
        assert throttle.failed(HERE, b"alice")
        clock.advance(5)
    assert throttle.refuses(HERE, b"alice")
    # Not others of this source, nor the victim from elsewhere.
    assert not throttle.refuses(HERE, b"bob")
    assert not throttle.refuses(THERE, b"alice")
    clock.advance(54)
    assert throttle.refuses(HERE, b"alice")
    clock.advance(1)
    assert not throttle.refuses(HERE, b"alice")
    assert not throttle.past


def test_decay() -> None:
    """A failure counts for the window, and no longer."""
    clock = Clock()
    throttle = throttling(clock)
    for _ in range(100):
        assert not throttle.refuses(HERE, b"alice")
        throttle.failed(HERE, b"alice")
        clock.advance(6.7)
    for _ in range(2):
        throttle.failed(HERE, b"alice")
    assert throttle.refuses(HERE, b"alice")


def test_perSource() -> None:
    """One password tried at every name: fifty names, and no more."""
    clock = Clock()
    throttle = throttling(clock)
    tried = 0
    for number in range(1000):
        if not throttle.refuses(HERE, b"user%d" % number):
            assert throttle.failed(HERE, b"user%d" % number)
            tried += 1
    assert tried == 50
    assert throttle.refuses(HERE, b"somebody else")
    assert not throttle.refuses(THERE, b"user1")
    clock.advance(60)
    assert not throttle.refuses(HERE, b"user1")


def test_failuresWithoutAName() -> None:
    """Where the method does not say who it was, the source alone counts."""
    throttle = throttling(Clock())
    for _ in range(50):
        assert throttle.failed(HERE, None)
    assert not throttle.failed(HERE, None)
    assert throttle.refuses(HERE, b"alice")


def test_refusedDoesNotCount() -> None:
    """
    What fails while it is refused (it was on its way) neither prolongs the
    refusal nor counts against the source.
    """
    clock = Clock()
    throttle = throttling(clock)
    for number in range(100):
        assert throttle.failed(HERE, b"alice") == (number < 10)
    assert not throttle.refuses(HERE, b"bob")
    clock.advance(60)
    assert not throttle.refuses(HERE, b"alice")


@pytest.mark.parametrize(
    ("name", "spellings"),
    [
        ("alice", ["Alice", "aLICE"]),
        ("alice smith", ["alice  smith", " Alice Smith ", "\uff41lice\u2003smith"]),
        ("\xe4rger", ["\xc4rger", "a\u0308rger", "A\u0308RGER"]),
        ("strasse", ["stra\xdfe", "STRA\u1e9eE"]),
    ],
)
def test_oneNameInManySpellings(name: str, spellings: list[str]) -> None:
    """Directories know one alice, however she is spelled."""
    throttle = throttling(Clock())
    for number in range(10):
        throttle.failed(HERE, spellings[number % len(spellings)].encode())
    assert throttle.refuses(HERE, name.encode())
    assert not throttle.refuses(HERE, name.encode() + b"2")


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ("2001:db8:0:7:ffff::2", True),
        ("2001:db8:0:8::1", False),
        ("32.1.13.184", False),
    ],
)
def test_source6(other: str, same: bool) -> None:
    """A host has a whole /64 to itself: it is one source."""
    throttle = throttling(Clock(), Throttle(2, 2, Duration(60)))
    for name in (b"alice", b"bob"):
        throttle.failed(SIX, name)
    assert throttle.refuses(Address.parse(other), b"carol") is same


@pytest.mark.parametrize(
    ("limits", "name", "source"),
    [
        (Throttle(0, 50), False, True),
        (Throttle(10, 0), True, False),
        (Throttle(0, 0), False, False),
        (Throttle(1, 1), True, True),
    ],
)
def test_off(limits: Throttle, name: bool, source: bool) -> None:
    """A limit of 0 is none; with neither nothing is even remembered."""
    throttle = throttling(Clock(), limits)
    for _ in range(1000):
        throttle.failed(HERE, b"alice")
    assert throttle.refuses(HERE, b"alice") is (name or source)
    for number in range(1000):
        throttle.failed(HERE, b"user%d" % number)
    assert throttle.refuses(HERE, b"anybody") is source
    assert bool(throttle.past) is (name or source)


def test_configuredAnew() -> None:
    """
    A reload forgets nothing; other limits judge what has failed already.
    """
    clock = Clock()
    throttle = throttling(clock)
    for _ in range(9):
        throttle.failed(HERE, b"alice")
    clock.advance(1)
    throttle.configure(Throttle(10, 50, Duration(60)))
    throttle.failed(HERE, b"alice")
    assert throttle.refuses(HERE, b"alice")
    throttle.configure(Throttle(11, 50, Duration(60)))
    assert not throttle.refuses(HERE, b"alice")
    throttle.configure(Throttle(3, 50, Duration(20)))
    assert throttle.refuses(HERE, b"alice")
    clock.advance(18.9)
    assert throttle.refuses(HERE, b"alice")
    clock.advance(0.1)
    assert not throttle.refuses(HERE, b"alice")
    throttle.configure(Throttle(0, 0))
    assert not throttle.past


def test_theSamePasswordCountsOnce() -> None:
    """
    A program that tries a wrong password again is not one that guesses: it
    counts once a window, by source and name; the source of such programs is
    not refused either.
    """
    clock = Clock()
    throttle = throttling(clock)
    for _ in range(48):
        for name in (b"alice", b"ALICE", b"bob"):
            assert throttle.failed(HERE, name, b"old")
    assert len(throttle.past) == 2
    assert not throttle.refuses(HERE, b"alice")
    for number in range(9):
        throttle.failed(HERE, b"alice", b"guess%d" % number)
    assert throttle.refuses(HERE, b"alice")
    assert not throttle.failed(HERE, b"alice", b"old")
    clock.advance(60)
    assert not throttle.refuses(HERE, b"alice")
    assert not throttle.past
    assert not throttle._counts
    assert throttle.failed(HERE, b"alice", b"old")
    assert len(throttle.past) == 1


def test_passwordsOverConfigurations() -> None:
    """A reload does not count a password again."""
    throttle = throttling(Clock())
    throttle.failed(HERE, b"alice", b"old")
    throttle.configure(Throttle(2, 50, Duration(60)))
    throttle.failed(HERE, b"alice", b"old")
    assert not throttle.refuses(HERE, b"alice")
    throttle.failed(HERE, b"alice", b"older")
    assert throttle.refuses(HERE, b"alice")


def spray(throttle: LoginThrottle, source: Address) -> None:
    """One password at many names, until the source is refused."""
    for number in range(50):
        throttle.failed(source, b"user%d" % number, b"summer")
    assert throttle.refuses(source, b"stranger")


def test_othersFailures() -> None:
    """
    Who has logged in from a source of late is not refused for what others do
    there, and gives them one guess: after that, or later, the name is as any
    other.
    """
    clock = Clock()
    throttle = throttling(clock)
    for name in (b"alice", b"bob"):
        throttle.succeeded(HERE, name)
    throttle.succeeded(THERE, b"carol")
    spray(throttle, HERE)
    assert not throttle.refuses(HERE, b"alice")
    assert not throttle.refuses(HERE, b"ALICE")
    assert throttle.refuses(HERE, b"carol")
    assert throttle.failed(HERE, b"alice", b"guess")
    assert throttle.refuses(HERE, b"alice")
    assert not throttle.failed(HERE, b"alice", b"another")
    assert not throttle.refuses(HERE, b"bob")
    clock.advance(3600)
    spray(throttle, HERE)
    assert throttle.refuses(HERE, b"bob")
    assert not throttle._good


def test_goodLoginsAreBounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """So are the good logins that are remembered."""
    monkeypatch.setattr(module, "_GOOD", 2)
    throttle = throttling(Clock())
    for name in (b"alice", b"bob", b"carol"):
        throttle.succeeded(HERE, name)
    spray(throttle, HERE)
    refused = [throttle.refuses(HERE, x) for x in (b"alice", b"bob", b"carol")]
    assert refused == [True, False, False]


def test_withoutCountsByName() -> None:
    """Where names are not counted, a good login spares no name."""
    throttle = throttling(Clock(), Throttle(0, 50, Duration(60)))
    throttle.succeeded(HERE, b"alice")
    spray(throttle, HERE)
    assert throttle.refuses(HERE, b"alice")


@given(
    st.lists(st.tuples(st.integers(0, 30), st.booleans()), max_size=60),
    st.integers(1, 4),
)
def test_asSaid(tries: list[tuple[int, bool]], most: int) -> None:
    """
    Against the rule written down naively: as many failures as the limit within
    the window, and then nothing for a window from the last of them.
    """
    clock = Clock()
    throttle = throttling(clock, Throttle(most, 0, Duration(60)))
    checked: list[float] = []
    until = 0.0
    for wait, wrong in tries:
        clock.advance(wait)
        now = clock.seconds()
        assert throttle.refuses(HERE, b"alice") is (now < until)
        if now >= until and wrong:
            throttle.failed(HERE, b"alice")
            checked.append(now)
            if len([x for x in checked if x > now - 60]) >= most:
                until = now + 60


def test_bounded() -> None:
    """
    However many sources and names: at most 100,000 keys and 32 MiB, the oldest
    failure is forgotten first, and a refusal lasts.
    """
    clock = Clock()
    throttle = throttling(clock)
    for _ in range(10):
        throttle.failed(HERE, b"alice")
    tracemalloc.start()
    try:
        for number in range(60_000):
            source = Address((number + (10 << 24)).to_bytes(4, "big"))
            throttle.failed(source, b"%d" % number * 40)
        gc.collect()
        octets, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert octets < 32 << 20
    assert len(throttle.past) == 40_000
    assert len(throttle._counts) + len(throttle._refusals) <= 100_000
    assert throttle.refuses(HERE, b"alice")
    clock.advance(60)
    assert not throttle.refuses(HERE, b"alice")
    assert not throttle._counts
    assert not throttle._refusals


def test_refusalsAreBounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """So are the refusals; the one that would end first is forgotten first."""
    monkeypatch.setattr(module, "_REFUSALS", 5)
    throttle = throttling(Clock(), Throttle(1, 0, Duration(60)))
    names = [b"user%d" % number for number in range(8)]
    for name in names:
        throttle.failed(HERE, name)
    assert [throttle.refuses(HERE, name) for name in names] == [False] * 3 + [True] * 5


def test_told() -> None:
    """The operator is told once for each refusal, without any name."""
    throttle = throttling(Clock())
    with capturedLogs() as events:
        for _ in range(30):
            throttle.failed(SIX, b"al\x1bice")
    (event,) = events
    text = eventAsText(event)
    assert " from 2001:db8:0:7::/64 failed" in text
    assert "60 s (auth.throttle.per_user)" in text
    assert "by one name" in text
    assert "ice" not in text
    throttle = throttling(Clock(), Throttle(0, 1, Duration(60)))
    with capturedLogs() as events:
        throttle.failed(SIX, b"alice")
    (event,) = events
    assert "too many logins from 2001" in (eventAsText(event) or "")


# What the login makes of it.


@implementer(ICredentialsChecker)
class Checker:
    """
    Knows alice; answers after a while, as one that hashes.

    @ivar asked: how often it had to.
    @ivar error: what a wrong password is told by.
    """

    credentialInterfaces = (IUsernamePassword,)

    def __init__(self, clock: Clock, seconds: float = 0.04) -> None:
        self.clock = clock
        self.seconds = seconds
        self.asked = 0
        self.error: Exception = UnauthorizedLogin()

    def requestAvatarId(self, credentials: Any) -> Deferred[Any]:
        self.asked += 1
        answer: Deferred[Any] = Deferred(lambda _: call.cancel())

        def tell() -> None:
            if (credentials.username, credentials.password) == (b"alice", b"sesame"):
                answer.callback(b"alice")
            else:
                answer.errback(self.error)

        call = self.clock.callLater(self.seconds, tell)
        return answer


class House:
    """A login with a throttle, on the test's clock."""

    def __init__(
        self,
        limits: Throttle = LIMITS,
        random: Random | None = None,
    ) -> None:
        self.clock = Clock()
        self.checker = Checker(self.clock)
        self.throttle = throttling(self.clock, limits, random)
        self.login = self.generation()
        self.guesses = 0

    def generation(self) -> Login:
        """Another login with the same throttle, as after a reload."""
        return Login([self.checker], {}, 60, self.clock.seconds, throttle=self.throttle)

    def begin(
        self, password: bytes, source: Address = HERE, name: bytes = b"alice"
    ) -> tuple[Deferred[Any], list[Any]]:
        """A login under way, and what comes of it."""
        results: list[Any] = []
        waiting = Deferred.fromCoroutine(
            self.login.settle(UsernamePassword(name, password), "userpass", source)
        )
        waiting.addBoth(lambda result: results.append(getattr(result, "value", result)))
        return waiting, results

    def settle(
        self, password: bytes, source: Address = HERE, name: bytes = b"alice"
    ) -> tuple[Any, float]:
        """What comes of a login, and after how many seconds."""
        began = self.clock.seconds()
        _, results = self.begin(password, source, name)
        while not results:
            self.clock.advance(
                min(c.getTime() for c in self.clock.getDelayedCalls())
                - self.clock.seconds()
            )
        return results[0], self.clock.seconds() - began

    def fail(self, times: int) -> None:
        """So many wrong passwords."""
        for _ in range(times):
            self.guesses += 1
            failure, _ = self.settle(b"wrong%d" % self.guesses)
            assert failure.reason == "wrong-credentials"


def test_refusedUnchecked() -> None:
    """
    The eleventh try is refused without being checked, right or wrong, after
    as long as a check takes; to the client it is a wrong password like any.
    """
    house = House()
    house.fail(10)
    assert house.checker.asked == 10
    wrong, _ = house.settle(b"wrong", THERE)
    for password in (b"wrong", b"sesame"):
        failure, seconds = house.settle(password)
        assert type(failure) is AuthenticationFailed
        assert failure.reason == "throttled"
        assert failure.reply is wrong.reply is None
        assert seconds == pytest.approx(0.04)
    assert house.checker.asked == 11
    assert house.throttle.refused == 2
    # The victim, from elsewhere.
    user, _ = house.settle(b"sesame", THERE)
    assert user.name == "alice"
    house.clock.advance(60)
    user, _ = house.settle(b"sesame")
    assert user.name == "alice"


def test_triedAgain() -> None:
    """
    The same wrong password is checked once in a window, however often and from
    where it comes, and every time refused after as long; it counts once for
    each source. The journal tells that it came before. A store that changes is asked
    again.
    """
    house = House()
    for source in (HERE, THERE):
        for number in range(48):
            failure, seconds = house.settle(b"old", source)
            assert failure.reason == "wrong-credentials"
            isFirst = source is HERE and not number
            assert ("the same ones as before" in str(failure)) == (not isFirst)
            assert seconds == pytest.approx(0.04)
    assert house.checker.asked == 1
    assert len(house.throttle.past) == 2
    assert house.settle(b"sesame")[0].name == "alice"
    house.clock.advance(60)
    house.settle(b"old")
    assert house.checker.asked == 3
    before, house.login = house.login, house.generation()
    house.login.inherit(before)
    house.settle(b"old")
    assert house.checker.asked == 3


def test_passwordThatBecomesRight() -> None:
    """A password that was wrong is asked about anew when the store has changed."""

    @implementer(IChangingStore)
    class Store(Checker):
        changes = 0

        def stamp(self) -> object:
            return self.changes

        def knows(self, name: bytes) -> bool:
            return True

    house = House()
    house.checker = store = Store(house.clock)
    house.login = house.generation()
    for _ in range(2):
        house.settle(b"old")
    assert store.asked == 1
    store.changes = 1
    house.login.look()
    house.settle(b"old")
    assert store.asked == 2


def test_failureOfTheStoreIsNotRemembered() -> None:
    """Only what a store has said of a password is."""
    house = House()
    house.checker.error = Refused("store-unavailable")
    for number in range(1, 4):
        assert house.settle(b"old")[0].reason == "store-unavailable"
        assert house.checker.asked == number


def test_emptyPasswordsMakeNothingForgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    What is remembered of wrong passwords, so that no store locks an account, is
    not washed away by empty ones, which are no tries and come as fast as one likes.
    """
    monkeypatch.setattr(memory, "_REMEMBERED", 2)
    house = House()
    house.settle(b"wrong")
    for number in range(3):
        house.settle(b"", name=b"user%d" % number)
    asked = house.checker.asked
    assert house.settle(b"wrong")[0].reason == "wrong-credentials"
    assert house.checker.asked == asked


def test_emptyPassword() -> None:
    """
    Clients that have no password send an empty one: that is wrong, and no
    guess.
    """
    house = House()
    for _ in range(30):
        assert house.settle(b"")[0].reason == "wrong-credentials"
    assert not house.throttle.past
    assert house.settle(b"sesame")[0].name == "alice"


def test_othersBehindOneAddress() -> None:
    """Who has logged in goes on to, while others there are refused."""
    house = House()
    assert house.settle(b"sesame")[0].name == "alice"
    spray(house.throttle, HERE)
    assert house.settle(b"sesame")[0].name == "alice"
    assert house.settle(b"x", name=b"bob")[0].reason == "throttled"
    house.clock.advance(61)
    spray(house.throttle, HERE)
    assert house.settle(b"sesame")[0].name == "alice"
    assert house.settle(b"x")[0].reason == "wrong-credentials"
    assert house.settle(b"sesame")[0].reason == "throttled"


def test_judgedBeforeTheMemory() -> None:
    """
    A login that is remembered is refused as well: else it would tell which
    password is right.
    """
    house = House()
    assert house.settle(b"sesame")[0].name == "alice"
    house.fail(10)
    assert house.settle(b"sesame")[0].reason == "throttled"


def test_successClearsNothing() -> None:
    """
    Behind one address, a victim's logins do not give an attacker more tries.
    """
    house = House()
    house.fail(9)
    assert house.settle(b"sesame")[0].name == "alice"
    house.fail(1)
    assert house.settle(b"wrong")[0].reason == "throttled"


def test_outlivesAGeneration() -> None:
    """A reload gives nobody more tries."""
    house = House()
    house.fail(9)
    house.login = house.generation()
    house.fail(1)
    house.login = house.generation()
    assert house.settle(b"sesame")[0].reason == "throttled"


def test_atTheSameTime() -> None:
    """
    A hundred tries at once are checked, but only ten are answered: what comes
    after is throttled, even the one that is right, and no sooner.
    """

    class Late(Chance):
        def uniform(self, a: float, b: float) -> float:
            return b

    house = House(random=Late())
    tries = [house.begin(b"wrong%d" % n)[1] for n in range(50)]
    tries.append(house.begin(b"sesame")[1])
    tries += [house.begin(b"wrong%d" % n)[1] for n in range(50, 100)]
    house.clock.advance(0.04)
    assert not any(tries)
    house.clock.advance(0.01)
    reasons = [outcome[0].reason for outcome in tries]
    assert reasons == ["wrong-credentials"] * 10 + ["throttled"] * 91
    # And they count as the ten that they are.
    assert not house.throttle.refuses(HERE, b"bob")


def test_goneWhileRefused() -> None:
    """Whoever does not wait for the refusal leaves nothing behind."""
    house = House()
    house.fail(10)
    waiting, results = house.begin(b"wrong")
    assert len(house.clock.getDelayedCalls()) == 1
    waiting.cancel()
    assert isinstance(results[0], CancelledError)
    assert not house.clock.getDelayedCalls()


def test_goneWhileChecked() -> None:
    """
    A check that nobody waited for is a try; one, however many went away.
    """
    house = House(Throttle(3, 0, Duration(60)))
    for count in range(3):
        assert not house.throttle.refuses(HERE, b"alice")
        waiting = [house.begin(b"try%d" % count)[0] for _ in range(20)]
        for each in waiting:
            each.cancel()
    assert house.settle(b"sesame")[0].reason == "throttled"


def test_goodLoginsAreNotedNowAndThen() -> None:
    """
    A session of a known user costs no digest; the name is good for nearly an hour
    from the last one all the same.
    """
    clock = Clock()
    throttle = throttling(clock, Throttle(5, 2, Duration(60)))
    for seconds in (0, 59, 1, 30, 31):
        clock.advance(seconds)
        throttle.succeeded(HERE, b"alice")
    clock.advance(3600 - 62)
    for number in range(3):
        throttle.failed(HERE, b"u%d" % number)
        throttle.failed(HERE, b"v%d" % number)
    assert throttle.refuses(HERE, b"bob")
    assert not throttle.refuses(HERE, b"alice")


def test_impatient() -> None:
    """
    Whoever has the right password, and waits too short a time for the answer, is not
    locked out; and the answer that came is remembered.
    """
    house = House()
    house.checker.seconds = 1
    for _ in range(60):
        waiting, results = house.begin(b"sesame")
        house.clock.advance(0.01)
        waiting.cancel()
        assert isinstance(results[0], CancelledError)
    house.clock.advance(1)
    assert not house.throttle.past
    asked = house.checker.asked
    assert house.begin(b"sesame")[1][0].name == "alice"
    assert house.checker.asked == asked == 1
    assert not house.clock.getDelayedCalls()


def test_impatientAtOnce() -> None:
    """Clients of many users of one source that go at once lock nobody out."""
    house = House()
    waiting = [house.begin(b"sesame%d" % n, name=b"u%d" % n)[0] for n in range(16)]
    waiting += [house.begin(b"sesame")[0]]
    for each in waiting:
        each.cancel()
    house.clock.advance(1)
    assert house.settle(b"sesame")[0].name == "alice"


def test_goneBeforeTheAnswer() -> None:
    """
    A wrong password counts as one though its client has not waited, and no store
    is asked about it again.
    """
    house = House()
    for count in range(10):
        waiting, _ = house.begin(b"guess%d" % count)
        waiting.cancel()
    assert not house.throttle.past
    house.clock.advance(0.04)
    assert len(house.throttle.past) == 10
    asked = house.checker.asked
    assert house.settle(b"sesame")[0].reason == "throttled"
    assert house.checker.asked == asked
    house = House()
    waiting, _ = house.begin(b"guess")
    waiting.cancel()
    house.clock.advance(0.04)
    assert house.settle(b"guess")[0].reason == "wrong-credentials"
    assert house.checker.asked == 1


def test_secondClientJoins() -> None:
    """A check that a client has left answers another one that comes meanwhile."""
    house = House()
    for password, found in ((b"sesame", "alice"), (b"wrong", "wrong-credentials")):
        waiting, _ = house.begin(password)
        waiting.cancel()
        _, results = house.begin(password)
        house.clock.advance(0.04)
        house.clock.advance(0.01)
        assert getattr(results[0], "name", getattr(results[0], "reason", "")) == found
    assert house.checker.asked == 2
    assert len(house.throttle.past) == 1
    assert not house.clock.getDelayedCalls()


def test_desertedChecksAreBounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    So many of one source go on at a time. What is beyond is given up, and counts as
    a wrong password, once: else checks would be free for whoever does not wait.
    """
    monkeypatch.setattr(checks, "_DESERTED", 3)
    house = House()
    for count in range(5):
        for _ in range(2):
            house.begin(b"guess%d" % count)[0].cancel()
    assert len(house.throttle.past) == 2
    assert len(house.login.checks) == 3
    # Other sources have their own.
    house.begin(b"sesame", THERE)[0].cancel()
    assert len(house.login.checks) == 4
    house.clock.advance(0.04)
    assert not house.login.checks
    assert len(house.throttle.past) == 5


def test_checkerThatHangs() -> None:
    """A check that comes to no end is given up, and nobody's fault."""
    house = House()
    house.checker.seconds = 1e6
    house.begin(b"sesame")[0].cancel()
    house.clock.advance(59)
    assert len(house.login.checks) == 1
    house.clock.advance(1)
    assert not house.login.checks
    assert not house.throttle.past
    assert not house.clock.getDelayedCalls()


@pytest.mark.parametrize("error", [Refused("busy"), ValueError()], ids=repr)
def test_desertedAndNotTheClientsFault(error: Exception) -> None:
    """A store that does not work locks nobody out, and is reported."""
    house = House()
    house.checker.error = error
    with capturedLogs() as events:
        house.begin(b"wrong")[0].cancel()
        house.clock.advance(0.04)
    assert not house.throttle.past
    assert len(events) == isinstance(error, ValueError)


def test_desertedEmptyPassword() -> None:
    """An empty password is no guess, waited for or not."""
    house = House()
    for _ in range(30):
        house.begin(b"")[0].cancel()
        house.clock.advance(0.04)
    assert not house.throttle.past


@pytest.mark.parametrize(
    "error",
    [Refused("busy"), Refused("store-unreadable"), ValueError(), OSError(5, "x")],
    ids=repr,
)
def test_notTheClientsFault(error: Exception) -> None:
    """A store that does not work locks nobody out."""
    house = House()
    house.checker.error = error
    for _ in range(60):
        with capturedLogs():
            assert house.settle(b"wrong")[0].reason != "throttled"
    assert not house.throttle.past


@implementer(IVerifiedIdentity)
class Proved:
    """Somebody whom cryptography has proved."""

    username, realm, expires = b"alice", "", None


@implementer(ICredentialsChecker)
class Believing:
    """Says yes to them."""

    credentialInterfaces = (IVerifiedIdentity,)

    def requestAvatarId(self, credentials: Any) -> Any:
        return b"alice"


@pytest.mark.parametrize(
    ("credentials", "method"), [(Anonymous(), "none"), (Proved(), "gssapi")]
)
def test_nothingToGuess(credentials: Any, method: str) -> None:
    """
    A source that guesses passwords keeps nobody out who has none to be
    guessed: not the anonymous, nor whom cryptography proves.
    """
    house = House()
    login = Login([Believing()], {}, 60, house.clock.seconds, throttle=house.throttle)
    for _ in range(50):
        login.failed(HERE)
    assert house.throttle.refuses(HERE, b"alice")
    users: list[Any] = []
    settling = Deferred.fromCoroutine(login.settle(credentials, method, HERE))
    settling.addCallback(users.append)
    assert users[0].method == method


# The time that a failure takes.


def test_durationsOfLate() -> None:
    """
    A refusal takes as long as one of the checks of the same method that failed
    of late; successes, and what is forgotten, are none.
    """
    seen: list[list[float]] = []

    class InTurn(Chance):
        def choice(self, durations: Sequence[float]) -> float:  # type: ignore[override]
            seen.append([round(each, 6) for each in durations])
            return durations[len(seen) % len(durations)]

    house = House(Throttle(100, 0, Duration(600)), InTurn())
    house.checker.seconds = 3
    house.fail(5)
    for number in range(95):
        house.checker.seconds = number / 1000
        house.fail(1)
    house.throttle.took("chap", 7.0)
    for number in range(64):
        _, seconds = house.settle(b"sesame")
        assert seconds == pytest.approx(0.031 + ((number + 1) % 64) / 1000)
    assert seen[0] == pytest.approx([n / 1000 for n in range(31, 95)])


@pytest.mark.parametrize("kind", ["wrong", "throttled", "throttled, right"])
def test_blurred(kind: str) -> None:
    """
    Every failure is told up to a hundredth of a second later, at random, by
    one timer: what the reactor's timers are late by is in all of them.
    """
    drawn: list[float] = []

    class Drawing(Chance):
        def uniform(self, a: float, b: float) -> float:
            drawn.append(super(Chance, self).uniform(a, b))
            return drawn[-1]

    house = House(Throttle(10, 0, Duration(600)), Drawing(14))
    house.fail(10)
    for number in range(50):
        source = Address.parse(f"198.51.100.{number}") if kind == "wrong" else HERE
        password = b"sesame" if "right" in kind else b"wrong"
        failure, seconds = house.settle(password, source)
        reason = "wrong-credentials" if kind == "wrong" else "throttled"
        assert failure.reason == reason
        assert seconds == pytest.approx(0.04 + drawn[-1])
    assert len(drawn) == 60
    assert 0 <= min(drawn) < 0.002
    assert 0.008 < max(drawn) <= 0.01


def test_offWaitsForNothing() -> None:
    """Where failures do not count, they are told at once."""
    house = House(Throttle(0, 0), Chance())
    began = house.clock.seconds()
    failure, seconds = house.settle(b"wrong")
    assert failure.reason == "wrong-credentials"
    assert seconds == pytest.approx(0.04)
    assert not house.clock.getDelayedCalls()
    assert house.clock.seconds() - began == pytest.approx(0.04)
