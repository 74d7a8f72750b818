"""
What one connection has of IP and TCP, where that is not as usual.

Whatever a socket cannot have, it has not: what it has is asked of the kernel.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final, final

from socksgw.system.domains import HERE, Sockets

__all__ = ["MULTIPATH", "Dressed", "found", "wear"]

#: What most have; the names are those of C{listen.stack}.
TOS: Final = "tos"
TTL: Final = "ttl"
WHOLE: Final = "no-fragmentation"
MULTIPATH: Final = "multipath"
#: IP_MTU_DISCOVER of ip(7) and IPV6_MTU_DISCOVER of ipv6(7), which Python has no names
#: for.
_DISCOVER: Final = {
    socket.AF_INET: (socket.IPPROTO_IP, 10),
    socket.AF_INET6: (socket.IPPROTO_IPV6, 23),
}
#: IP_PMTUDISC_DONT, IP_PMTUDISC_DO and IP_PMTUDISC_PROBE of the same.
_NEVER: Final = 0
_ALWAYS: Final = 2
_PROBE: Final = 3
_OPTIONS: Final[Mapping[tuple[str, int], tuple[int, int]]] = {
    (TOS, socket.AF_INET): (socket.IPPROTO_IP, socket.IP_TOS),
    (TOS, socket.AF_INET6): (socket.IPPROTO_IPV6, socket.IPV6_TCLASS),
    (TTL, socket.AF_INET): (socket.IPPROTO_IP, socket.IP_TTL),
    (TTL, socket.AF_INET6): (socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS),
    **{(WHOLE, family): option for family, option in _DISCOVER.items()},
}
#: IPPROTO_MPTCP, SOL_MPTCP and MPTCP_INFO (linux/mptcp.h, since Linux 5.16).
_MPTCP: Final = 262
_SOL_MPTCP: Final = 284
_MPTCP_INFO: Final = 1


def wear(connection: socket.socket, name: str, value: int) -> None:
    """
    Have a socket send so from now on, if it can.

    @param name: C{tos}, C{ttl} or C{no-fragmentation}.
    @param value: an octet; of the last one whether packets are never fragmented.
    """
    option = _OPTIONS.get((name, connection.family))
    if option is None or (name == TTL and not value):
        return
    if name == WHOLE:
        value = _ALWAYS if value else _NEVER
    # It is told what the socket has, whatever was asked for.
    with suppress(OSError):
        connection.setsockopt(*option, value)


def found(connection: socket.socket, name: str) -> int | None:
    """
    Return what a socket has.

    @param name: as of L{wear}, or C{multipath}.
    @return: as of L{wear}; L{None} where such a socket has no such thing.
    """
    if name == MULTIPATH:
        try:
            connection.getsockopt(_SOL_MPTCP, _MPTCP_INFO, 8)
        except OSError:
            # Plain TCP, or the other side has not agreed.
            return 0
        return 1
    option = _OPTIONS.get((name, connection.family))
    if option is None:
        return None
    try:
        value = connection.getsockopt(*option)
    except OSError:
        return None
    return int(value in (_ALWAYS, _PROBE)) if name == WHOLE else value


@final
class Dressed:
    """
    The sockets of a routing domain, whose streams send otherwise (L{Sockets}).
    """

    def __init__(
        self,
        sockets: Sockets,
        dress: Callable[[socket.socket], None],
        multipath: bool = False,
    ) -> None:
        """
        Put something around sockets.

        @param dress: called with each that is for a stream, before it is connected.
        @param multipath: whether those of our own network are to be MPTCP (RFC 8684),
            where the kernel has it.
        """
        self._sockets = sockets
        self._dress = dress
        self._multipath = multipath and sockets is HERE
        self.bound = sockets.bound
        self.wait = sockets.wait
        self.ready = sockets.ready

    def open(self, family: int, kind: int) -> socket.socket:
        """As L{Sockets.open}."""
        if kind != socket.SOCK_STREAM:
            return self._sockets.open(family, kind)
        opened = None
        if self._multipath:
            # Not each kernel is built with it, and administrators switch it off.
            with suppress(OSError):
                opened = socket.socket(family, kind | socket.SOCK_NONBLOCK, _MPTCP)
        if opened is None:
            opened = self._sockets.open(family, kind)
        self._dress(opened)
        return opened
