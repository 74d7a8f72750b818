"""
One upstream: what is said to it so that it opens the next connection.
"""

from __future__ import annotations

from typing import final

from socksgw.client.link import ConnectionLink
from socksgw.client.proxy import Proxy
from socksgw.interfaces import SetDeadline
from socksgw.route.failures import upstreamFailure
from socksgw.route.upstreams.trip import Leg, Opener, Trip
from socksgw.wire.address import Address

__all__ = ["Hop"]


@final
class Hop:
    """
    An upstream.

    @ivar name: as rules have it.
    """

    __slots__ = ("_host", "_port", "_proxy", "_setDeadline", "name")

    def __init__(
        self,
        name: str,
        host: Address | str,
        port: int,
        proxy: Proxy,
        setDeadline: SetDeadline,
    ) -> None:
        """
        @param host: where it is, as the hop before reaches it.
        """
        self.name = name
        self._host = host
        self._port = port
        self._proxy = proxy
        self._setDeadline = setDeadline

    async def open(
        self, before: Opener, host: Address | str, port: int, trip: Trip
    ) -> Leg:
        """
        Have it open a connection.

        @param before: opens the connection to it.
        @raise SocksError: it cannot be reached, or does not open the connection.
        """
        leg = await before.open(self._host, self._port, trip)
        connection = leg.connection
        link = ConnectionLink(connection)
        timer = self._setDeadline(trip.left, link.expire)
        try:
            accepted = await self._proxy.connect(link, host, port)
        except BaseException as e:
            connection.abortConnection()
            if isinstance(e, Exception):
                raise upstreamFailure(self.name, e) from None
            raise
        finally:
            timer.clear()
            link.pause()
        return Leg(connection, accepted.bound, link.surplus, (*leg.path, self.name))
