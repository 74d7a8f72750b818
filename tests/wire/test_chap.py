"""
The messages of CHAP, octet for octet as draft-ietf-aft-socks-chap-01 has them.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socksgw.wire import chap
from socksgw.wire.chap import Attribute
from socksgw.wire.reader import NeedMoreData, Reader, WireError

A = Attribute


@pytest.mark.parametrize(
    ("octets", "message"),
    [
        # ALGORITHMS(HMAC-MD5), as the draft has the client begin.
        ("01 01 11 01 85", {A.ALGORITHMS: b"\x85"}),
        # With plain MD5 besides ("MAY support others"), and the name, as PuTTY
        # sends it.
        (
            "01 02 11 02 8505 02 05 616c696365",
            {A.ALGORITHMS: b"\x85\x05", A.USER_IDENTITY: b"alice"},
        ),
        # "Compliant implementations must accept them in any order."
        (
            "01 02 02 05 616c696365 11 01 85",
            {A.ALGORITHMS: b"\x85", A.USER_IDENTITY: b"alice"},
        ),
        ("01 01 03 04 00ff00ff", {A.CHALLENGE: b"\0\xff\0\xff"}),
        (
            "01 02 02 03 626f62 04 10" + "ab" * 16,
            {A.USER_IDENTITY: b"bob", A.RESPONSE: b"\xab" * 16},
        ),
        ("01 01 00 01 00", {A.STATUS: b"\0"}),
        # Values are of 0-255 octets, also none.
        ("01 01 02 00", {A.USER_IDENTITY: b""}),
        ("01 01 02 ff" + "75" * 255, {A.USER_IDENTITY: b"u" * 255}),
        ("01 00", {}),
        # TEXT-MESSAGE and CHARSET "may be present in any message"; unknown
        # attributes, and IDENTIFIER, which HMAC-MD5 ignores, are none of ours.
        ("01 04 01 02 6869 05 05 5554462d38 10 01 07 77 00", {}),
        ("01 02 01 01 61 01 01 62", {}),
    ],
)
def test_readMessage(octets: str, message: dict[Attribute, bytes]) -> None:
    """VER, NAVAS, then attribute, length and value ("Message Format")."""
    reader = Reader(bytes.fromhex(octets) + b"\x05")
    assert chap.readMessage(reader) == message
    assert reader.take(1) == b"\x05"


@pytest.mark.parametrize("version", [0, 2, 5, 255])
def test_anotherVersion(version: int) -> None:
    """VER is X'01' ("Message Format")."""
    with pytest.raises(WireError):
        chap.readMessage(Reader(bytes((version, 1, 0x11, 1, 0x85))))


@pytest.mark.parametrize("attribute", [0, 2, 3, 4, 0x11])
def test_twice(attribute: int) -> None:
    """Of two names, or two responses, none can be said to be meant."""
    one = bytes((attribute, 1, 0x85))
    with pytest.raises(WireError, match="twice"):
        chap.readMessage(Reader(b"\x01\x02" + one + one))


@pytest.mark.parametrize(
    ("message", "octets"),
    [
        ({A.STATUS: chap.SUCCESS}, "01 01 00 01 00"),
        ({A.STATUS: chap.FAILURE}, "01 01 00 01 01"),
        ({A.ALGORITHMS: bytes((chap.HMAC_MD5,))}, "01 01 11 01 85"),
        (
            {A.STATUS: chap.SUCCESS, A.RESPONSE: b"\xab" * 16},
            "01 02 00 01 00 04 10" + "ab" * 16,
        ),
    ],
)
def test_encodeMessage(message: dict[Attribute, bytes], octets: str) -> None:
    """As the draft writes ATT(VAL) out ("Message Format")."""
    assert chap.encodeMessage(message) == bytes.fromhex(octets)


def test_tooLong() -> None:
    """A value has at most 255 octets."""
    with pytest.raises(ValueError):
        chap.encodeMessage({A.CHALLENGE: bytes(256)})


def test_neverPrinted() -> None:
    """A response does not get into a log by way of its message's text."""
    message = chap.readMessage(Reader(b"\x01\x02\x02\x05alice\x04\x06canary"))
    for text in (repr(message), str(message), f"{message}"):
        assert "canary" not in text
        assert "alice" not in text


@given(
    st.dictionaries(
        st.sampled_from([A.STATUS, A.USER_IDENTITY, A.CHALLENGE, A.RESPONSE]),
        st.binary(max_size=255),
    ),
    st.data(),
)
def test_identity(message: dict[Attribute, bytes], data: st.DataObject) -> None:
    """What is written is what is read; every beginning of it asks for more."""
    octets = chap.encodeMessage(message)
    reader = Reader(octets)
    assert chap.readMessage(reader) == message
    assert reader.position == len(octets)
    cut = data.draw(st.integers(0, len(octets) - 1))
    with pytest.raises(NeedMoreData):
        chap.readMessage(Reader(octets[:cut]))


@given(st.binary(max_size=600))
def test_anything(octets: bytes) -> None:
    """Whatever comes: a message, a wish for more, or a breach of protocol."""
    try:
        message = chap.readMessage(Reader(b"\x01" + octets))
    except (NeedMoreData, WireError):
        return
    assert set(message) <= {
        A.STATUS,
        A.USER_IDENTITY,
        A.CHALLENGE,
        A.RESPONSE,
        A.ALGORITHMS,
    }
