"""
The one table from an I/O failure to what the client and the journal are told.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from typing import Final

from socksgw.errors import ConnectFailed, LimitReached, SocksError
from socksgw.wire.codes import Reply

__all__ = ["failureFor"]

_RESOURCES: Final = (
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOBUFS,
    errno.ENOMEM,
    # No local port is left, or the local address is gone.
    errno.EADDRNOTAVAIL,
    errno.EAGAIN,
)

_CONNECT: Final[Mapping[int, tuple[Reply, str]]] = {
    errno.ECONNREFUSED: (Reply.CONNECTION_REFUSED, "refused"),
    # The peer, or a box in between, answered the SYN with a reset later on:
    # for the client the same as a refusal.
    errno.ECONNRESET: (Reply.CONNECTION_REFUSED, "refused"),
    errno.ENETUNREACH: (Reply.NETWORK_UNREACHABLE, "network-unreachable"),
    errno.ENETDOWN: (Reply.NETWORK_UNREACHABLE, "network-unreachable"),
    # No such family here: no way to that network.
    errno.EAFNOSUPPORT: (Reply.NETWORK_UNREACHABLE, "network-unreachable"),
    errno.EHOSTUNREACH: (Reply.HOST_UNREACHABLE, "host-unreachable"),
    errno.EHOSTDOWN: (Reply.HOST_UNREACHABLE, "host-unreachable"),
    # RFC 1928 has no reply for a time-out; 04 says that no answer came.
    errno.ETIMEDOUT: (Reply.HOST_UNREACHABLE, "connect-timeout"),
    # This host's own packet filter.
    errno.EACCES: (Reply.NOT_ALLOWED, "forbidden-by-kernel"),
    errno.EPERM: (Reply.NOT_ALLOWED, "forbidden-by-kernel"),
}


def failureFor(code: int) -> SocksError:
    """
    Return the failure that a failed connect means.

    @param code: the errno.
    """
    text = errno.errorcode.get(code, str(code))
    if code in _RESOURCES:
        return LimitReached(text, reason="resources")
    reply, reason = _CONNECT.get(code, (Reply.GENERAL_FAILURE, "failed"))
    return ConnectFailed(text, reply, reason)
