"""
What one connection has of IP and TCP, where that is not as usual.

Whatever a socket cannot have, it has not: what it has is asked of the kernel.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final, NamedTuple, Protocol, final

from socksgw.system.domains import HERE, Sockets
from socksgw.system.sockets import tellOnce
from socksgw.wire.stacks import (
    MULTIPATH,
    NO,
    NO_FRAGMENTATION,
    TOS,
    TTL,
    YES,
    StackCode,
)

__all__ = ["Dress", "Dressed", "First", "carried", "found", "wear"]

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
_OPTIONS: Final[Mapping[tuple[StackCode, int], tuple[int, int]]] = {
    (TOS, socket.AF_INET): (socket.IPPROTO_IP, socket.IP_TOS),
    (TOS, socket.AF_INET6): (socket.IPPROTO_IPV6, socket.IPV6_TCLASS),
    (TTL, socket.AF_INET): (socket.IPPROTO_IP, socket.IP_TTL),
    (TTL, socket.AF_INET6): (socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS),
    **{(NO_FRAGMENTATION, family): option for family, option in _DISCOVER.items()},
}
#: IPPROTO_MPTCP, SOL_MPTCP and MPTCP_INFO (linux/mptcp.h, since Linux 5.16).
_MPTCP: Final = 262
_SOL_MPTCP: Final = 284
_MPTCP_INFO: Final = 1
#: Where struct tcp_info has the options that both sides have agreed on, and the one
#: that the SYN has carried octets which the other side has taken (linux/tcp.h).
_AGREED_AT: Final = 5
_SYN_DATA: Final = 32


def wear(connection: socket.socket, which: StackCode, value: int) -> None:
    """
    Have a socket send so from now on, if it can.

    @param which: C{TOS}, C{TTL} or C{NO_FRAGMENTATION}.
    @param value: as the option says it.
    """
    option = _OPTIONS.get((which, connection.family))
    if option is None or (which is TTL and not value):
        return
    if which is NO_FRAGMENTATION:
        value = _ALWAYS if value == YES else _NEVER
    # It is told what the socket has, whatever was asked for.
    with suppress(OSError):
        connection.setsockopt(*option, value)


def found(connection: socket.socket, which: StackCode) -> int | None:
    """
    Return what a socket has.

    @param which: as of L{wear}, or C{MULTIPATH}.
    @return: as the option says it; L{None} where such a socket has no such thing.
    """
    if which is MULTIPATH:
        try:
            connection.getsockopt(_SOL_MPTCP, _MPTCP_INFO, 8)
        except OSError:
            # Plain TCP, or the other side has not agreed.
            return NO
        return YES
    option = _OPTIONS.get((which, connection.family))
    if option is None:
        return None
    try:
        value = connection.getsockopt(*option)
    except OSError:
        return None
    if which is not NO_FRAGMENTATION:
        return value
    return YES if value in (_ALWAYS, _PROBE) else NO


def carried(connection: socket.socket) -> bool:
    """Return whether the SYN had octets of the stream, and the other side took them."""
    try:
        told = connection.getsockopt(
            socket.IPPROTO_TCP, socket.TCP_INFO, _AGREED_AT + 1
        )
    except OSError:
        return False
    return bool(told[_AGREED_AT] & _SYN_DATA)


class First(Protocol):
    """The first octets of a stream, which its SYN may carry."""

    def octets(self) -> bytes:
        """Return those that may go now."""

    def went(self, count: int) -> None:
        """Take note that so many of them are sent, or will be with the connection."""


class Dress(NamedTuple):
    """
    How connections are made otherwise.

    @ivar each: called with each socket before it is connected, or listens.
    @ivar multipath: whether those of our own network are to be MPTCP (RFC 8684), where
        the kernel has it.
    @ivar inTurn: whether the addresses of a destination are dialled one after the
        other, in the same time.
    @ivar first: what SYNs are to carry (RFC 7413), where the kernel has a cookie of the
        destination; L{None} for nothing.
    """

    each: Callable[[socket.socket], None]
    multipath: bool = False
    inTurn: bool = False
    first: First | None = None


class _Opening(socket.socket):
    """A socket that is connected with the first octets of its stream (RFC 7413)."""

    first: First

    def connect_ex(self, address: Any) -> int:
        """
        Begin to connect.

        Without a cookie of the destination, the kernel asks for one, and no octet goes.
        """
        try:
            count = self.sendto(self.first.octets(), socket.MSG_FASTOPEN, address)
        except OSError as e:
            if e.errno != errno.EOPNOTSUPP:
                return e.errno or errno.EINVAL
            self._withoutData(e)
            return super().connect_ex(address)
        self.first.went(count)
        return errno.EINPROGRESS

    def _withoutData(self, error: OSError) -> None:
        """Log that SYNs carry no data: once of TCP's sockets, and once of MPTCP's."""
        if self.proto == _MPTCP:
            tellOnce(
                "TCP Fast Open with MPTCP",
                error,
                "connections for which a client chooses both carry nothing in the SYN; "
                'use Linux 6.2 or later, or leave "fast-open" or "multipath" out of '
                "stack of the listener",
            )
        else:
            tellOnce(
                "TCP Fast Open",
                error,
                "SYNs to destinations carry nothing, whatever clients choose; set the "
                'bit 1 of net.ipv4.tcp_fastopen (sysctl), or leave "fast-open" out of '
                "stack of the listener",
            )


@final
class Dressed:
    """
    The sockets of a routing domain, whose streams send otherwise (L{Sockets}).
    """

    def __init__(self, sockets: Sockets, dress: Dress) -> None:
        """Put something around sockets."""
        self._sockets = sockets
        self._dress = dress
        self.bound = sockets.bound
        self.wait = sockets.wait
        self.ready = sockets.ready

    def open(self, family: int, kind: int) -> socket.socket:
        """As L{Sockets.open}."""
        if kind != socket.SOCK_STREAM:
            return self._sockets.open(family, kind)
        dress, opened = self._dress, None
        if dress.multipath and self._sockets is HERE:
            # Not each kernel is built with it, and administrators switch it off.
            with suppress(OSError):
                opened = socket.socket(family, kind | socket.SOCK_NONBLOCK, _MPTCP)
        if opened is None:
            opened = self._sockets.open(family, kind)
        if dress.first is not None:
            opening = _Opening(fileno=opened.detach())
            opening.first, opened = dress.first, opening
        dress.each(opened)
        return opened
