"""
Datagrams of SOCKS 5 (RFC 1928 section 7), their fragments, and their framings
inside a TCP connection.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socksgw.wire.address import Address, BadHost, Host
from socksgw.wire.datagram import (
    HEADROOM,
    Datagram,
    Reassembly,
    encodeDatagram,
    encodeHeader,
    encodeTunnelled,
    encodeWithLengths,
    readDatagram,
    readTunnelled,
    readWithLengths,
)
from socksgw.wire.reader import NeedMoreData, Reader, WireError
from tests.tools.samples import hosts, names, ports

LOOPBACK = Address.parse("127.0.0.1")
SIX = Address.parse("2001:db8::9")
#: ATYP 04 and the octets of SIX (section 5).
SIX_OCTETS = b"\x04" + socket.inet_pton(socket.AF_INET6, "2001:db8::9")

#: RSV FRAG ATYP DST.ADDR DST.PORT DATA (section 7), and what each says.
VECTORS: list[tuple[bytes, Datagram]] = [
    # ATYP 01: four octets.
    (
        b"\0\0" b"\0" b"\x01" b"\x7f\0\0\x01" b"\0\x35" b"query",
        Datagram(0, LOOPBACK, 53, b"127.0.0.1", b"query"),
    ),
    # ATYP 03: a length octet, the name, no NUL.
    (
        b"\0\0" b"\0" b"\x03" b"\x0bexample.com" b"\x01\xbb" b"x",
        Datagram(0, "example.com", 443, b"example.com", b"x"),
    ),
    # ATYP 04: sixteen octets.
    (
        b"\0\0" b"\0" + SIX_OCTETS + b"\xff\xff" b"\0\0",
        Datagram(0, SIX, 65535, b"2001:db8::9", b"\0\0"),
    ),
    # DATA may be empty.
    (
        b"\0\0" b"\0" b"\x01" b"\x7f\0\0\x01" b"\0\x35",
        Datagram(0, LOOPBACK, 53, b"127.0.0.1", b""),
    ),
    # FRAG: position 3.
    (
        b"\0\0" b"\x03" b"\x01" b"\x7f\0\0\x01" b"\0\x35" b"part",
        Datagram(3, LOOPBACK, 53, b"127.0.0.1", b"part"),
    ),
    # FRAG: position 3, the end of the sequence (high-order bit).
    (
        b"\0\0" b"\x83" b"\x01" b"\x7f\0\0\x01" b"\0\x35" b"end",
        Datagram(0x83, LOOPBACK, 53, b"127.0.0.1", b"end"),
    ),
    # A literal in a name field is that address.
    (
        b"\0\0" b"\0" b"\x03" b"\x09127.0.0.1" b"\0\x35" b"x",
        Datagram(0, LOOPBACK, 53, b"127.0.0.1", b"x"),
    ),
    # The longest header: a name of 255 octets (262 octets of header).
    (
        b"\0\0" b"\0" b"\x03" b"\xff" + b"a" * 255 + b"\0\x01" b"y",
        Datagram(0, BadHost(b"a" * 255, ""), 1, b"a" * 255, b"y"),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("octets", "said"), VECTORS)
def test_vectors(octets: bytes, said: Datagram) -> None:
    """Section 7: what each field says."""
    assert readDatagram(octets) == said


@pytest.mark.parametrize(
    ("host", "port", "header"),
    [
        (LOOPBACK, 53, b"\0\0\0\x01\x7f\0\0\x01\0\x35"),
        (SIX, 443, b"\0\0\0" + SIX_OCTETS + b"\x01\xbb"),
        ("example.com", 443, b"\0\0\0\x03\x0bexample.com\x01\xbb"),
    ],
)
def test_writtenVectors(host: Address | str, port: int, header: bytes) -> None:
    """Section 7: the header of a reply datagram, octet for octet."""
    assert encodeHeader(host, port) == header
    assert encodeDatagram(host, port, b"data") == header + b"data"


def test_headroom() -> None:
    """
    Section 7, with erratum 3198: the header is 10 octets for IPv4 and 22 for
    IPv6, and that is the most that is ever put before a payload.
    """
    assert len(encodeHeader(LOOPBACK, 1)) == 10
    assert len(encodeHeader(SIX, 1)) == 22 == HEADROOM


@pytest.mark.parametrize("octets", [vector for vector, _ in VECTORS])
def test_noHeaderNoDatagram(octets: bytes) -> None:
    """Shorter than its header, it is none: a datagram has no second half."""
    said = readDatagram(octets)
    for length in range(len(octets) - len(said.payload)):
        with pytest.raises(WireError):
            readDatagram(octets[:length])


@pytest.mark.parametrize("reserved", [b"\0\x01", b"\x01\0", b"\xff\xff"])
def test_reservedIsZero(reserved: bytes) -> None:
    """Section 7: RSV is X'0000'."""
    with pytest.raises(WireError):
        readDatagram(reserved + VECTORS[0][0][2:])


@pytest.mark.parametrize("kind", [0, 2, 5, 0xFF])
def test_unknownAddressTypes(kind: int) -> None:
    """Section 7: ATYP is 01, 03 or 04."""
    with pytest.raises(WireError):
        readDatagram(b"\0\0\0" + bytes([kind]) + bytes(40))


@given(st.one_of(hosts, names), ports, st.binary(max_size=600), st.integers(0, 255))
def test_whatIsWrittenIsRead(
    host: Address | str, port: int, payload: bytes, fragment: int
) -> None:
    """Reading undoes writing, for every host, port, payload and FRAG."""
    read = readDatagram(encodeDatagram(host, port, payload, fragment))
    assert (read.fragment, read.host, read.port) == (fragment, host, port)
    assert read.payload == payload


@given(st.binary(max_size=300))
def test_arbitraryOctets(octets: bytes) -> None:
    """Of arbitrary octets nothing but a datagram or WireError comes."""
    try:
        read = readDatagram(octets)
    except WireError:
        return
    assert octets.endswith(read.payload)
    assert read.fragment == octets[2]


@given(st.binary(max_size=300))
def test_arbitraryOctetsBehindAGoodBeginning(octets: bytes) -> None:
    """The same where the first octets lead into the address."""
    for kind in (1, 3, 4):
        try:
            readDatagram(b"\0\0\0" + bytes([kind]) + octets)
        except WireError:
            continue


# Fragments.


def fragment(frag: int, payload: bytes = b"", to: str = "a.example") -> Datagram:
    """A datagram with that FRAG."""
    return readDatagram(encodeDatagram(to, 53, payload, frag))


def assembled(queue: Reassembly, *frags: int) -> list[bytes]:
    """
    What comes out when fragments with these FRAGs come, each with its FRAG
    as its payload.
    """
    found = []
    for frag in frags:
        whole = queue.add(fragment(frag, bytes([frag])))
        if whole is not None:
            assert whole.fragment == 0
            assert (whole.host, whole.port) == ("a.example", 53)
            found.append(whole.payload)
    return found


@pytest.mark.parametrize(
    ("frags", "wholes"),
    [
        # Positions 1 to 127; the high-order bit ends the sequence.
        ([0x01, 0x82], [b"\x01\x82"]),
        ([0x01, 0x02, 0x83], [b"\x01\x02\x83"]),
        ([0x81], [b"\x81"]),
        ([*range(1, 127), 0xFF], [bytes([*range(1, 127), 0xFF])]),
        # One sequence after the other.
        ([0x01, 0x82, 0x01, 0x82], [b"\x01\x82", b"\x01\x82"]),
        # Nothing before its end.
        ([0x01, 0x02, 0x03], []),
        # A position lower than the highest abandons what there is, and
        # begins a sequence when it is the first.
        ([0x01, 0x02, 0x01, 0x82], [b"\x01\x82"]),
        ([0x01, 0x02, 0x81], [b"\x81"]),
        ([0x01, 0x02, 0x03, 0x02, 0x83], []),
        ([0x01, 0x02, 0x03, 0x82], []),
        # One is missing: nothing, of that sequence.
        ([0x01, 0x83], []),
        ([0x02, 0x83], []),
        ([0x82], []),
        ([0x01, 0x03, 0x04, 0x85], []),
        ([0x01, 0x83, 0x01, 0x82], [b"\x01\x82"]),
        # Out of order.
        ([0x02, 0x01, 0x83], []),
        ([0x82, 0x01], []),
        # X'80': an end without a position is no fragment.
        ([0x80], []),
        ([0x01, 0x80, 0x82], []),
        # X'FF' is the last of 127, and nothing else.
        ([0x01, 0xFF], []),
    ],
)
def test_fragments(frags: list[int], wholes: list[bytes]) -> None:
    """Section 7: positions 1 to 127, the last bit, what abandons a queue."""
    assert assembled(Reassembly(1000), *frags) == wholes


def test_allFragmentsHaveOneDestination() -> None:
    """A fragment to elsewhere belongs to nothing, and nothing comes of it."""
    queue = Reassembly(1000)
    assert queue.add(fragment(0x01, b"a", "a.example")) is None
    assert queue.add(fragment(0x82, b"b", "b.example")) is None
    assert queue.add(fragment(0x83, b"c", "a.example")) is None
    assert queue.held == 0
    assert assembled(queue, 0x01, 0x82) == [b"\x01\x82"]


def test_allFragmentsHaveOnePort() -> None:
    """The same for the port."""
    queue = Reassembly(1000)
    assert queue.add(fragment(0x01, b"a")) is None
    assert queue.add(fragment(0x82, b"b")._replace(port=54)) is None
    assert queue.held == 0


def test_fragmentsAreBounded() -> None:
    """As many octets as the limit, and not one more."""
    queue = Reassembly(10)
    assert queue.add(fragment(0x01, b"x" * 6)) is None
    whole = queue.add(fragment(0x82, b"y" * 4))
    assert whole is not None
    assert whole.payload == b"x" * 6 + b"y" * 4
    assert queue.add(fragment(0x01, b"x" * 6)) is None
    assert queue.held == 6
    assert queue.add(fragment(0x82, b"y" * 5)) is None
    assert queue.held == 0
    assert queue.add(fragment(0x81, b"z" * 11)) is None
    assert queue.held == 0
    assert assembled(queue, 0x01, 0x82) == [b"\x01\x82"]


def test_resetAbandonsEverything() -> None:
    """What the reassembly timer does: the rest of a sequence is none."""
    queue = Reassembly(1000)
    assert queue.add(fragment(0x01, b"x")) is None
    queue.reset()
    assert queue.held == 0
    assert assembled(queue, 0x82) == []


@given(
    st.lists(
        st.tuples(
            st.one_of(st.integers(0, 4), st.integers(0x80, 0x84), st.integers(0, 255)),
            st.binary(max_size=4),
            st.sampled_from(["a.example", "b.example"]),
        ),
        max_size=30,
    )
)
def test_nothingButWholeSequencesComesOut(
    sent: list[tuple[int, bytes, str]],
) -> None:
    """
    Section 7: whatever comes, what goes on is the fragments 1 to n of one
    destination, each once, in order, the last one marked; and no more than
    the limit is ever held.
    """
    queue = Reassembly(8)
    for end, (frag, payload, to) in enumerate(sent):
        whole = queue.add(fragment(frag, payload, to))
        assert queue.held <= 8
        count = frag & 0x7F
        run = sent[max(0, end + 1 - count) : end + 1]
        isWhole = (
            bool(frag & 0x80)
            and count > 0
            and [each[0] for each in run] == [*range(1, count), frag]
            and {each[2] for each in run} == {to}
            and sum(len(each[1]) for each in run) <= 8
        )
        if isWhole:
            assert whole is not None
            assert whole.payload == b"".join(each[1] for each in run)
            assert (whole.fragment, whole.host) == (0, to)
        else:
            assert whole is None


# Inside a TCP connection.

Read = Callable[[Reader], Datagram]
Write = Callable[..., bytes]
FRAMINGS: list[tuple[Read, Write]] = [
    (readWithLengths, encodeWithLengths),
    (readTunnelled, encodeTunnelled),
]
framings = pytest.mark.parametrize(("read", "write"), FRAMINGS, ids=["hev", "gost"])

#: hev: the data's length, 3 and the length of ADDR, ADDR, the data.
HEV: list[tuple[bytes, Datagram]] = [
    (
        b"\0\x05" b"\x0a" b"\x01\x7f\0\0\x01\0\x35" b"query",
        Datagram(0, LOOPBACK, 53, b"127.0.0.1", b"query"),
    ),
    (
        b"\0\x01" b"\x12" b"\x03\x0bexample.com\x01\xbb" b"x",
        Datagram(0, "example.com", 443, b"example.com", b"x"),
    ),
    (
        b"\0\0" b"\x16" + SIX_OCTETS + b"\0\x07",
        Datagram(0, SIX, 7, b"2001:db8::9", b""),
    ),
]  # fmt: skip
#: gost: a datagram of section 7 with the data's length as RSV, FF as FRAG.
GOST: list[tuple[bytes, Datagram]] = [
    (
        b"\0\x05" b"\xff" b"\x01\x7f\0\0\x01\0\x35" b"query",
        Datagram(0, LOOPBACK, 53, b"127.0.0.1", b"query"),
    ),
    (
        b"\0\x01" b"\xff" b"\x03\x0bexample.com\x01\xbb" b"x",
        Datagram(0, "example.com", 443, b"example.com", b"x"),
    ),
    (
        b"\0\0" b"\xff" + SIX_OCTETS + b"\0\x07",
        Datagram(0, SIX, 7, b"2001:db8::9", b""),
    ),
]  # fmt: skip
TUNNELLED = [
    *((*FRAMINGS[0], *vector) for vector in HEV),
    *((*FRAMINGS[1], *vector) for vector in GOST),
]


@pytest.mark.parametrize(("read", "write", "octets", "said"), TUNNELLED)
def test_framedVectors(read: Read, write: Write, octets: bytes, said: Datagram) -> None:
    """Both framings, octet for octet, both ways."""
    reader = Reader(octets + b"next")
    assert read(reader) == said
    assert reader.position == len(octets)
    assert not isinstance(said.host, BadHost)
    assert write(said.host, said.port, said.payload) == octets


@pytest.mark.parametrize(("read", "write", "octets", "said"), TUNNELLED)
def test_halfOfAFrame(read: Read, write: Write, octets: bytes, said: Datagram) -> None:
    """Each strict prefix of a frame wants more."""
    for length in range(len(octets)):
        with pytest.raises(NeedMoreData):
            read(Reader(octets[:length]))


@pytest.mark.parametrize(
    ("read", "octets"),
    [
        # hev: HLEN is 3 and the length of ADDR, exactly.
        (readWithLengths, b"\0\0\x09\x01\x7f\0\0\x01\0\x35"),
        (readWithLengths, b"\0\0\x0b\x01\x7f\0\0\x01\0\x35"),
        (readWithLengths, b"\0\0\0\x01\x7f\0\0\x01\0\x35"),
        (readWithLengths, b"\0\0\x0a\x02\x7f\0\0\x01\0\x35"),
        # gost: FRAG is FF.
        (readTunnelled, b"\0\0\0\x01\x7f\0\0\x01\0\x35"),
        (readTunnelled, b"\0\0\x81\x01\x7f\0\0\x01\0\x35"),
        (readTunnelled, b"\0\0\xff\x02\x7f\0\0\x01\0\x35"),
    ],
)
def test_framesThatAreNone(read: Read, octets: bytes) -> None:
    """What contradicts itself is an error, not a wait for more."""
    with pytest.raises(WireError):
        read(Reader(octets + bytes(400)))


@framings
@pytest.mark.parametrize("length", [0, 1, 1472, 65507, 65535])
def test_lengthsOfFrames(read: Read, write: Write, length: int) -> None:
    """Every length of a payload that two octets can say."""
    payload = b"p" * length
    reader = Reader(write(LOOPBACK, 9, payload))
    assert read(reader).payload == payload
    assert reader.position == len(reader.octets)


def frames(read: Read, pieces: list[bytes]) -> list[tuple[Host, int, bytes]]:
    """What is read from a stream that comes in pieces."""
    found: list[tuple[Host, int, bytes]] = []
    buffer = b""
    for piece in pieces:
        buffer += piece
        while True:
            reader = Reader(buffer)
            try:
                datagram = read(reader)
            except NeedMoreData:
                break
            buffer = buffer[reader.position :]
            found.append((datagram.host, datagram.port, datagram.payload))
    assert buffer == b""
    return found


messages: Any = st.lists(
    st.tuples(st.one_of(hosts, names), ports, st.binary(max_size=40)), max_size=5
)


@framings
@given(sent=messages, data=st.data())
def test_anySplitIsTheSame(
    read: Read,
    write: Write,
    sent: list[tuple[Address | str, int, bytes]],
    data: st.DataObject,
) -> None:
    """However the stream is cut, the same datagrams are read from it."""
    stream = b"".join(write(*each) for each in sent)
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=20))
    places = [0, *sorted(cuts), len(stream)]
    pieces = [stream[start:end] for start, end in pairwise(places)]
    assert frames(read, pieces) == sent
    octets = [stream[i : i + 1] for i in range(len(stream))]
    assert frames(read, octets) == sent


@framings
@given(octets=st.binary(max_size=300))
def test_arbitraryOctetsInAStream(read: Read, write: Write, octets: bytes) -> None:
    """Of arbitrary octets: a datagram, a wait for more, or WireError."""
    try:
        datagram = read(Reader(octets))
    except (NeedMoreData, WireError):
        return
    assert datagram.fragment == 0
    assert len(datagram.payload) == int.from_bytes(octets[:2], "big")
