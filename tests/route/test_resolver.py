"""
Look-ups: once for all who ask at the same time, bounded in time and number,
and shared between sources in turn.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure

from socksgw.config.schema import ResolverConfig
from socksgw.errors import LimitReached, LookupFailed
from socksgw.route import resolver as resolvers
from socksgw.route.dnsmessages import NoSuchName
from socksgw.route.resolver import Resolver
from socksgw.system.domains import HERE, Domain
from socksgw.system.watch import Watch
from socksgw.wire.address import Address
from socksgw.wire.codes import Reply
from tests.route.lookups import US, Answers, World

THEM = Address.parse("2001:db8::bad")


@pytest.fixture(params=[False, True], ids=["apart", "bounded"])
def world(request: pytest.FixtureRequest) -> World:
    return World(bounded=request.param)


@pytest.mark.parametrize(
    ("family", "expected"),
    [
        ("prefer6", ["2001:db8::1", "2001:db8::2", "192.0.2.1", "192.0.2.2"]),
        ("prefer4", ["192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2"]),
        ("only4", ["192.0.2.1", "192.0.2.2"]),
        ("only6", ["2001:db8::1", "2001:db8::2"]),
    ],
)
def test_addressesComeOnceAndInTheOrderOfPreference(
    family: str, expected: list[str]
) -> None:
    """
    Within a family the resolver's order stays; of another than the wanted
    ones nobody is asked.
    """
    world = World(family)
    found, _ = world.ask()
    for _, version, answer in world.answers.asked:
        texts = {
            4: ["192.0.2.1", "192.0.2.1", "192.0.2.2"],
            6: ["2001:db8::1", "2001:db8::2"],
        }[version]
        answer.callback([Address.parse(text) for text in texts])
    assert found == [expected]
    wanted = {int(family[-1])} if "only" in family else {4, 6}
    assert {version for _, version, _ in world.answers.asked} == wanted


@pytest.mark.parametrize("family", ["prefer6", "only6"])
def test_noAddressIsNoSuchHost(family: str) -> None:
    """Reply 04, host unreachable."""
    world = World(family)
    found, _ = world.ask()
    for _, _, answer in world.answers.asked:
        answer.callback([])
    assert isinstance(found[0], LookupFailed)
    assert (found[0].reply, found[0].reason) == (
        Reply.HOST_UNREACHABLE,
        "no-such-host",
    )


def test_whoAsksAtTheSameTimeSharesOneLookUp(world: World) -> None:
    """One question of each version on the wire, the same answer for all."""
    asks = [world.ask()[0] for _ in range(10)]
    other, _ = world.ask("other.example")
    assert world.answers.names(4) == ["www.example", "other.example"]
    assert world.answers.names(6) == ["www.example", "other.example"]
    world.answers.answer("192.0.2.1")
    assert asks == [[["192.0.2.1"]]] * 10
    assert other == []
    world.answers.answer("192.0.2.2", name="other.example")
    assert world.deadlines.pending == 0
    assert not world.clock.getDelayedCalls()


def test_answersAreRememberedForAShortTime(world: World) -> None:
    """Then they are asked for again."""
    world.ask()
    world.answers.answer("192.0.2.1")
    world.advance(5)
    found, _ = world.ask()
    assert found == [["192.0.2.1"]]
    assert len(world.answers.asked) == 2
    world.advance(60)
    found, _ = world.ask()
    assert found == []
    assert len(world.answers.asked) == 4
    world.answers.answer("192.0.2.9")
    assert found == [["192.0.2.9"]]


def test_whatIsKnownNeedsNoLookUp(world: World) -> None:
    """As long as both answers are remembered; never that there is none."""
    known = world.resolver.known
    assert known("www.example") is None
    world.ask()
    world.answers.give(4, "192.0.2.1")
    assert known("www.example") is None
    world.answers.give(6, "2001:db8::1")
    both = tuple(map(Address.parse, ("2001:db8::1", "192.0.2.1")))
    assert known("www.example") == both
    world.advance(10)
    assert known("www.example") is None
    world.ask("none.example")
    world.answers.answer(name="none.example")
    assert known("none.example") is None


def test_failuresAreRememberedForAShorterTime(world: World) -> None:
    """A name that comes up is found soon."""
    first, _ = world.ask()
    world.answers.fail(4, NoSuchName())
    world.answers.fail(6, NoSuchName())
    second, _ = world.ask()
    assert len(world.answers.asked) == 2
    # Each who asks gets an exception of their own.
    assert type(first[0]) is type(second[0]) is LookupFailed
    assert first[0] is not second[0]
    world.advance(5)
    world.ask()
    assert len(world.answers.asked) == 4


def test_ofAFailureNoFramesAreRemembered(world: World) -> None:
    """The frames that a failure went through hold the whole of the answer."""

    def failure() -> NoSuchName:
        try:
            raise NoSuchName
        except NoSuchName as e:
            return e

    found, _ = world.ask()
    failures = failure(), failure()
    for version, each in zip((4, 6), failures, strict=True):
        assert each.__traceback__ is not None
        world.answers.fail(version, each)
    assert str(found[0]) == "no such host"
    assert [each.__traceback__ for each in failures] == [None, None]


# One version, and not the other.


def test_ipv6IsWaitedForNotLongAfterIPv4(world: World) -> None:
    """RFC 8305 section 3; whoever asks next does not wait again."""
    found, _ = world.ask()
    world.answers.give(4, "192.0.2.1")
    world.clock.advance(0.049)
    assert found == []
    world.clock.advance(0.002)
    assert found == [["192.0.2.1"]]
    # The other question is ended.
    assert world.answers.ended == ["www.example"]
    again, _ = world.ask()
    assert again == [["192.0.2.1"]]
    assert world.deadlines.pending == 0
    assert not world.clock.getDelayedCalls()


def test_ipv6ThatComesWithinTheDelayCounts(world: World) -> None:
    """And is preferred."""
    found, _ = world.ask()
    world.answers.give(4, "192.0.2.1")
    world.clock.advance(0.04)
    world.answers.give(6, "2001:db8::1")
    assert found == [["2001:db8::1", "192.0.2.1"]]
    assert not world.clock.getDelayedCalls()


def test_ipv4IsWaitedFor(world: World) -> None:
    """Until the deadline; then what there is counts."""
    found, _ = world.ask()
    world.answers.give(6, "2001:db8::1")
    world.advance(4.75)
    assert found == []
    world.advance(0.5)
    assert found == [["2001:db8::1"]]


def test_aNameWithoutIPv4AddressesHasTheWholeTimeForIPv6(world: World) -> None:
    """Nothing is known yet."""
    found, _ = world.ask()
    world.answers.give(4)
    world.advance(4)
    world.answers.give(6, "2001:db8::1")
    assert found == [["2001:db8::1"]]


def test_aNameThatIsNotThereIsNotThereForIPv6Either(world: World) -> None:
    """RFC 8020: told after the delay, not at the deadline."""
    found, _ = world.ask()
    world.answers.fail(4, NoSuchName())
    world.clock.advance(0.06)
    assert found[0].reason == "no-such-host"


@pytest.mark.parametrize("order", [(4, 6), (6, 4)])
def test_oneVersionThatFailsLeavesTheOther(
    world: World, order: tuple[int, int]
) -> None:
    """RFC 4074: servers that answer A, and anything at all to AAAA."""
    found, _ = world.ask()
    for version in order:
        if version == 6:
            world.answers.fail(6, NoSuchName())
        else:
            world.answers.give(4, "192.0.2.1")
    assert found == [["192.0.2.1"]]


@pytest.mark.parametrize(
    ("four", "six", "reason"),
    [
        (None, LookupFailed("x", reason="lookup-failed"), "lookup-failed"),
        (LookupFailed("x", reason="lookup-failed"), None, "lookup-failed"),
        (NoSuchName(), LookupFailed("x", reason="lookup-failed"), "no-such-host"),
        (LookupFailed("x", reason="lookup-failed"), NoSuchName(), "lookup-failed"),
    ],
)
def test_whatIsToldOfANameWithoutAddresses(
    world: World, four: Exception | None, six: Exception | None, reason: str
) -> None:
    """A failure, rather than that there is no such host."""
    found, _ = world.ask()
    for version, error in ((4, four), (6, six)):
        if error is None:
            world.answers.give(version)
        else:
            world.answers.fail(version, error)
    assert found[0].reason == reason


# Deadlines, and who goes away.


def test_theDeadlineIsEachAskersOwn() -> None:
    """A resolver that does not answer costs those who asked their deadline."""
    world = World()
    first, _ = world.ask()
    world.advance(3)
    second, _ = world.ask()
    world.advance(1.75)
    assert first == []
    world.advance(0.5)
    assert isinstance(first[0], LookupFailed)
    assert first[0].reason == "lookup-timeout"
    assert first[0].reply == Reply.HOST_UNREACHABLE
    assert second == []
    world.answers.answer("192.0.2.1")
    assert second == [["192.0.2.1"]]
    assert len(world.answers.asked) == 2
    assert world.deadlines.pending == 0


def test_whoGoesAwayIsForgotten(world: World) -> None:
    """A cancelled asker leaves no timer, and the look-up is ended."""
    found, asking = world.ask()
    asking.cancel()
    assert world.answers.ended == ["www.example"] * 2
    assert world.deadlines.pending == 0
    assert isinstance(found[0], CancelledError)
    found, _ = world.ask()
    world.answers.answer("192.0.2.1")
    assert found == [["192.0.2.1"]]


def test_aLookUpThatCannotBeEndedKeepsItsPlace() -> None:
    """A thread in the C library, say; who asks again gets its answer."""
    world = World(cancels=False)
    _, asking = world.ask()
    asking.cancel()
    assert world.answers.ended == []
    assert world.resolver._turns.taken == 1
    found, _ = world.ask()
    assert len(world.answers.asked) == 2
    world.answers.answer("192.0.2.1")
    assert found == [["192.0.2.1"]]
    assert world.resolver._turns.taken == 0


def test_aLateAnswerThatNobodyWaitsForIsNoHarm() -> None:
    """After the deadline of all; it is remembered."""
    world = World(cancels=False)
    found, _ = world.ask()
    world.advance(6)
    assert len(found) == 1
    world.answers.answer("192.0.2.1")
    assert len(found) == 1
    again, _ = world.ask()
    assert again == [["192.0.2.1"]]


def test_aLookUpThatFailsByADefectIsAFailedLookUp(world: World) -> None:
    """It is told as one, and the next asker may try again later."""
    found, _ = world.ask()
    world.answers.fail(4, ZeroDivisionError())
    world.answers.fail(6, ZeroDivisionError())
    assert isinstance(found[0], LookupFailed)
    assert found[0].reason == "lookup-failed"


# Sources.


def test_aSourceThatFillsItsPlacesDelaysOnlyItself(world: World) -> None:
    """Names that nobody answers, and one of another source."""
    mute = [world.ask(f"m{number}.example", THEM)[0] for number in range(50)]
    assert len(world.answers.asked) == Answers.perSource
    found, _ = world.ask()
    world.answers.answer("192.0.2.1")
    assert found == [["192.0.2.1"]]
    assert mute == [[]] * 50
    world.advance(5.25)
    assert {error.reason for (error,) in mute} == {"lookup-timeout"}
    assert world.resolver._turns.taken == 0
    assert world.resolver._asked == {}


def test_addressesOfOneNetworkAreOneSource(world: World) -> None:
    """A host has its whole /64 to choose from."""
    for number in range(8):
        world.ask(f"m{number}.example", Address.parse(f"2001:db8::{number}"))
    assert len(world.answers.asked) == Answers.perSource


def test_whatWaitsForAnothersTurnIsAskedInOnesOwn(world: World) -> None:
    """A name behind fifty names that nobody answers is not out of reach."""
    for number in range(50):
        world.ask(f"m{number}.example", THEM)
    theirs, _ = world.ask("www.example", THEM)
    found, _ = world.ask("www.example")
    world.answers.answer("192.0.2.1")
    assert found == theirs == [["192.0.2.1"]]


def test_aSourceWithTooManyQuestionsIsRefused(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reply 01: out of resources; the others are served."""
    world = World()
    world.resolver._turns._waiting = 5
    asked = [world.ask(f"m{number}.example", THEM)[0] for number in range(12)]
    refused = [found[0] for found in asked if found]
    assert len(refused) == 5
    for error in refused:
        assert isinstance(error, LimitReached)
        assert error.reply == Reply.GENERAL_FAILURE
    found, _ = world.ask()
    world.answers.answer("192.0.2.1")
    assert found == [["192.0.2.1"]]


