"""
Addresses and host names: what a client may write, and what it means.

The expectations are those of the contract: a strict literal is an address,
brackets, case and one root dot are normalised first, a name is ASCII letters,
digits, hyphens and underscores, and what C{inet_aton} would take without being
a strict dotted quad is refused.
"""

from __future__ import annotations

import ipaddress
import re
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socksgw.wire.address import (
    UNSPECIFIED4,
    Address,
    BadHost,
    escaped,
    parseHost,
)
from tests.tools.vectors import LITERALS, NAMES, REFUSED


@pytest.mark.parametrize(("raw", "text"), LITERALS, ids=ascii)
def test_literal(raw: bytes, text: str) -> None:
    """A name field that holds a strict literal is that address."""
    host = parseHost(raw)
    assert isinstance(host, Address)
    assert host.text == text


@pytest.mark.parametrize(("raw", "name"), NAMES, ids=lambda v: ascii(v)[:60])
def test_name(raw: bytes, name: str) -> None:
    """A host name comes in lower case and without its root dot."""
    assert parseHost(raw) == name


@pytest.mark.parametrize("raw", REFUSED, ids=lambda v: ascii(v)[:60])
def test_refused(raw: bytes) -> None:
    """What is neither is kept as it came, with words that do not repeat it."""
    host = parseHost(raw)
    assert isinstance(host, BadHost)
    assert host.raw == raw
    assert host.why
    assert repr(host) == f"BadHost({host.why})"
    if len(raw) > 8:
        assert raw.decode("latin-1") not in host.why


def strictQuad(text: str) -> bool:
    """Whether this is four decimal octets without leading zeros."""
    parts = text.split(".")
    return len(parts) == 4 and all(
        part.isascii() and part.isdigit() and str(int(part)) == part and int(part) < 256
        for part in parts
    )


part = st.one_of(
    st.integers(0, 300).map(str),
    st.integers(0, 2**32 + 5).map(str),
    st.integers(0, 2**32 + 5).map(hex),
    st.integers(0, 300).map(hex),
    st.integers(0, 300).map(lambda n: hex(n).upper()),
    st.integers(0, 2**32 + 5).map(lambda n: f"0{n:o}"),
    st.integers(0, 300).map(lambda n: f"{n:04d}"),
    st.text("0123456789xXabcdef", max_size=4),
)
spelling = st.builds(
    lambda parts, tail: ".".join(parts) + tail,
    st.lists(part, min_size=1, max_size=5),
    st.sampled_from(["", "", "", "", ".", " ", " x", "\t", "\n"]),
)


@given(spelling)
def test_inetAton(text: str) -> None:
    """
    Whatever C{inet_aton} takes is an address when it is a strict dotted quad,
    and else refused; it is never a name for a resolver.
    """
    host = parseHost(text.encode())
    try:
        packed = socket.inet_aton(text)
    except OSError:
        packed = None
    if strictQuad(text):
        assert host == Address(socket.inet_pton(socket.AF_INET, text))
    elif packed is not None:
        assert isinstance(host, BadHost), text


@given(spelling)
def test_inetAtonBehindRootDot(text: str) -> None:
    """A root dot does not turn a number into a name."""
    host = parseHost(text.encode() + b".")
    try:
        socket.inet_aton(text)
    except OSError:
        return
    assert not isinstance(host, str), text


NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\Z", re.ASCII)


@given(
    st.one_of(
        st.binary(max_size=300),
        st.text("abAB01x-_.:[]% \0", max_size=40).map(str.encode),
        st.ip_addresses().map(lambda a: str(a).encode()),
    )
)
def test_threeKinds(raw: bytes) -> None:
    """
    Any octets are an address whose text says the same, or a name of which
    every rule of names holds, or refused. It never raises.
    """
    host = parseHost(raw)
    if isinstance(host, str):
        assert len(host) <= 253
        assert NAME.match(host), host
        assert raw.decode("ascii").lower() in (host, host + ".")
        assert not re.match(r"([0-9]+|0x[0-9a-f]*)\Z", host.split(".")[-1])
    elif isinstance(host, Address):
        text = raw.decode("ascii").strip("[]").removesuffix(".")
        meant = ipaddress.ip_address(text)
        mapped = getattr(meant, "ipv4_mapped", None)
        assert host.packed == (mapped or meant).packed
    else:
        assert host.raw == raw


