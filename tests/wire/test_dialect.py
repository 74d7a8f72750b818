"""
What each protocol says of itself, and how conversations use it.
"""

from __future__ import annotations

import pytest

from socksgw.wire import socks4, socks5
from socksgw.wire.address import Address
from socksgw.wire.codes import Method, Reply
from socksgw.wire.conversation import OutOfOrder
from socksgw.wire.events import Event, MethodsOffered, Requested
from socksgw.wire.server import DIALECTS, ServerConversation, spoken

V4 = Address.parse("192.0.2.7")
REQUEST4 = socks4.encodeRequest(1, V4, 80, b"fred")
REQUEST4A = socks4.encodeRequest(1, "example.com", 80)
LITERAL4A = socks4.encodeRequest(1, "192.0.2.7", 80)
REQUEST5 = socks5.encodeRequest(1, "example.com", 443)


def begun(octets: bytes) -> tuple[ServerConversation, Event]:
    """A conversation whose first message has come."""
    conversation = ServerConversation()
    conversation.receive(octets)
    event = conversation.next()
    assert event is not None
    return conversation, event


def test_spoken() -> None:
    """A listener's protocols, by the octet that a client begins with."""
    assert {octet: d.protocol for octet, d in spoken(DIALECTS).items()} == {
        4: "socks4",
        5: "socks5",
        6: "socks6",
        **dict.fromkeys(range(ord("A"), ord("Z") + 1), "http"),
    }
    assert list(spoken(["socks4"])) == [4]
    with pytest.raises(KeyError):
        spoken(["socks3"])


@pytest.mark.parametrize(
    ("octets", "before", "asked"),
    [
        (REQUEST4, "socks4", "socks4"),
        (REQUEST4A, "socks4", "socks4a"),
        (LITERAL4A, "socks4", "socks4"),
        (b"\x05\x01\x00", "socks5", "socks5"),
    ],
)
def test_protocol(octets: bytes, before: str, asked: str) -> None:
    """The name in the records: SOCKS 4a is the one that asks for a name."""
    conversation, event = begun(octets)
    assert conversation.protocol == before
    conversation.answerOffer(0)
    conversation.admit(event)
    assert conversation.protocol == asked


def test_beforeTheProtocolIsKnown() -> None:
    """Nothing can be said to the client, and nothing is promised."""
    conversation = ServerConversation()
    assert conversation.protocol == ""
    assert conversation.dialect.denial is None
    assert conversation.dialect.commands == {}
    assert conversation.answerOffer(Method.NO_ACCEPTABLE) == b""


def test_theMethodIsTold() -> None:
    """SOCKS 5 has a message for that (RFC 1928 section 3), SOCKS 4 has none."""
    conversation, event = begun(b"\x05\x02\x00\x02")
    assert conversation.dialect.offered(event) == b"\x00\x02"
    assert conversation.answerOffer(2) == b"\x05\x02"
    conversation, event = begun(REQUEST4)
    assert conversation.dialect.offered(event) == b"\x00"
    assert conversation.answerOffer(0) == b""
    assert conversation.replyable


def test_noneIsAcceptable() -> None:
    """X'FF', and nothing is read any more; in SOCKS 4 a reply tells it."""
    conversation, _ = begun(b"\x05\x01\x02")
    assert conversation.answerOffer(Method.NO_ACCEPTABLE) == b"\x05\xff"
    assert conversation.failed
    assert conversation.dialect.denial is None
    conversation, _ = begun(REQUEST4)
    assert conversation.answerOffer(Method.NO_ACCEPTABLE) == b""
    denial = conversation.dialect.denial
    assert denial is not None
    assert conversation.reply(denial) == b"\x00\x5b" + bytes(6)


def test_admitted() -> None:
    """The request that was made at once, or the one that follows the login."""
    conversation, event = begun(REQUEST4)
    assert conversation.admit(event) is event
    conversation, event = begun(b"\x05\x01\x00" + REQUEST5)
    assert isinstance(event, MethodsOffered)
    with pytest.raises(OutOfOrder):
        conversation.admit(event)
    conversation.answerOffer(0)
    assert conversation.admit(event) is None
    assert isinstance(conversation.next(), Requested)


@pytest.mark.parametrize("protocol", DIALECTS)
def test_whoCannotLogInIsToldByAReply(protocol: str) -> None:
    """
    Each protocol has logins, or a reply for those who would need one; unless its
    clients hear nothing of us.
    """
    dialect = DIALECTS[protocol]
    granted = dialect.encodeReply(Reply.SUCCEEDED, V4, 80)
    refused = dialect.encodeRefusal(Reply.NOT_ALLOWED, "policy", "")
    if dialect.silent:
        assert dialect.loginless
        assert (dialect.denial, granted, refused) == (None, b"", b"")
    else:
        answers = bool(dialect.loginless) or dialect.challenging
        answers |= dialect.login(None) is not None
        assert answers == (dialect.denial is not None)
        assert refused != granted
