"""
The one table from an I/O failure to what the client and the journal are told.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from typing import Final

from socksgw.client.errors import FAILURES, ProtocolBroken, ProxyError, ProxyRefused
from socksgw.errors import (
    ConnectFailed,
    LimitReached,
    SocksError,
    UpstreamFailed,
    UpstreamRefused,
    UserRefused,
)
from socksgw.wire.address import Address
from socksgw.wire.codes import Reply

__all__ = [
    "UPSTREAM_REASONS",
    "failureFor",
    "leadsBack",
    "outOfTurn",
    "unreachable",
    "upstreamFailure",
    "worse",
]

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

_LOOP: Final = "loop"
_LATE: Final = "upstream-timeout"
#: What ends a session because of an upstream.
UPSTREAM_REASONS: Final = frozenset({*(each.reason for each in FAILURES), _LOOP})


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


def upstreamFailure(name: str, error: Exception, asked: bool) -> SocksError:
    """
    Return the failure that an upstream has caused, or tells.

    @param name: of the upstream.
    @param error: what its client has raised.
    @param asked: whether it has been sent the request. What goes wrong then may be for
        the destination, which any client chooses: C{ssh -D} closes the connection where
        that refuses, and squid answers 407 to a login that is right where the
        destination is not for that user.
    """
    if isinstance(error, ProxyError) and not isinstance(error, LimitReached):
        text, reply, reason = f'upstream "{name}": {error}', error.reply, error.reason
        if isinstance(error, ProxyRefused):
            return UpstreamRefused(text, reply, reason)
        return UpstreamFailed(text, reply, reason, name, not asked)
    if isinstance(error, SocksError):
        return error.with_traceback(None)
    raise error


def unreachable(name: str, error: SocksError) -> SocksError:
    """
    Return the failure of a connection to an upstream.

    @param name: of the upstream.
    @param error: why it cannot be reached. If what is before it does not work, or
        cannot be used for this client, or a limit of ours is in the way, that is
        returned.
    """
    if isinstance(error, (UpstreamFailed, UserRefused, LimitReached)):
        return error.with_traceback(None)
    reason = None
    if error.reason in ("connect-timeout", "lookup-timeout"):
        reason = _LATE
    elif error.reason == _LOOP:
        reason = _LOOP
    text = f'upstream "{name}": {error} ({error.reason})'
    return UpstreamFailed(text, None, reason, name)


def outOfTurn(name: str) -> UpstreamFailed:
    """Return the failure of an upstream that speaks before it is spoken to."""
    text = f'upstream "{name}": it sends what nobody asked for'
    return UpstreamFailed(text, None, ProtocolBroken.reason, name)


def leadsBack(host: Address | str, port: int) -> ConnectFailed:
    """Return the failure of an upstream that is one of our own listeners."""
    return ConnectFailed(f"{host}:{port} is a listener of this gateway", None, _LOOP)


def worse(known: SocksError | None, new: SocksError) -> SocksError:
    """
    Return the one of two failures that tells the client more.

    A refusal comes from the destination itself, anything else from the way there.
    """
    if known is None or new.reply == Reply.CONNECTION_REFUSED:
        return new
    return known
