"""
One place of a chain: one upstream, or several to choose from.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

from socksgw.errors import UpstreamFailed
from socksgw.route.upstreams.hop import Hop
from socksgw.route.upstreams.trip import Leg, Opener, Trip
from socksgw.wire.address import Address

__all__ = ["Place"]


@final
class Place:
    """
    The upstreams of one place: the first that works opens the connection.
    """

    __slots__ = ("_hops",)

    def __init__(self, hops: Sequence[Hop]) -> None:
        self._hops = tuple(hops)

    async def open(
        self, before: Opener, host: Address | str, port: int, trip: Trip
    ) -> Leg:
        """
        Have one of them open a connection.

        @param before: opens the connections to them.
        @raise UpstreamFailed: none of them works.
        @raise SocksError: one works, and cannot open the connection.
        """
        failure: UpstreamFailed | None = None
        for hop in self._hops:
            try:
                return await hop.open(before, host, port, trip)
            except UpstreamFailed as e:
                failure = e
        assert failure is not None
        raise failure
