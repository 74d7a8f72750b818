"""
Places in a row: each one's connections are opened by the one before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, final

from socksgw.route.upstreams.trip import Leg, Opener, Trip
from socksgw.wire.address import Address

__all__ = ["chained"]


class Stage(Protocol):
    """One upstream, or several to choose from."""

    async def open(
        self, before: Opener, host: Address | str, port: int, trip: Trip
    ) -> Leg:
        """
        Have it do what the trip asks for.

        @param before: opens the connection to it.
        @raise SocksError: it does not.
        """


@final
class _Chained:
    """A place, and what opens the connections to its upstreams (L{Opener})."""

    __slots__ = ("_before", "_place")

    def __init__(self, before: Opener, place: Stage) -> None:
        self._before = before
        self._place = place

    async def open(self, host: Address | str, port: int, trip: Trip) -> Leg:
        """As L{Opener.open}."""
        return await self._place.open(self._before, host, port, trip)


def chained(ground: Opener, places: Sequence[Stage]) -> Opener:
    """
    Return what opens connections through every place, in this order.

    @param ground: opens those to the first place.
    """
    opener = ground
    for place in places:
        opener = _Chained(opener, place)
    return opener
