"""
Options of SOCKS 6, octet for octet as draft-olteanu-intarea-socks-6-11 section 8.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socksgw.wire import socks6options as wire
from socksgw.wire.reader import WireError
from socksgw.wire.socks6options import Kind

#: Options of requests, each with the fields that it sets.
REQUESTS: dict[str, dict[str, Any]] = {
    # Figure "Authentication Method Advertisement Option": initial data, methods, padding.
    "0002 0008 0000 01 02": {"advertised": True, "methods": b"\x01\x02"},
    "0002 000c 4000 02 0000000000": {
        "advertised": True,
        "methods": b"\x02",
        "initial": 1 << 14,
    },
    # Padding is the number of "no authentication required".
    "0002 0008 0000 0000": {"advertised": True},
    # Figure "Authentication Data Option".
    "0004 0008 02 010000": {"data": {2: b"\x01\0\0"}},
    "0004 0008 02 010000 0004 0008 03 616263": {
        "data": {2: b"\x01\0\0", 3: b"abc"},
    },
    # Figures of section 8.4.
    "0005 0004": {"wantsSession": True},
    "0006 0008 61626364": {"session": b"abcd"},
    "0006 0008 61626364 000a 0004": {"session": b"abcd", "endsSession": True},
    # Figures of section 8.5: the expenditure has length 8 in the text.
    "0005 0004 000b 0008 00000040": {"wantsSession": True, "window": 64},
    "000b 0008 ffffffff": {"window": (1 << 31) - 1},
    "0006 0008 61626364 000d 0008 fffffff0": {
        "session": b"abcd",
        "token": 0xFFFFFFF0,
    },
    # Kinds that nobody knows: unassigned, the removed 7, those without a text,
    # experimental ones; and what belongs in replies.
    "0000 0004 0007 0008 00000000 0010 0004 0011 0008 00000000 fc00 0004": {},
    "0003 0008 02000000 0008 0004 0009 0004 000e 0004": {},
}


@pytest.mark.parametrize("octets", REQUESTS)
def test_ofRequests(octets: str) -> None:
    """What the client says; all else is as if nothing was said."""
    found = wire.readRequestOptions(bytes.fromhex(octets))
    for field in wire.RequestOptions.__slots__:
        usual = getattr(wire.NO_OPTIONS, field)
        assert getattr(found, field) == REQUESTS[octets].get(field, usual), field


@pytest.mark.parametrize(
    "octets",
    [
        # Lengths: none, too short, no multiple of four, beyond the end, no room for it.
        "0005 0000",
        "0005 0003",
        "0005 0006 0000",
        "0005 0008",
        "0005",
        # Two of what a message has once.
        "0005 0004 0005 0004",
        "0002 0008 0000 0100 0002 0008 0000 0200",
        "0004 0008 02 010000 0004 0008 02 010000",
        "000d 0008 00000000 000d 0008 00000001",
        # Sizes.
        "0002 0004",
        "0002 0008 4001 0200",
        "0004 0004",
        "0005 0008 00000000",
        "0006 0004",
        "000a 0008 00000000",
        "000b 0004",
        "000b 000c 0000000000000000",
        "000d 0004",
        # A session from within a session (section 8.4.1).
        "0005 0004 0006 0008 61626364",
    ],
)
def test_brokenInRequests(octets: str) -> None:
    """What is known, and not as the draft has it."""
    with pytest.raises(WireError):
        wire.readRequestOptions(bytes.fromhex(octets))


def test_limits() -> None:
    """The options of one message, and a session's ID, have bounds of ours."""
    with pytest.raises(WireError, match="more than 128 options"):
        wire.readRequestOptions(bytes.fromhex("fc000004") * 129)
    assert len(wire.readOptions(bytes.fromhex("fc000004") * 128)) == 128
    longest = wire.encodeSession(b"i" * wire.SESSION_LIMIT)
    assert wire.readRequestOptions(longest).session == b"i" * wire.SESSION_LIMIT
    with pytest.raises(WireError, match="session ID"):
        wire.readRequestOptions(wire.encodeSession(b"i" * 260))
    with pytest.raises(ValueError, match="at most"):
        wire.encodeOption(0xFC00, bytes(wire.OPTIONS_LIMIT))
    with pytest.raises(ValueError, match="at most"):
        wire.encodeAdvertisement(b"\2", wire.INITIAL_LIMIT + 1)


