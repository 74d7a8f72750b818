"""
What failed on the way to a server, in words, and what helps.
"""

from __future__ import annotations

import errno
import socket
from typing import Final, NamedTuple

from OpenSSL import SSL
from twisted.internet import error as failures
from twisted.internet.defer import CancelledError

from socksgw.system.tlsname import PeerRefused

__all__ = ["Words", "inWords"]


class Words(NamedTuple):
    """
    What is said of a failure.

    @ivar said: what has happened.
    @ivar remedy: what to do; empty where nothing is known.
    """

    said: str
    remedy: str = ""


_REFUSED: Final = Words(
    "nothing accepts connections there (connection refused)",
    "is the service running, and is the port right?",
)
_LATE: Final = Words(
    "no answer in time",
    "does it run, and does a packet filter let this host reach it?",
)
_UNKNOWN: Final = Words(
    "its name has no address",
    "check the name, and the name servers of this host (/etc/resolv.conf)",
)
_NO_ROUTE: Final = Words("no route leads there", "check this host's routes")
_OF_SYSTEM: Final = {
    errno.ECONNREFUSED: _REFUSED,
    errno.ETIMEDOUT: _LATE,
    errno.EHOSTUNREACH: _NO_ROUTE,
    errno.ENETUNREACH: _NO_ROUTE,
    errno.EACCES: Words("this host forbids it", "see its packet filter and rights"),
    errno.EPERM: Words("this host forbids it", "see its packet filter and rights"),
    errno.ENOENT: Words("there is no such file", "correct the path"),
}
#: Reasons of OpenSSL's, and what they mean.
_TLS: Final = (
    ("wrong version number", "it speaks no TLS on this port", "check port and scheme"),
    ("unsupported protocol", "it speaks no TLS of version 1.2 or 1.3", "upgrade it"),
    ("no protocols available", "it speaks no TLS of version 1.2 or 1.3", "upgrade it"),
    ("protocol version", "it speaks no TLS of version 1.2 or 1.3", "upgrade it"),
    ("handshake failure", "there is no cipher, or no certificate of ours, that it takes",
     "see its own log"),
    ("certificate required", "it wants a client certificate",
     "name one: certificate and key"),
    ("unknown ca", "it does not accept our certificate", "see its own log"),
    ("bad certificate", "it does not accept our certificate", "see its own log"),
)  # fmt: skip


def inWords(error: BaseException) -> Words:
    """
    Return what a failure of a connection means.

    @param error: of Twisted, of OpenSSL, of the system, or any other: its own text is
        taken then, up to the first semicolon, behind which texts here have the remedy.
        Whoever cancels something has waited long enough.
    """
    if isinstance(error, (TimeoutError, failures.TimeoutError, CancelledError)):
        return _LATE
    if isinstance(error, (failures.DNSLookupError, socket.gaierror)):
        return _UNKNOWN
    if isinstance(error, failures.NoRouteError):
        return _NO_ROUTE
    if isinstance(error, failures.ConnectionRefusedError):
        return _REFUSED
    if isinstance(error, PeerRefused):
        said, _, remedy = str(error).partition("; ")
        return Words(f"TLS: {said}", remedy)
    if isinstance(error, SSL.Error):
        return _ofTLS(error)
    code = error.errno if isinstance(error, OSError) else None
    if isinstance(error, failures.ConnectError) and isinstance(error.osError, int):
        code = error.osError
    if code in _OF_SYSTEM:
        return _OF_SYSTEM[code]
    if isinstance(error, failures.ConnectionClosed):
        return Words("it closes the connection", "is it the right port?")
    text = " ".join(str(error).split()) or type(error).__name__
    said, _, remedy = text.partition("; ")
    return Words(said, remedy)


def _ofTLS(error: SSL.Error) -> Words:
    reason = str(error.args[0][0][-1]) if error.args and error.args[0] else ""
    for mark, said, remedy in _TLS:
        if mark in reason.lower():
            return Words(f"TLS: {said}", remedy)
    return Words(f"TLS: {reason or 'it closes the connection'}", "see its own log")
