"""
The client's side of a conversation.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from socksgw.wire import userpass
from socksgw.wire.address import Address
from socksgw.wire.client import ClientConversation, ClientState
from socksgw.wire.codes import Method
from socksgw.wire.conversation import OutOfOrder
from socksgw.wire.events import Decoded, MethodSelected, Replied
from socksgw.wire.reader import WireError

V4 = Address.parse("192.0.2.7")


def start() -> ClientConversation:
    return ClientConversation(5, 1, "example.com", 443, b"\x00\x02")


def greeted() -> ClientConversation:
    conversation = start()
    assert conversation.start() == bytes.fromhex("05 02 00 02")
    return conversation


def selected() -> ClientConversation:
    conversation = greeted()
    conversation.receive(b"\x05\x02")
    assert conversation.next() == MethodSelected(2)
    return conversation


def subnegotiating() -> ClientConversation:
    conversation = selected()
    conversation.expect(userpass.readStatus, userpass.STATUS_LIMIT)
    return conversation


def requested5() -> ClientConversation:
    conversation = selected()
    assert conversation.authenticated() == bytes.fromhex(
        "05 01 00 03 0b 6578616d706c652e636f6d 01bb"
    )
    return conversation


def requested4() -> ClientConversation:
    conversation = ClientConversation(4, 1, V4, 80, userId=b"fred")
    assert conversation.start() == bytes.fromhex("04 01 0050 c0000207 66726564 00")
    return conversation


def replied5() -> ClientConversation:
    conversation = requested5()
    conversation.receive(bytes.fromhex("05 00 00 01 c0000207 0050"))
    assert conversation.next() == Replied(5, 0, V4, 80)
    return conversation


def replied4() -> ClientConversation:
    conversation = requested4()
    conversation.receive(bytes.fromhex("00 5a 0050 c0000207"))
    assert conversation.next() == Replied(4, 90, V4, 80)
    return conversation


def noneAcceptable() -> ClientConversation:
    conversation = greeted()
    conversation.receive(b"\x05\xff")
    assert conversation.next() == MethodSelected(Method.NO_ACCEPTABLE)
    assert conversation.failed
    return conversation


def failedInGreeting() -> ClientConversation:
    conversation = greeted()
    conversation.receive(b"\x04")
    with pytest.raises(WireError):
        conversation.next()
    return conversation


def failedInStatus() -> ClientConversation:
    conversation = subnegotiating()
    conversation.receive(b"\x05\x00")
    with pytest.raises(WireError):
        conversation.next()
    return conversation


WAYS: list[Callable[[], ClientConversation]] = [
    start,
    greeted,
    selected,
    subnegotiating,
    requested5,
    requested4,
    replied5,
    replied4,
    noneAcceptable,
    failedInGreeting,
    failedInStatus,
]
ACTS: dict[str, Callable[[ClientConversation], object]] = {
    "start": lambda c: c.start(),
    "expect": lambda c: c.expect(userpass.readStatus, userpass.STATUS_LIMIT),
    "authenticated": lambda c: c.authenticated(),
    "another": lambda c: c.another(),
}
IN_ORDER = {
    ("start", "start"),
    ("selected", "expect"),
    ("selected", "authenticated"),
    ("replied5", "another"),
    ("replied4", "another"),
}


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_order(way: Callable[[], ClientConversation], act: str) -> None:
    """
    Everything that is out of the order of SOCKS is a defect of the program,
    and changes nothing (RFC 1928 sections 3, 4 and 6).
    """
    conversation = way()
    before = conversation.state
    if (way.__name__, act) in IN_ORDER:
        ACTS[act](conversation)
        assert conversation.state is not before
    else:
        with pytest.raises(OutOfOrder):
            ACTS[act](conversation)
        assert conversation.state is before


@pytest.mark.parametrize(
    ("way", "state"),
    [
        (start, ClientState.START),
        (greeted, ClientState.GREETED),
        (selected, ClientState.SELECTED),
        (subnegotiating, ClientState.SUBNEGOTIATING),
        (requested5, ClientState.REQUESTED),
        (requested4, ClientState.REQUESTED),
        (replied5, ClientState.REPLIED),
        (replied4, ClientState.REPLIED),
    ],
    ids=lambda v: getattr(v, "__name__", ""),
)
def test_states(way: Callable[[], ClientConversation], state: ClientState) -> None:
    """The states are those that are documented."""
    assert way().state is state


@pytest.mark.parametrize(
    ("host", "octets"),
    [
        (V4, "04 01 0050 c0000207 66726564 00"),
        ("example.com", "04 01 0050 00000001 66726564 00 6578616d706c652e636f6d 00"),
    ],
)
def test_socks4(host: Address | str, octets: str) -> None:
    """SOCKS 4 begins with the request, for names SOCKS 4A's."""
    conversation = ClientConversation(4, 1, host, 80, userId=b"fred")
    assert conversation.start() == bytes.fromhex(octets)


