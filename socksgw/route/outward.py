"""
Where to listen for a peer whose address is not known.

That is on the side that the client's connections leave by.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, final

from socksgw.errors import ConnectFailed, LimitReached
from socksgw.route.probe import localTowards
from socksgw.system.domains import Sockets
from socksgw.wire.address import Address

__all__ = ["Outward"]

#: Clients whose last destination is remembered, by family.
_MOST: Final = 4096
#: Addresses that the default route leads to: of the root servers A. Nothing is
#: sent there.
_ANYWHERE: Final = {
    4: Address.parse("198.41.0.4"),
    6: Address.parse("2001:503:ba3e::2:30"),
}


@final
class Outward:
    """
    Where each client connected to last.

    BIND is for secondary connections "after a primary connection is established
    using CONNECT" (RFC 1928 section 4): their peers come from there.
    """

    def __init__(self, most: int = _MOST) -> None:
        """
        Begin with no client.

        @param most: clients that are remembered.
        """
        self._most = most
        self._last: OrderedDict[tuple[object, int], Address] = OrderedDict()

    def connected(self, client: object, destination: Address) -> None:
        """
        Remember a destination.

        @param client: what tells the client from others.
        """
        last, key = self._last, (client, destination.version)
        last[key] = destination
        last.move_to_end(key)
        if len(last) > self._most:
            last.popitem(last=False)

    def local(
        self, client: object, own: Address, version: int, sockets: Sockets
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
        towards = self._last.get((client, version), _ANYWHERE[version])
        try:
            return localTowards(towards, sockets)
        except (ConnectFailed, LimitReached):
            if own.version != version:
                raise
            return own
