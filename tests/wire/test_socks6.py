"""
The messages of SOCKS 6, octet for octet as draft-olteanu-intarea-socks-6-11 has them.

Nobody has published vectors: these are written from the figures of the text.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socksgw.wire import socks6
from socksgw.wire.address import Address, BadHost
from socksgw.wire.codes import Reply
from socksgw.wire.events import Requested
from socksgw.wire.reader import NeedMoreData, Reader, WireError
from socksgw.wire.socks6 import Socks6Replied
from socksgw.wire.socks6options import NO_OPTIONS, OPTIONS_LIMIT
from socksgw.wire.stacks import TOS, Leg, Stack
from tests.tools.samples import hosts, names, ports
from tests.tools.vectors import REQUESTS6, WHOLE6

V4 = Address.parse("192.0.2.7")
V6 = Address.parse("2001:db8::1")


@pytest.mark.parametrize(("octets", "request_"), REQUESTS6, ids=lambda v: str(v)[:40])
def test_readRequest(octets: str, request_: Requested) -> None:
    """Section 4; what is behind it stays."""
    reader = Reader(bytes.fromhex(octets) + b"a\0b")
    assert socks6.readRequest(reader) == request_
    assert reader.take(3) == b"a\0b"


@pytest.mark.parametrize("octets", [each for each, _ in REQUESTS6])
def test_aRequestThatIsNotWhole(octets: str) -> None:
    """Wherever it ends, more of it is awaited."""
    whole = bytes.fromhex(octets)
    for end in range(len(whole)):
        with pytest.raises(NeedMoreData):
            socks6.readRequest(Reader(whole[:end]))


def test_withoutOptions() -> None:
    """The usual request makes no object for them."""
    request = socks6.readRequest(Reader(bytes.fromhex(REQUESTS6[0][0])))
    assert request.options is NO_OPTIONS


def test_initialDataIsOfConnect() -> None:
    """Of other commands its length says nothing (section 8.2)."""
    options = bytes.fromhex("0002 0008 0005 02 00")
    for command, initial in ((1, 5), (2, 0), (3, 0)):
        octets = socks6.encodeRequest(command, V4, 80, options)
        assert socks6.readRequest(Reader(octets)).options.initial == initial


@pytest.mark.parametrize(
    ("octets", "why"),
    [
        ("05 01 0000 0050 00 01 c0000207", "not a SOCKS 6"),
        ("06 01 0001 0050 00 01 c0000207", "1 octets of options"),
        ("06 01 5004 0050 00 01 c0000207", "20484 octets of options"),
        ("06 01 0000 0050 00 02 c0000207", "address type 2"),
        ("06 01 0004 0050 00 01 c0000207 0005 0003", "length"),
        ("06 01 0004 0050 00 01 c0000207 0005 0008", "length"),
        ("06 01 0004 0050 00 01 c0000207 fc00 0000", "length"),
    ],
)
def test_broken(octets: str, why: str) -> None:
    """What breaks section 4 or 8 is refused."""
    with pytest.raises(WireError, match=why):
        socks6.readRequest(Reader(bytes.fromhex(octets)))


def test_theLongestRequest() -> None:
    """A name of 255 octets and 20 KB of options (draft -12) are within the limit."""
    octets = socks6.encodeRequest(
        1, "a" * 255, 1, b"\xfc\0\x50\0" + bytes(OPTIONS_LIMIT - 4)
    )
    assert len(octets) == socks6.REQUEST_LIMIT
    assert isinstance(socks6.readRequest(Reader(octets)).host, BadHost)


@pytest.mark.parametrize(
    ("command", "host", "port", "options", "octets"),
    [
        (1, V4, 80, b"", "06 01 0000 0050 00 01 c0000207"),
        (1, V6, 1, b"", "06 01 0000 0001 00 04 20010db8000000000000000000000001"),
        (1, "abcd", 443, b"", "06 01 0000 01bb 00 03 04 61626364 000000"),
        (1, "a", 443, b"\0\5\0\4", "06 01 0004 01bb 00 03 01 61 0000 0005 0004"),
    ],
)  # fmt: skip
def test_encodeRequest(
    command: int, host: Address | str, port: int, options: bytes, octets: str
) -> None:
    """Section 4; the length of a name is that of draft -11."""
    written = socks6.encodeRequest(command, host, port, options)
    assert written == bytes.fromhex(octets)


@pytest.mark.parametrize(
    ("host", "port", "options"),
    [
        ("", 80, b""),
        ("x" * 256, 80, b""),
        ("b\xfccher.example", 80, b""),
        (V4, 65536, b""),
        (V4, -1, b""),
        (V4, 80, bytes(OPTIONS_LIMIT + 4)),
    ],
    ids=ascii,
)
def test_whatCannotBeSaid(host: Address | str, port: int, options: bytes) -> None:
    """It is refused before it is sent."""
    with pytest.raises(ValueError):
        socks6.encodeRequest(1, host, port, options)


def test_readAuthReply() -> None:
    """Figure "SOCKS 6 Authentication Reply": version, type, length, options."""
    told = socks6.readAuthReply(Reader(bytes.fromhex("06 00 0000")))
    assert told.succeeded
    assert told.options.method is None
    octets = bytes.fromhex("06 01 0008 0003 0008 02 000000")
    told = socks6.readAuthReply(Reader(octets))
    assert (told.succeeded, told.options.method) == (False, 2)


@pytest.mark.parametrize(
    "octets", ["05 00 0000", "06 02 0000", "06 00 0002", "06 00 5004"]
)
def test_noAuthReply(octets: str) -> None:
    """Another version (section 5), another type, a length that cannot be."""
    with pytest.raises(WireError):
        socks6.readAuthReply(Reader(bytes.fromhex(octets)))


@pytest.mark.parametrize(
    ("reply", "host", "port", "octets"),
    [
        (0, V4, 8080, "06 00 0000 1f90 00 01 c0000207"),
        (0, V6, 8080, "06 00 0000 1f90 00 04 20010db8000000000000000000000001"),
        (5, Address(bytes(4)), 0, "06 05 0000 0000 00 01 00000000"),
    ],
)
def test_encodeReply(reply: int, host: Address, port: int, octets: str) -> None:
    """Figure "SOCKS 6 Operation Reply"."""
    assert socks6.encodeReply(reply, host, port) == bytes.fromhex(octets)
    if not reply:
        assert socks6.Socks6().succeeded(host, port) == bytes.fromhex(octets)


@pytest.mark.parametrize(
    ("octets", "replied"),
    [
        ("06 00 0000 1f90 00 01 c0000207", Socks6Replied(0, V4, 8080)),
        ("06 00 0000 1f90 00 03 01 61 0000", Socks6Replied(0, "a", 8080)),
        (
            "06 00 0008 1f90 00 01 c0000207 0001 0008 81 01 b8 00",
            Socks6Replied(0, V4, 8080, (Stack(Leg.REMOTE, TOS, 0xB8),)),
        ),
        # Of a refusal nothing counts but its code.
        ("06 09", Socks6Replied(9, Address(bytes(4)), 0)),
    ],
)
def test_readAnswer(octets: str, replied: Socks6Replied) -> None:
    """Section 7."""
    reader = Reader(bytes.fromhex(octets))
    assert socks6.readAnswer(reader) == replied
    assert reader.position == len(reader.octets)


@pytest.mark.parametrize(
    ("reply", "reason", "code"),
    [
        (Reply.HOST_UNREACHABLE, "connect-timeout", 9),
        (Reply.HOST_UNREACHABLE, "lookup-timeout", 9),
        (Reply.HOST_UNREACHABLE, "host-unreachable", 4),
        (Reply.NOT_ALLOWED, "policy", 2),
    ],
)
def test_refusals(reply: Reply, reason: str, code: int) -> None:
    """What came too late has a code that SOCKS 5 does not have (section 7)."""
    octets = socks6.Socks6().encodeRefusal(reply, reason, "")
    assert octets == bytes((6, code)) + bytes.fromhex("0000 0000 00 01 00000000")


@given(st.integers(1, 255), st.one_of(hosts, names), ports)
def test_requestIdentity(command: int, host: Address | str, port: int) -> None:
    """A request that is written is the request that is read; so is a reply."""
    reader = Reader(socks6.encodeRequest(command, host, port))
    expected = Requested(6, command, host, port, str(host).encode(), b"")
    assert socks6.readRequest(reader) == expected
    assert reader.position == len(reader.octets)
    assert reader.position % 4 == 0
    reader = Reader(socks6.encodeReply(0, host, port))
    assert socks6.readAnswer(reader) == Socks6Replied(0, host, port)
    assert reader.position == len(reader.octets)


@given(st.binary(max_size=80), st.lists(st.integers(0, 80), max_size=4))
def test_anythingIsReadOrRefused(rest: bytes, cuts: list[int]) -> None:
    """Only L{WireError} comes of octets, and the same of any beginning of them."""
    octets = b"\x06" + rest
    for read in (socks6.readRequest, socks6.readAuthReply, socks6.readAnswer):
        ends: list[object] = []
        for start, end in pairwise([0, *sorted(cuts), len(octets)]):
            assert start <= end or end == len(octets)
            try:
                ends.append(read(Reader(octets[:end]))[:2])
            except WireError as e:
                ends.append((str(e), e.reply))
            except NeedMoreData:
                assert not ends, "what was read is awaited again"
        # Longer input does not change what was found of shorter input.
        assert len({str(each) for each in ends}) <= 1


@pytest.mark.parametrize(
    "place",
    ["0050 00 01 00000000", "0000 00 01 7f000001", "0000 00 03 03 616263"],
)
def test_noopWithADestination(place: str) -> None:
    """Its address is of IPv4 or IPv6, and zeros, as its port (section 4)."""
    with pytest.raises(WireError, match="NOOP"):
        socks6.readRequest(Reader(bytes.fromhex("06 00 0000" + place)))


@pytest.mark.parametrize(
    ("command", "option", "told"),
    [
        # Section 8.1.8: leg 2, level 5, code 1, availability.
        (3, "0001 0008 85 01 02 00", "02"),
        # On both legs.
        (3, "0001 0008 c5 01 02 00", "02"),
        (3, "0001 0008 85 01 01 00", "01"),
        (3, "0001 0008 45 01 02 00", ""),
        (3, "0001 0008 85 02 02 00", ""),
        (3, "", ""),
        (1, "0001 0008 85 01 02 00", ""),
    ],
)
def test_errorsWanted(command: int, option: str, told: str) -> None:
    """
    The client hears of ICMP where it asks for it, and is told whether it will: not
    where it is refused.
    """
    octets = socks6.encodeRequest(command, V4, 80, bytes.fromhex(option))
    request = socks6.readRequest(Reader(octets))
    dialect = socks6.Socks6()
    assert dialect.wantsErrors(request) is (told == "02")
    answering = dialect.answering(request)
    for reply, said in ((Reply.SUCCEEDED, told), (Reply.NOT_ALLOWED, told and "01")):
        expected = "0000 0050 00 01 c0000207"
        if said:
            expected = f"0008 0050 00 01 c0000207 0001 0008 85 01 {said} 00"
        octets = answering.encodeReply(reply, V4, 80)
        assert octets == bytes((6, reply)) + bytes.fromhex(expected)


@pytest.mark.parametrize(
    ("octets", "said", "data", "methods", "bare"), WHOLE6, ids=lambda v: str(v)[:40]
)
@pytest.mark.parametrize("view", [bytes, memoryview])
def test_readWhole(
    octets: str,
    said: tuple[object, ...],
    data: dict[int, str],
    methods: str,
    bare: str,
    view: Callable[[bytes], bytes | memoryview],
) -> None:
    """At one look, with the login that it brings; what is behind it stays."""
    whole = bytes.fromhex(octets)
    found = socks6.readWhole(view(whole + b"behind"))
    assert found is not None
    asked, login, without = found
    assert asked == (*said, len(whole))
    assert {k: login.presented(k) for k in (1, 2, 3) if login.presented(k)} == {
        k: bytes.fromhex(v) for k, v in data.items()
    }
    own = bytes((*data, 0))
    assert login.offers == ((own, bytes.fromhex(methods)) if methods else (own,))
    assert without == bytes.fromhex(bare)
    # As the conversation reads it: the credentials are told to nobody any more.
    request, bare_ = (socks6.readRequest(Reader(each)) for each in (whole, without))
    assert request == bare_ == Requested(6, *asked[:4], b"")
    assert bare_.options is NO_OPTIONS
    for end in range(len(whole)):
        assert socks6.readWhole(view(whole[:end])) is None


@pytest.mark.parametrize(
    "octets",
    [
        # Other commands; another version; no such type of address.
        "06 00 0000 0000 00 01 00000000",
        "06 02 0000 0050 00 01 c0000207",
        "06 03 0000 0050 00 01 c0000207",
        "05 01 0000 0050 00 01 c0000207",
        "06 01 0000 0050 00 02 c0000207",
        # A session (section 8.4), how the stacks are to be (8.1).
        "06 01 0004 0050 00 01 c0000207 0005 0004",
        "06 01 0008 0050 00 01 c0000207 0006 0008 61626364",
        "06 01 0008 0050 00 01 c0000207 0001 0008 81 01 b8 00",
        # Lengths that are wrong: of all options, of one, and too long.
        "06 01 0005 0050 00 01 c0000207 fc00 0004 00",
        "06 01 0004 0050 00 01 c0000207 fc00 0008",
        "06 01 5004 0050 00 01 c0000207 fc00 5004" + "00" * 0x5000,
        # More initial data than the draft has (section 8.2).
        "06 01 0008 0050 00 01 c0000207 0002 0008 4001 02 00",
    ],
)
def test_whatIsNotReadAtOneLook(octets: str) -> None:
    """It is left to the conversation, also where that is to say what is wrong."""
    assert socks6.readWhole(bytes.fromhex(octets)) is None


@given(st.one_of(hosts, names), ports, st.integers(0, 3))
def test_readAlike(host: Address | str, port: int, padding: int) -> None:
    """At one look, and octet by octet."""
    whole = bytearray(socks6.encodeRequest(1, host, port))
    if padding and isinstance(host, str) and len(host) < 250:
        # As draft -12 has it, with more of it than is needed.
        whole = whole[: 9 + len(host)] + bytes(-(1 + len(host)) % 4 + 4 * padding)
        whole[8] = len(whole) - 9
    found = socks6.readWhole(bytes(whole))
    assert found is not None
    asked, _, without = found
    assert asked[4] == len(whole)
    assert without == whole
    assert Requested(6, *asked[:4], b"") == socks6.readRequest(Reader(bytes(whole)))


@given(st.lists(st.sampled_from(b"\0\1\2\4\5\6\x08a"), max_size=40).map(bytes))
def test_anythingIsReadAlike(octets: bytes) -> None:
    """Or is left to the conversation."""
    octets = b"\6\1\0" + octets
    found = socks6.readWhole(octets)
    if found is not None:
        asked, login, _ = found
        reader = Reader(octets)
        request = socks6.readRequest(reader)
        assert request == Requested(6, *asked[:4], b"")
        assert reader.position == asked[4]
        assert login.options.data == request.options.data
