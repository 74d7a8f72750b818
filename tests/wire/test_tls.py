"""
Records and options of TLS inside SOCKS, written from
draft-ietf-aft-socks-ssl-00.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socksgw.wire.reader import NeedMoreData, Reader, WireError
from socksgw.wire.tls import (
    Option,
    Records,
    State,
    encodeOptions,
    encodeRecords,
    readOptions,
    readRecord,
)
from tests.tools.measuring import allocated

#: "SSL Record Framing": VER 01, STATE, LEN (MSB first), DATA.
HANDSHAKE = bytes.fromhex("01 01 0005") + b"hello"
OPTIONS = bytes.fromhex("01 02 0001 ff")
DATA = bytes.fromhex("01 03 0000")
CLOSING = bytes.fromhex("01 04 0002 0100")


@pytest.mark.parametrize(
    ("octets", "state", "data"),
    [
        (HANDSHAKE, State.HANDSHAKE, b"hello"),
        (OPTIONS, State.OPTIONS, b"\xff"),
        (DATA, State.DATA, b""),
        (CLOSING, State.CLOSING, b"\1\0"),
    ],
)
def test_records(octets: bytes, state: State, data: bytes) -> None:
    """Each state; every strict prefix is not enough."""
    reader = Reader(octets + b"behind")
    assert readRecord(reader) == (state, data)
    assert reader.position == len(octets)
    if data:
        assert encodeRecords(state, data) == octets
    for end in range(len(octets)):
        with pytest.raises(NeedMoreData):
            readRecord(Reader(octets[:end]))


@pytest.mark.parametrize("octets", ["00", "02", "0100", "0105", "01ff", "16"])
def test_noRecords(octets: str) -> None:
    """Seen with the octet that is wrong."""
    with pytest.raises(WireError):
        readRecord(Reader(bytes.fromhex(octets)))


@given(st.sampled_from(State), st.integers(0, 200_000))
def test_longData(state: State, size: int) -> None:
    """As many records as it takes, and nothing for nothing."""
    octets = encodeRecords(state, bytes(size))
    assert len(octets) == size + 4 * -(-size // 65535)
    assert Records(state).receive(octets) == bytes(size)


@pytest.mark.parametrize(
    ("octets", "options"),
    [
        ("00", b""),
        ("01 01", bytes((Option.SUBAUTHENTICATION,))),
        ("02 01 10", bytes((Option.SUBAUTHENTICATION, Option.UDP_NAKED))),
    ],
)
def test_options(octets: str, options: bytes) -> None:
    """LEN and OPTIONS, the "SSL specific options"."""
    assert readOptions(Reader(bytes.fromhex(octets))) == options
    assert encodeOptions(options) == bytes.fromhex(octets)


@given(st.data())
def test_anyCut(data: st.DataObject) -> None:
    """However the stream is cut, the data are the same, and little is held."""
    octets = HANDSHAKE + OPTIONS + DATA + DATA + CLOSING
    cuts = data.draw(st.lists(st.integers(0, len(octets)), max_size=8).map(sorted))
    records = Records(State.HANDSHAKE)
    found = [
        records.receive(octets[start:end])
        for start, end in zip([0, *cuts], [*cuts, len(octets)], strict=True)
    ]
    assert b"".join(found) == b"hello\xff\1\0"
    assert records.state is State.CLOSING


def test_noWayBack() -> None:
    """A state that is over does not come again."""
    records = Records(State.HANDSHAKE)
    assert records.receive(HANDSHAKE + OPTIONS[:3]) == b"hello"
    assert records.receive(OPTIONS[3:]) == b"\xff"
    with pytest.raises(WireError):
        records.receive(HANDSHAKE)


def test_anOctetMoreCopiesNothingOfWhatIsHeld() -> None:
    """A record that trickles in costs by its octets, not by their square."""
    records = Records(State.DATA)
    records.receive(b"\1\3\xff\xff" + bytes(60_000))
    costs = [allocated(lambda: records.receive(b"x")) for _ in range(5)]
    assert min(costs) < 10_000
