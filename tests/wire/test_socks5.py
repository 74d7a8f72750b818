"""
The messages of SOCKS 5, octet for octet as RFC 1928 has them.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socksgw.wire import socks5
from socksgw.wire.address import Address, BadHost, parseHost
from socksgw.wire.codes import Reply
from socksgw.wire.events import MethodSelected, MethodsOffered, Replied, Requested
from socksgw.wire.reader import NeedMoreData, Reader, WireError
from tests.tools.samples import hosts, names, ports
from tests.tools.vectors import REQUESTS5

V4 = Address.parse("192.0.2.7")
V6 = Address.parse("2001:db8::1")
V6_OCTETS = bytes.fromhex("20010db8000000000000000000000001")


@pytest.mark.parametrize(
    ("octets", "methods"),
    [
        ("05 01 00", b"\x00"),
        ("05 02 00 02", b"\x00\x02"),
        ("05 03 02 01 00", b"\x02\x01\x00"),
        ("05 01 ff", b"\xff"),
        # The text says 1 to 255; none can be answered honestly, with FF.
        ("05 00", b""),
        ("05 ff" + "80" * 255, b"\x80" * 255),
    ],
    ids=lambda v: v[:12] if isinstance(v, str) else "",
)
def test_readMethods(octets: str, methods: bytes) -> None:
    """VER, NMETHODS, METHODS (RFC 1928 section 3)."""
    reader = Reader(bytes.fromhex(octets) + b"behind")
    assert socks5.readMethods(reader) == MethodsOffered(methods)
    assert reader.take(6) == b"behind"


@pytest.mark.parametrize("version", [0, 1, 4, 6, 255])
def test_readMethodsOfAnotherVersion(version: int) -> None:
    """VER is 5 (RFC 1928 section 3)."""
    with pytest.raises(WireError):
        socks5.readMethods(Reader(bytes((version, 1, 0))))


def test_encodeMethods() -> None:
    """VER, NMETHODS, METHODS (RFC 1928 section 3)."""
    assert socks5.encodeMethods(b"\x00") == bytes.fromhex("050100")
    assert socks5.encodeMethods(b"\x00\x02") == bytes.fromhex("05020002")
    assert socks5.encodeMethods(b"\x80" * 255) == b"\x05\xff" + b"\x80" * 255


@pytest.mark.parametrize("count", [0, 256])
def test_encodeMethodsLimits(count: int) -> None:
    """METHODS has 1 to 255 octets (RFC 1928 section 3)."""
    with pytest.raises(ValueError):
        socks5.encodeMethods(bytes(count))


@pytest.mark.parametrize("method", [0x00, 0x01, 0x02, 0x7F, 0x80, 0xFE, 0xFF])
def test_selection(method: int) -> None:
    """VER, METHOD (RFC 1928 section 3), both ways."""
    octets = bytes((5, method))
    assert socks5.encodeSelection(method) == octets
    assert socks5.readSelection(Reader(octets)) == MethodSelected(method)


@pytest.mark.parametrize("version", [0, 1, 4])
def test_selectionOfAnotherVersion(version: int) -> None:
    """The server's VER is 5 (RFC 1928 section 3)."""
    with pytest.raises(WireError):
        socks5.readSelection(Reader(bytes((version, 0))))


@pytest.mark.parametrize(("octets", "command", "host", "port", "asked"), REQUESTS5)
def test_readRequest(
    octets: str, command: int, host: Any, port: int, asked: bytes
) -> None:
    """VER, CMD, RSV, ATYP, DST.ADDR, DST.PORT (RFC 1928 sections 4 and 5)."""
    reader = Reader(bytes.fromhex(octets) + b"GET /")
    assert socks5.readRequest(reader) == Requested(5, command, host, port, asked, b"")
    assert reader.take(5) == b"GET /"


@pytest.mark.parametrize("size", [0, 1, 254, 255])
def test_readRequestNameLengths(size: int) -> None:
    """
    One octet gives the name's length (RFC 1928 section 5): 0 to 255 are read,
    and what is no name is a bad destination, not a broken request.
    """
    raw = b"x" * size
    octets = b"\x05\x01\x00\x03" + bytes((size,)) + raw + b"\x00\x50"
    assert len(octets) <= socks5.REQUEST_LIMIT
    request = socks5.readRequest(Reader(octets))
    assert request.asked == raw
    assert isinstance(request.host, BadHost) is (size != 1)


@pytest.mark.parametrize("kind", [0, 2, 5, 6, 127, 255])
def test_readRequestUnknownAddressType(kind: int) -> None:
    """An unknown ATYP is answered 08 (RFC 1928 section 6)."""
    with pytest.raises(WireError) as raised:
        socks5.readRequest(Reader(bytes((5, 1, 0, kind)) + bytes(6)))
    assert raised.value.reply == 0x08


@pytest.mark.parametrize("version", [0, 1, 4, 6])
def test_readRequestOfAnotherVersion(version: int) -> None:
    """The request's VER is 5 (RFC 1928 section 4); else 01 (section 6)."""
    with pytest.raises(WireError) as raised:
        socks5.readRequest(Reader(bytes((version, 1, 0, 1)) + bytes(6)))
    assert raised.value.reply == 0x01


