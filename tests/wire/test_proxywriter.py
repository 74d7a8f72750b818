"""
PROXY headers as they are written, octet for octet as HAProxy's text has them.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socksgw.wire.address import Address
from socksgw.wire.proxyheader import readProxyHeader
from socksgw.wire.proxywriter import HeaderVersion, proxyHeader
from tests.tools.proxyheaders import SIGNATURE, tls, vector

Ends = tuple[str, int, str, int]
V4: Ends = ("192.168.0.1", 56324, "192.168.0.11", 443)
V6: Ends = ("2001:db8::7", 4000, "2001:db8::1", 1080)
#: The longest line of version 1, 104 octets.
LONG: Ends = (
    "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    65535,
    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    65535,
)


def written(version: HeaderVersion, ends: Ends, *vectors: tuple[int, bytes]) -> bytes:
    """The header for a client and a destination."""
    source, port, destination, other = ends
    return proxyHeader(
        version,
        (Address.parse(source), port),
        (Address.parse(destination), other),
        vectors,
    )


@pytest.mark.parametrize(
    ("ends", "line"),
    [
        # The example of section 2.1.
        (V4, b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n"),
        (V6, b"PROXY TCP6 2001:db8::7 2001:db8::1 4000 1080\r\n"),
        (
            LONG,
            b"PROXY TCP6 fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
            b"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
        ),
        # One family for both.
        (
            ("192.0.2.7", 1, "2001:db8::1", 2),
            b"PROXY TCP6 ::ffff:192.0.2.7 2001:db8::1 1 2\r\n",
        ),
        (
            ("2001:db8::7", 1, "192.0.2.1", 2),
            b"PROXY TCP6 2001:db8::7 ::ffff:192.0.2.1 1 2\r\n",
        ),
    ],
)
def test_version1(ends: Ends, line: bytes) -> None:
    """Section 2.1: single spaces, no leading zeros, CR LF."""
    assert written("v1", ends) == line


@pytest.mark.parametrize(
    ("ends", "block"),
    [
        (V4, "21 11 000C C0A80001 C0A8000B DC04 01BB"),
        (
            V6,
            "21 21 0024 20010DB8000000000000000000000007"
            "20010DB8000000000000000000000001 0FA0 0438",
        ),
        (
            ("192.0.2.7", 1, "2001:db8::1", 2),
            "21 21 0024 00000000000000000000FFFFC0000207"
            "20010DB8000000000000000000000001 0001 0002",
        ),
    ],
)
def test_version2(ends: Ends, block: str) -> None:
    """Section 2.2: signature, command, family, length, addresses, ports."""
    assert written("v2", ends) == SIGNATURE + bytes.fromhex(block)


def test_vectors() -> None:
    """What is told besides is behind the addresses, and counts in the length."""
    header = written("v2", V4, (0x05, b"id"), (0xE0, b""))
    assert header[14:16] == bytes((0, 12 + 5 + 3))
    assert header[28:] == vector(0x05, b"id") + vector(0xE0, b"")


def test_nobody() -> None:
    """A client on a Unix socket has no address: UNKNOWN, and LOCAL without any."""
    destination = (Address.parse("192.0.2.1"), 443)
    assert proxyHeader("v1", None, destination) == b"PROXY UNKNOWN\r\n"
    local = SIGNATURE + bytes.fromhex("20 00 0000")
    assert proxyHeader("v2", None, destination) == local


@pytest.mark.parametrize(
    ("source", "nowhere"), [("192.0.2.7", "0.0.0.0"), ("2001:db8::7", "::")]
)
def test_name(source: str, nowhere: str) -> None:
    """A name that was not looked up has no address; version 2 tells it."""
    client, named = (Address.parse(source), 7), ("db.example", 443)
    family = "TCP6" if ":" in source else "TCP4"
    line = f"PROXY {family} {source} {nowhere} 7 443\r\n"
    assert proxyHeader("v1", client, named) == line.encode()
    found = readProxyHeader(proxyHeader("v2", client, named))
    assert found is not None
    header, _ = found
    assert header.source == client
    assert header.destination == (Address.parse(nowhere), 443)
    assert header.told == {"authority": b"db.example"}


ADDRESSES = st.one_of(
    st.binary(min_size=4, max_size=4), st.binary(min_size=16, max_size=16)
).map(Address)
PORTS = st.integers(0, 65535)


@given(ADDRESSES, PORTS, ADDRESSES, PORTS, st.sampled_from(["v1", "v2"]))
def test_readBack(
    source: Address, port: int, far: Address, other: int, version: HeaderVersion
) -> None:
    """The reader reads what is written, whatever follows."""
    client = Address.parse("198.51.100.7") if not isHost(source) else source
    octets = proxyHeader(version, (client, port), (far, other))
    found = readProxyHeader(octets + b"\r\n\x05")
    assert found is not None
    assert found[1] == len(octets)
    assert found[0].source == (client, port)
    assert found[0].destination == (far, other)


def isHost(address: Address) -> bool:
    """Whether a client may have it."""
    if address.version == 4:
        return 0 < address.packed[0] < 224
    return address.packed[0] != 0xFF and not address.isUnspecified


def test_tls() -> None:
    """A vector of vectors (section 2.2.6) is read back, too."""
    value = tls(0x07, 0, vector(0x21, b"TLSv1.3"))[3:]
    found = readProxyHeader(written("v2", V6, (0x20, value)))
    assert found is not None
    assert found[0].told["tls_version"] == b"TLSv1.3"
