"""
One upstream: what is said to it so that it opens the next connection.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, final

from socksgw.client.errors import (
    LoginRefused,
    LoginWanted,
    ProxyDistrusted,
    ProxyError,
)
from socksgw.client.link import ConnectionLink
from socksgw.client.proxy import Again, Asking, Proxy
from socksgw.errors import SocksError, UpstreamRefused, UserRefused
from socksgw.interfaces import SetDeadline
from socksgw.route.failures import outOfTurn, unreachable, upstreamFailure, worse
from socksgw.route.upstreams.asserting import Asserting
from socksgw.route.upstreams.patience import Patience
from socksgw.route.upstreams.standing import Standing
from socksgw.route.upstreams.trip import Leg, Opener, Trip
from socksgw.system.connection import Connection
from socksgw.system.protected import ProtectedConnection
from socksgw.system.tlsclient import ClientTLS
from socksgw.system.tlsover import TLSFailed
from socksgw.wire.address import Address
from socksgw.wire.codes import Command
from socksgw.wire.protection import Protection

__all__ = ["Hop"]

#: The commands after which datagrams go inside the connection, by C{udp}.
_INSIDE: Final[Mapping[str, Command]] = {
    "hev": Command.UDP_IN_TCP,
    "gost": Command.UDP_TUNNEL,
}
#: What an upstream that does not let a client in is recorded with.
_LOGIN: Final = "upstream-login"
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
        "_asserting", "_certified", "_host", "_passing", "_port", "_proxy",
        "_setDeadline", "_there", "_tls", "_udp", "name", "standing",
    )  # fmt: skip

    def __init__(
        self,
        standing: Standing,
        host: Address | str,
        port: int,
        proxy: Proxy,
        setDeadline: SetDeadline,
        udp: str = "associate",
        passing: Callable[[bytes, bytes], Proxy] | None = None,
        there: bool = False,
        tls: ClientTLS | None = None,
        certified: bool = False,
        asserting: Asserting | None = None,
    ) -> None:
        """
        Take the parts.

        @param host: where it is, as the hop before reaches it.
        @param udp: how datagrams go to it, as in C{[[upstream]]}.
        @param passing: what stands for C{proxy} in sessions, where these hand on the
            name and the password that their client has shown.
        @param there: whether it looks names up; else they are looked up here.
        @param tls: what is between its octets and the connection to it.
        @param certified: whether it has to know us by our certificate.
        @param asserting: says who the client is; L{None} where it is not told.
        """
        self._asserting = asserting
        self._tls = tls
        self._certified = certified
        self._udp = udp
        self._there = there
        self.name = standing.name
        self.standing = standing
        self._host = host
        self._port = port
        self._proxy = proxy
        self._setDeadline = setDeadline
        self._passing = passing

    def _proxyFor(self, trip: Trip) -> Proxy:
        """
        Return what speaks with it for a session.

        @raise UserRefused: it gets the client's password, and there is none.
        """
        if self._passing is None:
            return self._proxy
        shown = trip.traveller.shown
        if shown is None:
            text = (
                f'upstream "{self.name}": the client has shown no password to hand on'
            )
            raise UserRefused(text)
        return self._passing(*shown)

    def _failure(self, error: Exception, asked: bool) -> SocksError:
        """Return what the failure of a dialogue means."""
        failure = upstreamFailure(self.name, error, asked)
        if self._passing is not None and failure.reason == _LOGIN:
            # That is said of the client, and every other upstream would count one more
            # wrong password.
            return UserRefused(str(failure), failure.reply)
        return failure

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
        proxy = self._proxyFor(trip)
        asking: Asking = proxy
        for _ in range(_CONNECTIONS):
            try:
                return await self._ask(
                    proxy, asking, before, host, port, trip, patience
                )
            except Again as e:
                asking = e.proxy
        why = f"the login is not done after {_CONNECTIONS} connections"
        raise self._failure(LoginRefused(why), False)

    async def _ask(
        self,
        proxy: Proxy,
        asking: Asking,
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
        short = trip.towards().within(patience)
        try:
            leg = await before.open(self._host, self._port, short)
        except SocksError as e:
            raise unreachable(self.name, e) from None
        connection = leg.connection
        if leg.surplus:
            connection.abortConnection()
            for each in leg.used:
                trip.traveller.parts(each)
            raise outOfTurn(leg.used[-1].name)
        waiting = Patience(self._setDeadline, connection, short, trip)
        try:
            link = waiting.link = await self._link(connection)
            return await self._asked(proxy, asking, link, leg, host, port, trip)
        except BaseException as e:
            connection.abortConnection()
            for each in leg.used:
                trip.traveller.parts(each)
            if isinstance(e, Exception):
                raise self._failure(waiting.late or e, waiting.asked) from None
            raise
        finally:
            waiting.stop()

    async def _link(self, connection: Connection) -> ConnectionLink:
        """
        Return a link on a connection to it, by TLS where that is wanted.

        @raise ProxyError: it has not proved what it has to prove.
        """
        if self._tls is None:
            return ConnectionLink(connection)
        try:
            found = await self._tls.over(connection)
        except TLSFailed as e:
            raise ProxyDistrusted(str(e)) from None
        if self._certified and not found.shown:
            raise LoginWanted(
                "the proxy has not asked for a client certificate, which is the login "
                "for it"
            )
        return ConnectionLink(found)

    async def _asked(
        self,
        proxy: Proxy,
        asking: Asking,
        link: ConnectionLink,
        leg: Leg,
        host: Address | str,
        port: int,
        trip: Trip,
    ) -> Leg:
        """
        Ask for what is wanted.

        @param proxy: what asks for it.
        @param leg: the connection to the upstream.
        @raise ProxyError: it does not do it.
        """
        used = (*leg.used, self.standing)
        if self._asserting is not None:
            link.write(
                self._asserting.header(link.connection, trip.traveller, host, port)
            )
        if trip.asked == "bind":
            expecting = await proxy.bind(link, host, port)

            async def peer() -> tuple[Connection, Address, int, bytes]:
                try:
                    accepted = await expecting.peer()
                except ProxyError as e:
                    raise upstreamFailure(self.name, e, True) from None
                through = _through(link, accepted.protection)
                return (through, *accepted.bound, link.surplus)

            return Leg(
                link.connection, expecting.bound, b"", used, self._host, peer=peer
            )
        if trip.asked == "udp":
            command = _INSIDE.get(self._udp, Command.UDP_ASSOCIATE)
            accepted = await proxy.associate(link, command=command)
        else:
            accepted = await asking.connect(link, host, port)
        return Leg(
            _through(link, accepted.protection),
            accepted.bound,
            link.surplus,
            used,
            self._host,
            self._udp if self._udp in _INSIDE else "",
            accepted.protection,
            self._tls is not None,
        )

    async def probe(
        self, before: Opener, target: tuple[Address | str, int] | None, trip: Trip
    ) -> None:
        """
        See whether it works: log in, and have it connect to a target if there is one.

        Where it gets its clients' passwords, or is told who they are, it is connected
        to, and no more.

        @param before: as of L{open}.
        @raise UpstreamFailed: it does not work, or what is before it does not.
        @raise SocksError: it does not open the connection.
        """
        impersonal = self._passing is None and self._asserting is None
        if target is not None and impersonal:
            leg = await self.open(before, *target, trip, trip.left)
            leg.connection.loseConnection()
            # Nothing counts a probe as one of its own sessions.
            for each in leg.used[:-1]:
                trip.traveller.parts(each)
            return
        try:
            leg = await before.open(self._host, self._port, trip)
        except SocksError as e:
            raise unreachable(self.name, e) from None
        waiting = Patience(self._setDeadline, leg.connection, trip, trip)
        try:
            link = waiting.link = await self._link(leg.connection)
            if impersonal:
                await self._proxy.greet(link)
            link.pause()
            link.connection.loseConnection()
        except SocksError as e:
            raise upstreamFailure(self.name, waiting.late or e, waiting.asked) from None
        finally:
            waiting.stop()
            leg.connection.loseConnection()
            for each in leg.used:
                trip.traveller.parts(each)


def _through(link: ConnectionLink, protection: Protection | None) -> Connection:
    """Return the connection on which octets go on, which nothing reads yet."""
    if protection is None:
        return link.connection
    found = ProtectedConnection(link.connection, protection, link)
    found.pauseProducing()
    return found
