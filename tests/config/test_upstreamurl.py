"""
URLs of upstreams.
"""

from __future__ import annotations

import pytest

from socksgw.config.upstreamurl import parseUpstreamURL
from socksgw.wire.address import Address


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("socks5://gw2.example:1080", "gw2.example", 1080),
        ("socks5://GW2.Example.:1080/", "gw2.example", 1080),
        ("socks5://192.0.2.1:1", Address.parse("192.0.2.1"), 1),
        ("socks5://[2001:db8::1]:65535", Address.parse("2001:db8::1"), 65535),
    ],
)
def test_good(text: str, host: Address | str, port: int) -> None:
    """A protocol, a host, a port."""
    found = parseUpstreamURL(text)
    assert (found.protocol, found.tls) == ("socks5", False)
    assert (found.host, found.port) == (host, port)


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("gw2.example:1080", "must be a URL"),
        ("socks7://gw2.example:1080", "socks5"),
        ("socks5h://gw2.example:1080", "socks5"),
        ("socks5://gw2.example", "the port"),
        ("socks5://gw2.example:", "the port"),
        ("socks5://gw2.example:0", "the port"),
        ("socks5://gw2.example:65536", "the port"),
        ("socks5://gw2.example:1080/path", "the port"),
        ("socks5://2001:db8::1:1080", "brackets"),
        ("socks5://[gw2]:1080", "address"),
        ("socks5://10.1:1080", "neither"),
        ("socks5://gw 2:1080", "neither"),
        ("socks5://:1080", "neither"),
        ("socks5://bücher.example:1080", "neither"),
    ],
)
def test_bad(text: str, remedy: str) -> None:
    """Each is told with its remedy."""
    with pytest.raises(ValueError, match=remedy):
        parseUpstreamURL(text)


def test_credentials() -> None:
    """They belong somewhere else, and are not repeated."""
    with pytest.raises(ValueError, match="login") as caught:
        parseUpstreamURL("socks5://alice:canary@gw2.example:1080")
    assert "canary" not in str(caught.value)
