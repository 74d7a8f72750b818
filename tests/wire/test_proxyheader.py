"""
PROXY headers, octet for octet as HAProxy's text has them; and what is none.
"""

from __future__ import annotations

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socksgw.wire.address import Address
from socksgw.wire.proxyheader import (
    LONGEST,
    HeaderMissing,
    ProxyHeader,
    crc32c,
    readProxyHeader,
)
from socksgw.wire.reader import WireError
from tests.tools.proxyheaders import (
    LOCAL,
    SIGNATURE,
    checked,
    line,
    local,
    tls,
    vector,
    version2,
)

#: What comes behind a header.
BEHIND = b"\r\nPROXY \x05\x01\x00"
#: The example of section 2.1.
EXAMPLE = b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n"


def read(octets: bytes) -> ProxyHeader:
    """The header, of which no octet is missing or too many."""
    found = readProxyHeader(octets + BEHIND)
    assert found is not None
    assert found[1] == len(octets)
    return found[0]


def ends(header: ProxyHeader) -> tuple[str, int, str, int]:
    assert header.source is not None
    assert header.destination is not None
    return (
        header.source[0].text,
        header.source[1],
        header.destination[0].text,
        header.destination[1],
    )


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        (EXAMPLE, ("192.168.0.1", 56324, "192.168.0.11", 443)),
        (
            b"PROXY TCP4 223.255.255.255 255.255.255.255 65535 65535\r\n",
            ("223.255.255.255", 65535, "255.255.255.255", 65535),
        ),
        (b"PROXY TCP4 1.1.1.1 0.0.0.0 0 0\r\n", ("1.1.1.1", 0, "0.0.0.0", 0)),
        (
            b"PROXY TCP6 2001:DB8:0:0::7 2001:db8::1 4000 1080\r\n",
            ("2001:db8::7", 4000, "2001:db8::1", 1080),
        ),
        # The longest line of TCP6, 104 octets.
        (
            b"PROXY TCP6 fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
            b"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
            (
                "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 65535,
                "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 65535,
            ),
        ),
        # nginx on a socket that takes both families.
        (
            b"PROXY TCP6 ::ffff:127.0.0.1 ::ffff:127.0.0.1 5000 1080\r\n",
            ("127.0.0.1", 5000, "127.0.0.1", 1080),
        ),
    ],
    ids=["the text's", "the longest", "zeros", "six", "the longest six", "mapped"],
)  # fmt: skip
def test_version1(octets: bytes, expected: tuple[str, int, str, int]) -> None:
    """Section 2.1."""
    assert ends(read(octets)) == expected


@pytest.mark.parametrize(
    "octets",
    [
        b"PROXY UNKNOWN\r\n",
        b"PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
        b"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
        b"PROXY UNKNOWN \xff\x00\n\r any \r\n",
        LOCAL,
        local(b"\xff" * 40),
        local(bytes(12), 0x11),
        local(bytes(36) + vector(4, b""), 0x21),
        local(b"whatever", 0xF7),
        # AF_UNSPEC, by the command PROXY.
        SIGNATURE + b"\x21\x00\x00\x03abc",
    ],
    ids=["shortest", "longest", "anything", "local", "block", "four", "six", "wrong",
         "unspecified"],
)  # fmt: skip
def test_ofNobody(octets: bytes) -> None:
    """What follows in such headers is ignored."""
    assert read(octets) == ProxyHeader(None)


def test_version2() -> None:
    """Section 2.2: the layout, written out for an IPv4 and an IPv6 client."""
    four = SIGNATURE + bytes.fromhex("2111000c c0a80001 c0a8000b dc04 01bb")
    assert ends(read(four)) == ("192.168.0.1", 56324, "192.168.0.11", 443)
    assert four == version2("192.168.0.1", 56324, "192.168.0.11", 443)
    six = SIGNATURE + bytes.fromhex(
        "21210024 20010db8000000000000000000000007 20010db8000000000000000000000001"
        "0fa0 0438"
    )
    assert ends(read(six)) == ("2001:db8::7", 4000, "2001:db8::1", 1080)
    mapped = version2("::ffff:10.0.0.7", 1, "::ffff:10.0.0.1", 2)
    assert ends(read(mapped)) == ("10.0.0.7", 1, "10.0.0.1", 2)