#: Options of authentication replies.
REPLIES: dict[str, dict[str, Any]] = {
    "0003 0008 02 000000": {"method": 2},
    "0003 0008 ff 000000": {"method": 255},
    # Figure "Reply to password authentication via a SOCKS Option".
    "0004 0008 02 0100 00": {"data": {2: b"\x01\0\0"}},
    "0006 0008 61626364": {"session": b"abcd"},
    "0008 0004": {"sessionOK": True},
    "0009 0004": {"sessionInvalid": True},
    "000c 000c fffffff0 00000040": {"window": (0xFFFFFFF0, 64)},
    "000e 0004": {"spent": True},
    "000f 0004": {"spent": False},
    "0002 0008 0000 0200 000b 0008 00000001 fc00 0004": {},
}


@pytest.mark.parametrize("octets", REPLIES)
def test_ofReplies(octets: str) -> None:
    """What the proxy says."""
    found, usual = wire.readAuthOptions(bytes.fromhex(octets)), wire.AuthOptions()
    for field in wire.AuthOptions.__slots__:
        expected = REPLIES[octets].get(field, getattr(usual, field))
        assert getattr(found, field) == expected, field


@pytest.mark.parametrize(
    "octets",
    [
        "0003 0004",
        "0003 0008 02000000 0003 0008 03000000",
        "0006 0004",
        "0008 0008 00000000",
        "0009 0004 0009 0004",
        "000c 0008 00000000",
        # Window sizes must not be 0, and be less than 2^31 (section 8.5.1).
        "000c 000c 00000000 00000000",
        "000c 000c 00000000 80000000",
        "000e 0004 000f 0004",
    ],
)
def test_brokenInReplies(octets: str) -> None:
    """What is known, and not as the draft has it."""
    with pytest.raises(WireError):
        wire.readAuthOptions(bytes.fromhex(octets))


@pytest.mark.parametrize(
    ("written", "octets"),
    [
        (wire.encodeAdvertisement(b"\2"), "0002 0008 0000 02 00"),
        (wire.encodeAdvertisement(b"\0\1\2\3", 5), "0002 000c 0005 010203 000000"),
        (wire.encodeAdvertisement(b"\0"), "0002 0008 0000 0000"),
        (wire.encodeSelected(2), "0003 0008 02 000000"),
        (wire.encodeAuthData(2, b"\1\0"), "0004 0008 02 0100 00"),
        (wire.encodeSession(b"abcd"), "0006 0008 61626364"),
        (wire.encodeOption(Kind.SESSION_REQUEST), "0005 0004"),
        (wire.encodeOption(Kind.SESSION_TEARDOWN), "000a 0004"),
        (wire.encodeWindowRequest(64), "000b 0008 00000040"),
        (wire.encodeWindow(0xFFFFFFF0, 64), "000c 000c fffffff0 00000040"),
        (wire.encodeToken(7), "000d 0008 00000007"),
    ],
)
def test_written(written: bytes, octets: str) -> None:
    """Figures of section 8."""
    assert written == bytes.fromhex(octets)


@given(
    st.sets(st.integers(1, 255), min_size=1, max_size=20).map(bytes),
    st.integers(0, wire.INITIAL_LIMIT),
    st.dictionaries(
        st.integers(0, 255), st.binary(min_size=1, max_size=60), max_size=4
    ),
    st.integers(0, 2**32 - 1),
    st.integers(1, 2**31 - 1),
)
def test_identity(
    methods: bytes, initial: int, data: dict[int, bytes], token: int, window: int
) -> None:
    """What is written is what is read, but for padding."""
    octets = wire.encodeAdvertisement(methods, initial)
    octets += b"".join(wire.encodeAuthData(*each) for each in data.items())
    octets += wire.encodeToken(token) + wire.encodeWindowRequest(window)
    assert len(octets) % 4 == 0
    found = wire.readRequestOptions(octets)
    assert (found.methods, found.initial) == (methods, initial)
    assert (found.token, found.window) == (token, window)
    assert found.data.keys() == data.keys()
    for method, message in data.items():
        assert found.data[method].rstrip(b"\0") == message.rstrip(b"\0")
        assert len(found.data[method]) - len(message) < 4


@given(st.binary(max_size=200))
def test_onlyWireErrors(octets: bytes) -> None:
    """Whatever octets they are."""
    for read in (wire.readRequestOptions, wire.readAuthOptions):
        try:
            read(octets)
        except WireError:
            pass
