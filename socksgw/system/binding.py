"""
Sockets that wait for others at an address of this host.
"""

from __future__ import annotations

import random
import socket
from typing import Final

from socksgw.errors import LimitReached
from socksgw.system.domains import HERE, Sockets
from socksgw.system.sockets import FAMILIES
from socksgw.wire.address import Address

__all__ = ["bindWithin"]

#: Connections that may wait to be accepted, or turned away.
_BACKLOG: Final = 16


def bindWithin(
    kind: socket.SocketKind,
    address: Address,
    ports: range | None,
    scope: int = 0,
    sockets: Sockets = HERE,
) -> socket.socket:
    """
    Return a non-blocking socket bound to an address, on any port or on one of some.

    A stream socket listens already.

    @param ports: the ports that it may have; L{None} for any.
    @param scope: the interface of a link-local address.
    @param sockets: where it comes from.
    @raise LimitReached: none of the ports is free, or no descriptor is.
    @raise ConnectFailed: the routing domain cannot be used.
    """
    try:
        bound = sockets.open(FAMILIES[address.version], kind)
    except OSError as e:
        raise LimitReached(f"no socket: {e.strerror}", reason="resources") from None
    scoped = (0, scope) if scope else ()
    try:
        if address.version == 6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if kind == socket.SOCK_STREAM:
            # A port is free again as soon as nothing listens there.
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if ports is None:
            bound.bind((address.text, 0, *scoped))
            if kind == socket.SOCK_STREAM:
                bound.listen(_BACKLOG)
            return bound
        # The search begins at a random port, so that ports cannot be foretold.
        start = random.SystemRandom().randrange(len(ports))
        for i in range(len(ports)):
            try:
                bound.bind((address.text, ports[(start + i) % len(ports)], *scoped))
                if kind == socket.SOCK_STREAM:
                    bound.listen(_BACKLOG)
            except OSError:
                continue
            return bound
    except OSError as e:
        bound.close()
        raise LimitReached(f"no port: {e.strerror}", reason="resources") from None
    bound.close()
    raise LimitReached("every port of the range is taken", reason="resources")
