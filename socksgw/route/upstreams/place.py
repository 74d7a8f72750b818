"""
One place of a chain: one upstream, or several to choose from.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, final

from socksgw.errors import UpstreamFailed, UpstreamRefused
from socksgw.route.upstreams.balance import Order, orderOf
from socksgw.route.upstreams.hop import Hop
from socksgw.route.upstreams.standing import Standing
from socksgw.route.upstreams.trip import Leg, Opener, Trip
from socksgw.wire.address import Address

__all__ = ["PATIENCE", "Place"]

#: Seconds that an upstream may take until it is asked for the destination, where
#: another one is at hand.
PATIENCE: Final = 5.0


@final
class Place:
    """
    The upstreams of one place: the first that works opens the connection.

    If one fails by a fault of its own, the next one is tried: nothing has reached the
    destination then. What an upstream says of the destination is the answer.
    """

    __slots__ = ("_hops", "_last", "_only", "_order", "_standings")

    def __init__(
        self, hops: Sequence[Hop], order: Order, last: Opener | None = None
    ) -> None:
        """
        Take the parts.

        @param order: how one is chosen.
        @param last: what opens the connection where none of them works, without any
            upstream.
        """
        self._hops = {hop.standing: hop for hop in hops}
        self._standings = tuple(self._hops)
        self._order = order
        self._last = last
        # The usual case needs no choice.
        self._only = self._standings if last is None and len(hops) == 1 else None

    async def open(
        self, before: Opener, host: Address | str, port: int, trip: Trip
    ) -> Leg:
        """
        Have one of them open a connection.

        @param before: opens the connections to them.
        @raise UpstreamFailed: none of them works.
        @raise SocksError: one works, and cannot open the connection.
        """
        standings: Sequence[Standing] = self._only or orderOf(
            self._standings,
            trip.traveller.asker.whose,
            self._order,
            desperate=self._last is None,
        )
        left = len(standings) if self._last is None else len(standings) + 1
        failure: UpstreamFailed | None = None
        doubted = False
        for standing in standings:
            left -= 1
            hop = self._hops[standing]
            patience = min(PATIENCE, trip.left / (left + 1)) if left else trip.left
            try:
                return await self._through(hop, before, host, port, trip, patience)
            except UpstreamFailed as e:
                if e.upstream != hop.name:
                    # The place before this one does not work.
                    raise
                failure = e
                doubted = doubted or not e.counts
                if trip.left <= 0:
                    break
        if self._last is not None and not doubted:
            # A refusal without a reply is no reason to go there from here.
            return await self._last.open(host, port, trip)
        assert failure is not None
        raise failure

    async def _through(
        self,
        hop: Hop,
        before: Opener,
        host: Address | str,
        port: int,
        trip: Trip,
        patience: float,
    ) -> Leg:
        """Have one open the connection, and note how that ends."""
        standing = hop.standing
        standing.begin()
        try:
            leg = await hop.open(before, host, port, trip, patience)
        except BaseException as e:
            standing.end()
            if isinstance(e, UpstreamFailed) and e.upstream == hop.name:
                standing.broke(e.reason, e.counts)
            elif isinstance(e, UpstreamRefused):
                standing.answered(opened=False)
            raise
        standing.answered(opened=True)
        trip.traveller.joins(standing)
        return leg
