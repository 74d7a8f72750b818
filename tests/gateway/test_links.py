"""
The addresses of this host's interfaces.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator

import pytest

from socksgw.gateway import links as module
from socksgw.gateway.links import leavesBy, links
from socksgw.wire.address import Address


def test_links() -> None:
    """Each address comes with its network and its interface."""
    (lo,) = [each for each in links() if each.address.text == "127.0.0.1"]
    assert (lo.network.length, lo.device) == (8, "lo")
    assert lo.network.covers(Address.parse("127.9.9.9"))


def test_aDeniedQuestion(monkeypatch: pytest.MonkeyPatch) -> None:
    """There are none where the kernel gives a socket, and then no answer."""
    closed: list[str] = []

    class Denied:
        def addresses(self) -> Iterator[tuple[Address, int, int]]:
            raise OSError(errno.EOPNOTSUPP, "denied")

        def close(self) -> None:
            closed.append("closed")

    monkeypatch.setattr(module, "KernelRoutes", Denied)
    assert links() == []
    assert closed == ["closed"]


def test_leavesBy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel says by which device; where netlink is denied, nobody knows."""
    near, far = Address.parse("127.0.0.2"), Address.parse("127.0.0.3")
    assert leavesBy(near, far) == "lo"
    # From an address that is not ours there is no way (RFC 5737).
    assert leavesBy(Address.parse("192.0.2.7"), far) == ""

    def denied() -> None:
        raise OSError(errno.EPERM, "denied")

    monkeypatch.setattr(module, "KernelRoutes", denied)
    assert leavesBy(near, far) == ""