@pytest.mark.parametrize(
    ("command", "host", "port", "octets"),
    [
        (1, V4, 80, "05 01 00 01 c0000207 0050"),
        (2, V6, 65535, "05 02 00 04 20010db8000000000000000000000001 ffff"),
        (3, "example.com", 443, "05 03 00 03 0b 6578616d706c652e636f6d 01bb"),
    ],
)
def test_encodeRequest(
    command: int, host: Address | str, port: int, octets: str
) -> None:
    """VER, CMD, RSV = 00, ATYP, DST.ADDR, DST.PORT (RFC 1928 section 4)."""
    assert socks5.encodeRequest(command, host, port) == bytes.fromhex(octets)


@pytest.mark.parametrize("name", ["", "x" * 256, "b\xfccher.example"])
def test_encodeRequestLimits(name: str) -> None:
    """One octet gives a name's length (RFC 1928 section 5), and it is ASCII."""
    with pytest.raises(ValueError):
        socks5.encodeRequest(1, name, 80)


def test_encodeRequestLongestName() -> None:
    """255 octets can be said (RFC 1928 section 5)."""
    octets = socks5.encodeRequest(1, "x" * 255, 80)
    assert octets == b"\x05\x01\x00\x03\xff" + b"x" * 255 + b"\x00\x50"
    assert len(octets) == socks5.REQUEST_LIMIT


@pytest.mark.parametrize("reply", list(Reply))
@pytest.mark.parametrize(
    ("address", "tail"),
    [(V4, "01 c0000207 1f90"), (V6, "04 20010db8000000000000000000000001 1f90")],
    ids=["IPv4", "IPv6"],
)
def test_reply(reply: Reply, address: Address, tail: str) -> None:
    """
    VER, REP, RSV = 00, ATYP, BND.ADDR, BND.PORT (RFC 1928 section 6), for
    every code, both ways.
    """
    octets = bytes((5, reply, 0)) + bytes.fromhex(tail)
    assert socks5.encodeReply(reply, address, 8080) == octets
    assert socks5.readReply(Reader(octets)) == Replied(5, reply, address, 8080)


def test_failureReplyIsWhole() -> None:
    """A failure has all fields too, 10 octets (RFC 1928 section 6)."""
    octets = socks5.encodeReply(Reply.CONNECTION_REFUSED, Address(bytes(4)), 0)
    assert octets == bytes.fromhex("05 05 00 01 00000000 0000")


@pytest.mark.parametrize(
    ("octets", "replied"),
    [
        # BND.ADDR may be a name (RFC 1928 section 6).
        ("05 00 00 03 01 61 0050", Replied(5, 0, "a", 80)),
        # X'09' to X'FF' are unassigned: read as they are.
        ("05 f0 00 01 00000000 0000", Replied(5, 0xF0, Address(bytes(4)), 0)),
    ],
)
def test_readReply(octets: str, replied: Replied) -> None:
    """Replies that other servers give (RFC 1928 section 6)."""
    assert socks5.readReply(Reader(bytes.fromhex(octets))) == replied


@pytest.mark.parametrize("octets", ["04 00 00 01", "00 5a 00 50", "05 00 00 02"])
def test_readReplyBroken(octets: str) -> None:
    """Another version, and an unknown ATYP (RFC 1928 section 6)."""
    with pytest.raises(WireError):
        socks5.readReply(Reader(bytes.fromhex(octets) + bytes(6)))


@given(st.binary(min_size=1, max_size=255))
def test_methodsIdentity(methods: bytes) -> None:
    """Methods that are written are the methods that are read."""
    reader = Reader(socks5.encodeMethods(methods))
    assert socks5.readMethods(reader) == MethodsOffered(methods)
    assert reader.position == len(reader.octets) <= socks5.METHODS_LIMIT


@given(st.integers(0, 255), st.one_of(hosts, names), ports)
def test_requestIdentity(command: int, host: Address | str, port: int) -> None:
    """A request that is written is the request that is read."""
    reader = Reader(socks5.encodeRequest(command, host, port))
    asked = str(host).encode()
    expected = parseHost(asked)
    assert expected == host
    assert socks5.readRequest(reader) == Requested(5, command, host, port, asked, b"")
    assert reader.position == len(reader.octets) <= socks5.REQUEST_LIMIT


@given(st.integers(0, 255), hosts, ports)
def test_replyIdentity(code: int, address: Address, port: int) -> None:
    """A reply that is written is the reply that is read."""
    reader = Reader(socks5.encodeReply(code, address, port))
    assert socks5.readReply(reader) == Replied(5, code, address, port)
    assert reader.position == len(reader.octets)


@given(st.integers(0, 255), st.one_of(hosts, names), ports, st.data())
def test_requestCutShort(
    command: int, host: Address | str, port: int, data: st.DataObject
) -> None:
    """Every beginning of a request asks for more."""
    octets = socks5.encodeRequest(command, host, port)
    cut = data.draw(st.integers(0, len(octets) - 1))
    with pytest.raises(NeedMoreData):
        socks5.readRequest(Reader(octets[:cut]))
