"""
The error number of each failure.
"""

from __future__ import annotations

import errno

import pytest

from socksgw.client import errors
from socksgw.client.errors import FAILURES, ProxyError, ProxyRefused
from socksgw.run.errnos import errorOf, told

EXPECTED = {
    errors.NotAllowed: errno.EACCES,
    errors.NoMethodAccepted: errno.EACCES,
    errors.LoginRefused: errno.EACCES,
    errors.LoginWanted: errno.EACCES,
    errors.NetworkUnreachable: errno.ENETUNREACH,
    errors.ProxyUnreachable: errno.ENETUNREACH,
    errors.HostUnreachable: errno.EHOSTUNREACH,
    errors.TTLExpired: errno.ETIMEDOUT,
    errors.ProxyTimedOut: errno.ETIMEDOUT,
    errors.CommandNotSupported: errno.EOPNOTSUPP,
    errors.AddressTypeNotSupported: errno.EAFNOSUPPORT,
}


@pytest.mark.parametrize("kind", FAILURES)
def test_each(kind: type[ProxyError]) -> None:
    """Each failure is what connect(2) would say, or ECONNREFUSED; its text is told."""
    failure = kind(5) if issubclass(kind, ProxyRefused) else kind("why")
    error = errorOf(failure, "connect to a port 1")
    assert error.errno == EXPECTED.get(kind, errno.ECONNREFUSED)
    assert told(error).startswith(f"connect to a port 1: {failure} (")


def test_plain() -> None:
    """An error without a text of its own needs no telling."""
    assert told(OSError(errno.ENOENT, "No such file or directory")) == ""
    assert told(OSError(errno.EPERM, "why")) == "why (Operation not permitted)"
