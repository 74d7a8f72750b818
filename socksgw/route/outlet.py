"""
A connection to a destination on a plain socket of this host.
"""

from __future__ import annotations

import socket
from functools import lru_cache
from typing import TypeAlias

from socksgw.system.plain import PlainConnection
from socksgw.system.watch import UNWATCHED, Watcher
from socksgw.wire.address import Address

__all__ = ["PlainOutlet", "outletOf"]


@lru_cache(maxsize=1024)
def _addressOf(host: str) -> Address:
    """Return the address of one of our ends, which the kernel names so."""
    return Address.parse(host.partition("%")[0])


#: It is a L{socksgw.route.ways.Outlet}.
PlainOutlet: TypeAlias = PlainConnection


def outletOf(
    connected: socket.socket,
    watch: Watcher,
    address: Address,
    port: int,
    told: int = UNWATCHED,
) -> PlainOutlet:
    """
    Return an open connection to a destination.

    @param address: the literal that was dialled.
    @param told: as of L{PlainConnection}.
    """
    outlet = PlainConnection(connected, watch, told)
    outlet.address, outlet.port = address, port
    name = connected.getsockname()
    outlet.bound = _addressOf(name[0]), name[1]
    return outlet