def test_whatIsTold() -> None:
    """Sections 2.2.1 to 2.2.7; padding and what is not known is passed over."""
    vectors = b"".join(
        (
            vector(0x04, bytes(5)),
            vector(0x01, b"h2"),
            vector(0x02, b"gw.example"),
            vector(0x05, b"\x00" * 128),
            vector(0x30, b"blue"),
            vector(0xE0, b"custom"),
            tls(
                0x07,
                0,
                vector(0x21, b"TLSv1.3"),
                vector(0x22, b"alice"),
                vector(0x23, b"TLS_AES_256_GCM_SHA384"),
                vector(0x28, bytes(2000)),
            ),
            vector(0x02, b"again"),
        )
    )
    header = read(version2("192.0.2.7", 9, vectors=vectors))
    assert header.told == {
        "alpn": b"h2",
        "authority": b"gw.example",
        "unique_id": bytes(128),
        "netns": b"blue",
        "tls_version": b"TLSv1.3",
        "tls_name": b"alice",
        "tls_cipher": b"TLS_AES_256_GCM_SHA384",
        "tls_certificate": b"verified",
    }


@pytest.mark.parametrize(
    ("client", "verify", "told"),
    [
        # HAProxy says 0 also where there is no certificate.
        (0x01, 0, {"tls_certificate": b"none"}),
        (0x03, 1, {"tls_certificate": b"not verified"}),
        (0x05, 0, {"tls_certificate": b"verified"}),
        (0x00, 0, {}),
    ],
)
def test_theCertificate(client: int, verify: int, told: dict[str, bytes]) -> None:
    """The result counts only where there is a certificate (section 2.2.6)."""
    vectors = tls(client, verify)
    assert read(version2("192.0.2.7", 9, vectors=vectors)).told == told


def test_crc32c() -> None:
    """The check value of the polynomial, and RFC 3720's examples (B.4)."""
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(b"\xff" * 32) == 0x62A8AB43


def test_ofHAProxy() -> None:
    """Version 2.6: its check, a client of its Unix socket, and one by TCP."""
    check = SIGNATURE + bytes.fromhex("20000007 030004 a9b87e8f")
    assert read(check) == ProxyHeader(None)
    unix = bytes.fromhex("20000015 030004 f7c11068") + vector(5, b"id-unix-2-5")
    assert read(SIGNATURE + unix).told == {"unique_id": b"id-unix-2-5"}
    client = bytes.fromhex("2111002a 7f0000017f000001 b5968939 030004 bd9222be")
    header = read(SIGNATURE + client + vector(5, b"id-127.0.0.1-46486-4"))
    assert ends(header) == ("127.0.0.1", 46486, "127.0.0.1", 35129)
    assert header.told == {"unique_id": b"id-127.0.0.1-46486-4"}