# What is kept.


def test_whatIsRememberedIsBounded(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A small cache, whatever is asked."""
    monkeypatch.setattr(resolvers, "_REMEMBERED", 64)
    for number in range(100):
        world.ask(name := f"n{number}.example")
        world.answers.answer("192.0.2.1", name=name)
    assert len(world.resolver._known) <= 64


def test_anAnswerOfManyAddressesIsCut(world: World) -> None:
    """Bounded, whatever DNS says."""
    found, _ = world.ask()
    world.answers.answer(*(f"192.0.2.{number}" for number in range(200)))
    assert 1 < len(found[0]) <= 64


# The name of an address.


@pytest.mark.parametrize(
    ("text", "expected"),
    [("www.example.", "www.example"), ("WWW.Example", "www.example")],
)
def test_theNameOfAnAddress(world: World, text: str, expected: str) -> None:
    """In its normal form, and shared."""
    address = Address.parse("192.0.2.1")
    asks = [
        Deferred.fromCoroutine(world.resolver.nameOf(address, US)) for _ in range(2)
    ]
    ((_, _, answer),) = world.answers.asked
    answer.callback(text)
    assert [asked.result for asked in asks] == [expected] * 2


@pytest.mark.parametrize("text", ["", "a b.example", "192.0.2.1"])
def test_anAddresssNameThatIsNone(world: World, text: str) -> None:
    """What DNS gives is a claim of the address's owner."""
    failed: list[BaseException] = []
    asked = Deferred.fromCoroutine(
        world.resolver.nameOf(Address.parse("192.0.2.1"), US)
    )

    def fails(failure: Failure) -> str:
        assert failure.value is not None
        failed.append(failure.value)
        return ""

    asked.addErrback(fails)
    world.answers.asked[0][2].callback(text)
    assert isinstance(failed[0], LookupFailed)


# The names of another network.


def within(domain: Domain, servers: tuple[str, ...] = ()) -> Resolver:
    """Return what looks names up for the clients of a listener there."""
    clock: Any = MemoryReactorClock()
    made = Resolver.within(
        clock,
        Watch(clock),
        domain,
        ResolverConfig(servers),
        HERE,
        5.0,
        lambda seconds, call: clock.callLater(seconds, call),
        clock.seconds,
    )
    made.start()
    return made


def failure(asked: Any) -> str:
    """Return why a look-up failed at once."""
    failed: list[Any] = []
    Deferred.fromCoroutine(asked).addErrback(lambda f: failed.append(f.value))
    (error,) = failed
    assert error.reason == "no-name-servers"
    return str(error)


@pytest.mark.parametrize("domain", [Domain("device", "v1"), Domain("netns", "blue")])
def test_aNetworkWithoutNameServers(
    domain: Domain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This host's servers and its hosts file are not asked: names are refused."""
    monkeypatch.setattr(resolvers, "_NETNS", tmp_path)
    made = within(domain)
    why = failure(made.lookUp("localhost", US))
    assert why.startswith(f"no name servers are known for {domain}: name them in")
    failure(made.nameOf(Address.parse("127.0.0.1"), US))
    made.stop()


def test_theFilesOfANamespace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that C{ip netns exec} uses; a hosts file alone is good, too."""
    monkeypatch.setattr(resolvers, "_NETNS", tmp_path)
    (tmp_path / "blue").mkdir()
    (tmp_path / "blue" / "hosts").write_text("10.0.0.7 db.partner.example\n")
    made = within(Domain("netns", "blue"))
    found: Any = Deferred.fromCoroutine(made.lookUp("db.partner.example", US))
    assert [a.text for a in found.result] == ["10.0.0.7"]
    missing = Deferred.fromCoroutine(made.lookUp("localhost", US))
    errors: list[Any] = []
    missing.addErrback(lambda f: errors.append(f.value))
    assert isinstance(errors[0], LookupFailed)
    made.stop()
