"""
The messages of Enhanced UDP Mode, against octets written from
draft-ietf-aft-mcast-fw-traversal-01.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socksgw.wire.address import Address
from socksgw.wire.multicast import (
    ENTERED,
    LONGEST,
    MOST_SOURCES,
    NOWHERE,
    Answer,
    Asked,
    Carried,
    Flags,
    Outcome,
    UDPCommand,
    encodeAnswer,
    encodeAsked,
    encodeCarried,
    encodeHeader,
    readAnswer,
    readAsked,
    readEntered,
    readHeader,
)
from socksgw.wire.reader import NeedMoreData, Reader, WireError

GROUP = (Address.parse("233.1.2.3"), 5004)
CLIENT = (Address.parse("10.0.0.7"), 40000)
#: Section 4.3: PKT TYPE, SIZE, UDPCMD, FLAGS, RSVD, TID, AID; LOCAL; REMOTE.
JOIN = bytes.fromhex(
    "01 0021 05 0011 00 beef 00000000 01 0a000007 9c40 01 e9010203 138c".replace(
        " ", ""
    )
)
#: The same, with a sender behind it (L{Flags.SOURCES}, which is ours).
JOIN_FROM = bytes.fromhex(
    "01 0027 05 0091 00 beef 00000000 01 0a000007 9c40 01 e9010203 138c"
    " 01 01 c6120001".replace(" ", "")
)
#: Section 4.2: a success, for a relay at 10.0.0.2:3000.
JOINED = bytes.fromhex(
    "02 001b 00 0031 00 beef 00000001 01 0a000002 0bb8 01 e9010203 138c".replace(
        " ", ""
    )
)


def sized(octets: bytes) -> bytes:
    """Return a message with its own SIZE."""
    return octets[:1] + len(octets).to_bytes(2, "big") + octets[3:]


def asked(octets: bytes) -> object:
    """Read one message, all of it."""
    reader = Reader(octets)
    found = readAsked(reader)
    assert reader.position == len(octets)
    return found


def test_bind() -> None:
    """Sections 4.3.1 and 5.2.1."""
    wanted = Asked(
        UDPCommand.BIND,
        Flags.RECEIVE | Flags.MULTICAST,
        0,
        0xBEEF,
        0,
        CLIENT,
        GROUP,
    )
    assert asked(sized(JOIN)) == wanted
    assert encodeAsked(wanted) == sized(JOIN)


def test_bindFromOneSender() -> None:
    """How many senders, and each with its type."""
    wanted = Asked(
        UDPCommand.BIND,
        Flags.RECEIVE | Flags.MULTICAST | Flags.SOURCES,
        0,
        0xBEEF,
        0,
        CLIENT,
        GROUP,
        (Address.parse("198.18.0.1"),),
    )
    assert asked(sized(JOIN_FROM)) == wanted
    assert encodeAsked(wanted) == sized(JOIN_FROM)


def test_sendersWithoutTheFlag() -> None:
    """Nothing stands behind the fields then."""
    with pytest.raises(WireError):
        asked(sized(JOIN + JOIN_FROM[len(JOIN) :]))


@pytest.mark.parametrize("count", [0, MOST_SOURCES + 1])
def test_numberOfSenders(count: int) -> None:
    """One, at least, and not too many."""
    octets = bytearray(JOIN_FROM[:-5])
    octets[-1] = count
    with pytest.raises(WireError):
        asked(sized(bytes(octets) + bytes.fromhex("01c6120001") * count))
    address = Address.parse("198.18.0.1")
    with pytest.raises(ValueError, match="senders"):
        encodeAsked(Asked(5, Flags.SOURCES, 0, 0, 0, sources=(address,) * count))


@pytest.mark.parametrize("command", [UDPCommand.RELEASE, UDPCommand.SET_TTL])
def test_withoutAddresses(command: int) -> None:
    """Sections 4.3.2.1 and 5.2.4.1 name no addresses: these may be absent."""
    head = (
        bytes.fromhex("01000d")
        + bytes([command])
        + bytes.fromhex("0003 05 0001 00000009")
    )
    wanted = Asked(command, 3, 5, 1, 9)
    assert asked(head) == wanted
    assert asked(encodeAsked(wanted)) == wanted


def test_answers() -> None:
    """Section 4.2; behind a failure nothing counts."""
    flags = Flags.RECEIVE | Flags.MULTICAST | Flags.MU_MODE
    local = (Address.parse("10.0.0.2"), 3000)
    told = Answer(Outcome.SUCCEEDED, flags, 0xBEEF, 1, local, GROUP)
    assert encodeAnswer(told) == sized(JOINED)
    assert readAnswer(Reader(sized(JOINED))) == told
    refused = Answer(Outcome.NO_RECEIVING, 0, 7, 0)
    octets = encodeAnswer(refused)
    assert octets[3] == 0x11
    assert readAnswer(Reader(octets)) == refused
    assert readAnswer(Reader(sized(octets[:13]))) == refused


def test_carried() -> None:
    """Section 4.4: SIZE - 7 octets of data."""
    octets = bytes.fromhex("03 000a 00000002 616263".replace(" ", ""))
    assert encodeCarried(2, b"abc") == octets
    assert asked(octets) == readAnswer(Reader(octets)) == Carried(2, b"abc")
    assert asked(encodeCarried(1, bytes(LONGEST))) == Carried(1, bytes(LONGEST))
    with pytest.raises(OverflowError):
        encodeCarried(1, bytes(LONGEST + 1))


def test_headers() -> None:
    """Section 4.5: RSV, FRAG, DGID, AID; fragments are not taken."""
    assert encodeHeader(258) == bytes.fromhex("0000000000000102")
    assert readHeader(encodeHeader(258) + b"x") == 258
    assert readHeader(memoryview(encodeHeader(7))) == 7
    assert readHeader(bytes.fromhex("0001000500000102")) is None
    assert readHeader(encodeHeader(7)[:-1]) is None


@pytest.mark.parametrize(
    "octets",
    [
        "00000d05001100beef00000000",
        "04000d05001100beef00000000",
        "01000c05001100beef000000",
        "01ffff",
        "030006000000",
        "02000d00001100beef00000000",
        # REMOTE is cut off, and of an unknown type.
        "01001405001100beef00000000010a0000079c40",
        "01001905001100beef00000000010a0000079c4002e901020300",
    ],
)
def test_broken(octets: str) -> None:
    """The channel cannot be followed any further."""
    with pytest.raises(WireError):
        asked(bytes.fromhex(octets))


def test_brokenAnswers() -> None:
    """A request, and a reply whose REMOTE is missing."""
    for octets in (JOIN, JOINED[:20]):
        with pytest.raises(WireError):
            readAnswer(Reader(sized(octets)))


ADDRESSES = st.binary(min_size=4, max_size=4) | st.binary(min_size=16, max_size=16)
PLACES = st.tuples(ADDRESSES.map(Address), st.integers(0, 65535))


@given(
    st.integers(0, 255),
    st.integers(0, 0xFFFF),
    st.integers(0, 255),
    st.integers(0, 0xFFFF),
    st.integers(0, 0xFFFFFFFF),
    PLACES,
    PLACES,
    st.lists(ADDRESSES.map(Address), min_size=1, max_size=MOST_SOURCES),
)
def test_thereAndBack(command, flags, ttl, tid, aid, local, remote, sources) -> None:  # type: ignore[no-untyped-def]
    """What is written is read as it was, whatever it is."""
    named = tuple(sources) if flags & Flags.SOURCES else ()
    wanted = Asked(command, flags, ttl, tid, aid, local, remote, named)
    assert asked(encodeAsked(wanted)) == wanted
    told = Answer(0, flags, tid, aid, local, remote)
    assert readAnswer(Reader(encodeAnswer(told))) == told


@given(st.binary(max_size=300), st.sampled_from([b"", b"\1", b"\2", b"\3"]))
def test_anything(octets: bytes, kind: bytes) -> None:
    """Whatever comes, it is a message, the beginning of one, or broken."""
    for read in (readAsked, readAnswer):
        reader = Reader(kind + octets)
        try:
            found = read(reader)
        except (NeedMoreData, WireError):
            continue
        assert isinstance(found, (Asked, Answer, Carried))
        assert reader.position <= len(octets) + 1


@given(st.integers(0, len(JOIN) - 1))
def test_split(at: int) -> None:
    """A part of a message waits for the rest."""
    message = sized(JOIN)
    with pytest.raises(NeedMoreData):
        readAsked(Reader(message[:at]))


VALID = [
    *(JOIN, JOIN_FROM, JOINED),
    sized(JOIN[:13]),
    encodeCarried(7, b"data"),
    ENTERED,
]


@given(
    st.sampled_from(VALID),
    st.lists(
        st.tuples(st.integers(0, 45), st.binary(max_size=3), st.integers(0, 3)),
        min_size=1,
        max_size=3,
    ),
    st.booleans(),
)
def test_mutations(
    octets: bytes, changes: list[tuple[int, bytes, int]], sizes: bool
) -> None:
    """
    Of a message with something wrong in it, too, and whether its size is right: nothing
    is raised but these, and octets that follow change nothing.
    """
    for at, put, cut in changes:
        octets = octets[:at] + put + octets[at + cut :]
    if sizes and len(octets) > 3:
        octets = sized(octets)
    for read in (readAsked, readAnswer, readEntered):
        ends: list[tuple[object, int]] = []
        for behind in (b"", b"\1\0"):
            reader = Reader(octets + behind)
            try:
                ends.append((read(reader), reader.position))
            except WireError as e:
                ends.append((str(e), 0))
            except NeedMoreData:
                break
        assert len(set(ends)) <= 1
    found = readHeader(octets)
    assert found is None or found < 1 << 32


def test_nowhere() -> None:
    """In place of an address that means nothing: an IPv4 one of zeros."""
    assert encodeAnswer(Answer(1, 0, 0, 0))[13:] == bytes.fromhex("010000000000 00") * 2
    assert (Address.parse("0.0.0.0"), 0) == NOWHERE