def test_checksum() -> None:
    """Every changed bit of a header with a checksum is seen (section 2.2.3)."""
    whole = checked(version2("192.0.2.7", 9, vectors=vector(2, b"gw.example")))
    assert ends(read(whole))[0] == "192.0.2.7"
    assert read(checked(LOCAL)) == ProxyHeader(None)
    for bit in range(len(whole) * 8):
        wrong = bytearray(whole)
        wrong[bit // 8] ^= 1 << bit % 8
        try:
            found = readProxyHeader(bytes(wrong))
        except WireError:
            continue
        # A longer length asks for more; a type of another name is no checksum, and
        # LOCAL is of nobody.
        assert found is None or bit // 8 == len(whole) - 7
    with pytest.raises(WireError, match="checksum"):
        read(checked(LOCAL)[:-1] + b"\x00")
    with pytest.raises(WireError, match="two checksums"):
        read(version2("192.0.2.7", 9, vectors=_twice()))


def _twice() -> bytes:
    """Two checksums, of which the first is right."""
    head = version2("192.0.2.7", 9, vectors=vector(3, bytes(4)) * 2)[:-14]
    rest = vector(3, bytes(4))
    first = crc32c(head + rest + rest)
    return vector(3, first.to_bytes(4, "big")) + rest


@pytest.mark.parametrize(
    "octets",
    [
        b"PROXY  TCP4 192.0.2.7 192.0.2.1 9 1080\r\n",
        b"PROXY TCP4 192.0.2.7 192.0.2.1 9 1080 \r\n",
        b"PROXY TCP4 192.0.2.7 192.0.2.1 9\r\n",
        b"PROXY TCP4\r\n",
        b"PROXY \r\n",
        b"PROXY tcp4 192.0.2.7 192.0.2.1 9 1080\r\n",
        b"PROXY TCP5 192.0.2.7 192.0.2.1 9 1080\r\n",
        b"PROXY UDP4 192.0.2.7 192.0.2.1 9 1080\r\n",
        b"PROXY UNKNOWNS\r\n",
        b"PROXY TCP4 192.0.2.7 192.0.2.1 9 1080\n",
        b"PROXY TCP4 192.0.2.7 192.0.2.1 9 1080\r \n\r\n",
        b"PROXY TCP4 192.0.2.007 192.0.2.1 9 1080\r\n",
        b"PROXY TCP4 192.0.2.256 192.0.2.1 9 1080\r\n",
        b"PROXY TCP4 192.0.2 192.0.2.1 9 1080\r\n",
        b"PROXY TCP4 3221225991 192.0.2.1 9 1080\r\n",
        b"PROXY TCP4 2001:db8::7 2001:db8::1 9 1080\r\n",
        b"PROXY TCP6 192.0.2.7 192.0.2.1 9 1080\r\n",
        b"PROXY TCP6 2001:db8::7 192.0.2.1 9 1080\r\n",
        b"PROXY TCP4 192.0.2.7 2001:db8::1 9 1080\r\n",
        b"PROXY TCP6 fe80::1%eth0 2001:db8::1 9 1080\r\n",
        b"PROXY TCP6 [2001:db8::7] 2001:db8::1 9 1080\r\n",
        b"PROXY TCP4 gw.example 192.0.2.1 9 1080\r\n",
        b"PROXY TCP4 192.0.2.7 192.0.2.1 65536 1080\r\n",
        b"PROXY TCP4 192.0.2.7 192.0.2.1 9 99999\r\n",
        b"PROXY TCP4 192.0.2.7 192.0.2.1 09 1080\r\n",
        b"PROXY TCP4 192.0.2.7 192.0.2.1 00 1080\r\n",
        b"PROXY TCP4 192.0.2.7 192.0.2.1 -9 1080\r\n",
        b"PROXY TCP4 192.0.2.7 192.0.2.1 +9 1080\r\n",
        b"PROXY TCP4 192.0.2.7 192.0.2.1 9_0 1080\r\n",
        b"PROXY TCP4 192.0.2.7 192.0.2.1 \xb2 1080\r\n",
        b"PROXY TCP4 192.0.2.7\x00 192.0.2.1 9 1080\r\n",
        b"PROXY TCP4 0.0.0.0 192.0.2.1 9 1080\r\n",
        b"PROXY TCP4 224.0.0.1 192.0.2.1 9 1080\r\n",
        b"PROXY TCP4 255.255.255.255 192.0.2.1 9 1080\r\n",
        b"PROXY TCP6 ff02::1 2001:db8::1 9 1080\r\n",
        b"PROXY TCP6 :: 2001:db8::1 9 1080\r\n",
        b"PROXY " + b"x" * 101,
        b"PROXY UNKNOWN " + b"x" * 92 + b"\r\n",
        SIGNATURE + b"\x11\x11\x00\x0c" + bytes(12),
        SIGNATURE + b"\x31\x11\x00\x0c" + bytes(12),
        SIGNATURE + b"\x22\x11\x00\x0c" + bytes(12),
        SIGNATURE + b"\x21\x12\x00\x0c" + b"\x01" * 12,
        SIGNATURE + b"\x21\x22\x00\x24" + b"\x01" * 36,
        SIGNATURE + b"\x21\x31\x00\xd8" + b"/" * 216,
        SIGNATURE + b"\x21\x32\x00\xd8" + b"/" * 216,
        SIGNATURE + b"\x21\x41\x00\x0c" + b"\x01" * 12,
        SIGNATURE + b"\x21\x13\x00\x0c" + b"\x01" * 12,
        SIGNATURE + b"\x21\x10\x00\x0c" + b"\x01" * 12,
        SIGNATURE + b"\x21\x01\x00\x0c" + b"\x01" * 12,
        SIGNATURE + b"\x21\x11\x00\x0b" + b"\x01" * 11,
        SIGNATURE + b"\x21\x21\x00\x23" + b"\x20" * 35,
        SIGNATURE + b"\x21\x21\x00\x0c" + b"\x20" * 12,
        version2("224.0.0.1", 9),
        version2("192.0.2.7", 9, vectors=b"\x02"),
        version2("192.0.2.7", 9, vectors=b"\x02\x00"),
        version2("192.0.2.7", 9, vectors=b"\x02\x00\x01"),
        version2("192.0.2.7", 9, vectors=b"\x02\xff\xff" + bytes(40)),
        version2("192.0.2.7", 9, vectors=vector(3, bytes(3))),
        version2("192.0.2.7", 9, vectors=vector(3, bytes(5))),
        version2("192.0.2.7", 9, vectors=vector(3, b"")),
        version2("192.0.2.7", 9, vectors=vector(5, bytes(129))),
        version2("192.0.2.7", 9, vectors=vector(0x20, bytes(4))),
        version2("192.0.2.7", 9, vectors=vector(0x20, b"\1\0\0\0\0\x21\0\x09TLS")),
        SIGNATURE + b"\x21\x11\xff\xff",
        SIGNATURE + b"\x20\x00\xff\xff",
    ],
)  # fmt: skip
def test_wrong(octets: bytes) -> None:
    """Refused as soon as the last octet is there, without waiting for more."""
    with pytest.raises(WireError) as raised:
        readProxyHeader(octets)
    assert not isinstance(raised.value, HeaderMissing)
    assert raised.value.reply is None


@pytest.mark.parametrize(
    ("octets", "what"),
    [
        (b"\x05\x01\x00", "SOCKS 5"),
        (b"\x04\x01", "SOCKS 4"),
        (b"\x16\x03\x01", "TLS"),
        (b"GET / HTTP/1.1\r\n", "HTTP"),
        (b"proxy tcp4", ""),
        (b"\r\n\r\n\x00\r\nQUIX", ""),
        (b" PROXY TCP4", ""),
        (b"\x00", ""),
    ],
)
def test_missing(octets: bytes, what: str) -> None:
    """What is none is told at its first octet that shows it."""
    with pytest.raises(HeaderMissing, match=f"no PROXY header came, but .*{what}"):
        readProxyHeader(octets)


WHOLE = [
    EXAMPLE,
    line("2001:db8::7", 9, "2001:db8::1"),
    b"PROXY UNKNOWN\r\n",
    version2("192.0.2.7", 9, vectors=vector(2, b"gw.example") + tls(1, 0)),
    version2("2001:db8::7", 9, "2001:db8::1"),
    checked(version2("192.0.2.7", 9)),
    LOCAL,
]


@pytest.mark.parametrize("whole", WHOLE)
def test_cutAtEveryOctet(whole: bytes) -> None:
    """No part of a header is one, or wrong."""
    for end in range(len(whole)):
        assert readProxyHeader(whole[:end]) is None
    assert readProxyHeader(whole) is not None
    assert readProxyHeader(bytearray(whole + BEHIND)) is not None


def test_theLargest() -> None:
    """As many octets as are taken, and one more."""
    fits = version2("192.0.2.7", 9, vectors=vector(4, bytes(LONGEST - 31)))
    assert len(fits) == LONGEST
    assert ends(read(fits))[0] == "192.0.2.7"
    with pytest.raises(WireError, match="are taken"):
        readProxyHeader(version2("192.0.2.7", 9, vectors=vector(4, bytes(LONGEST))))


@given(
    st.sampled_from(WHOLE),
    st.lists(st.tuples(st.integers(0, 120), st.binary(max_size=3)), max_size=3),
)
def test_mutations(whole: bytes, changes: list[tuple[int, bytes]]) -> None:
    """Whatever comes: a header of one host, more is wanted, or it is refused."""
    octets = bytearray(whole)
    for at, new in changes:
        octets[at : at + 1] = new
    if not octets:
        return
    try:
        found = readProxyHeader(bytes(octets))
    except WireError:
        return
    if found is not None and found[0].source is not None:
        address, port = found[0].source
        assert 0 <= port <= 65535
        socket.inet_pton(
            socket.AF_INET if address.version == 4 else socket.AF_INET6, address.text
        )
        assert isinstance(address, Address)
        assert found[1] <= len(octets)
