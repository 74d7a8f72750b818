"""
Where to listen for a peer whose address is not known.

That is on the side that the client's connections leave by.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, final

from twisted.internet.defer import Deferred, succeed

from socksgw.errors import ConnectFailed, LimitReached
from socksgw.route.probe import localTowards
from socksgw.system.domains import OWN, Domain, Sockets
from socksgw.wire.address import Address

__all__ = ["Elsewhere", "Last", "Outward", "nowhere"]

#: Clients whose last destination is remembered, by family.
_MOST: Final = 4096
#: Addresses that the default route leads to: of the root servers A. Nothing is
#: sent there.
_ANYWHERE: Final = {
    4: Address.parse("198.41.0.4"),
    6: Address.parse("2001:503:ba3e::2:30"),
}


class Last(NamedTuple):
    """
    Where a client connected to last.

    @ivar when: in monotonic seconds, the same ones in all processes of this host.
    """

    when: float
    destination: Address


#: Asks other processes where a client connected to last: in which domain, what tells
#: the client from others, and the version of the address. It fires with what they
#: know, and never fails.
Elsewhere = Callable[[Domain, Any, int], Deferred[Sequence[Last]]]


def nowhere(_: Domain, __: Any, ___: int) -> Deferred[Sequence[Last]]:
    """Know of no other process."""
    return succeed(())


@final
class Outward:
    """
    Where each client connected to last, in one routing domain.

    BIND is for secondary connections "after a primary connection is established
    using CONNECT" (RFC 1928 section 4): their peers come from there.
    """

    def __init__(
        self,
        domain: Domain = OWN,
        elsewhere: Elsewhere = nowhere,
        most: int = _MOST,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Begin with no client.

        @param most: clients that are remembered.
        @param clock: returns monotonic seconds.
        """
        self._domain = domain
        self._elsewhere = elsewhere
        self._most = most
        self._clock = clock
        self._last: OrderedDict[tuple[Any, int], Last] = OrderedDict()

    def connected(self, client: Any, destination: Address) -> None:
        """
        Remember a destination.

        @param client: what tells the client from others.
        """
        last, key = self._last, (client, destination.version)
        last[key] = Last(self._clock(), destination)
        last.move_to_end(key)
        if len(last) > self._most:
            last.popitem(last=False)

    def last(self, client: Any, version: int) -> Last | None:
        """Return where a client connected to last, as far as this process knows."""
        return self._last.get((client, version))

    async def local(
        self, client: Any, own: Address, version: int, sockets: Sockets
    ) -> Address:
        """
        Return our own address on the way to the client's last destination.

        If there was none, it is the one on the default route; if there is no such
        route, the one that the client came to.

        @param own: the address that the client came to.
        @param version: of the address that is wanted.
        @param sockets: of the routing domain that peers are in.
        @raise SocksError: there is none of that version.
        """
        found = [*await self._elsewhere(self._domain, client, version)]
        ours = self.last(client, version)
        if ours is not None:
            found.append(ours)
        newest = max(found, key=lambda each: each.when, default=None)
        towards = _ANYWHERE[version] if newest is None else newest.destination
        try:
            return localTowards(towards, sockets)
        except (ConnectFailed, LimitReached):
            if own.version != version:
                raise
            return own
