"""
The addresses of this host's interfaces.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator

import pytest

from socksgw.gateway import links as module
from socksgw.gateway.links import links
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
