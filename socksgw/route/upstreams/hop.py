"""
One upstream: what is said to it so that it opens the next connection.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, final

from socksgw.client.errors import ProxyError
from socksgw.client.link import ConnectionLink
from socksgw.client.proxy import Proxy
from socksgw.errors import SocksError
from socksgw.interfaces import SetDeadline
from socksgw.route.failures import unreachable, upstreamFailure
from socksgw.route.upstreams.standing import Standing
from socksgw.route.upstreams.trip import Leg, Opener, Trip
from socksgw.wire.address import Address
from socksgw.wire.codes import Command

__all__ = ["Hop"]

#: The commands after which datagrams go inside the connection, by C{udp}.
_INSIDE: Final[Mapping[str, Command]] = {
    "hev": Command.UDP_IN_TCP,
    "gost": Command.UDP_TUNNEL,
}


@final
class _Patience:
    """
    What ends a dialogue that takes too long.

    Where another upstream is at hand, there is less time for what comes before the
    request than for the reply, which has to wait for the destination.
    """

    __slots__ = ("_link", "_setDeadline", "_timer", "_trip")

    def __init__(
        self, setDeadline: SetDeadline, link: ConnectionLink, short: Trip, trip: Trip
    ) -> None:
        """
        Begin to wait.

        @param short: the time up to the request.
        @param trip: the time up to the reply.
        """
        self._setDeadline = setDeadline
        self._link = link
        self._trip = trip
        self._timer = setDeadline(short.left, self._passed)

    def stop(self) -> None:
        """Wait no longer."""
        self._timer.clear()

    def _passed(self) -> None:
        left = self._trip.left
        if self._link.asked and left > 0:
            self._timer = self._setDeadline(left, self._passed)
        else:
            self._link.expire()


@final
class Hop:
    """
    An upstream.

    @ivar name: as rules have it.
    @ivar standing: what is known of it.
    """

    __slots__ = (
        "_host", "_port", "_proxy", "_setDeadline", "_udp", "name", "standing"
    )  # fmt: skip

    def __init__(
        self,
        standing: Standing,
        host: Address | str,
        port: int,
        proxy: Proxy,
        setDeadline: SetDeadline,
        udp: str = "associate",
    ) -> None:
        """
        Take the parts.

        @param host: where it is, as the hop before reaches it.
        @param udp: how datagrams go to it, as in C{[[upstream]]}.
        """
        self._udp = udp
        self.name = standing.name
        self.standing = standing
        self._host = host
        self._port = port
        self._proxy = proxy
        self._setDeadline = setDeadline

    async def open(
        self,
        before: Opener,
        host: Address | str,
        port: int,
        trip: Trip,
        patience: float,
    ) -> Leg:
        """
        Have it open a connection.

        @param before: opens the connection to it.
        @param patience: seconds that it may take until it is asked for that.
        @raise UpstreamFailed: it does not work, or what is before it does not.
        @raise SocksError: it does not open the connection.
        """
        short = trip.towards().within(patience)
        try:
            leg = await before.open(self._host, self._port, short)
        except SocksError as e:
            raise unreachable(self.name, e) from None
        connection = leg.connection
        link = ConnectionLink(connection)
        waiting = _Patience(self._setDeadline, link, short, trip)
        try:
            return await self._asked(link, leg, host, port, trip.asked)
        except BaseException as e:
            connection.abortConnection()
            for each in leg.used:
                trip.traveller.parts(each)
            if isinstance(e, Exception):
                raise upstreamFailure(self.name, e, link.asked) from None
            raise
        finally:
            waiting.stop()

    async def _asked(
        self, link: ConnectionLink, leg: Leg, host: Address | str, port: int, what: str
    ) -> Leg:
        """
        Ask for what is wanted.

        @param leg: the connection to the upstream.
        @raise ProxyError: it does not do it.
        """
        used = (*leg.used, self.standing)
        if what == "bind":
            expecting = await self._proxy.bind(link, host, port)

            async def peer() -> tuple[Address, int, bytes]:
                try:
                    accepted = await expecting.peer()
                except ProxyError as e:
                    raise upstreamFailure(self.name, e, True) from None
                return (*accepted.bound, link.surplus)

            return Leg(
                leg.connection, expecting.bound, b"", used, self._host, peer=peer
            )
        if what == "udp":
            command = _INSIDE.get(self._udp, Command.UDP_ASSOCIATE)
            accepted = await self._proxy.associate(link, command=command)
        else:
            accepted = await self._proxy.connect(link, host, port)
        return Leg(
            leg.connection,
            accepted.bound,
            link.surplus,
            used,
            self._host,
            self._udp if self._udp in _INSIDE else "",
            accepted.protection,
        )

    async def probe(
        self, before: Opener, target: tuple[Address | str, int] | None, trip: Trip
    ) -> None:
        """
        See whether it works: log in, and have it connect to a target if there is one.

        @param before: as of L{open}.
        @raise UpstreamFailed: it does not work, or what is before it does not.
        @raise SocksError: it does not open the connection.
        """
        try:
            leg = await before.open(self._host, self._port, trip)
        except SocksError as e:
            raise unreachable(self.name, e) from None
        link = ConnectionLink(leg.connection)
        waiting = _Patience(self._setDeadline, link, trip, trip)
        try:
            if target is None:
                await self._proxy.greet(link)
            else:
                await self._proxy.connect(link, *target)
        except SocksError as e:
            raise upstreamFailure(self.name, e, link.asked) from None
        finally:
            waiting.stop()
            link.pause()
            leg.connection.loseConnection()
            for each in leg.used:
                trip.traveller.parts(each)
