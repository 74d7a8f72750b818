"""
The sockets of a UDP association: the client's, and those by which datagrams leave.
"""

from __future__ import annotations

import socket
from typing import Final, final

from socksgw.route.probe import routed
from socksgw.system.sockets import FAMILIES, roomy
from socksgw.wire.address import Address

__all__ = ["DatagramOutlet", "outerSocket"]

#: Octets of a socket's buffer that the kernel is asked for.
_RECEIVE: Final = 1 << 20


def outerSocket(version: int) -> socket.socket:
    """
    Return a socket for datagrams to destinations, on any port.

    @param version: 4 or 6.

    @raise OSError: there is none.
    """
    family = FAMILIES[version]
    outer = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        roomy(outer, _RECEIVE)
        if version == 6:
            outer.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        outer.bind(("", 0))
    except OSError:
        outer.close()
        raise
    return outer


@final
class DatagramOutlet:
    """
    Where the datagrams of one association go.

    @ivar inner: the relay socket, bound and non-blocking; L{None} where the
        datagrams come inside the control connection.
    @ivar bound: the address and port that the client is told to send to.
    """

    __slots__ = ("bound", "inner")

    def __init__(
        self, inner: socket.socket | None, bound: tuple[Address, int] | None
    ) -> None:
        self.inner = inner
        self.bound = bound

    def outer(self, version: int) -> socket.socket:
        """
        Open a socket for datagrams to destinations.

        @param version: of their addresses, 4 or 6.
        @raise OSError: there is none.
        """
        return outerSocket(version)

    def choose(self, addresses: tuple[Address, ...]) -> Address:
        """
        Return the address that datagrams go to, of several that are allowed.

        @raise OSError: there is no socket to find out with.
        """
        return routed(addresses)
