"""
The addresses of this host's interfaces, and the networks that are connected to them.
"""

from __future__ import annotations

import socket
from contextlib import closing, suppress
from typing import NamedTuple

from socksgw.gateway.kernelroutes import KernelRoutes
from socksgw.policy.networks import Network
from socksgw.wire.address import Address

__all__ = ["Link", "leavesBy", "links"]


class Link(NamedTuple):
    """
    An address of an interface, and the network that is connected to it.

    @ivar device: the name of the interface.
    """

    address: Address
    network: Network
    device: str


def links() -> list[Link]:
    """Return the addresses of this host; none where netlink is denied."""
    found: list[Link] = []
    try:
        routes = KernelRoutes()
    except OSError:
        return found
    # The kernel, or a sandbox, may deny the question although it gave the socket.
    with closing(routes), suppress(OSError):
        for address, length, index in routes.addresses():
            bits = 8 * len(address.packed)
            shift = bits - length
            number = int.from_bytes(address.packed, "big") >> shift << shift
            first = Address(number.to_bytes(bits // 8, "big"))
            # An interface may go at any time.
            with suppress(OSError):
                device = socket.if_indextoname(index)
                found.append(Link(address, Network(first, length), device))
    return found


def leavesBy(source: Address, destination: Address) -> str:
    """
    Return the device that packets from an address of ours leave by.

    @return: empty where there is no way, or netlink is denied.
    """
    try:
        routes = KernelRoutes()
    except OSError:
        return ""
    with closing(routes), suppress(OSError):
        return routes.device(source, destination)
    return ""
