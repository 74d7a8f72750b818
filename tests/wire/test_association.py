"""
Messages of associations, written from draft-olteanu-intarea-socks-6-11 section 7.3.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socksgw.wire import association
from socksgw.wire.address import Address, BadHost
from socksgw.wire.association import Message, MessageType, Unreached
from socksgw.wire.datagram import encodeHeader
from socksgw.wire.reader import NeedMoreData, Reader, WireError

ID = bytes.fromhex("0011223344556677")
V4, V6 = Address.parse("192.0.2.7"), Address.parse("2001:db8::7")
ROUTER = Address.parse("198.51.100.1")
#: Version, type, length of the message, the ID; address type, padding, port, address.
OF_V4 = "06 03 0016 0011223344556677 01 00 0035 c0000207 6869"
OF_V6 = "06 03 0020 0011223344556677 04 00 0035 20010db8000000000000000000000007"
OF_NAME = "06 03 001a 0011223344556677 03 00 0035 07 612e62632e6465 6869"
#: The same as draft -12 has it, whose length of a name counts its padding.
PADDED = (
    "06 03 0022 0011223344556677 03 00 0035 0f 612e62632e6465 0000000000000000 6869"
)
#: Reporter's address type, code, padding, reporter.
ERROR4 = "06 04 001c 0011223344556677 01 00 0035 c0000207 01 02 0000 c6336401"
ERROR46 = (
    "06 04 0034 0011223344556677"
    "04 00 0035 20010db8000000000000000000000007"
    "04 04 0000 20010db8000000000000000000000007"
)
HOSTS = st.one_of(
    st.binary(min_size=4, max_size=4).map(Address),
    st.binary(min_size=16, max_size=16).map(Address),
    st.from_regex(r"[a-z]([a-z0-9-]{0,20}[a-z0-9])?\.example", fullmatch=True),
)


def message(octets: bytes) -> Message:
    """A whole message."""
    reader = Reader(octets)
    found = association.readMessage(reader)
    assert reader.position == len(octets)
    return found


def test_beginning() -> None:
    """The two messages that are a header alone."""
    first = bytes.fromhex("06 01 000c 0011223344556677")
    assert association.encodeInitiated(ID) == first
    assert association.readInitiated(Reader(first)) == ID
    second = bytes.fromhex("06 02 000c 0011223344556677")
    assert association.encodeConfirmed(ID) == second
    assert message(second) == (MessageType.CONFIRMED, ID, b"")
    for octets in (second, bytes.fromhex("06 01 000d 0011223344556677 00")):
        with pytest.raises(WireError, match="its ID"):
            association.readInitiated(Reader(octets))


@pytest.mark.parametrize(
    ("octets", "host", "payload", "exact"),
    [
        (OF_V4, V4, b"hi", True),
        (OF_V6, V6, b"", True),
        (OF_NAME, "a.bc.de", b"hi", True),
        (PADDED, "a.bc.de", b"hi", False),
    ],
)
def test_datagrams(
    octets: str, host: Address | str, payload: bytes, exact: bool
) -> None:
    """Each kind of address, read and written; draft -12's names are read."""
    whole = bytes.fromhex(octets)
    assert int.from_bytes(whole[2:4], "big") == len(whole)
    datagram = association.datagramOf(message(whole))
    assert (datagram.host, datagram.port, datagram.payload) == (host, 53, payload)
    assert datagram.asked == str(host).encode()
    if exact:
        assert association.encodeDatagram(ID, host, 53, payload) == whole
        placed = association.encodePlaced(ID, encodeHeader(host, 53), payload)
        assert placed == whole


@pytest.mark.parametrize(
    ("octets", "error"),
    [
        (ERROR4, Unreached(V4, 53, ROUTER, 2)),
        (ERROR46, Unreached(V6, 53, V6, 4)),
    ],
)
def test_errors(octets: str, error: Unreached) -> None:
    """What ICMP told, read and written."""
    whole = bytes.fromhex(octets)
    assert int.from_bytes(whole[2:4], "big") == len(whole)
    assert association.encodeUnreached(ID, error) == whole
    assert association.unreachedOf(message(whole)) == error


