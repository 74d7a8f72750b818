"""
Sets of addresses.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socksgw.importing.networks import (
    EVERYWHERE,
    Network,
    common,
    inside,
    isBanned,
    isEverywhere,
    without,
)


def _networks() -> st.SearchStrategy[list[Network]]:
    one = st.builds(
        lambda number, length: ip_network(
            (number << 24 & ~((1 << 32 - length) - 1), length)
        ),
        st.integers(0, 3),
        st.integers(6, 10),
    )
    return st.lists(one, max_size=4)


@given(_networks(), _networks(), st.integers(0, (1 << 26) - 1))
def test_sets(some: list[Network], others: list[Network], number: int) -> None:
    """What two have in common, and one without the other, address by address."""
    address = IPv4Address(number)

    def has(networks: Iterable[Network]) -> bool:
        return any(address in each for each in networks)

    both, less = common(some, others), without(some, others)
    assert has(both) == (has(some) and has(others))
    assert has(less) == (has(some) and not has(others))
    assert has(without(EVERYWHERE, some)) != has(some)


@pytest.mark.parametrize(
    ("networks", "expected"),
    [
        (EVERYWHERE, True),
        (EVERYWHERE[:1], False),
        ((ip_network("0.0.0.0/1"), ip_network("128.0.0.0/1"), EVERYWHERE[1]), True),
    ],
)
def test_everywhere(networks: tuple[Network, ...], expected: bool) -> None:
    """Also in parts."""
    assert isEverywhere(networks) == expected


def test_inside() -> None:
    """The address of a network itself is not a host's."""
    assert inside(ip_network("10.0.0.0/8")) == "10.0.0.1"
    assert inside(ip_network("10.0.0.7/32")) == "10.0.0.7"


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("::1", True), ("10.0.0.1", False), ("93.184.215.14", False)],
)
def test_banned(host: str, expected: bool) -> None:
    """Special addresses are, private ones are not."""
    assert isBanned(host) == expected
