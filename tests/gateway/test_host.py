"""
What is this host's: its addresses, and where it listens.
"""

from __future__ import annotations

import pytest

from socksgw.gateway.host import HostAddresses
from socksgw.wire.address import Address


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
