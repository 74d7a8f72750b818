"""
The sockets of multicast groups: one that joins, and another one that sends.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Sequence
from typing import Final

from socksgw.errors import ConnectFailed, LimitReached, SocksError
from socksgw.route.failures import failureFor
from socksgw.system.domains import HERE
from socksgw.system.sockets import FAMILIES, roomy
from socksgw.wire.address import Address
from socksgw.wire.codes import Reply

__all__ = ["groupSockets", "scopeSender"]

#: Octets of a socket's buffer that the kernel is asked for.
_RECEIVE: Final = 1 << 20
_IP: Final = socket.IPPROTO_IP
_IPV6: Final = socket.IPPROTO_IPV6
_LEVEL: Final = {4: _IP, 6: _IPV6}
#: IP_MULTICAST_ALL and IPV6_MULTICAST_ALL (linux/in.h, linux/in6.h), which Python has
#: no names for. Where they are 1, a socket hears of every group that any program of
#: this host has joined.
_ALL: Final = {4: (_IP, 49), 6: (_IPV6, 29)}
#: MCAST_JOIN_GROUP and MCAST_JOIN_SOURCE_GROUP (RFC 3678 section 5), for both versions
#: of IP.
_JOIN: Final = 42
_JOIN_SOURCE: Final = 46
#: A sockaddr_storage.
_STORAGE: Final = 128
#: The kernel counts the groups, and the senders, of one socket: net.ipv4.igmp_max_msf.
_TOO_MANY: Final = frozenset((errno.ENOBUFS, errno.ENOMEM))


def _storage(address: Address) -> bytes:
    """Return an address as a sockaddr_storage of Linux."""
    head = struct.pack("=HH", FAMILIES[address.version], 0)
    flow = bytes(4) if address.version == 6 else b""
    return (head + flow + address.packed).ljust(_STORAGE, b"\0")


def _index(interface: str) -> int:
    """
    Return the number of an interface.

    @raise ConnectFailed: there is none of that name.
    """
    try:
        return socket.if_nametoindex(interface)
    except OSError:
        raise ConnectFailed(
            f'there is no interface "{interface}"',
            Reply.NETWORK_UNREACHABLE,
            "network-lost",
        ) from None


def _failure(error: OSError) -> SocksError:
    """Return the failure of a call that the kernel has refused."""
    if error.errno in _TOO_MANY:
        return LimitReached(
            f"the kernel joins no more: {error.strerror}", reason="resources"
        )
    return failureFor(error.errno or 0)


def _name(
    group: Address, port: int, index: int
) -> tuple[str, int, int, int] | tuple[str, int]:
    """Return the name of a group's socket, as bind(2) and connect(2) want it."""
    if group.version == 6:
        return group.text, port, 0, index
    return group.text, port


def groupSockets(
    place: tuple[Address, int],
    interface: str,
    receive: bool,
    sources: Sequence[Address],
    ttl: int | None,
) -> tuple[socket.socket | None, socket.socket | None]:
    """
    Return the sockets for a group: one that receives, and one that sends.

    @param place: the group, and the port.
    @param receive: whether there is to be one that receives.
    @param sources: the only senders; empty for all.
    @param ttl: of what is sent; L{None} where nothing is.
    @raise SocksError: they cannot be had.
    """
    receiver = None
    if receive:
        receiver = _receiver(*place, interface, sources)
    if ttl is None:
        return receiver, None
    try:
        return receiver, _sender(*place, interface, ttl)
    except SocksError:
        if receiver is not None:
            receiver.close()
        raise


def _receiver(
    group: Address,
    port: int,
    interface: str,
    sources: Sequence[Address],
) -> socket.socket:
    """
    Return a socket that receives what is sent to a group, and nothing else.

    It is bound to the group's address: other datagrams for the port do not come in.
    Neither do those for the group from another interface, where other programs, or
    other groups of this one, may have joined it. The membership ends when it is closed.

    @param sources: the only senders; empty for all.
    @raise SocksError: it cannot be had.
    """
    index = _index(interface)
    try:
        made = HERE.open(FAMILIES[group.version], socket.SOCK_DGRAM)
    except OSError as e:
        raise LimitReached(str(e), reason="resources") from None
    level = _LEVEL[group.version]
    head = struct.pack("=I4x", index) + _storage(group)
    try:
        roomy(made, _RECEIVE)
        # Each member of a group gets a copy.
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.setsockopt(*_ALL[group.version], 0)
        if group.version == 6:
            # Of IPv4 a membership is one of its interface; of IPv6 the kernel compares
            # the group alone.
            made.setsockopt(
                socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode()
            )
        made.bind(_name(group, port, index))
        if not sources:
            made.setsockopt(level, _JOIN, head)
        for each in sources:
            made.setsockopt(level, _JOIN_SOURCE, head + _storage(each))
    except OSError as e:
        made.close()
        raise _failure(e) from None
    return made


def _sender(group: Address, port: int, interface: str, ttl: int) -> socket.socket:
    """
    Return a socket that sends to a group, and does nothing else.

    The members of this host hear it, too.

    @param ttl: the TTL, or the hop limit.
    @raise SocksError: it cannot be had.
    """
    index = _index(interface)
    try:
        made = HERE.open(FAMILIES[group.version], socket.SOCK_DGRAM)
    except OSError as e:
        raise LimitReached(str(e), reason="resources") from None
    try:
        if group.version == 4:
            # An ip_mreqn (ip(7)).
            made.setsockopt(
                _IP, socket.IP_MULTICAST_IF, bytes(8) + struct.pack("=i", index)
            )
        else:
            made.setsockopt(_IPV6, socket.IPV6_MULTICAST_IF, index)
        scopeSender(made, ttl)
        made.connect(_name(group, port, index))
    except OSError as e:
        made.close()
        raise _failure(e) from None
    return made


def scopeSender(made: socket.socket, ttl: int) -> None:
    """
    Have a socket of L{groupSockets} send with another TTL, or hop limit.
    """
    if made.family == socket.AF_INET:
        made.setsockopt(_IP, socket.IP_MULTICAST_TTL, ttl)
    else:
        made.setsockopt(_IPV6, socket.IPV6_MULTICAST_HOPS, ttl)
