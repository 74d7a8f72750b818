"""
A connection to a destination on a plain socket of this host.
"""

from __future__ import annotations

import socket
from functools import lru_cache
from typing import Final, final

from socksgw.system.plain import PlainConnection
from socksgw.system.watch import UNWATCHED, Watcher
from socksgw.wire.address import Address

__all__ = ["PlainOutlet"]


@lru_cache(maxsize=1024)
def _addressOf(host: str) -> Address:
    """Return the address of one of our ends, which the kernel names so."""
    return Address.parse(host.partition("%")[0])


@final
class PlainOutlet(PlainConnection):
    """
    An open connection to a destination (L{socksgw.route.ways.Outlet}).

    @ivar address: the literal that was dialled.
    @ivar port: its port.
    @ivar bound: our address and port on this connection.
    """

    __slots__ = ("address", "bound", "port")

    path: Final = ""

    def __init__(
        self,
        connected: socket.socket,
        watch: Watcher,
        address: Address,
        port: int,
        told: int = UNWATCHED,
    ) -> None:
        """@param told: as of L{PlainConnection}."""
        PlainConnection.__init__(self, connected, watch, told)
        self.address = address
        self.port = port
        name = connected.getsockname()
        self.bound = (_addressOf(name[0]), name[1])

    def surplus(self) -> bytes:
        """As L{Outlet.surplus}."""
        return b""
