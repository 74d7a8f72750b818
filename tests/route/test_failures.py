"""
The table from an I/O failure to what the client is told (RFC 1928 section 6).
"""

from __future__ import annotations

import errno

import pytest

from socksgw.client.errors import LoginRefused, TooManyLogins
from socksgw.errors import LimitReached, UpstreamFailed
from socksgw.route.failures import failureFor, upstreamFailure
from socksgw.wire.codes import Reply


@pytest.mark.parametrize(
    ("code", "reply"),
    [
        (errno.ECONNREFUSED, Reply.CONNECTION_REFUSED),
        (errno.ENETUNREACH, Reply.NETWORK_UNREACHABLE),
        (errno.EHOSTUNREACH, Reply.HOST_UNREACHABLE),
        (errno.ETIMEDOUT, Reply.HOST_UNREACHABLE),
        (errno.EACCES, Reply.NOT_ALLOWED),
        (errno.EPERM, Reply.NOT_ALLOWED),
        (errno.EMFILE, Reply.GENERAL_FAILURE),
        (errno.ENFILE, Reply.GENERAL_FAILURE),
        (errno.ENOBUFS, Reply.GENERAL_FAILURE),
        (errno.ENOMEM, Reply.GENERAL_FAILURE),
        (errno.EADDRNOTAVAIL, Reply.GENERAL_FAILURE),
        (errno.EINVAL, Reply.GENERAL_FAILURE),
        (99999, Reply.GENERAL_FAILURE),
    ],
)
def test_honestReplies(code: int, reply: Reply) -> None:
    """
    Each cause its own reply: refused 05, unreachable 03 or 04, time-out 04, out of
    resources 01.
    """
    assert failureFor(code).reply == reply


@pytest.mark.parametrize("code", sorted(errno.errorcode))
def test_everyErrnoHasAReplyAndAFixedReason(code: int) -> None:
    """Never success, and a reason that is one lower-case word."""
    failure = failureFor(code)
    assert failure.reply not in (None, Reply.SUCCEEDED)
    assert failure.reason
    assert failure.reason.replace("-", "").isalpha()
    assert failure.reason == failure.reason.lower()
    assert errno.errorcode[code] in str(failure)


@pytest.mark.parametrize("asked", [True, False])
def test_behindTheRequestNothingCounts(asked: bool) -> None:
    """Neither does a login that HTTP asks for then: squid does for some destinations."""
    failure = upstreamFailure("a", LoginRefused("407"), asked)
    assert isinstance(failure, UpstreamFailed)
    assert (failure.reason, failure.counts) == ("upstream-login", not asked)


def test_ownLimitsAreNoFaultOfAnUpstream() -> None:
    """Where too many log in at a time, none of the upstreams has failed."""
    failure = upstreamFailure("a", TooManyLogins("too many"), False)
    assert isinstance(failure, LimitReached)
    assert (failure.reason, failure.reply) == ("resources", Reply.GENERAL_FAILURE)
    assert isinstance(upstreamFailure("a", LoginRefused("no"), False), UpstreamFailed)
