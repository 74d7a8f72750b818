"""
A conversation whose request is known before the client says anything.
"""

from __future__ import annotations

from socksgw.wire.address import Address
from socksgw.wire.codes import Reply
from socksgw.wire.given import GivenConversation
from socksgw.wire.server import State
from socksgw.wire.transparent import Transparent, connection

REQUEST = connection(Address.parse("192.0.2.1"), 443)


def test_theRequestComesOnce() -> None:
    """At once, whatever the client has said: that is for its destination."""
    conversation = GivenConversation(Transparent(), REQUEST)
    conversation.receive(b"\x05\x01\x00")
    assert (conversation.protocol, conversation.state) == ("transparent", State.START)
    event = conversation.next()
    assert event is REQUEST
    assert conversation.state is State.REQUESTED
    assert conversation.answerOffer(0) == b""
    assert conversation.admit(REQUEST) is REQUEST
    assert conversation.next() is None
    assert conversation.surplus() == b"\x05\x01\x00"


def test_noReply() -> None:
    """Neither of success nor of failure."""
    conversation = GivenConversation(Transparent(), REQUEST)
    conversation.next()
    assert not conversation.replyable
    assert conversation.reply(Reply.SUCCEEDED) == b""
    assert conversation.state is State.REPLIED


def test_noRequest() -> None:
    """Where nobody knows what it would be."""
    conversation = GivenConversation(Transparent(), None)
    conversation.receive(b"\x04\x01")
    assert conversation.next() is None
    assert conversation.state is State.START
