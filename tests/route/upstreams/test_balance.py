"""
Which upstream a session is led to.
"""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from socksgw.route.upstreams.balance import BALANCES, orderOf
from socksgw.route.upstreams.health import FALL, Health
from socksgw.route.upstreams.standing import Standing

CLOCK = Clock()


def members(*names: str) -> list[Standing]:
    """Make upstreams."""
    clock, random = CLOCK.seconds, Random(5)
    return [Standing(name, Health(clock, random, lambda *_: None)) for name in names]


def eject(member: Standing) -> None:
    """Have an upstream fail."""
    for _ in range(FALL):
        member.broke("upstream-unreachable")


def names(found: list[Standing]) -> list[str]:
    """Return what they are called."""
    return [each.name for each in found]


def test_leastSessions() -> None:
    """Live sessions decide; equals get about the same number."""
    three = members("a", "b", "c")
    order = BALANCES["sessions"](Random(1))
    for _ in range(300):
        orderOf(three, b"", order, True)[0].begin()
    assert [each.sessions for each in three] == [100, 100, 100]
    three[1].end()
    assert orderOf(three, b"", order, True)[0] is three[1]
    three[2].begin()
    assert orderOf(three, b"", order, True)[2] is three[2]


def test_random() -> None:
    """Each comes first about as often, whatever it has to do."""
    three = members("a", "b", "c")
    three[0].sessions = 1000
    order = BALANCES["random"](Random(1))
    first = Counter(orderOf(three, b"", order, True)[0].name for _ in range(600))
    assert all(150 < count < 250 for count in first.values())


def test_userMovesOnlyWithItsMember() -> None:
    """If a member is ejected, its users alone move, and to all others."""
    four = members("a", "b", "c", "d")
    order = BALANCES["user"](Random(1))
    users = [f"user{i}".encode() for i in range(400)]

    def places() -> dict[bytes, str]:
        return {user: orderOf(four, user, order, True)[0].name for user in users}

    before = places()
    assert all(60 < count < 140 for count in Counter(before.values()).values())
    eject(four[1])
    after = places()
    moved = {user for user in users if before[user] != after[user]}
    assert moved == {user for user in users if before[user] == "b"}
    assert {after[user] for user in moved} == {"a", "c", "d"}


def test_gatewaysAgree() -> None:
    """The order for a user is that of every process, and of every order of names."""
    order = BALANCES["user"](Random(1))
    forward = order(members("a", "b", "c"), b"alice")
    backward = order(members("c", "b", "a"), b"alice")
    assert names(forward) == names(backward) == ["c", "a", "b"]


@pytest.mark.parametrize("balance", list(BALANCES))
def test_ejectedComeLast(balance: str) -> None:
    """Ejected ones come last, those that are tried soonest first, or not at all."""
    four = members("a", "b", "c", "d")
    order = BALANCES[balance](Random(1))
    eject(four[3])
    eject(four[0])
    four[3].health.until = four[0].health.until + 1
    found = names(orderOf(four, b"alice", order, True))
    assert (set(found[:2]), found[2:]) == ({"b", "c"}, ["a", "d"])
    assert set(names(orderOf(four, b"alice", order, False))) == {"b", "c"}


def test_allEjected() -> None:
    """Where all are ejected, the least bad is tried; not where there is a last resort."""
    two = members("a", "b")
    order = BALANCES["sessions"](Random(1))
    eject(two[0])
    eject(two[1])
    two[0].health.until = two[1].health.until + 1
    assert names(orderOf(two, b"", order, True)) == ["b", "a"]
    assert orderOf(two, b"", order, False) == []


@given(
    st.sampled_from(list(BALANCES)),
    st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=8),
    st.binary(max_size=40),
    st.integers(),
)
def test_everyMemberOnce(
    balance: str, given: list[tuple[int, bool]], whose: bytes, seed: int
) -> None:
    """Whatever their state, each upstream is tried at most once, and none forgotten."""
    made = members(*[str(i) for i in range(len(given))])
    for each, (sessions, out) in zip(made, given, strict=True):
        each.sessions = sessions
        if out:
            eject(each)
    order = BALANCES[balance](Random(seed))
    found = orderOf(made, whose, order, True)
    assert sorted(names(found)) == sorted(names(made))
    healthy = [each for each in found if not each.health.out]
    assert found[: len(healthy)] == healthy
