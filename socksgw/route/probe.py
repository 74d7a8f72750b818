"""
What the kernel would do to reach an address.

Nothing is sent to find out: a datagram socket that is connected has a route, and an
address of ours.
"""

from __future__ import annotations

import errno
import socket
from typing import Final

from socksgw.route.failures import failureFor
from socksgw.system.domains import HERE, Sockets
from socksgw.system.sockets import FAMILIES
from socksgw.wire.address import Address

__all__ = ["isSourceless", "localTowards", "routed"]

#: Any port does: nothing is sent there.
_PORT: Final = 9


def localTowards(address: Address, sockets: Sockets = HERE) -> Address:
    """
    Return our own address on the way to another.

    @param sockets: of the routing domain that is meant.
    @raise ConnectFailed: there is no way.
    """
    try:
        with sockets.open(FAMILIES[address.version], socket.SOCK_DGRAM) as probe:
            probe.connect((address.text, _PORT))
            return Address.parse(probe.getsockname()[0].partition("%")[0])
    except OSError as e:
        raise failureFor(e.errno or 0) from None


def routed(addresses: tuple[Address, ...], sockets: Sockets = HERE) -> Address:
    """
    Return the first address that there is a route to, else the first of all.

    @param sockets: as of L{localTowards}.
    @raise OSError: there is no socket to find out with.
    """
    for address in addresses if len(addresses) > 1 else ():
        with sockets.open(FAMILIES[address.version], socket.SOCK_DGRAM) as probe:
            if probe.connect_ex((address.text, _PORT)) == 0:
                return address
    return addresses[0]


def isSourceless(address: Address, sockets: Sockets = HERE) -> bool:
    """
    Return whether this host has no address to reach another from.

    So it is where IPv6 is switched off by C{disable_ipv6}, say. For TCP the kernel
    reports the same error when no port is left.
    """
    with sockets.open(FAMILIES[address.version], socket.SOCK_DGRAM) as probe:
        return probe.connect_ex((address.text, _PORT)) == errno.EADDRNOTAVAIL