@pytest.mark.parametrize(
    ("version", "kind", "code", "told"),
    [
        # RFC 792 and RFC 1812 section 5.2.7.1; RFC 4443 section 3.
        (4, 3, 0, 1), (4, 3, 1, 2), (4, 3, 2, 2), (4, 3, 3, 2), (4, 3, 4, None),
        (4, 3, 6, 1), (4, 3, 7, 2), (4, 3, 9, 1), (4, 3, 10, 2), (4, 3, 11, 1),
        (4, 3, 13, 2), (4, 11, 0, 3), (4, 5, 1, None), (4, 12, 0, None), (4, 2, 0, None),
        (6, 1, 0, 1), (6, 1, 1, 2), (6, 1, 3, 2), (6, 1, 4, 2), (6, 2, 0, 4),
        (6, 3, 0, 3), (6, 4, 0, None), (6, 11, 0, None),
    ],
)  # fmt: skip
def test_errorCodes(version: int, kind: int, code: int, told: int | None) -> None:
    """Network, host, TTL, too big in IPv6; other ICMP is not told."""
    assert association.errorCode(version, kind, code) == told


@pytest.mark.parametrize(
    ("octets", "why"),
    [
        ("05 03 000c" + "00" * 8, "version"),
        ("06 03 000b" + "00" * 8, "11 octets"),
        ("06 03 0000" + "00" * 8, "0 octets"),
    ],
)
def test_noMessage(octets: str, why: str) -> None:
    """A header that cannot be: the stream is lost."""
    with pytest.raises(WireError, match=why):
        association.readMessage(Reader(bytes.fromhex(octets)))


@pytest.mark.parametrize(
    "body", ["", "01 00 0035 c00002", "03 00 0035 07 6162", "02 00 0035 00", "03 00 00"]
)
@pytest.mark.parametrize("read", [association.datagramOf, association.unreachedOf])
def test_noBody(read: Callable[[Message], object], body: str) -> None:
    """Cut off, or of an unknown address type."""
    with pytest.raises(WireError):
        read(Message(3, ID, bytes.fromhex(body)))


def test_noName() -> None:
    """A name that is none is the policy's to refuse, as everywhere."""
    octets = bytes.fromhex("06 03 0015 0011223344556677 03 00 0035 04 3132372e")
    datagram = association.datagramOf(message(octets[:20] + b"1"))
    assert isinstance(datagram.host, BadHost)


@pytest.mark.parametrize(
    ("host", "payload"), [(V4, bytes(65516)), ("", b""), ("a" * 256, b"")]
)
def test_tooLong(host: Address | str, payload: bytes) -> None:
    """Its length has two octets."""
    with pytest.raises(ValueError, match="octets"):
        association.encodeDatagram(ID, host, 53, payload)


@given(HOSTS, st.integers(0, 65535), st.binary(max_size=100))
def test_identity(host: Address | str, port: int, payload: bytes) -> None:
    """What is written is read as it was; to the other end, too."""
    whole = association.encodeDatagram(ID, host, port, payload)
    datagram = association.readDatagramOf(ID)(Reader(whole))
    assert datagram is not None
    assert (datagram.host, datagram.port, datagram.payload) == (host, port, payload)
    assert association.readDatagramOf(bytes(8))(Reader(whole)) is None


def test_mutations() -> None:
    """
    Whatever becomes of a message, nothing is raised but L{WireError}, and
    L{NeedMoreData} while it is not as long as it says.
    """
    chance = random.Random(6)
    valid = [bytes.fromhex(e) for e in (OF_V4, OF_V6, OF_NAME, PADDED, ERROR4, ERROR46)]
    ended = {"read": 0, "wire": 0, "more": 0, "body": 0}
    for _ in range(30_000):
        octets = bytearray(chance.choice(valid))
        for _ in range(chance.randrange(1, 4)):
            at = chance.randrange(len(octets))
            kind = chance.randrange(4)
            if kind == 0:
                octets[at] ^= 1 << chance.randrange(8)
            elif kind == 1:
                octets[at] = chance.choice((0, 1, 3, 4, 12, 127, 255))
            elif kind == 2:
                octets[at:at] = chance.randbytes(chance.choice((1, 4, 300)))
            else:
                del octets[at + 1 :]
        try:
            found = association.readMessage(Reader(bytes(octets)))
        except WireError:
            ended["wire"] += 1
            continue
        except NeedMoreData:
            ended["more"] += 1
            continue
        for read in (association.datagramOf, association.unreachedOf):
            try:
                read(found)
            except WireError:
                ended["body"] += 1
            else:
                ended["read"] += 1
    assert all(count > 1000 for count in ended.values()), ended
