"""
What the kernel would do to reach an address.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable

import pytest

from socksgw.errors import ConnectFailed
from socksgw.route.probe import isSourceless, localTowards, routed
from socksgw.wire.address import Address

LOOP, NOWHERE, SIX = (Address.parse(t) for t in ("127.0.0.1", "240.0.0.1", "::1"))


@pytest.mark.parametrize(
    ("towards", "ours"),
    [("127.0.0.1", "127.0.0.1"), ("127.9.9.9", "127.0.0.1"), ("::1", "::1")],
)
def test_ourAddressOnTheWay(towards: str, ours: str) -> None:
    """The one that the peer will see."""
    assert localTowards(Address.parse(towards)).text == ours


def test_noWay() -> None:
    """As a connect that fails."""
    with pytest.raises(ConnectFailed):
        localTowards(Address.parse("255.255.255.255"))


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, int]], None]:
    """Have the kernel answer with these errors, by the address."""

    def answer(codes: dict[str, int]) -> None:
        class Answering(socket.socket):
            def connect_ex(self, place: object) -> int:
                assert isinstance(place, tuple)
                return codes[place[0]]

        monkeypatch.setattr(socket, "socket", Answering)

    return answer


def test_theFirstThatThereIsAWayTo(
    answering: Callable[[dict[str, int]], None],
) -> None:
    """In the order given; the first, where there is no way to any."""
    answering({"240.0.0.1": errno.ENETUNREACH, "127.0.0.1": 0, "::1": 0})
    assert routed((NOWHERE, LOOP, SIX)) == LOOP
    assert routed((SIX, LOOP)) == SIX
    assert routed((NOWHERE,)) == NOWHERE
    answering(dict.fromkeys(("240.0.0.1", "::1"), errno.ENETUNREACH))
    assert routed((SIX, NOWHERE)) == SIX


def test_noAddressToReachItFrom(
    answering: Callable[[dict[str, int]], None],
) -> None:
    """That, and not that there is no route."""
    answering({"::1": errno.EADDRNOTAVAIL, "127.0.0.1": errno.ENETUNREACH})
    assert isSourceless(SIX)
    assert not isSourceless(LOOP)
