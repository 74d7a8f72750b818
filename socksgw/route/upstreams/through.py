"""
The ways that lead through other gateways.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol, final

from socksgw.errors import SocksError, UpstreamFailed, UserRefused
from socksgw.interfaces import SetDeadline
from socksgw.route.datagrams import DatagramOutlet
from socksgw.route.failures import worse
from socksgw.route.udpoptions import UDPOptions
from socksgw.route.upstreams.association import Path, Upstream
from socksgw.route.upstreams.ground import Here
from socksgw.route.upstreams.listening import UpstreamListening
from socksgw.route.upstreams.outlet import ThroughOutlet
from socksgw.route.upstreams.trip import Names, Opener, Traveller, Trip
from socksgw.system.connection import SocketName
from socksgw.system.stack import Dress
from socksgw.wire.address import Address

__all__ = ["Through"]

#: Addresses of one name that are tried. Each costs every upstream a connection, and a
#: name may have as many as its owner likes.
_MOST: Final = 4


class Direct(Protocol):
    """The ways from here (L{socksgw.route.ways.Ways})."""

    async def listen(
        self,
        whose: object,
        peer: Address,
        anybody: bool,
        near: SocketName,
        options: UDPOptions,
        traveller: Traveller,
    ) -> Any:
        """As L{socksgw.route.ways.Ways.listen}."""

    async def datagrams(
        self,
        near: SocketName | None,
        options: UDPOptions,
        client: Address | None,
        traveller: Traveller,
    ) -> DatagramOutlet:
        """As L{socksgw.route.ways.Ways.datagrams}."""


@final
class Through:
    """
    The ways through a chain of upstreams (L{socksgw.route.ways.Ways}).
    """

    __slots__ = (
        "_bindTimeout", "_clock", "_direct", "_first", "_isOwn", "_names", "_opener",
        "_path", "_setDeadline", "_timeout",
    )  # fmt: skip

    begin: Final = None

    def __init__(
        self,
        opener: Opener,
        timeout: float,
        clock: Callable[[], float],
        names: Names,
        path: Path,
        first: Direct,
        direct: Direct,
        isOwn: Callable[[Address, int], bool],
        setDeadline: SetDeadline,
        bindTimeout: float,
    ) -> None:
        """
        Take the parts.

        @param opener: opens connections at the end of the chain.
        @param timeout: seconds for the whole chain, where the rule has no others.
        @param clock: monotonic seconds.
        @param names: what looks up the names of upstreams here.
        @param path: opens those through upstreams that are chosen already.
        @param first: the ways that lead to the first upstream.
        @param direct: the ways to destinations, as the last resort.
        @param isOwn: whether one of the gateway's own listeners is at an address
            and port.
        @param bindTimeout: seconds that a peer is waited for.
        """
        self._opener = opener
        self._timeout = timeout
        self._clock = clock
        self._names = names
        self._path = path
        self._first = first
        self._direct = direct
        self._isOwn = isOwn
        self._setDeadline = setDeadline
        self._bindTimeout = bindTimeout

    async def connect(
        self,
        addresses: Sequence[Address],
        port: int,
        admit: Callable[[Address], float | None],
        traveller: Traveller,
    ) -> ThroughOutlet:
        """
        As L{Ways.connect}.

        The addresses are tried one after the other, and no more than L{_MOST}: each
        costs the chain a connection.
        """
        began = self._clock()
        barred: SocksError | None = None
        worst: SocksError | None = None
        tried = 0
        for address in addresses:
            if tried == _MOST:
                break
            try:
                seconds = admit(address) or self._timeout
            except SocksError as e:
                barred = e
                continue
            trip = Trip(
                traveller, began + seconds - self._clock(), self._clock, self._names
            )
            try:
                leg = await self._opener.open(address, port, trip)
            except (UpstreamFailed, UserRefused):
                raise
            except SocksError as e:
                worst = worse(worst, e)
                tried += 1
                continue
            return ThroughOutlet(leg, address, port)
        # That a limit forbids an attempt says more than how others failed.
        failure = barred or worst
        assert failure is not None
        raise failure

    async def reach(
        self, name: str, port: int, seconds: float | None, traveller: Traveller
    ) -> ThroughOutlet:
        """As L{Ways.reach}."""
        trip = Trip(traveller, seconds or self._timeout, self._clock, self._names)
        return ThroughOutlet(await self._opener.open(name, port, trip), name, port)

    def reached(self, whose: object, destination: Address) -> None:
        """As L{Ways.reached}: peers do not come to this host."""

    async def listen(
        self,
        whose: object,
        peer: Address,
        anybody: bool,
        near: SocketName,
        options: UDPOptions,
        traveller: Traveller,
    ) -> Any:
        """As L{Ways.listen}: the last upstream listens."""
        trip = Trip(traveller, self._timeout, self._clock, self._names, "bind")
        try:
            leg = await self._opener.open(peer, 0, trip)
        except Here:
            return await self._direct.listen(
                whose, peer, anybody, near, options, traveller
            )
        try:
            return UpstreamListening(leg, self._setDeadline, self._bindTimeout)
        except UpstreamFailed:
            leg.connection.abortConnection()
            for each in leg.used:
                traveller.parts(each)
            raise

    def dressed(self, dress: Dress) -> Through:
        """As L{Ways.dressed}: upstreams do not hear of it."""
        return self

    async def datagrams(
        self,
        near: SocketName | None,
        options: UDPOptions,
        client: Address | None,
        traveller: Traveller,
    ) -> DatagramOutlet:
        """
        As L{Ways.datagrams}.

        The upstream is not asked for anything before the first datagram.
        """
        outlet = await self._direct.datagrams(near, options, client, traveller)
        first = await self._first.datagrams(None, options, None, traveller)
        outlet.upstream = Upstream(
            self._opener,
            self._path,
            lambda: Trip(traveller, self._timeout, self._clock, self._names, "udp"),
            first.outer,
            self._isOwn,
        )
        return outlet
