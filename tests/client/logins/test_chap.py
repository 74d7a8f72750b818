"""
Challenge and response, from the draft.
"""

from __future__ import annotations

import pytest

from socksgw.client.errors import LoginRefused, ProtocolBroken
from socksgw.client.logins.chap import ChapLogin
from socksgw.client.socks import Socks5Proxy
from tests.fakes.links import MemoryLink, begun, failed

#: RFC 2104, the second test vector: key and text.
USER, KEY, TEXT = "alice", "Jefe", b"what do ya want for nothing?"
DIGEST = bytes.fromhex("750c783e6ab0b503eaa86e310a5db738")
#: VER 1, one attribute: ALGORITHMS (X'11') with HMAC-MD5 (X'85').
ALGORITHMS = bytes.fromhex("01 01 11 01 85")
CHALLENGE = b"\x01\x01\x03" + bytes((len(TEXT),)) + TEXT


def asked(first: bytes) -> tuple[MemoryLink, object]:
    """A client that has said its algorithms, and was answered."""
    link = MemoryLink()
    running = begun(Socks5Proxy(ChapLogin(USER, KEY)).connect(link, "example.com", 1))
    assert link.taken() == b"\x05\x01\x03"
    link.came(b"\x05\x03")
    assert link.taken() == ALGORITHMS
    link.came(first)
    return link, running


@pytest.mark.parametrize(
    "first",
    [
        ALGORITHMS + CHALLENGE,
        # Both in one message.
        b"\x01\x02" + ALGORITHMS[2:] + CHALLENGE[2:],
    ],
)
def test_response(first: bytes) -> None:
    """The name, and HMAC-MD5 of the challenge; after success the request goes."""
    link, _ = asked(first)
    name = b"\x02\x05alice"
    assert link.taken() == b"\x01\x02" + name + b"\x04\x10" + DIGEST
    link.came(b"\x01\x01\x00\x01\x00")
    assert link.taken().startswith(b"\x05\x01\x00\x03\x0bexample.com")


@pytest.mark.parametrize(
    ("first", "status", "error"),
    [
        (ALGORITHMS + CHALLENGE, b"\x01\x01\x00\x01\x01", LoginRefused),
        (b"\x01\x01\x11\x01\x00", b"", LoginRefused),
        (ALGORITHMS + b"\x01\x00", b"", ProtocolBroken),
    ],
    ids=["refused", "another algorithm", "no challenge"],
)
def test_notIn(first: bytes, status: bytes, error: type[Exception]) -> None:
    link, running = asked(first)
    if status:
        link.came(status)
    assert isinstance(failed(running), error)  # type: ignore[arg-type]


def test_names() -> None:
    """A name has to fit; nothing shows the password."""
    for user in ("", "x" * 256):
        with pytest.raises(ValueError, match="1 to 255 octets"):
            ChapLogin(user, "x")
    assert "canary" not in repr(ChapLogin("alice", "canary-4711"))
