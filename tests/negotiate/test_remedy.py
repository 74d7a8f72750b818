"""
What is said to help clients that cannot get in.
"""

from __future__ import annotations

import pytest

from socksgw.negotiate.remedy import remedy

# What programs offer, by numbers of RFC 1928 section 3: as seen of each.
NC = FIREFOX = b"\x00"
CURL = b"\x00\x01"
OPENVPN_WITH_USER = b"\x02"


@pytest.mark.parametrize(
    ("offered", "wanted", "words"),
    [
        (NC, {2}, "torsocks: SOCKS5Username and SOCKS5Password in torsocks.conf;"),
        (NC, {2, 1}, "WeeChat: at the end of /proxy add;"),
        (FIREFOX, {3}, "no user and password in its settings"),
        (CURL, {2}, "programs on libcurl"),
        (CURL, {3, 2}, "programs on libcurl"),
        (OPENVPN_WITH_USER, {0}, "take user and password out"),
        (b"\x02\x80", {0}, "take user and password out"),
        (OPENVPN_WITH_USER, {1}, "socksgw agent"),
        (NC, {1}, "socksgw agent"),
    ],
)
def test_helps(offered: bytes, wanted: set[int], words: str) -> None:
    """The cause and the remedy, and where there is more."""
    found = remedy(offered, wanted)
    assert words in found
    assert found.endswith("socksgw help clients")


@pytest.mark.parametrize(
    ("offered", "wanted"),
    [(b"", {2}), (b"\x80", {2}), (b"\x05", {0}), (NC, {0x86}), (NC, set())],
)
def test_nothingIsKnown(offered: bytes, wanted: set[int]) -> None:
    """Of scanners, and where no client could get in by a setting, nothing is said."""
    assert remedy(offered, wanted) == ""
