"""
How an upstream is spoken with, on a connection to it that is open.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, final

from twisted.internet.error import ConnectError

from socksgw.client.errors import (
    LoginWanted,
    ProxyDistrusted,
    ProxyError,
    unreached,
)
from socksgw.client.link import ConnectionLink
from socksgw.client.proxy import Proxy
from socksgw.errors import SocksError, UpstreamFailed, UserRefused
from socksgw.route.failures import upstreamFailure
from socksgw.route.upstreams.asserting import Asserting
from socksgw.route.upstreams.sessions import Sessions
from socksgw.route.upstreams.standing import Standing
from socksgw.route.upstreams.trip import Leg, Traveller, Trip
from socksgw.system.connection import Connection
from socksgw.system.protected import ProtectedConnection
from socksgw.system.tlsclient import ClientTLS
from socksgw.system.tlsover import TLSFailed
from socksgw.wire.address import Address
from socksgw.wire.codes import Command
from socksgw.wire.protection import Protection

__all__ = ["Manner"]

#: The commands after which datagrams go inside the connection, by C{udp}.
_INSIDE: Final[Mapping[str, Command]] = {
    "hev": Command.UDP_IN_TCP,
    "gost": Command.UDP_TUNNEL,
}
#: What an upstream that does not let a client in is recorded with.
_LOGIN: Final = "upstream-login"
#: What an upstream may say of a client that it is told of.
_OF_CLIENT: Final = (_LOGIN, "upstream-closed")


@final
class Manner:
    """
    What is said to one upstream, below its protocol and in it.

    @ivar impersonal: whether it is told nothing of the client.
    """

    __slots__ = (
        "_asserting", "_certified", "_name", "_passing", "_proxy", "_sessions", "_tls",
        "_udp", "impersonal",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        proxy: Proxy,
        udp: str = "associate",
        passing: Callable[[bytes, bytes], Proxy] | None = None,
        tls: ClientTLS | None = None,
        certified: bool = False,
        asserting: Asserting | None = None,
        sessions: Sessions | None = None,
    ) -> None:
        """
        Take the parts.

        @param name: of the upstream.
        @param udp: how datagrams go to it, as in C{[[upstream]]}.
        @param passing: what stands for C{proxy} in sessions, where these hand on the
            name and the password that their client has shown.
        @param tls: what is between its octets and the connection to it.
        @param certified: whether it has to know us by our certificate.
        @param asserting: says who the client is; L{None} where it is not told.
        @param sessions: what requests are of; L{None} where each logs in.
        """
        self._name = name
        self._proxy = proxy
        self._udp = udp
        self._passing = passing
        self._tls = tls
        self._certified = certified
        self._asserting = asserting
        self._sessions = sessions
        self.impersonal = passing is None and asserting is None

    async def greet(self, link: ConnectionLink) -> None:
        """
        Log in, and ask for nothing.

        @raise ProxyError: it does not let us in.
        """
        await self._proxy.greet(link)

    def proxyFor(self, traveller: Traveller) -> Proxy:
        """
        Return what speaks with it for a session.

        @raise UserRefused: it gets the client's password, and there is none.
        """
        if self._passing is None:
            return self._proxy
        shown = traveller.shown
        if shown is None:
            text = (
                f'upstream "{self._name}": the client has shown no password to hand on'
            )
            raise UserRefused(text)
        return self._passing(*shown)

    def failure(self, error: Exception, asked: bool) -> SocksError:
        """Return what the failure of a dialogue means."""
        failure = upstreamFailure(self._name, error, asked)
        if self._passing is not None and failure.reason == _LOGIN:
            # That is said of the client, and every other upstream would count one more
            # wrong password.
            return UserRefused(str(failure), failure.reply)
        if (
            self._asserting is not None
            and isinstance(failure, UpstreamFailed)
            and failure.upstream == self._name
            and failure.reason in _OF_CLIENT
        ):
            # It may be said of the client. That is no fault of the upstream's, and no
            # reason to go there from here.
            failure.counts = False
        return failure

    async def link(self, connection: Connection) -> ConnectionLink:
        """
        Return a link on a connection to it, by TLS where that is wanted.

        @raise ProxyError: it has not proved what it has to prove, or is not reached.
        """
        if self._tls is None:
            return ConnectionLink(connection)
        try:
            found = await self._tls.over(connection)
        except TLSFailed as e:
            raise ProxyDistrusted(str(e)) from None
        except ConnectError as e:
            raise unreached(e) from None
        if self._certified and not found.shown:
            raise LoginWanted(
                "the proxy has not asked for a client certificate, which is the login "
                "for it"
            )
        return ConnectionLink(found)

    async def ask(
        self,
        proxy: Proxy,
        link: ConnectionLink,
        used: tuple[Standing, ...],
        own: Address | str,
        host: Address | str,
        port: int,
        trip: Trip,
    ) -> Leg:
        """
        Ask for what is wanted.

        @param proxy: what asks for it.
        @param link: the connection to the upstream.
        @param used: the upstreams that lead to it, itself included.
        @param own: where it is, as the one before reaches it.
        @raise ProxyError: it does not do it.
        @raise Again: it is to be asked on a new connection.
        """
        if self._asserting is not None:
            link.write(
                self._asserting.header(link.connection, trip.traveller, host, port)
            )
        if self._sessions is not None:
            proxy = self._sessions.within(proxy, link.connection, used[:-1])
        if trip.asked == "bind":
            expecting = await proxy.bind(link, host, port)

            async def peer() -> tuple[Connection, Address, int, bytes]:
                try:
                    accepted = await expecting.peer()
                except ProxyError as e:
                    raise upstreamFailure(self._name, e, True) from None
                through = _through(link, accepted.protection)
                return (through, *accepted.bound, link.surplus)

            return Leg(link.connection, expecting.bound, b"", used, own, peer=peer)
        if trip.asked == "udp":
            command = _INSIDE.get(self._udp, Command.UDP_ASSOCIATE)
            accepted = await proxy.associate(link, command=command)
        else:
            accepted = await proxy.connect(link, host, port)
        return Leg(
            _through(link, accepted.protection),
            accepted.bound,
            link.surplus,
            used,
            own,
            self._udp if self._udp in _INSIDE else "",
            accepted.protection,
            self._tls is not None,
            association=accepted.association,
        )


def _through(link: ConnectionLink, protection: Protection | None) -> Connection:
    """Return the connection on which octets go on, which nothing reads yet."""
    if protection is None:
        return link.connection
    return ProtectedConnection(link.connection, protection, link, paused=True)
