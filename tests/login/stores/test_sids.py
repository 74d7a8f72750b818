"""
Security identifiers ([MS-DTYP] section 2.4.2.1).
"""

from __future__ import annotations

import pytest

from socksgw.login.stores.sids import isSID, normalSID


def test_forms() -> None:
    """Case and zeros in front make no difference."""
    assert normalSID("s-1-5-032-0544") == "S-1-5-32-544"
    assert normalSID("S-1-1-0") == "S-1-1-0"
    assert normalSID("S-1-5-21-1-2-4294967295-513") == "S-1-5-21-1-2-4294967295-513"


@pytest.mark.parametrize(
    "text",
    [
        "S-1-", "S-1-5", "S-1-5-", "S-2-5-32", "S-1-5-32-", "S-1-5-32 ", "S-1-5-4294967296",
        "S-1-5-٣", "S-1-5-0x20", "S-1-5" + "-1" * 16, "CN=S-1-5-32", "",
    ],
)  # fmt: skip
def test_wrong(text: str) -> None:
    """Whatever else is none, and the error says what one is like."""
    with pytest.raises(ValueError, match="S-1-5-32-544"):
        normalSID(text)


def test_meant() -> None:
    """A distinguished name cannot be taken for one, nor one for a distinguished name."""
    assert isSID("s-1-")
    assert not isSID("CN=S-1-5-32-544,DC=corp,DC=test")
