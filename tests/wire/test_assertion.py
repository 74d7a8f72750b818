"""
The octets by which one gateway tells the next who the client is.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from socksgw.wire.assertion import Assertion, Signed, decode, encode, open_, signed
from socksgw.wire.reader import WireError

ALICE = Assertion(
    "alice", "gssapi", frozenset({"ops", "dev"}), "job", "integrity", 9.5, ("edge/1",)
)
CLAIMS: dict[str, Any] = {
    "user": "alice",
    "method": "gssapi",
    "tag": "job",
    "secured": "integrity",
    "groups": ["dev", "ops"],
    "path": ["edge/1"],
    "expires": 9.5,
}


def test_claims() -> None:
    """The layout that the module's text has, both ways."""
    assert json.loads(encode(ALICE)) == CLAIMS
    assert decode(json.dumps(CLAIMS).encode()) == ALICE
    nobody = Assertion("", "none", frozenset(), "", "clear", None, ("a", "b"))
    assert decode(encode(nobody)) == nobody


def test_envelope() -> None:
    """One octet, eight of the key's id, 64 of the signature, and the claims."""
    value = b"\1" + b"k" * 8 + b"s" * 64 + b"{}"
    assert open_(value) == Signed(b"k" * 8, b"s" * 64, b"{}")
    assert open_(value).value == value
    assert signed(b"{}", b"b" * 32) == b"socksgw assertion 1\0" + b"b" * 32 + b"{}"


@pytest.mark.parametrize(
    "value",
    [b"", b"\1", b"\2" + bytes(80), b"\1" + bytes(72), b"\1" + bytes(72 + 7169)],
)
def test_noEnvelope(value: bytes) -> None:
    """Another format, too short, too long."""
    with pytest.raises(WireError):
        open_(value)


@pytest.mark.parametrize(
    "changes",
    [
        {"user": 1},
        {"user": "a\nb"},
        {"user": "a" * 2561},
        {"method": None},
        {"groups": "ops"},
        {"groups": ["a"] * 257},
        {"groups": [1]},
        {"path": []},
        {"path": ["a", "b\0"]},
        {"secured": "ipsec over pigeons"},
        {"expires": "never"},
        {"expires": True},
        {"expires": 10**400},
        {"tag": ["x"]},
    ],
)
def test_noClaims(changes: dict[str, Any]) -> None:
    """Whatever is not as it should be is refused."""
    with pytest.raises(WireError):
        decode(json.dumps({**CLAIMS, **changes}).encode())


@pytest.mark.parametrize(
    "octets",
    [b"", b"[]", b"{", b"\xff", b"{}", b"[" * 7000, b'{"expires":NaN}'],
)
def test_noJson(octets: bytes) -> None:
    """Octets of any kind: no other exception comes of them."""
    with pytest.raises(WireError):
        decode(octets)


def test_tooMuch() -> None:
    """It is not cut: a deny by a group that was left out would not match."""
    many = frozenset(f"group-{number}" for number in range(257))
    with pytest.raises(ValueError, match="octets"):
        encode(ALICE._replace(groups=many))
    with pytest.raises(ValueError, match="octets"):
        encode(ALICE._replace(groups=frozenset({"g" * 7168})))