@given(st.ip_addresses())
def test_addressText(meant: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    """The text of an address is canonical (RFC 5952), and parses to it."""
    address = Address(meant.packed)
    mapped = getattr(meant, "ipv4_mapped", None)
    assert address.text == str(mapped or meant) == str(address)
    assert Address.parse(address.text) == address
    assert parseHost(address.text.encode()) == address
    assert hash(Address(address.packed)) == hash(address)
    assert address.version == (mapped or meant).version


@pytest.mark.parametrize("size", [0, 1, 3, 5, 8, 15, 17])
def test_addressSize(size: int) -> None:
    """An address has 4 or 16 octets."""
    with pytest.raises(ValueError):
        Address(bytes(size))


@pytest.mark.parametrize(
    "text",
    ["", "127.1", "0x7f000001", "127.0.0.01", "::1%lo", "[::1]", "::1/64", "a.b"],
)
def test_addressParseIsStrict(text: str) -> None:
    """Only strict literals are parsed; even brackets are another's matter."""
    with pytest.raises(ValueError):
        Address.parse(text)


@pytest.mark.parametrize(
    ("text", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.255.255.254", True),
        ("128.0.0.1", False),
        ("126.255.255.255", False),
        ("::1", True),
        ("::", False),
        ("::2", False),
        ("::ffff:127.0.0.1", True),
    ],
)
def test_loopback(text: str, loopback: bool) -> None:
    """127.0.0.0/8 and ::1 never leave the host."""
    assert Address.parse(text).isLoopback is loopback


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:0:7:1:2:3:4", "2001:db8:0:7::/64"),
        ("2001:db8:0:7::", "2001:db8:0:7::/64"),
        ("::1", "::/64"),
    ],
)
def test_whatCountsAsOneSource(text: str, source: str) -> None:
    """One IPv4 address, or an IPv6 host's whole /64 (RFC 4291 section 2.5.4)."""
    address = Address.parse(text)
    assert address.sourceText == source
    network = ipaddress.ip_network(source)
    same = network.network_address.packed[: 4 if network.version == 4 else 8]
    assert address.sourceKey == same


def test_aUserOfThisMachine() -> None:
    """To rules it is 127.0.0.1; as a source it is nobody else's."""
    users = [Address.ofUser(uid) for uid in (0, 1000, 0xFFFFFFFF)]
    here = Address.parse("127.0.0.1")
    for each in users:
        assert each == here
        assert (each.text, each.isLoopback, each.isUser) == ("127.0.0.1", True, True)
    assert [each.sourceText for each in users] == [
        "uid:0", "uid:1000", "uid:4294967295",
    ]  # fmt: skip
    keys = {each.sourceKey for each in (*users, here, Address.parse("::1"))}
    assert len(keys) == 5
    assert not here.isUser


def test_aClientInAnotherNetwork() -> None:
    """The same address, and another source, however often the network is told."""
    here = Address.parse("10.0.0.1")
    there = here.among("netns:blue")
    assert there == here
    assert there.sourceKey != here.sourceKey
    assert there.sourceText == "10.0.0.1@netns:blue"
    assert there.among("netns:blue").sourceKey == there.sourceKey
    assert Address.parse("2001:db8::1").among("device:eth0").sourceText == (
        "2001:db8::/64@device:eth0"
    )


def test_differentAddressesDiffer() -> None:
    """An address equals itself, not another and not its text."""
    assert Address.parse("10.0.0.1") != Address.parse("10.0.0.2")
    assert Address.parse("::1") != Address.parse("0.0.0.1")
    assert Address.parse("10.0.0.1") != "10.0.0.1"
    assert Address.parse("0.0.0.0") == UNSPECIFIED4
    assert BadHost(b"a", "x") != BadHost(b"b", "x")
    assert BadHost(b"a", "x") == BadHost(b"a", "x")
    assert repr(Address.parse("::1")) == "Address(::1)"


@given(st.binary(max_size=64))
def test_escaped(raw: bytes) -> None:
    """Escaped octets are printable ASCII, and say exactly what came."""
    text = escaped(raw)
    assert all(" " <= c <= "~" for c in text)
    back = re.sub(r"\\x([0-9a-f]{2})", lambda m: chr(int(m[1], 16)), text)
    assert back.encode("latin-1") == raw
