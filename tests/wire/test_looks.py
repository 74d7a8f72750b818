"""
What a client speaks instead, and what to do about it.
"""

from __future__ import annotations

import pytest

from socksgw.wire.looks import LOOKED_AT, insteadOfTLS, lookOf

PROXY1 = b"PROXY TCP4 192.0.2.1 192.0.2.2 4000 1080\r\n"
PROXY2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"


@pytest.mark.parametrize(
    ("octets", "word"),
    [
        (b"GET / HTTP/1.1\r\n", "HTTP"),
        (b"POST / HTTP/1.1\r\n", "HTTP"),
        (PROXY1, "PROXY header"),
        (PROXY2, "PROXY header"),
        (b"\x16\x03\x01\x02\x00\x01", "TLS"),
        (b"\x04\x01\x00\x50", "SOCKS 4"),
        (b"\x05\x01\x00", "SOCKS 5"),
        (b"\x06", "no SOCKS"),
    ],
)
def test_lookOf(octets: bytes, word: str) -> None:
    """As many octets as are looked at are enough to tell."""
    assert word in lookOf(octets)
    assert lookOf(octets[:LOOKED_AT]) == lookOf(octets)


@pytest.mark.parametrize(
    ("octets", "word"),
    [
        (b"\x04\x01\x00\x50\x7f\x00", "SOCKS 4 without TLS"),
        (b"\x05\x02\x00\x02", "SOCKS 5 without TLS"),
        (b"GET / ", "https:// in the proxy's URL"),
        (b"CONNEC", "HTTP without TLS"),
        (PROXY1[:LOOKED_AT], "PROXY header"),
        (PROXY2[:LOOKED_AT], "PROXY header"),
    ],
)
def test_insteadOfTLS(octets: bytes, word: str) -> None:
    """With the remedy."""
    assert word in insteadOfTLS(octets)


@pytest.mark.parametrize("octets", [b"\x00", b"\x05\xff", b"\r\n", b"\x80\x80"])
def test_whatScannersSend(octets: bytes) -> None:
    """Nothing that is known is nothing to tell about."""
    assert insteadOfTLS(octets) == ""
