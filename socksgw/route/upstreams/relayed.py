"""
What an upstream tells of its own addresses, for peers and datagrams.
"""

from __future__ import annotations

from socksgw.errors import UpstreamFailed
from socksgw.route.upstreams.trip import Leg
from socksgw.wire.address import Address

__all__ = ["told", "untrue"]


def told(leg: Leg) -> tuple[Address, int]:
    """
    Return the address and port that the last upstream has told.

    0.0.0.0 and :: mean the address that it was reached at.

    @raise UpstreamFailed: it tells none.
    """
    address, port = leg.bound
    if address.isUnspecified:
        own = leg.own
        if len(leg.used) == 1:
            own = leg.connection.peer.address
        if not isinstance(own, Address):
            raise untrue(leg, "it tells no address, and is known by name alone")
        address = own
    if port == 0:
        raise untrue(leg, "it tells port 0")
    return address, port


def untrue(leg: Leg, what: str) -> UpstreamFailed:
    """Return the failure of an upstream that has told what cannot be."""
    text = f'upstream "{leg.name}": {what}'
    return UpstreamFailed(text, None, "upstream-protocol", leg.name)
