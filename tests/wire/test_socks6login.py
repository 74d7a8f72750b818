"""
The login that a request of SOCKS 6 brings (sections 6, 8.2, 8.3 and 9).
"""

from __future__ import annotations

import pytest

from socksgw.wire import userpass
from socksgw.wire.codes import Method, Reply
from socksgw.wire.events import Decoded, Requested
from socksgw.wire.reader import WireError
from socksgw.wire.server import ServerConversation, State, spoken
from socksgw.wire.socks6options import (
    encodeAdvertisement,
    encodeAuthData,
    encodeSession,
)

#: RFC 1929 section 2: version, length, name, length, password.
LOGIN = b"\x01\x05alice\x06secret"
PASSWORD = int(Method.USERNAME_PASSWORD)
NO_ADDRESS = bytes.fromhex("0000 00 01 00000000")
LET_IN = b"\x06\x00\x00\x00"


def asked(*options: bytes, behind: bytes = b"") -> ServerConversation:
    """A conversation whose client has made such a request."""
    said = b"".join(options)
    conversation = ServerConversation()
    head = bytes((6, 1)) + len(said).to_bytes(2, "big")
    conversation.receive(head + bytes.fromhex("0050 00 01 c0000207") + said + behind)
    event = conversation.next()
    assert isinstance(event, Requested)
    assert conversation.state is State.OFFERED
    return conversation


def read(conversation: ServerConversation) -> bytes:
    """What a method that reads RFC 1929 has sent, as far as it goes."""
    sent = b""
    brought = conversation.brought(userpass.readRequest, userpass.REQUEST_LIMIT)
    if brought is None:
        sent = conversation.invite()
        conversation.expect(userpass.readRequest, userpass.REQUEST_LIMIT)
        brought = conversation.next()  # type: ignore[assignment]
    assert brought == Decoded((b"alice", b"secret"))
    return sent


def admitted(conversation: ServerConversation) -> bytes:
    """What a client is sent that is let in, and whose request is granted."""
    request = conversation._request
    assert request is not None
    assert conversation.admit(request) is request
    sent = conversation.welcome()
    assert conversation.welcome() == b""
    return sent


def test_noLogin() -> None:
    """One reply says that the client is let in, another one what became of it."""
    conversation = asked(behind=b"data")
    assert conversation.login is not None
    assert conversation.login.offers == (b"\0",)
    assert conversation.answerOffer(0) == b""
    assert admitted(conversation) == LET_IN
    assert conversation.reply(Reply.SUCCEEDED) == b"\x06\x00\x00\x00" + NO_ADDRESS
    assert conversation.surplus() == b"data"


def test_inTheRequest() -> None:
    """No message is needed; the answer to it is in an option (section 9)."""
    conversation = asked(encodeAuthData(PASSWORD, LOGIN), behind=b"data")
    assert conversation.login is not None
    assert conversation.login.offers == (b"\2\0",)
    assert conversation.answerOffer(PASSWORD) == b""
    assert read(conversation) == b""
    assert conversation.said(b"\x01\x00") == b""
    assert admitted(conversation) == bytes.fromhex("06 00 0008 0004 0008 02 0100 00")
    assert conversation.surplus() == b"data"


def test_wrongInTheRequest() -> None:
    """The status is in an option of the reply that refuses."""
    conversation = asked(encodeAuthData(PASSWORD, LOGIN))
    conversation.answerOffer(PASSWORD)
    read(conversation)
    assert conversation.said(b"\x01\x01") == b""
    assert conversation.replyable
    refused = conversation.deny(Reply.NOT_ALLOWED, "wrong-credentials", "")
    assert refused == bytes.fromhex("06 01 0008 0004 0008 02 0101 00")
    assert not conversation.replyable


def test_byMessages() -> None:
    """Selected; then the initial data, the method's messages and a second reply."""
    conversation = asked(
        encodeAdvertisement(b"\2", 5), behind=b"early" + LOGIN + b"late"
    )
    assert conversation.login is not None
    assert conversation.login.offers == (b"\0", b"\2")
    selected = conversation.answerOffer(PASSWORD)
    assert selected == bytes.fromhex("06 01 0008 0003 0008 02 000000")
    assert read(conversation) == b""
    assert conversation.held == len(b"earlylate")
    assert conversation.said(b"\x01\x00") == b"\x01\x00"
    assert admitted(conversation) == LET_IN
    assert conversation.surplus() == b"earlylate"
    assert conversation.surplus() == b""


