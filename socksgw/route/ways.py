"""
The face of this folder: the ways by which sessions leave, and what they give.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NoReturn, Protocol, final

from socksgw.errors import ConnectFailed, SocksError
from socksgw.interfaces import SetDeadline
from socksgw.route.datagrams import DatagramOutlet
from socksgw.route.dialer import Dialer
from socksgw.route.groups import groupSockets, scopeSender
from socksgw.route.leaving import Departure, away
from socksgw.route.outlet import PlainOutlet
from socksgw.route.outward import Outward
from socksgw.route.passive import Passive
from socksgw.route.probe import localTowards
from socksgw.route.udpoptions import UDPOptions
from socksgw.route.upstreams.trip import Traveller
from socksgw.system.binding import bindWithin
from socksgw.system.connection import Connection, SocketName
from socksgw.system.domains import HERE, Sockets
from socksgw.system.sockets import FAMILIES
from socksgw.system.stack import Dress, Dressed
from socksgw.system.watch import Watcher
from socksgw.wire.address import Address

__all__ = [
    "Begin",
    "DatagramOutlet",
    "Dialling",
    "Direct",
    "Listening",
    "Outlet",
    "Traveller",
    "UDPOptions",
    "Ways",
    "groupSockets",
    "scopeSender",
]


class Outlet(Connection, Protocol):
    """
    An open connection to a destination, of which nothing is read yet.
    """

    @property
    def address(self) -> Any:
        """
        The address that was judged, and is reached by it.

        It is the name where L{Ways.reach} led there.
        """

    @property
    def port(self) -> int:
        """The destination's port."""

    @property
    def bound(self) -> tuple[Address, int]:
        """Our address and port, as the client is told them."""

    @property
    def path(self) -> str:
        """The upstreams that it goes through; empty for none."""

    def surplus(self) -> bytes:
        """
        Return what came of the destination before the connection was handed over.

        The client gets it first.
        """


class Listening(Protocol):
    """
    A listener that waits for one peer.
    """

    @property
    def own(self) -> Address:
        """The address that it listens at."""

    @property
    def told(self) -> tuple[Address, int]:
        """The address and port that the peer is told to come to."""

    @property
    def strangers(self) -> int:
        """How many connections were not the peer's."""

    @property
    def path(self) -> str:
        """The upstreams that lead to it; empty for none."""

    def accept(self, admits: Callable[[Address, int], bool]) -> Awaitable[Outlet]:
        """
        Wait for the peer, and listen no longer. Other connections are closed.

        @param admits: whether this address and port are the peer.
        @return: the peer's connection.
        @raise ConnectFailed: none came in time.
        """

    def close(self) -> None:
        """Listen no longer."""


class Dialling(Protocol):
    """A connect that is under way."""

    def cancel(self) -> None:
        """Give it up; no effect when it is decided."""


class Begin(Protocol):
    """Begins to connect to one address of which the policy was asked."""

    def __call__(
        self,
        address: Address,
        port: int,
        seconds: float | None,
        connected: Callable[[Any], None],
        failed: Callable[[SocksError], None],
    ) -> Dialling:
        """
        Begin.

        Whoever has the outlet sees to its keep-alive.

        @param seconds: as C{admit} of L{Ways.connect} returns it.
        @param connected: called later with an L{Outlet}.
        @param failed: called later instead of that.
        @raise SocksError: it has failed already.
        @raise BlockingIOError: there is something to wait for.
        """


class Ways(Protocol):
    """
    What leads out for a session: from here, or through other gateways.

    L{connect}, L{listen} and L{datagrams} each give what a relay takes.
    """

    @property
    def begin(self) -> Begin | None:
        """What connects to one address; L{None} where there is more to it than that."""

    def connect(
        self,
        addresses: Sequence[Address],
        port: int,
        admit: Callable[[Address], float | None],
        traveller: Traveller,
    ) -> Awaitable[Outlet]:
        """
        Connect to one of some addresses.

        @param addresses: judged literals, best first; at least one.
        @param admit: called before an address is dialled: returns the seconds after
            which there is to be a connection, or L{None} for the usual; raises
            C{SocksError} when the address is not to be dialled.
        @param traveller: the session.
        @raise SocksError: with the reply for the cause.
        """

    def reach(
        self, name: str, port: int, seconds: float | None, traveller: Traveller
    ) -> Awaitable[Outlet]:
        """
        Connect to a name that the last upstream looks up.

        @param seconds: after which there is to be a connection, or L{None} for the
            usual.
        @raise SocksError: as L{connect}.
        """

    def dressed(self, dress: Dress) -> Ways:
        """
        Return the same, whose connections are made otherwise.

        Through upstreams that cannot be had.
        """

    def reached(self, whose: object, destination: Address) -> None:
        """
        Remember where a client's connection leads.

        Peers of its next L{listen} come from there.

        @param whose: what tells the client from others.
        """

    async def listen(
        self,
        whose: object,
        peer: Address,
        anybody: bool,
        near: SocketName,
        options: UDPOptions,
        traveller: Traveller,
    ) -> Listening:
        """
        Listen for a peer.

        @param whose: what tells the client from others.
        @param peer: its address; where that is not known, of its version.
        @param anybody: whether it is not known.
        @param near: our end of the client's connection.
        @param traveller: the session.
        @raise SocksError: no such listener can be had.
        """

    async def datagrams(
        self,
        near: SocketName | None,
        options: UDPOptions,
        client: Address | None,
        traveller: Traveller,
    ) -> DatagramOutlet:
        """
        Open what an association needs.

        @param near: our end of the client's connection; L{None} where its datagrams
            come inside that.
        @param client: the client, where it is not at the other end of its connection:
            the datagrams come by the way that leads to it.
        @param traveller: the session.
        @raise LimitReached: no port, or no descriptor, is free.
        @raise ConnectFailed: no way leads to the client.
        """


