"""
User and password, octet for octet as RFC 1929 has them.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socksgw.wire import userpass
from socksgw.wire.reader import NeedMoreData, Reader, WireError


@pytest.mark.parametrize(
    ("octets", "username", "password"),
    [
        ("01 05 616c696365 06 736573616d65", b"alice", b"sesame"),
        ("01 01 61 01 62", b"a", b"b"),
        ("01 ff" + "75" * 255 + "ff" + "70" * 255, b"u" * 255, b"p" * 255),
        # The text says 1 to 255; clients send an empty password, and the
        # checker says no.
        ("01 05 616c696365 00", b"alice", b""),
        ("01 00 00", b"", b""),
        # Octets, not text.
        ("01 02 00ff 02 ff00", b"\0\xff", b"\xff\0"),
    ],
    ids=["usual", "shortest", "longest", "no password", "nothing", "octets"],
)
def test_readRequest(octets: str, username: bytes, password: bytes) -> None:
    """VER, ULEN, UNAME, PLEN, PASSWD (RFC 1929 section 2)."""
    reader = Reader(bytes.fromhex(octets) + b"\x05")
    assert userpass.readRequest(reader) == (username, password)
    assert reader.take(1) == b"\x05"
    assert reader.position - 1 <= userpass.REQUEST_LIMIT


@pytest.mark.parametrize("version", [0, 2, 4, 5, 255])
def test_readRequestOfAnotherVersion(version: int) -> None:
    """VER is X'01' (RFC 1929 section 2)."""
    with pytest.raises(WireError):
        userpass.readRequest(Reader(bytes((version, 1, 97, 1, 98))))


@pytest.mark.parametrize(
    ("username", "password"),
    [(b"", b"p"), (b"u", b""), (b"u" * 256, b"p"), (b"u", b"p" * 256)],
)
def test_encodeRequestLimits(username: bytes, password: bytes) -> None:
    """Both fields have 1 to 255 octets (RFC 1929 section 2)."""
    with pytest.raises(ValueError):
        userpass.encodeRequest(username, password)


@pytest.mark.parametrize(("status", "octets"), [(0, "0100"), (1, "0101")])
def test_status(status: int, octets: str) -> None:
    """VER, STATUS: X'00' is success (RFC 1929 section 2)."""
    assert userpass.encodeStatus(status) == bytes.fromhex(octets)
    assert userpass.readStatus(Reader(bytes.fromhex(octets))) == status


@pytest.mark.parametrize("version", [0, 2, 4])
def test_statusOfAnotherVersion(version: int) -> None:
    """The response's VER is X'01' (RFC 1929 section 2)."""
    with pytest.raises(WireError):
        userpass.readStatus(Reader(bytes((version, 0))))


def test_neverPrinted() -> None:
    """A password does not get into a log by way of its message's text."""
    message = userpass.readRequest(Reader(b"\x01\x05alice\x06canary"))
    for text in (repr(message), str(message), f"{message}"):
        assert "canary" not in text
        assert "alice" not in text


fields = st.binary(min_size=1, max_size=255)


@given(fields, fields, st.data())
def test_identity(username: bytes, password: bytes, data: st.DataObject) -> None:
    """What is written is what is read; every beginning of it asks for more."""
    octets = userpass.encodeRequest(username, password)
    reader = Reader(octets)
    assert userpass.readRequest(reader) == (username, password)
    assert reader.position == len(octets)
    cut = data.draw(st.integers(0, len(octets) - 1))
    with pytest.raises(NeedMoreData):
        userpass.readRequest(Reader(octets[:cut]))
