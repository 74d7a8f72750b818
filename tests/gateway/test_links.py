"""
The addresses of this host's interfaces.
"""

from __future__ import annotations

from socksgw.gateway.links import links
from socksgw.wire.address import Address


def test_links() -> None:
    """Each address comes with its network and its interface."""
    (lo,) = [each for each in links() if each.address.text == "127.0.0.1"]
    assert (lo.network.length, lo.device) == (8, "lo")
    assert lo.network.covers(Address.parse("127.9.9.9"))
