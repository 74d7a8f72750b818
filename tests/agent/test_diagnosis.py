"""
Failures on the way to the gateway, as a user is told them.
"""

from __future__ import annotations

import errno

import pytest

from socksgw.agent.diagnosis import diagnose, isRefusal
from socksgw.agent.settings import Login, Settings
from socksgw.errors import (
    ConnectFailed,
    LookupFailed,
    SocksError,
    UpstreamFailed,
    UpstreamRefused,
)
from socksgw.route.failures import failureFor, leadsBack, unreachable
from socksgw.wire.codes import Reply

SETTINGS = Settings(gateway="gw.example:1443", login="kerberos")


def away(error: SocksError) -> UpstreamFailed:
    """Return what a session gets when an upstream cannot be reached."""
    try:
        try:
            raise error
        except SocksError as e:
            raise unreachable("gateway", e) from None
    except UpstreamFailed as e:
        return e


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (LookupFailed("NXDOMAIN"), "no-such-host", "gw.example:1443 has no address"),
        (LookupFailed("", reason="lookup-timeout"), "no-names", "connected?"),
        (failureFor(errno.ENETUNREACH), "no-network", "is this machine connected?"),
        (failureFor(errno.EHOSTUNREACH), "no-network", "is this machine connected?"),
        (failureFor(errno.ECONNREFUSED), "refused", "refuses connections"),
        (failureFor(errno.ETIMEDOUT), "no-answer", "does not answer"),
        (failureFor(errno.EPERM), "forbidden", "packet filter"),
        (ConnectFailed("?", reason="unheard-of"), "upstream-unreachable", "unheard-of"),
    ],
)
def test_away(error: SocksError, kind: str, words: str) -> None:
    """The word of the journal is looked up; each line has a remedy."""
    found = diagnose(SETTINGS, away(error))
    assert found is not None
    assert found.kind == kind
    assert words in str(found)
    assert "gw.example" in str(found)


def test_loop() -> None:
    """A gateway that is the agent."""
    found = diagnose(SETTINGS, away(leadsBack("localhost", 1080)))
    assert found is not None
    assert "this agent itself" in str(found)


@pytest.mark.parametrize(
    ("reason", "refused"),
    [
        ("upstream-tls", False),
        ("upstream-closed", False),
        ("upstream-protocol", False),
        ("upstream-timeout", False),
        ("upstream-login", True),
    ],
)
def test_there(reason: str, refused: bool) -> None:
    """What the gateway has said stands in the line, which is one."""
    error = UpstreamFailed('upstream "gateway": it\x1b[1m says\nno', reason=reason)
    found = diagnose(SETTINGS, error)
    assert found is not None
    assert "(it [1m says no)" in str(found)
    assert isRefusal(found) is refused


@pytest.mark.parametrize(
    ("login", "remedy"),
    [("kerberos", "klist"), ("password", "password"), ("none", "--login")],
)
def test_login(login: Login, remedy: str) -> None:
    """The remedy is for how the user logs in."""
    found = diagnose(
        Settings(gateway="gw.example:1", login=login),
        UpstreamFailed("no", reason="upstream-login"),
    )
    assert found is not None
    assert remedy in found.remedy


def test_anotherLoginIsWanted() -> None:
    """A better password would not help."""
    said = "the proxy asks for another login: basic (407 Proxy Authentication Required)"
    found = diagnose(
        Settings(gateway="gw.example:1", login="token"),
        UpstreamFailed(said, reason="upstream-login"),
    )
    assert found is not None
    assert "--login" in found.remedy


def test_answered() -> None:
    """A gateway that says no to a destination has taken the login."""
    error = UpstreamRefused("no such host", Reply.HOST_UNREACHABLE, "host-unreachable")
    assert diagnose(SETTINGS, error) is None