@final
class Direct:
    """
    The ways that begin at the sockets of one routing domain (L{Ways}).
    """

    __slots__ = (
        "_bindTimeout",
        "_departure",
        "_dialer",
        "_dress",
        "_outward",
        "_setDeadline",
        "_sockets",
        "_watch",
        "begin",
        "connect",
        "reached",
    )

    def __init__(
        self,
        dialer: Dialer,
        outward: Outward,
        watch: Watcher,
        setDeadline: SetDeadline,
        bindTimeout: float,
        sockets: Sockets = HERE,
        departure: Departure | None = None,
        dress: Dress | None = None,
    ) -> None:
        """
        Take the parts.

        @param bindTimeout: seconds that a listener waits for its peer.
        @param sockets: where all others come from than the dialler's.
        @param departure: how sessions leave where that is chosen; the dialler's
            sockets are C{departure.sockets} then.
        @param dress: how listening sockets are made otherwise; the dialler's are
            already.
        """
        self._sockets = sockets
        self._dress = dress
        self._departure = departure
        self._dialer = dialer
        self.connect = dialer.open if departure is None else self._connect
        self.begin: Begin | None = dialer.begin if departure is None else None
        self.reached = outward.connected
        self._outward = outward
        self._watch = watch
        self._setDeadline = setDeadline
        self._bindTimeout = bindTimeout

    def dressed(self, dress: Dress) -> Direct:
        """As L{Ways.dressed}."""
        return Direct(
            self._dialer.dressed(dress),
            self._outward,
            self._watch,
            self._setDeadline,
            self._bindTimeout,
            self._sockets,
            self._departure,
            dress,
        )

    async def _connect(
        self,
        addresses: Sequence[Address],
        port: int,
        admit: Callable[[Address], float | None] = lambda _: None,
        traveller: object = None,
    ) -> PlainOutlet:
        """As L{Ways.connect}, where it is chosen how sessions leave."""
        departure = self._departure
        assert departure is not None
        found = []
        for address in departure.reachable(addresses):
            await self._ready(address.version, socket.SOCK_DGRAM)
            if not departure.leadsHere(address, port):
                found.append(address)
        return await self._dialer.open(away(found), port, admit)

    async def reach(
        self, name: str, port: int, seconds: float | None, traveller: Traveller
    ) -> NoReturn:
        """As L{Ways.reach}: names are looked up, and judged, before they come here."""
        raise ConnectFailed(f"{name} was not looked up")

    async def listen(
        self,
        whose: object,
        peer: Address,
        anybody: bool,
        near: SocketName,
        options: UDPOptions,
        traveller: object = None,
    ) -> Passive:
        """As L{Ways.listen}: on the side that the peer comes from."""
        await self._ready(peer.version, socket.SOCK_DGRAM)
        departure, sockets = self._departure, self._sockets
        chosen = None
        if departure is not None:
            sockets = departure.bare
            chosen = departure.inward(peer.version)
        if chosen is not None:
            inward = chosen
        elif anybody:
            inward = await self._outward.local(
                whose, near.address, peer.version, sockets
            )
        else:
            inward = localTowards(peer, sockets)
        await self._ready(inward.version, socket.SOCK_STREAM)
        if self._dress is not None:
            sockets = Dressed(sockets, self._dress)
        return Passive(
            self._watch,
            self._setDeadline,
            inward,
            options.ports,
            self._bindTimeout,
            near.scope if inward == near.address else 0,
            options.advertised(inward),
            sockets,
        )

    async def datagrams(
        self,
        near: SocketName | None,
        options: UDPOptions,
        client: Address | None = None,
        traveller: object = None,
    ) -> DatagramOutlet:
        """As L{Ways.datagrams}."""
        # The sockets to destinations are opened later, where nothing waits.
        for version in FAMILIES:
            await self._ready(version, socket.SOCK_DGRAM)
        departure = self._departure
        outer = self._sockets if departure is None else departure.sockets
        if near is None:
            return DatagramOutlet(None, None, outer, departure)
        if client is not None:
            near = SocketName(localTowards(client, self._sockets), 0)
        address = near.address
        await self._ready(address.version, socket.SOCK_DGRAM)
        inner = bindWithin(
            socket.SOCK_DGRAM, address, options.ports, near.scope, self._sockets
        )
        told = options.advertised(address), inner.getsockname()[1]
        return DatagramOutlet(inner, told, outer, departure)

    async def _ready(self, version: int, kind: int) -> None:
        """Wait until a socket is at hand, where it comes from a broker."""
        waited = self._sockets.ready(FAMILIES[version], kind)
        if waited is not None:
            await waited
