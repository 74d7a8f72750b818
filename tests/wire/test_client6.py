"""
The client's side of a conversation in SOCKS 6, driven by any order of answers.
"""

from __future__ import annotations

from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from socksgw.wire import userpass
from socksgw.wire.address import Address
from socksgw.wire.client6 import ClientConversation6, ClientState6
from socksgw.wire.codes import Reply
from socksgw.wire.conversation import OutOfOrder
from socksgw.wire.events import Decoded, Requested
from socksgw.wire.reader import WireError
from socksgw.wire.server import ServerConversation, State
from socksgw.wire.socks6 import AuthReplied, Socks6Replied, encodeRequest
from socksgw.wire.socks6options import encodeAdvertisement, encodeAuthData

V4 = Address.parse("192.0.2.7")
LOGIN = userpass.encodeRequest(b"alice", b"secret")


def test_outOfOrder() -> None:
    """Nothing is said before its time."""
    conversation = ClientConversation6(partial(encodeRequest, 1, V4, 80))
    for early in (
        lambda: conversation.expect(userpass.readStatus, userpass.STATUS_LIMIT),
        conversation.told,
    ):
        with pytest.raises(OutOfOrder):
            early()
    conversation.start()
    with pytest.raises(OutOfOrder):
        conversation.start()


@settings(max_examples=200)
@given(st.binary(max_size=120), st.integers(0, 120))
def test_anySplit(rest: bytes, cut: int) -> None:
    """However a server's octets are split the events are the same, or one WireError."""
    ends = []
    for parts in ((b"\6" + rest,), ((b"\6" + rest)[:cut], (b"\6" + rest)[cut:])):
        conversation = ClientConversation6(partial(encodeRequest, 1, V4, 80))
        conversation.start()
        events: list[object] = []
        for part in parts:
            conversation.receive(part)
            try:
                while (event := conversation.next()) is not None:
                    events.append(event[0])
            except WireError as e:
                events.append(str(e))
        ends.append((events, conversation.state, conversation.failed))
    assert ends[0] == ends[1]


class Both(RuleBasedStateMachine):
    """
    A client and a server that speak with each other, in pieces of any size.

    The server takes part in whatever order of login, refusal and reply the protocol
    has; the client must always understand the same.
    """

    def __init__(self) -> None:
        super().__init__()
        self.server = ServerConversation()
        self.client = ClientConversation6(partial(encodeRequest, 1, V4, 80))
        self.toServer = self.toClient = b""
        self.messages = self.right = self.told = self.loggedIn = False
        self.behind = 0

    @initialize(
        option=st.booleans(), advertised=st.booleans(), early=st.binary(max_size=9)
    )
    def begins(self, option: bool, advertised: bool, early: bytes) -> None:
        """Make the request, with or without a login, and send initial data."""
        options = encodeAuthData(2, LOGIN) if option else b""
        if advertised:
            options += encodeAdvertisement(b"\2", len(early))
        self.option, self.advertised, self.early = option, advertised, early
        self.toServer = self.client.start(options) + early

    @rule(count=st.integers(1, 40))
    def serverHears(self, count: int) -> None:
        """Some octets arrive at the server, and it does all it can with them."""
        self.server.receive(self.toServer[:count])
        self.toServer = self.toServer[count:]
        while (event := self.server.next()) is not None:
            if isinstance(event, Requested):
                self._choose(event)
            else:
                assert event == Decoded((b"alice", b"secret"))
                self._checked()

    def _choose(self, event: Requested) -> None:
        self.request = event
        assert self.server.login is not None
        if not (self.option or self.advertised):
            self.toClient += self.server.answerOffer(0)
            self._admit()
            return
        self.toClient += self.server.answerOffer(2)
        brought = self.server.brought(userpass.readRequest, userpass.REQUEST_LIMIT)
        assert (brought is not None) == self.option
        if brought is None:
            self.messages = True
            self.toClient += self.server.invite()
            self.server.expect(userpass.readRequest, userpass.REQUEST_LIMIT)
        else:
            self._checked()

    def _checked(self) -> None:
        self.loggedIn = True

    def _admit(self) -> None:
        assert self.server.admit(self.request) is self.request
        self.toClient += self.server.welcome()
        self.right = True

    @precondition(lambda self: self.loggedIn)
    @rule(right=st.booleans())
    def decides(self, right: bool) -> None:
        """The credentials are right or wrong."""
        self.loggedIn = False
        self.toClient += self.server.said(userpass.encodeStatus(0 if right else 1))
        if right:
            self._admit()
        else:
            self.toClient += self.server.deny(Reply.NOT_ALLOWED, "wrong", "")

    @precondition(lambda self: self.server.state is State.REQUESTED)
    @rule(reply=st.sampled_from([Reply.SUCCEEDED, Reply.NOT_ALLOWED]))
    def replies(self, reply: Reply) -> None:
        """The request has an outcome."""
        if reply:
            self.toClient += self.server.refuse(reply, "policy", "")
        else:
            self.toClient += self.server.reply(reply, (V4, 80))
            self.behind += len(self.server.surplus())

    @precondition(lambda self: self.toClient)
    @rule(count=st.integers(1, 40))
    def clientHears(self, count: int) -> None:
        """Some octets arrive at the client, which answers what it is asked."""
        self.client.receive(self.toClient[:count])
        self.toClient = self.toClient[count:]
        while (event := self.client.next()) is not None:
            if isinstance(event, AuthReplied):
                assert event.succeeded <= self.right
                if event.options.method == 2:
                    assert self.messages
                    self.client.expect(userpass.readStatus, userpass.STATUS_LIMIT)
                    self.toServer += LOGIN
            elif isinstance(event, Decoded):
                self.client.told()
            else:
                assert isinstance(event, Socks6Replied)
                self.told = True
                assert self.right

    def teardown(self) -> None:
        """Nobody has understood more than was said."""
        if self.client.state is ClientState6.REPLIED:
            assert self.server.state is State.REPLIED
            assert self.told
        assert self.behind <= len(self.early)


TestBoth = Both.TestCase
TestBoth.settings = settings(max_examples=150, stateful_step_count=20, deadline=None)
