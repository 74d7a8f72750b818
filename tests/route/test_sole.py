"""
A name that one request alone asks for, and what becomes of it.
"""

from __future__ import annotations

from typing import Any

import pytest

from socksgw.errors import LookupFailed
from socksgw.route.sole import Sole
from socksgw.wire.address import Address
from tests.route.lookups import US, World


@pytest.fixture
def world() -> World:
    return World(bounded=True)


def ask(world: World) -> tuple[Sole, list[Any]]:
    """Ask alone; what comes of it will be in the list."""
    found: list[Any] = []
    sole = world.resolver.ask("www.example", US, found.append)
    assert isinstance(sole, Sole)
    return sole, found


def texts(found: Any) -> list[str]:
    """The addresses that were found, as text."""
    return [each.text for each in found]


def test_twoAnswersAndNoQuestions(world: World) -> None:
    """Nothing is made that others would wait for, and nothing is left."""
    sole, found = ask(world)
    # That of the servers' time.
    assert world.deadlines.pending == 1
    world.answers.give(6, "2001:db8::1")
    assert found == []
    world.answers.give(4, "192.0.2.1")
    assert texts(found[0]) == ["2001:db8::1", "192.0.2.1"]
    assert world.resolver._asked == world.resolver._soles == {}
    assert world.resolver._turns.taken == world.deadlines.pending == 0
    assert not world.clock.getDelayedCalls()
    sole.cancel()
    assert len(found) == 1
    known = world.resolver.known("www.example")
    assert known == found[0]


@pytest.mark.parametrize("answered", [(), (6,), (4,)])
def test_anotherJoins(world: World, answered: tuple[int, ...]) -> None:
    """Whatever is known by then: nothing is asked twice, and both are told."""
    answers = {4: "192.0.2.1", 6: "2001:db8::1"}
    _, found = ask(world)
    for version in answered:
        world.answers.give(version, answers[version])
    other, _ = world.ask()
    assert len(world.answers.asked) == 2
    for version in {4, 6}.difference(answered):
        world.answers.give(version, answers[version])
    assert [texts(found[0])] == other == [["2001:db8::1", "192.0.2.1"]]
    assert world.resolver._asked == world.resolver._soles == {}
    assert world.resolver._turns.taken == world.deadlines.pending == 0


@pytest.mark.parametrize("answered", [False, True])
def test_whoGoesAwayLeavesTheOther(world: World, answered: bool) -> None:
    """The first one goes, and the look-up goes on for the second."""
    sole, found = ask(world)
    other, _ = world.ask()
    if answered:
        world.answers.give(6)
    sole.cancel()
    assert world.answers.ended == []
    world.answers.give(4, "192.0.2.1")
    if not answered:
        world.answers.give(6)
    assert found == []
    assert other == [["192.0.2.1"]]


@pytest.mark.parametrize("version", [None, 6, 4])
def test_itGoesAwayAlone(world: World, version: int | None) -> None:
    """What is still asked ends, what was answered is remembered, the place is free."""
    sole, found = ask(world)
    if version is not None:
        world.answers.give(version)
    sole.cancel()
    sole.cancel()
    assert len(world.answers.ended) == (2 if version is None else 1)
    assert found == []
    assert world.resolver._asked == world.resolver._soles == {}
    assert world.resolver._turns.taken == world.deadlines.pending == 0
    world.ask()
    assert len(world.answers.asked) == (4 if version is None else 3)


def test_theTimeCountsFromItsStart(world: World) -> None:
    """Somebody who joins later does not give it more."""
    _, found = ask(world)
    world.advance(3)
    world.ask()
    world.answers._end = None
    world.advance(1.75)
    assert found == []
    world.advance(0.5)
    assert found[0].reason == "lookup-timeout"


def test_answersThatAreThereAtOnce(world: World) -> None:
    """Without a descriptor, say: what failed is returned, or waited for no longer."""

    def addresses(name: str, version: int) -> Any:
        if version == 4 or both:
            raise LookupFailed("no", reason="lookup-failed")
        return kept(name, version)

    kept = world.answers.addresses
    found: list[Any] = []
    world.answers.addresses = addresses  # type: ignore[method-assign]
    both = True
    answer = world.resolver.ask("www.example", US, found.append)
    assert isinstance(answer, LookupFailed)
    assert world.resolver._turns.taken == 0
    both = False
    answer = world.resolver.ask("other.example", US, found.append)
    assert isinstance(answer, Sole)
    assert found == []
    world.answers.give(6, "2001:db8::1", name="other.example")
    assert found == [(Address.parse("2001:db8::1"),)]
    assert world.resolver._turns.taken == 0


def test_aDefectLeavesNothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The name can be asked for again, and the place is free."""

    def both(name: str, came: Any) -> Any:
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        patched.setattr(world.answers, "both", both)
        with pytest.raises(ZeroDivisionError):
            world.resolver.ask("www.example", US, lambda _: None)
    assert world.resolver._soles == {}
    assert world.resolver._turns.taken == 0
    _, found = ask(world)
    world.answers.answer("192.0.2.1")
    assert texts(found[0]) == ["192.0.2.1"]
