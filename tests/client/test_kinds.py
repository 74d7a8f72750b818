"""
Kinds of proxies.
"""

from __future__ import annotations

import pytest

from socksgw.client.kinds import KINDS, proxyOf
from socksgw.client.logins.password import PasswordLogin
from socksgw.config.upstreamurl import BUILT


def test_schemes() -> None:
    """Each scheme of an upstream's URL leads to one."""
    assert {protocol for protocol, _ in BUILT.values()} == set(KINDS)
    assert len({type(proxyOf(kind)) for kind in KINDS}) == len(KINDS)


def test_noLogin() -> None:
    """SOCKS 4a has none, and says so."""
    with pytest.raises(ValueError, match="no login"):
        proxyOf("socks4a", PasswordLogin(b"alice", b"x"))
