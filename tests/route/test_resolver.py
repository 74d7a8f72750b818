"""
Look-ups: once for all who ask at the same time, bounded in time and number.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from socksgw.deadlines import Deadlines
from socksgw.errors import LimitReached, LookupFailed, SocksError
from socksgw.route import resolver as resolvers
from socksgw.route.lookup import SystemLookup, Unwanted, parseServer
from socksgw.route.resolver import Resolver
from socksgw.wire.address import Address
from socksgw.wire.codes import Reply


class Answers:
    """
    Look-ups that the test answers.

    @ivar asked: every look-up: the name, whether it is wanted, the answer.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[str, Callable[[], bool], Deferred[list[Address]]]] = []

    def look(self, name: str, wanted: Callable[[], bool]) -> Deferred[list[Address]]:
        answer: Deferred[list[Address]] = Deferred()
        self.asked.append((name, wanted, answer))
        return answer

    def answer(self, *texts: str) -> None:
        """Answer the last."""
        self.asked[-1][2].callback([Address.parse(text) for text in texts])

    def start(self) -> None: ...

    def stop(self) -> None: ...


class World:
    """A resolver, its clock, and what is asked."""

    def __init__(self, family: str = "prefer6") -> None:
        self.clock = Clock()
        self.deadlines = Deadlines(self.clock.seconds)
        self.answers = Answers()
        self.resolver = Resolver(
            self.answers, family, 5.0, self.deadlines.set, self.clock.seconds
        )

    def ask(self, name: str = "www.example") -> tuple[list[Any], Deferred[Any]]:
        """Look up; what comes of it will be in the list."""
        found: list[Any] = []
        asking = Deferred.fromCoroutine(self.resolver.lookUp(name))
        asking.addCallbacks(
            lambda addresses: found.append([a.text for a in addresses]),
            lambda failure: found.append(failure.value),
        )
        return found, asking

    def advance(self, seconds: float) -> None:
        for _ in range(int(seconds * 4)):
            self.clock.advance(0.25)
            self.deadlines.scan()


@pytest.fixture
def world() -> World:
    return World()


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
    """Within a family the resolver's order stays."""
    world = World(family)
    found, _ = world.ask()
    world.answers.answer(
        "192.0.2.1", "2001:db8::1", "192.0.2.1", "192.0.2.2", "2001:db8::2"
    )
    assert found == [expected]


@pytest.mark.parametrize("family", ["prefer6", "only6"])
def test_noAddressIsNoSuchHost(family: str) -> None:
    """Reply 04, host unreachable."""
    world = World(family)
    found, _ = world.ask()
    world.answers.answer(*(["192.0.2.1"] if family == "only6" else []))
    assert isinstance(found[0], LookupFailed)
    assert (found[0].reply, found[0].reason) == (
        Reply.HOST_UNREACHABLE,
        "no-such-host",
    )


def test_whoAsksAtTheSameTimeSharesOneLookUp(world: World) -> None:
    """One question on the wire, the same answer for all."""
    asks = [world.ask()[0] for _ in range(10)]
    other, _ = world.ask("other.example")
    assert [name for name, _, _ in world.answers.asked] == [
        "www.example",
        "other.example",
    ]
    world.answers.asked[0][2].callback([Address.parse("192.0.2.1")])
    assert asks == [[["192.0.2.1"]]] * 10
    assert other == []
    world.answers.answer("192.0.2.2")
    assert world.deadlines.pending == 0


def test_answersAreRememberedForAShortTime(world: World) -> None:
    """Then they are asked for again."""
    world.ask()
    world.answers.answer("192.0.2.1")
    world.advance(5)
    found, _ = world.ask()
    assert found == [["192.0.2.1"]]
    assert len(world.answers.asked) == 1
    world.advance(60)
    found, _ = world.ask()
    assert found == []
    assert len(world.answers.asked) == 2
    world.answers.answer("192.0.2.9")
    assert found == [["192.0.2.9"]]


def test_failuresAreRememberedForAShorterTime(world: World) -> None:
    """A name that comes up is found soon."""
    first, _ = world.ask()
    world.answers.answer()
    second, _ = world.ask()
    assert len(world.answers.asked) == 1
    # Each who asks gets an exception of their own.
    assert type(first[0]) is type(second[0]) is LookupFailed
    assert first[0] is not second[0]
    world.advance(5)
    world.ask()
    assert len(world.answers.asked) == 2


def test_theDeadlineIsEachAskersOwn(world: World) -> None:
    """A resolver that does not answer costs those who asked their deadline."""
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
    assert len(world.answers.asked) == 1
    assert world.deadlines.pending == 0


def test_whoGoesAwayIsForgotten(world: World) -> None:
    """A cancelled asker leaves no timer, and the look-up is not wanted."""
    found, asking = world.ask()
    wanted = world.answers.asked[0][1]
    assert wanted()
    asking.cancel()
    assert not wanted()
    assert world.deadlines.pending == 0
    world.answers.answer("192.0.2.1")
    assert found == [] or not isinstance(found[0], list)


def test_whoComesAfterALookUpWasGivenUpIsAnswered(world: World) -> None:
    """
    The look-up's turn came when nobody waited; before that is known somebody
    asks again: they must get the name's answer.
    """
    _, asking = world.ask()
    asking.cancel()
    assert not world.answers.asked[0][1]()
    found, _ = world.ask()
    world.answers.asked[0][2].errback(Unwanted("nobody waits"))
    assert found == []
    world.answers.answer("192.0.2.1")
    assert found == [["192.0.2.1"]]


