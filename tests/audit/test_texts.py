"""
Values as they are written.
"""

from __future__ import annotations

import json

import pytest

from socksgw.audit.texts import SHOWN, place, shown
from socksgw.wire.address import Address


@pytest.mark.parametrize(
    ("host", "text"),
    [("192.0.2.7", "192.0.2.7:80"), ("2001:db8::7", "[2001:db8::7]:80")],
)
def test_place(host: str, text: str) -> None:
    """An IPv6 address stands in brackets."""
    assert json.loads(place(Address.parse(host), 80)) == text


def test_shown() -> None:
    """Any octets are printable ASCII, and bounded."""
    assert json.loads(shown(bytes(range(256))[:SHOWN])).startswith("\\x00\\x01")
    long = shown(b"\xff" * (SHOWN + 1))
    assert long.isascii()
    assert long.isprintable()
    assert "(129 octets)" in long
    assert len(long) < 700
