"""
The sockets of a UDP association: the client's, and those by which datagrams leave.
"""

from __future__ import annotations

import socket
from typing import Any, Final, final

from socksgw.route.failures import failureFor
from socksgw.route.leaving import Departure
from socksgw.route.probe import routed
from socksgw.system.domains import HERE, Sockets
from socksgw.system.sockets import FAMILIES, roomy
from socksgw.wire.address import Address

__all__ = ["DatagramOutlet", "outerSocket"]

#: Octets of a socket's buffer that the kernel is asked for.
_RECEIVE: Final = 1 << 20
#: IP_MTU_DISCOVER of ip(7), IPV6_MTU_DISCOVER of ipv6(7), and their value
#: IP_PMTUDISC_DO, which Python has no names for: the kernel makes no fragments.
_DISCOVER: Final = {4: (socket.IPPROTO_IP, 10), 6: (socket.IPPROTO_IPV6, 23)}
_ALWAYS: Final = 2


def outerSocket(
    version: int, whole: bool = False, sockets: Sockets = HERE
) -> socket.socket:
    """
    Return a socket for datagrams to destinations, on any port.

    @param version: 4 or 6.
    @param whole: whether a datagram that is too long for the way is lost, and not
        sent in fragments.
    @param sockets: where it comes from.
    @raise OSError: there is none.
    @raise ConnectFailed: the routing domain cannot be used.
    """
    outer = sockets.open(FAMILIES[version], socket.SOCK_DGRAM)
    try:
        roomy(outer, _RECEIVE)
        if whole:
            outer.setsockopt(*_DISCOVER[version], _ALWAYS)
        if not sockets.bound:
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
    @ivar upstream: what the datagrams go through, as
        L{socksgw.route.upstreams.association.Upstream}; L{None} where they leave from
        here.
    """

    __slots__ = ("_departure", "_held", "_sockets", "bound", "inner", "upstream")

    def __init__(
        self,
        inner: socket.socket | None,
        bound: tuple[Address, int] | None,
        sockets: Sockets = HERE,
        departure: Departure | None = None,
    ) -> None:
        """
        Take the parts.

        @param sockets: where those come from that datagrams leave by.
        @param departure: how they leave, where that is chosen.
        """
        self._sockets = sockets
        self._departure = departure
        self.upstream: Any = None
        self.inner = inner
        self.bound = bound
        self._held: socket.socket | None = None

    def hold(self, version: int) -> None:
        """
        Open the one socket for datagrams to destinations already.

        What it sends is sent whole, or not at all (RFC 9298 section 3.1).

        @param version: as of L{outer}, which returns it.
        @raise SocksError: there is none.
        """
        try:
            self._held = outerSocket(version, True, self._sockets)
        except OSError as e:
            raise failureFor(e.errno or 0) from None

    def close(self) -> None:
        """Close what nobody has taken over."""
        if self.inner is not None:
            self.inner.close()

    def outer(self, version: int) -> socket.socket:
        """
        Open a socket for datagrams to destinations.

        @param version: of their addresses, 4 or 6.
        @raise OSError: there is none.
        """
        held, self._held = self._held, None
        return held or outerSocket(version, sockets=self._sockets)

    def choose(
        self, addresses: tuple[Address, ...], port: int, direct: bool = False
    ) -> Address:
        """
        Return the address that datagrams go to, of several that are allowed.

        @param direct: whether they leave from here, although there is an upstream.
        @raise OSError: there is no socket to find out with.
        @raise LeadsHere: all of them lead to this host, which is banned.
        @raise ConnectFailed: no datagram may leave to any of them.
        """
        if self.upstream is not None and not direct:
            # Which of them can be reached is not known here.
            return addresses[0]
        if self._departure is not None:
            addresses = self._departure.leading(addresses, port)
        return routed(addresses, self._sockets)
