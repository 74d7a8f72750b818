"""
Limits on live sessions, and what the policy knows of this host.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socksgw.config import Limit
from socksgw.hosts import HostAddresses
from socksgw.limits import Limits
from socksgw.policy.rules import Asker
from socksgw.wire.address import Address
from tests.policy.asking import ANONYMOUS, Somebody

A, B, C = (Address.parse(f"192.0.2.{number}") for number in (1, 2, 3))


class Sessions:
    """The limits, for sessions of anybody that connect."""

    def __init__(self, limits: Sequence[Limit]) -> None:
        self.limits = Limits(limits)

    def take(
        self, listener: str, source: Address, user: Somebody = ANONYMOUS
    ) -> str | None:
        return self.limits.take(Asker(user, source, listener), "connect")

    def give(self, listener: str, source: Address, user: Somebody = ANONYMOUS) -> None:
        self.limits.give(Asker(user, source, listener), "connect")

    @property
    def live(self) -> int:
        return self.limits.live


def test_withoutLimitsThereAreNone() -> None:
    """None by default."""
    limits = Sessions([])
    for _ in range(1000):
        assert limits.take("lan", A) is None
    assert limits.live == 1000


@pytest.mark.parametrize(
    ("limit", "refused", "allowed"),
    [
        (Limit("all", 2), [("lan", C), ("wan", C)], []),
        (Limit("source", 1), [("lan", A), ("wan", B)], [("wan", C)]),
        (Limit("listener", 2), [("lan", C)], [("wan", C)]),
    ],
)
def test_eachLimitAtItsNumber(
    limit: Limit,
    refused: list[tuple[str, Address]],
    allowed: list[tuple[str, Address]],
) -> None:
    """Up to N are taken, the next is not; the text says which limit it was."""
    limits = Sessions([limit])
    assert limits.take("lan", A) is None
    assert limits.take("lan", B) is None
    for each in refused:
        why = limits.take(*each)
        assert why is not None
        assert str(limit.sessions) in why
    for each in allowed:
        assert limits.take(*each) is None
    limits.give("lan", A)
    assert limits.take("lan", A) is None


def test_theSmallestOfSeveralCounts() -> None:
    """Two limits of one kind are no error."""
    limits = Sessions([Limit("all", 5), Limit("all", 1), Limit("all", 3)])
    assert limits.take("lan", A) is None
    assert limits.take("lan", A) is not None


def test_aLimitOfNothingLetsNobodyIn() -> None:
    """`sessions = 0`."""
    for per in ("all", "source", "listener"):
        limits = Sessions([Limit(per, 0)])  # type: ignore[arg-type]
        assert limits.take("lan", A) is not None


def test_aListenerNamedLikeASourceIsAnother() -> None:
    """The counts do not mix."""
    limits = Sessions([Limit("source", 1)])
    assert limits.take(A.text, B) is None
    assert limits.take(B.text, A) is None
    assert limits.take("lan", A) is not None


@given(st.lists(st.tuples(st.sampled_from(["lan", "wan"]), st.sampled_from([A, B, C]))))
def test_countersDoNotDrift(steps: list[tuple[str, Address]]) -> None:
    """However sessions come and go, also when some are refused."""
    limits = Sessions([Limit("all", 6), Limit("source", 3), Limit("listener", 4)])
    live: list[tuple[str, Address]] = []
    for number, step in enumerate(steps):
        expected = (
            len(live) < 6
            and sum(source == step[1] for _, source in live) < 3
            and sum(listener == step[0] for listener, _ in live) < 4
        )
        assert (limits.take(*step) is None) is expected
        if expected:
            live.append(step)
        if number % 3 == 2 and live:
            limits.give(*live.pop(0))
        assert limits.live == len(live)
    for each in live:
        limits.give(*each)
    assert limits.live == 0
    for number in range(3):
        assert limits.take("lan", (A, B, C)[number]) is None
    assert limits.take("lan", A) is None
    assert limits.take("lan", A) is not None


def test_thisHostIsSelf() -> None:
    """Its addresses, loopback whole, and the unspecified address."""
    hosts = HostAddresses(list)
    for text in ("127.0.0.1", "127.9.9.9", "::1", "0.0.0.0", "::", "::ffff:127.0.0.1"):
        assert hosts.isSelf(Address.parse(text))
    for text in ("8.8.8.8", "2620:fe::fe", "192.0.2.77"):
        assert not hosts.isSelf(Address.parse(text))


@pytest.mark.parametrize(
    ("bound", "address", "port", "expected"),
    [
        (("127.0.0.1", 1080), "127.0.0.1", 1080, True),
        (("127.0.0.1", 1080), "127.0.0.1", 1081, False),
        (("127.0.0.1", 1080), "127.0.0.2", 1080, False),
        # To the unspecified address the kernel connects by loopback.
        (("127.0.0.1", 1080), "0.0.0.0", 1080, True),
        (("0.0.0.0", 1080), "127.0.0.1", 1080, True),
        (("0.0.0.0", 1080), "127.7.7.7", 1080, True),
        (("::", 1080), "::1", 1080, True),
        (("0.0.0.0", 1080), "8.8.8.8", 1080, False),
    ],
)
def test_whereWeListen(
    bound: tuple[str, int], address: str, port: int, expected: bool
) -> None:
    """By address and port, as the listeners are at the moment of asking."""
    places: list[tuple[str, int]] = []
    hosts = HostAddresses(lambda: places)
    assert not hosts.isListener(Address.parse(address), port)
    places.append(bound)
    assert hosts.isListener(Address.parse(address), port) is expected
