"""
Where chains begin: connections from this host to a first upstream.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import final

from socksgw.errors import ConnectFailed
from socksgw.route.failures import leadsBack
from socksgw.route.outlet import PlainOutlet
from socksgw.route.upstreams.trip import Leg, Traveller, Trip
from socksgw.wire.address import Address

__all__ = ["Connect", "Ground", "Here", "Straight"]

#: Connects as L{socksgw.route.ways.Direct}.
Connect = Callable[
    [Sequence[Address], int, Callable[[Address], float | None], Traveller],
    Awaitable[PlainOutlet],
]


@final
class Ground:
    """
    Opens connections from a routing domain of this host (L{Opener}).

    The policy is not asked: whoever configures the gateway names its upstreams.
    """

    __slots__ = ("_connect", "_isOwn", "_opening")

    def __init__(
        self,
        connect: Connect,
        isOwn: Callable[[Address, int], bool],
        opening: Connect | None = None,
    ) -> None:
        """
        Take the parts.

        @param isOwn: whether one of the gateway's own listeners is at an address
            and port.
        @param opening: connects with what is said first, where the kernel can (RFC
            7413); by default nothing does.
        """
        self._connect = connect
        self._opening = opening or connect
        self._isOwn = isOwn

    async def open(self, host: Address | str, port: int, trip: Trip) -> Leg:
        """As L{Opener.open}; a name is looked up here."""
        addresses: tuple[Address, ...]
        if isinstance(host, Address):
            addresses = (host,)
        else:
            addresses = await trip.lookUp(host)
        usable = [each for each in addresses if not self._isOwn(each, port)]
        if not usable:
            raise leadsBack(host, port)
        # Where there are several, the first that answers is to be found out.
        isOpening = trip.opening and len(usable) == 1
        connect = self._opening if isOpening else self._connect
        outlet = await connect(usable, port, lambda _: trip.left, trip.traveller)
        return Leg(outlet, outlet.bound)


class Here(ConnectFailed):
    """This host is to do by itself what no upstream does."""


@final
class Straight:
    """
    Opens connections to destinations from here, as the last resort (L{Opener}).
    """

    __slots__ = ("_connect",)

    def __init__(self, connect: Connect) -> None:
        self._connect = connect

    async def open(self, host: Address | str, port: int, trip: Trip) -> Leg:
        """
        As L{Opener.open}; a name would have had to be judged by its addresses.

        @raise Here: the trip asks for something else than a connection.
        """
        if trip.asked != "connect":
            raise Here("none of the upstreams works")
        assert isinstance(host, Address)
        outlet = await self._connect([host], port, lambda _: trip.left, trip.traveller)
        return Leg(outlet, outlet.bound)
