"""
Ways that differ between the sessions of one rule, by the address that they leave by.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, final

from socksgw.route.leaving import LeaveBy
from socksgw.route.outlet import PlainOutlet
from socksgw.route.upstreams.trip import Traveller
from socksgw.route.ways import DatagramOutlet, Direct, Listening, UDPOptions
from socksgw.system.connection import SocketName
from socksgw.system.outgoing import Near
from socksgw.system.stack import Dress
from socksgw.wire.address import Address

__all__ = ["Chosen"]

#: Ways that are kept: as many as this host has addresses that clients come to.
_MOST: Final = 1024


@final
class Chosen:
    """
    The ways by an address that is chosen for each session (L{Ways}).
    """

    __slots__ = ("_leaveBy", "_made", "_make")

    begin: Final = None

    def __init__(self, leaveBy: LeaveBy, make: Callable[[Near], Direct]) -> None:
        """
        Begin without any.

        @param make: makes the ways by some addresses.
        """
        self._leaveBy = leaveBy
        self._make = make
        self._made: dict[Near, Direct] = {}

    def of(self, traveller: Traveller) -> Direct:
        """Return the ways of a session."""
        near = self._leaveBy.near(traveller.asker.whose, traveller.local)
        ways = self._made.get(near)
        if ways is None:
            if len(self._made) >= _MOST:
                self._made.clear()
            ways = self._made[near] = self._make(near)
        return ways

    def connect(
        self,
        addresses: Sequence[Address],
        port: int,
        admit: Callable[[Address], float | None],
        traveller: Traveller,
    ) -> Awaitable[PlainOutlet]:
        """As L{Ways.connect}."""
        return self.of(traveller).connect(addresses, port, admit, traveller)

    def reach(
        self, name: str, port: int, seconds: float | None, traveller: Traveller
    ) -> Awaitable[PlainOutlet]:
        """As L{Ways.reach}."""
        return self.of(traveller).reach(name, port, seconds, traveller)

    def dressed(self, dress: Dress) -> Chosen:
        """As L{Ways.dressed}."""
        return Chosen(self._leaveBy, lambda near: self._make(near).dressed(dress))

    def reached(self, whose: object, destination: Address) -> None:
        """
        As L{Ways.reached}.

        That counts for a version of IP that leaves as usual. All of the ways have what
        remembers it in common.
        """
        for ways in self._made.values():
            ways.reached(whose, destination)
            return

    async def listen(
        self,
        whose: object,
        peer: Address,
        anybody: bool,
        near: SocketName,
        options: UDPOptions,
        traveller: Traveller,
    ) -> Listening:
        """As L{Ways.listen}."""
        ways = self.of(traveller)
        return await ways.listen(whose, peer, anybody, near, options, traveller)

    async def datagrams(
        self,
        near: SocketName | None,
        options: UDPOptions,
        client: Address | None,
        traveller: Traveller,
    ) -> DatagramOutlet:
        """As L{Ways.datagrams}."""
        return await self.of(traveller).datagrams(near, options, client, traveller)
