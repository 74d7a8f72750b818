"""
The ways that lead through other gateways.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NoReturn, final

from socksgw.errors import CommandNotSupported, SocksError, UpstreamFailed
from socksgw.route.failures import worse
from socksgw.route.udpoptions import UDPOptions
from socksgw.route.upstreams.outlet import ThroughOutlet
from socksgw.route.upstreams.trip import Opener, Traveller, Trip
from socksgw.system.connection import SocketName
from socksgw.wire.address import Address

__all__ = ["Through"]


@final
class Through:
    """
    The ways through a chain of upstreams (L{socksgw.route.ways.Ways}).
    """

    __slots__ = ("_clock", "_opener", "_timeout")

    def __init__(
        self, opener: Opener, timeout: float, clock: Callable[[], float]
    ) -> None:
        """
        Take the parts.

        @param opener: opens connections at the end of the chain.
        @param timeout: seconds for the whole chain, where the rule has no others.
        @param clock: monotonic seconds.
        """
        self._opener = opener
        self._timeout = timeout
        self._clock = clock

    async def connect(
        self,
        addresses: Sequence[Address],
        port: int,
        admit: Callable[[Address], float | None],
        traveller: Traveller,
    ) -> ThroughOutlet:
        """
        As L{Ways.connect}.

        The addresses are tried one after the other: each costs the chain a connection.
        """
        began = self._clock()
        barred: SocksError | None = None
        worst: SocksError | None = None
        for address in addresses:
            try:
                seconds = admit(address) or self._timeout
            except SocksError as e:
                barred = e
                continue
            trip = Trip(traveller, began + seconds - self._clock(), self._clock)
            try:
                leg = await self._opener.open(address, port, trip)
            except UpstreamFailed:
                raise
            except SocksError as e:
                worst = worse(worst, e)
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
        trip = Trip(traveller, seconds or self._timeout, self._clock)
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
    ) -> NoReturn:
        """As L{Ways.listen}."""
        raise CommandNotSupported("there is no BIND through an upstream")

    async def datagrams(
        self,
        near: SocketName | None,
        options: UDPOptions,
        client: Address | None,
        traveller: Traveller,
    ) -> NoReturn:
        """As L{Ways.datagrams}."""
        raise CommandNotSupported("there is no UDP through an upstream")
