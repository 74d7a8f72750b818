"""
The error number by which a program learns why it is not connected.
"""

from __future__ import annotations

import errno
import os
from typing import Final

from socksgw.client.errors import (
    AddressTypeNotSupported,
    CommandNotSupported,
    HostUnreachable,
    LoginFailed,
    NetworkUnreachable,
    NotAllowed,
    ProxyError,
    ProxyTimedOut,
    ProxyUnreachable,
    TTLExpired,
)

__all__ = ["errorOf", "told"]

#: What connect(2) says of the same in a network without a gateway.
_ERRORS: Final[tuple[tuple[type[ProxyError], int], ...]] = (
    (NotAllowed, errno.EACCES),
    (LoginFailed, errno.EACCES),
    (NetworkUnreachable, errno.ENETUNREACH),
    (HostUnreachable, errno.EHOSTUNREACH),
    (TTLExpired, errno.ETIMEDOUT),
    (ProxyTimedOut, errno.ETIMEDOUT),
    (ProxyUnreachable, errno.ENETUNREACH),
    (CommandNotSupported, errno.EOPNOTSUPP),
    (AddressTypeNotSupported, errno.EAFNOSUPPORT),
)


def errorOf(failure: ProxyError, what: str) -> OSError:
    """
    Return what a failure is to the program.

    What has no number of its own is ECONNREFUSED.

    @param what: failed, for its text.
    """
    for kind, number in _ERRORS:
        if isinstance(failure, kind):
            return OSError(number, f"{what}: {failure}")
    return OSError(errno.ECONNREFUSED, f"{what}: {failure}")


def told(error: OSError) -> str:
    """
    Return what to tell the user of an error that the program gets.

    @return: empty, where it has no text besides that of its number.
    """
    usual = os.strerror(error.errno or 0)
    text = str(error.args[1]) if error.args[1:] else usual
    return "" if text == usual else f"{text} ({usual})"