def test_wrongByMessages() -> None:
    """The status comes first, and then the second reply, which is the last."""
    conversation = asked(encodeAdvertisement(b"\2"), behind=LOGIN)
    conversation.answerOffer(PASSWORD)
    read(conversation)
    assert conversation.said(b"\x01\x01") == b"\x01\x01"
    refused = conversation.deny(Reply.NOT_ALLOWED, "wrong-credentials", "")
    assert refused == b"\x06\x01\x00\x00"


@pytest.mark.parametrize("advertised", [True, False])
def test_noneIsAcceptable(advertised: bool) -> None:
    """FF is selected, where the client takes part in a login by messages."""
    conversation = asked(*([encodeAdvertisement(b"\3")] if advertised else []))
    assert conversation.answerOffer(Method.NO_ACCEPTABLE) == b""
    refused = conversation.deny(Reply.NOT_ALLOWED, "no-acceptable-method", "")
    selection = "0008 0003 0008 ff 000000" if advertised else "0000"
    assert refused == bytes.fromhex("06 01" + selection)


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (LOGIN[:-6], "cut off"),
        (LOGIN + LOGIN, "more than one"),
        (LOGIN + b"\0\0\0\1", "more than one"),
        (b"\5" + LOGIN[1:], "version"),
    ],
)
def test_brokenInTheRequest(message: bytes, why: str) -> None:
    """An option has one message; what follows the request is none of it."""
    conversation = asked(encodeAuthData(PASSWORD, message), behind=LOGIN)
    conversation.answerOffer(PASSWORD)
    with pytest.raises(WireError, match=why) as e:
        conversation.brought(userpass.readRequest, userpass.REQUEST_LIMIT)
    assert e.value.reply is Reply.GENERAL_FAILURE
    assert conversation.failed
    assert conversation.replyable
    assert conversation.refuse(Reply.GENERAL_FAILURE, "protocol", "") == b"\6\1\0\0"


def test_moreMessagesThanOffered() -> None:
    """A client that advertises no methods takes part in no messages (section 8.2)."""
    conversation = asked(encodeAuthData(PASSWORD, LOGIN), behind=LOGIN)
    conversation.answerOffer(PASSWORD)
    read(conversation)
    with pytest.raises(WireError, match="more messages"):
        conversation.invite()


def test_moreMessagesThanTheRequestHas() -> None:
    """The method is selected, with what it has said so far."""
    conversation = asked(
        encodeAuthData(PASSWORD, LOGIN), encodeAdvertisement(b"\2"), behind=LOGIN
    )
    conversation.answerOffer(PASSWORD)
    read(conversation)
    assert conversation.said(b"again") == b""
    selected = "06 01 0014 0003 0008 02 000000 0004 000c 02 616761696e 0000"
    assert read(conversation) == bytes.fromhex(selected)


def test_aBrokenRequest() -> None:
    """Its answer is that of a login that failed: there is no other one yet."""
    conversation = ServerConversation()
    conversation.receive(bytes.fromhex("06 01 0000 0050 00 02 c0000207"))
    with pytest.raises(WireError):
        conversation.next()
    assert conversation.replyable
    refused = conversation.refuse(Reply.ADDRESS_TYPE_NOT_SUPPORTED, "address-type", "")
    assert refused == b"\x06\x01\x00\x00"


@pytest.mark.parametrize("protocols", [["socks6"], ["socks5", "socks6"], ["socks5"]])
@pytest.mark.parametrize("octet", [0, 4, 7, 22, 255])
def test_anotherVersion(octet: int, protocols: list[str]) -> None:
    """Told by one octet (section 5), where no other version is spoken."""
    conversation = ServerConversation(spoken(protocols))
    conversation.receive(bytes((octet, 1, 0)))
    with pytest.raises(WireError) as e:
        conversation.next()
    if protocols == ["socks6"]:
        assert conversation.replyable
        assert conversation.refuse(Reply.GENERAL_FAILURE, "protocol", "") == b"\x06"
    assert not conversation.replyable
    assert e.value.reply is None


def test_whatIsDroppedIsGone() -> None:
    """Initial data, too, counts as held until then."""
    conversation = asked(encodeAdvertisement(b"\2", 5), behind=b"early" + LOGIN)
    conversation.answerOffer(PASSWORD)
    read(conversation)
    assert conversation.held == 5
    conversation.drop()
    assert conversation.held == 0
    assert conversation.surplus() == b""


def test_aSessionIsNoMessage() -> None:
    """An option that is none of the login's changes nothing of it."""
    conversation = asked(encodeSession(b"abcd"))
    assert conversation.login is not None
    assert conversation.login.offers == (b"\0",)