def test_aLateAnswerThatNobodyWaitsForIsNoHarm(world: World) -> None:
    """After the deadline of all."""
    found, _ = world.ask()
    world.advance(6)
    assert len(found) == 1
    world.answers.answer("192.0.2.1")
    assert len(found) == 1
    again, _ = world.ask()
    if again == []:
        world.answers.answer("192.0.2.1")
    assert again == [["192.0.2.1"]]


def test_tooManyNamesAtATime(world: World) -> None:
    """Reply 01: out of resources; the others are served."""
    for number in range(resolvers._MOST):
        world.ask(f"n{number}.example")
    found, _ = world.ask("one.more.example")
    assert isinstance(found[0], LimitReached)
    assert found[0].reply == Reply.GENERAL_FAILURE
    shared, _ = world.ask("n1.example")
    assert shared == []
    for _, _, answer in list(world.answers.asked):
        answer.callback([Address.parse("192.0.2.1")])
    assert shared == [["192.0.2.1"]]
    found, _ = world.ask("one.more.example")
    world.answers.answer("192.0.2.1")
    assert found == [["192.0.2.1"]]


def test_whatIsRememberedIsBounded(world: World) -> None:
    """A small cache, whatever is asked."""
    for number in range(resolvers._REMEMBERED + 50):
        world.ask(f"n{number}.example")
        world.answers.answer("192.0.2.1")
    assert len(world.resolver._known) <= resolvers._REMEMBERED


def test_anAnswerOfManyAddressesIsCut(world: World) -> None:
    """Bounded, whatever DNS says."""
    found, _ = world.ask()
    world.answers.answer(*(f"192.0.2.{number}" for number in range(200)))
    assert 1 < len(found[0]) <= 64


def test_aLookUpThatFailsByADefectIsAFailedLookUp(world: World) -> None:
    """It is told as one, and the next asker may try again later."""
    found, _ = world.ask()
    world.answers.asked[0][2].errback(ZeroDivisionError())
    assert isinstance(found[0], LookupFailed)
    assert found[0].reason == "lookup-failed"


# The system's resolver.


def lookup(getaddrinfo: Callable[..., Any], hosts: str = "/nonexistent") -> Any:
    return SystemLookup(None, 1, getaddrinfo, hosts)


def info(*texts: str) -> list[tuple[Any, ...]]:
    """What getaddrinfo returns."""
    return [
        (
            socket.AF_INET6 if ":" in text else socket.AF_INET,
            socket.SOCK_STREAM,
            6,
            "",
            (text, 0),
        )
        for text in texts
    ]


def test_theNameIsAskedForAsItStands() -> None:
    """With the root dot: never with a search domain."""
    asked: list[tuple[Any, ...]] = []

    def getaddrinfo(*arguments: Any, **keywords: Any) -> Any:
        asked.append(arguments)
        return info("192.0.2.1", "2001:db8::1", "fe80::1%eth0")

    found = lookup(getaddrinfo).inThread("www.example", lambda: True)
    assert [name for name, *_ in asked] == ["www.example."]
    # An address with a zone id means nothing to anybody else.
    assert [a.text for a in found] == ["192.0.2.1", "2001:db8::1"]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (socket.gaierror(socket.EAI_NONAME, "x"), "no-such-host"),
        (socket.gaierror(socket.EAI_NODATA, "x"), "no-such-host"),
        (socket.gaierror(socket.EAI_AGAIN, "x"), "lookup-failed"),
        (socket.gaierror(socket.EAI_FAIL, "x"), "lookup-failed"),
        (UnicodeError("label too long"), "no-such-host"),
    ],
)
def test_whatTheSystemSaysIsTold(error: Exception, reason: str) -> None:
    """No such host is told from a resolver that failed; both are 04."""

    def getaddrinfo(*arguments: Any, **keywords: Any) -> Any:
        raise error

    with pytest.raises(SocksError) as caught:
        lookup(getaddrinfo)._ask("www.example")
    assert caught.value.reason == reason
    assert caught.value.reply == Reply.HOST_UNREACHABLE


def test_theHostsFileCounts(tmp_path: Path) -> None:
    """As for every program of this host, and before DNS."""
    hosts = tmp_path / "hosts"
    hosts.write_text("192.0.2.5 printer printer.example\n2001:db8::5 printer\n")

    def getaddrinfo(*arguments: Any, **keywords: Any) -> Any:
        raise AssertionError("asked")

    found = lookup(getaddrinfo, str(hosts)).inThread("printer", lambda: True)
    assert {a.text for a in found} == {"192.0.2.5", "2001:db8::5"}


def test_whatNobodyWaitsForIsNotAsked() -> None:
    """A queue behind a dead resolver empties at once."""

    def getaddrinfo(*arguments: Any, **keywords: Any) -> Any:
        raise AssertionError("asked")

    with pytest.raises(Unwanted):
        lookup(getaddrinfo).inThread("www.example", lambda: False)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("9.9.9.9", ("9.9.9.9", 53)),
        ("9.9.9.9:5353", ("9.9.9.9", 5353)),
        ("2620:fe::fe", ("2620:fe::fe", 53)),
        ("[2620:fe::fe]", ("2620:fe::fe", 53)),
        ("[2620:fe::fe]:5353", ("2620:fe::fe", 5353)),
    ],
)
def test_aServersAddress(text: str, expected: tuple[str, int]) -> None:
    """An address, or one with a port."""
    assert parseServer(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "dns",
        "dns:53",
        "9.9.9.9:",
        "9.9.9.9:0",
        "9.9.9.9:65536",
        "9.9.9.9:x",
        "[::1",
        "[::1]53",
        "[::1]:",
        "::1]",
        "[]",
        "9.9.9",
        "9.9.9.9:53:53",
    ],
)
def test_whatIsNoServersAddress(text: str) -> None:
    """Everything else."""
    with pytest.raises(ValueError):
        parseServer(text)
