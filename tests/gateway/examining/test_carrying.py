"""
What check says of upstreams that cannot do what a rule allows.
"""

from __future__ import annotations

import pytest

from socksgw.config.schema.upstream import Upstream, UpstreamLogin
from socksgw.gateway.examining.carrying import cannotBind, cannotCarry

KNOWN = {
    each.name: each
    for each in (
        Upstream("plain", "socks5://a.example:1080"),
        Upstream("tls", "socks5+tls://a.example:1080"),
        Upstream("inside", "socks5+tls://a.example:1080", udp="hev"),
        Upstream(
            "kerberos", "socks5+tls://a.example:1080", login=UpstreamLogin("gssapi")
        ),
        Upstream("six", "socks6+tls://a.example:1080"),
        Upstream("old", "socks4a://a.example:1080"),
        Upstream("web", "http://a.example:3128"),
        Upstream("wrong", "gopher://a.example:70"),
    )
}


@pytest.mark.parametrize(
    ("via", "names"),
    [
        ([["plain"]], []),
        ([["plain", "direct"]], []),
        ([["plain"], ["plain"]], []),
        ([["inside"]], []),
        ([["tls"]], ["tls"]),
        ([["kerberos"]], []),
        ([["plain", "tls"]], ["tls"]),
        ([["old"]], ["old"]),
        ([["web"]], ["web"]),
        # What is inside a connection goes through anything.
        ([["web"], ["inside"]], []),
        ([["tls"], ["inside"], ["plain"]], []),
        ([["web"], ["six"]], []),
        # What is not goes through each hop.
        ([["web"], ["plain"]], ["web"]),
        ([["tls"], ["plain"]], ["tls"]),
        ([["web"], ["plain", "inside"]], ["web"]),
        ([["unknown"]], []),
        ([["wrong"]], []),
    ],
)
def test_udp(via: list[list[str]], names: list[str]) -> None:
    """Each upstream in the way is named."""
    found = list(cannotCarry(via, KNOWN))
    assert [each.split('upstream "')[1].split('"')[0] for each in found] == names
    assert all("clear" in each and '"hev"' in each for each in found if "TLS" in each)


@pytest.mark.parametrize(
    ("via", "names"),
    [
        ([["plain"]], []),
        ([["tls"]], []),
        ([["old"]], []),
        ([["six"]], []),
        ([["web"], ["plain"]], []),
        ([["plain"], ["web", "old"]], ["web"]),
    ],
)
def test_bind(via: list[list[str]], names: list[str]) -> None:
    """It is the last one that listens."""
    found = list(cannotBind(via, KNOWN))
    assert [each.split('"')[1] for each in found] == names
