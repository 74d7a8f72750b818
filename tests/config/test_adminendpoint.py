"""
C{[admin] endpoint}: the places that it names.
"""

from __future__ import annotations

import pytest

from socksgw.config.adminendpoint import AdminEndpoint, parseAdminEndpoint
from socksgw.wire.address import Address


def test_places() -> None:
    """Unix sockets, ports, and what is left to Twisted."""
    for text, place in (
        ("unix:/run/gw/admin.sock", {"path": "/run/gw/admin.sock"}),
        ("unix:@gw", {"path": "@gw"}),
        ("tcp:127.0.0.1:1081", {"address": Address.parse("127.0.0.1"), "port": 1081}),
        ("tcp:[::1]:0", {"address": Address.parse("::1"), "port": 0}),
        ("ssl:1081:privateKey=k", {"endpoint": "ssl:1081:privateKey=k"}),
    ):
        assert parseAdminEndpoint(text) == AdminEndpoint(text, **place)


@pytest.mark.parametrize(
    "text", ["", "admin.sock", "unix:admin.sock", "unix:/", "tcp:1081", "tcp:gw:1081"]
)
def test_wrong(text: str) -> None:
    """What names no place is an error that says what does."""
    with pytest.raises(ValueError, match=r"must be|not an"):
        parseAdminEndpoint(text)
