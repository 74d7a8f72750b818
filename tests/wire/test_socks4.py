"""
The messages of SOCKS 4 and 4a, octet for octet as C{SOCKS: A protocol for TCP
proxy across firewalls} and C{SOCKS 4A: A Simple Extension} have them.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socksgw.wire import socks4
from socksgw.wire.address import Address, BadHost
from socksgw.wire.codes import Reply
from socksgw.wire.events import Replied, Requested
from socksgw.wire.reader import NeedMoreData, Reader, WireError
from tests.tools.samples import hosts4, names, ports
from tests.tools.vectors import REQUESTS4

V4 = Address.parse("192.0.2.7")


@pytest.mark.parametrize(("octets", "request_"), REQUESTS4, ids=lambda v: str(v)[:40])
def test_readRequest(octets: str, request_: Requested) -> None:
    """The request of SOCKS 4 and 4A; what is behind it stays."""
    reader = Reader(bytes.fromhex(octets) + b"a\0b\0")
    assert socks4.readRequest(reader) == request_
    assert reader.take(4) == b"a\0b\0"


@pytest.mark.parametrize("x", range(1, 256))
def test_everyDeferredAddress(x: int) -> None:
    """SOCKS 4A: any 0.0.0.x with nonzero x says that a name follows."""
    octets = b"\x04\x01\0\x50\0\0\0" + bytes((x,)) + b"\0"
    with pytest.raises(NeedMoreData):
        socks4.readRequest(Reader(octets))
    assert socks4.readRequest(Reader(octets + b"a\0")).host == "a"


def test_emptyName() -> None:
    """SOCKS 4A: a name of no octets is a bad destination."""
    request = socks4.readRequest(Reader(b"\x04\x01\0\x50\0\0\0\1\0\0"))
    assert isinstance(request.host, BadHost)


@pytest.mark.parametrize(
    "octets",
    [
        b"\x04\x01\0\x50\x7f\0\0\1" + b"u" * 255 + b"\0",
        b"\x04\x01\0\x50\0\0\0\1" + b"u" * 255 + b"\0" + b"n" * 255 + b"\0",
    ],
    ids=["USERID", "name"],
)
def test_longestFields(octets: bytes) -> None:
    """A field of 255 octets is read."""
    request = socks4.readRequest(Reader(octets))
    assert request.userId == b"u" * 255
    assert len(octets) <= socks4.REQUEST_LIMIT


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize(
    "octets",
    [
        b"\x04\x01\0\x50\x7f\0\0\1" + b"u" * 256,
        b"\x04\x01\0\x50\0\0\0\1" + b"\0" + b"n" * 256,
    ],
    ids=["USERID", "name"],
)
def test_tooLongFields(octets: bytes, whole: bool) -> None:
    """A field of 256 octets is refused, before its NULL has come too."""
    with pytest.raises(WireError, match="255"):
        socks4.readRequest(Reader(octets + (b"\0" if whole else b"")))


def test_readRequestOfAnotherVersion() -> None:
    """VN should be 4 (SOCKS 4, section CONNECT)."""
    with pytest.raises(WireError):
        socks4.readRequest(Reader(b"\x05\x01\0\x50\x7f\0\0\1\0"))


@pytest.mark.parametrize(
    ("command", "host", "port", "userId", "octets"),
    [
        (1, V4, 80, b"fred", "04 01 0050 c0000207 66726564 00"),
        (2, V4, 65535, b"", "04 02 ffff c0000207 00"),
        (1, Address(bytes(4)), 1, b"", "04 01 0001 00000000 00"),
        (1, "example.com", 443, b"", "04 01 01bb 00000001 00 6578616d706c652e636f6d 00"),
        (1, "a", 443, b"fred", "04 01 01bb 00000001 66726564 00 61 00"),
    ],
)  # fmt: skip
def test_encodeRequest(
    command: int, host: Address | str, port: int, userId: bytes, octets: str
) -> None:
    """The request of SOCKS 4, and for names of 4A."""
    assert socks4.encodeRequest(command, host, port, userId) == bytes.fromhex(octets)


@pytest.mark.parametrize(
    ("host", "userId"),
    [
        (Address.parse("::1"), b""),
        (Address(b"\0\0\0\1"), b""),
        (Address(b"\0\0\0\xff"), b""),
        ("", b""),
        ("a\0b", b""),
        ("x" * 256, b""),
        ("b\xfccher.example", b""),
        (V4, b"a\0b"),
        (V4, b"u" * 256),
    ],
    ids=ascii,
)
def test_encodeRequestLimits(host: Address | str, userId: bytes) -> None:
    """What SOCKS 4 and 4A cannot say is refused before it is sent."""
    with pytest.raises(ValueError):
        socks4.encodeRequest(1, host, 80, userId)


@pytest.mark.parametrize("reply", list(Reply))
def test_encodeReply(reply: Reply) -> None:
    """VN = 0, CD, DSTPORT, DSTIP: 90 for success, 91 for every failure."""
    code = "5a" if reply == 0 else "5b"
    octets = bytes.fromhex(f"00 {code} 1f90 c0000207")
    assert socks4.encodeReply(reply, V4, 8080) == octets


@pytest.mark.parametrize(("reply", "code"), [(0, 90), (5, 91)])
def test_encodeReplyBoundToIPv6(reply: int, code: int) -> None:
    """SOCKS 4 cannot say an IPv6 address: 0.0.0.0:0 stands for it."""
    octets = socks4.encodeReply(reply, Address.parse("2001:db8::1"), 8080)
    assert octets == bytes((0, code)) + bytes(6)


@pytest.mark.parametrize("code", [90, 91, 92, 93, 0, 255])
def test_readReply(code: int) -> None:
    """VN = 0, CD, DSTPORT, DSTIP (SOCKS 4, section CONNECT)."""
    octets = bytes((0, code)) + bytes.fromhex("0050 c0000207")
    assert socks4.readReply(Reader(octets)) == Replied(4, code, V4, 80)


@pytest.mark.parametrize("version", [4, 5, 1])
def test_readReplyOfAnotherVersion(version: int) -> None:
    """VN of the reply should be 0 (SOCKS 4, section CONNECT)."""
    with pytest.raises(WireError):
        socks4.readReply(Reader(bytes((version, 90)) + bytes(6)))


userIds = st.binary(max_size=255).filter(lambda octets: 0 not in octets)
direct = hosts4.filter(lambda a: a.packed[:3] != bytes(3) or a.packed[3] == 0)


@given(st.integers(0, 255), st.one_of(direct, names), ports, userIds)
def test_requestIdentity(
    command: int, host: Address | str, port: int, userId: bytes
) -> None:
    """A request that is written is the request that is read."""
    reader = Reader(socks4.encodeRequest(command, host, port, userId))
    expected = Requested(4, command, host, port, str(host).encode(), userId)
    assert socks4.readRequest(reader) == expected
    assert reader.position == len(reader.octets) <= socks4.REQUEST_LIMIT


@given(st.sampled_from(Reply), hosts4, ports)
def test_replyIdentity(reply: Reply, address: Address, port: int) -> None:
    """A reply that is written is the reply that is read."""
    reader = Reader(socks4.encodeReply(reply, address, port))
    code = 90 if reply == Reply.SUCCEEDED else 91
    assert socks4.readReply(reader) == Replied(4, code, address, port)
    assert reader.position == len(reader.octets) == socks4.REPLY_LIMIT
