"""
What the record keeps of TLS.
"""

from __future__ import annotations

import json

import pytest

from socksgw.audit.secured import pathMembers, tlsMembers
from socksgw.system.tlssession import TLSSession

WHOLE = TLSSession("TLSv1.3", "X25519", "ab" * 32, "0A")
RSA = TLSSession("TLSv1.2", "")


@pytest.mark.parametrize(
    ("tls", "members"),
    [
        (
            WHOLE,
            {
                "tls_version": "TLSv1.3",
                "tls_group": "X25519",
                "fingerprint": "ab" * 32,
                "serial": "0A",
            },
        ),
        (RSA, {"tls_version": "TLSv1.2"}),
    ],
)
def test_ofAClient(tls: TLSSession, members: dict[str, str]) -> None:
    """What there is, and nothing empty."""
    assert json.loads(f'{{"v":1{tlsMembers(tls)}}}') == {"v": 1, **members}


@pytest.mark.parametrize(
    ("tls", "text"), [(WHOLE, f"TLSv1.3 X25519 {'ab' * 32}"), (RSA, "TLSv1.2")]
)
def test_ofAnUpstream(tls: TLSSession, text: str) -> None:
    """In one member."""
    assert json.loads(f'{{"v":1{pathMembers(tls)}}}') == {"v": 1, "path_tls": text}