def test_noAuthentication() -> None:
    """RFC 1928 sections 3, 4 and 6, with nothing in between."""
    conversation = ClientConversation(5, 1, Address.parse("2001:db8::1"), 22)
    assert conversation.start() == bytes.fromhex("05 01 00")
    conversation.receive(b"\x05\x00")
    assert conversation.next() == MethodSelected(0)
    assert conversation.next() is None
    assert conversation.authenticated() == bytes.fromhex(
        "05 01 00 04 20010db8000000000000000000000001 0016"
    )
    conversation.receive(bytes.fromhex("05 00 00 01 c0000207 0050") + b"SSH-2.0")
    assert conversation.next() == Replied(5, 0, V4, 80)
    assert conversation.next() is None
    assert conversation.surplus() == b"SSH-2.0"
    assert conversation.surplus() == b""


def test_subnegotiation() -> None:
    """RFC 1929 section 2 in between; a status of 0 is a message as any other."""
    conversation = subnegotiating()
    conversation.receive(b"\x01\x00")
    assert conversation.next() == Decoded(0)
    assert conversation.state is ClientState.SELECTED


@pytest.mark.parametrize("method", [0x01, 0x03, 0x80, 0xFE])
def test_methodNotOffered(method: int) -> None:
    """The server selects one of the methods given (RFC 1928 section 3)."""
    conversation = greeted()
    conversation.receive(bytes((5, method)))
    with pytest.raises(WireError, match="not offered"):
        conversation.next()
    assert conversation.failed
    conversation.receive(b"\x05\x00")
    assert conversation.next() is None


def test_replyAtOnce() -> None:
    """
    The reply may come with all that is before it, and with data behind it;
    nothing is read that was not asked for.
    """
    conversation = greeted()
    conversation.receive(
        b"\x05\x02" + b"\x01\x00" + bytes.fromhex("05 00 00 01 00000000 0000") + b"x"
    )
    assert conversation.next() == MethodSelected(2)
    assert conversation.next() is None
    conversation.expect(userpass.readStatus, userpass.STATUS_LIMIT)
    assert conversation.next() == Decoded(0)
    assert conversation.next() is None
    conversation.authenticated()
    assert conversation.next() == Replied(5, 0, Address(bytes(4)), 0)
    assert conversation.surplus() == b"x"


@pytest.mark.parametrize(
    "octets",
    ["05 04", "05 04 00", "05 04 00 00 00000000 0000", "05 04 00 03 01 61 0050"],
    ids=["cut behind REP", "cut behind RSV", "ATYP 00 of Tor", "ATYP 03 of Dante"],
)
def test_refusal(octets: str) -> None:
    """A refusal is told by REP: what stands behind it is not looked at."""
    conversation = requested5()
    conversation.receive(bytes.fromhex(octets))
    assert conversation.next() == Replied(5, 4, Address(bytes(4)), 0)


@pytest.mark.parametrize("way", [replied5, replied4], ids=["5", "4"])
def test_secondReply(way: Callable[[], ClientConversation]) -> None:
    """BIND has two replies (RFC 1928 section 6; SOCKS 4)."""
    conversation = way()
    conversation.another()
    assert conversation.next() is None
    reply = "05 00 00 01 c0000207 0051" if conversation.version == 5 else ""
    conversation.receive(bytes.fromhex(reply or "00 5a 0051 c0000207"))
    replied = conversation.next()
    assert isinstance(replied, Replied)
    assert (replied.host, replied.port) == (V4, 81)
    assert conversation.state is ClientState.REPLIED


@pytest.mark.parametrize(
    ("version", "command", "host", "port", "userId"),
    [
        (6, 1, V4, 80, b""),
        (0, 1, V4, 80, b""),
        (4, 1, Address.parse("::1"), 80, b""),
        (4, 1, Address(b"\0\0\0\1"), 80, b""),
        (4, 1, V4, 80, b"a\0b"),
        (4, 1, "", 80, b""),
        (5, 1, "", 80, b""),
        (5, 1, "x" * 256, 80, b""),
        (5, 256, V4, 80, b""),
        (5, -1, V4, 80, b""),
    ],
    ids=ascii,
)
def test_cannotSay(
    version: int, command: int, host: Address | str, port: int, userId: bytes
) -> None:
    """What a version cannot say is refused before anything is sent."""
    with pytest.raises(ValueError):
        ClientConversation(version, command, host, port, userId=userId)


@pytest.mark.parametrize("count", [0, 256])
def test_methodsOffered(count: int) -> None:
    """1 to 255 methods are offered (RFC 1928 section 3)."""
    with pytest.raises(ValueError):
        ClientConversation(5, 1, V4, 80, bytes(count)).start()
