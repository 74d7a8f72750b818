"""
One upstream: what is said to it so that it opens the next connection.
"""

from __future__ import annotations

from typing import Final, final

from socksgw.client.errors import LoginRefused
from socksgw.client.proxy import Again, Proxy
from socksgw.errors import SocksError, UpstreamRefused
from socksgw.interfaces import SetDeadline
from socksgw.route.failures import outOfTurn, unreachable, upstreamFailure, worse
from socksgw.route.upstreams.manner import Manner
from socksgw.route.upstreams.patience import Patience
from socksgw.route.upstreams.standing import Standing
from socksgw.route.upstreams.trip import Leg, Opener, Trip
from socksgw.wire.address import Address

__all__ = ["Hop"]

#: Connections that one request may take: HTTP's answer to a challenge may need a new
#: one (L{Again}).
_CONNECTIONS: Final = 8


@final
class Hop:
    """
    An upstream.

    @ivar name: as rules have it.
    @ivar standing: what is known of it.
    """

    __slots__ = (
        "_host", "_manner", "_opening", "_port", "_setDeadline", "_there", "name",
        "standing",
    )  # fmt: skip

    def __init__(
        self,
        standing: Standing,
        host: Address | str,
        port: int,
        manner: Manner,
        setDeadline: SetDeadline,
        there: bool = False,
        opening: bool = False,
    ) -> None:
        """
        Take the parts.

        @param host: where it is, as the hop before reaches it.
        @param manner: how it is spoken with.
        @param there: whether it looks names up; else they are looked up here.
        @param opening: whether what is said to it first may go in the first packet.
        """
        self._opening = opening
        self.name = standing.name
        self.standing = standing
        self._host = host
        self._port = port
        self._manner = manner
        self._setDeadline = setDeadline
        self._there = there

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
        if isinstance(host, Address) or self._there:
            return await self._open(before, host, port, trip, patience)
        failure: SocksError | None = None
        for address in await trip.lookUp(host):
            try:
                return await self._open(before, address, port, trip, patience)
            except UpstreamRefused as e:
                failure = worse(failure, e)
        assert failure is not None
        raise failure

    async def _open(
        self,
        before: Opener,
        host: Address | str,
        port: int,
        trip: Trip,
        patience: float,
    ) -> Leg:
        """Have it open a connection, as L{open}."""
        proxy = self._manner.proxyFor(trip.traveller)
        for _ in range(_CONNECTIONS):
            try:
                return await self._ask(proxy, before, host, port, trip, patience)
            except Again as e:
                proxy = e.proxy
        why = f"the login is not done after {_CONNECTIONS} connections"
        raise self._manner.failure(LoginRefused(why), False)

    async def _ask(
        self,
        proxy: Proxy,
        before: Opener,
        host: Address | str,
        port: int,
        trip: Trip,
        patience: float,
    ) -> Leg:
        """
        Ask on a new connection to it.

        @raise Again: on another one.
        """
        manner = self._manner
        short = trip.towards(self._opening).within(patience)
        leg = await self._reached(before, short)
        connection = leg.connection
        waiting = Patience(self._setDeadline, connection, short, trip)
        try:
            link = waiting.link = await manner.link(connection)
            used = (*leg.used, self.standing)
            return await manner.ask(proxy, link, used, self._host, host, port, trip)
        except BaseException as e:
            _leave(leg, trip)
            if isinstance(e, Exception):
                raise manner.failure(waiting.late or e, waiting.asked) from None
            raise
        finally:
            waiting.stop()

    async def _reached(self, before: Opener, trip: Trip) -> Leg:
        """
        Return a connection to it, on which it has said nothing.

        @raise SocksError: there is none.
        """
        try:
            leg = await before.open(self._host, self._port, trip)
        except SocksError as e:
            raise unreachable(self.name, e) from None
        if leg.surplus:
            _leave(leg, trip)
            raise outOfTurn(leg.name)
        return leg

    async def probe(
        self,
        before: Opener,
        target: tuple[Address | str, int] | None,
        trip: Trip,
        there: bool = False,
    ) -> None:
        """
        See whether it works: log in, and have it connect to a target if there is one.

        Where it gets its clients' passwords, or is told who they are, it is connected
        to, and no more.

        @param before: as of L{open}.
        @param there: whether it looks the target's name up, whatever it does else.
        @raise UpstreamFailed: it does not work, or what is before it does not.
        @raise SocksError: it does not open the connection.
        """
        manner = self._manner
        if target is not None and manner.impersonal:
            open_ = self._open if there else self.open
            leg = await open_(before, *target, trip, trip.left)
            leg.connection.loseConnection()
            # Nothing counts a probe as one of its own sessions.
            for each in leg.used[:-1]:
                trip.traveller.parts(each)
            return
        leg = await self._reached(before, trip)
        waiting = Patience(self._setDeadline, leg.connection, trip, trip)
        try:
            link = waiting.link = await manner.link(leg.connection)
            if manner.impersonal:
                await manner.greet(link)
            link.pause()
            link.connection.loseConnection()
        except Exception as e:
            raise upstreamFailure(self.name, waiting.late or e, waiting.asked) from None
        finally:
            waiting.stop()
            leg.connection.loseConnection()
            for each in leg.used:
                trip.traveller.parts(each)


def _leave(leg: Leg, trip: Trip) -> None:
    """Close a connection; the session does not use what led to it then."""
    leg.connection.abortConnection()
    for each in leg.used:
        trip.traveller.parts(each)
