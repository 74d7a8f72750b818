"""
The server's side of a conversation: what it reads in which state, and what it
answers.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from socksgw.wire import socks4, socks5, userpass
from socksgw.wire.address import Address
from socksgw.wire.codes import Method, Reply
from socksgw.wire.conversation import OutOfOrder
from socksgw.wire.events import Decoded, MethodsOffered, Requested
from socksgw.wire.reader import NeedMoreData, Reader, WireError
from socksgw.wire.server import DIALECTS, ServerConversation, State, spoken
from tests.tools.samples import LOGIN, REQUEST5

V4 = Address.parse("192.0.2.7")
V6 = Address.parse("2001:db8::1")
REQUEST4 = bytes.fromhex("04 01 0050 c0000207 66726564 00")
REQUESTED5 = Requested(5, 1, "example.com", 443, b"example.com", b"")


def fed(octets: bytes, *versions: int) -> ServerConversation:
    """A conversation that has received these octets."""
    conversation = (
        ServerConversation(spoken(f"socks{version}" for version in versions))
        if versions
        else ServerConversation()
    )
    conversation.receive(octets)
    return conversation


# How to get everywhere.


def start() -> ServerConversation:
    return ServerConversation()


def offered() -> ServerConversation:
    conversation = fed(b"\x05\x02\x00\x02")
    assert conversation.next() == MethodsOffered(b"\x00\x02")
    return conversation


def chosen() -> ServerConversation:
    conversation = offered()
    assert conversation.chooseMethod(2) == b"\x05\x02"
    return conversation


def subnegotiating() -> ServerConversation:
    conversation = chosen()
    conversation.expect(userpass.readRequest, userpass.REQUEST_LIMIT)
    return conversation


def requesting() -> ServerConversation:
    conversation = chosen()
    conversation.authenticated()
    return conversation


def requested5() -> ServerConversation:
    conversation = requesting()
    conversation.receive(REQUEST5)
    assert conversation.next() == REQUESTED5
    return conversation


def requested4() -> ServerConversation:
    conversation = fed(REQUEST4)
    assert conversation.next() == Requested(4, 1, V4, 80, b"192.0.2.7", b"fred")
    return conversation


def replied5() -> ServerConversation:
    conversation = requested5()
    conversation.reply(Reply.SUCCEEDED, (V4, 80))
    return conversation


def replied4() -> ServerConversation:
    conversation = requested4()
    conversation.reply(Reply.SUCCEEDED, (V4, 80))
    return conversation


def _failed(conversation: ServerConversation, octets: bytes) -> ServerConversation:
    conversation.receive(octets)
    with pytest.raises(WireError):
        conversation.next()
    assert conversation.failed
    return conversation


def failedAtStart() -> ServerConversation:
    return _failed(start(), b"\x07")


def failedSocks4() -> ServerConversation:
    return _failed(start(), b"\x04\x01\0\x50\x7f\0\0\x01" + b"u" * 256)


def failedInLogin() -> ServerConversation:
    return _failed(subnegotiating(), b"\x05")


def failedInRequest() -> ServerConversation:
    return _failed(requesting(), b"\x05\x01\x00\x02")


def answeredFailedRequest() -> ServerConversation:
    conversation = failedInRequest()
    conversation.reply(Reply.ADDRESS_TYPE_NOT_SUPPORTED)
    return conversation


def answeredFailedSocks4() -> ServerConversation:
    conversation = failedSocks4()
    conversation.reply(Reply.GENERAL_FAILURE)
    return conversation


def noneAcceptable() -> ServerConversation:
    conversation = offered()
    assert conversation.chooseMethod(Method.NO_ACCEPTABLE) == b"\x05\xff"
    return conversation


WAYS: list[Callable[[], ServerConversation]] = [
    start,
    offered,
    chosen,
    subnegotiating,
    requesting,
    requested5,
    requested4,
    replied5,
    replied4,
    failedAtStart,
    failedSocks4,
    failedInLogin,
    failedInRequest,
    answeredFailedRequest,
    answeredFailedSocks4,
    noneAcceptable,
]
ACTS: dict[str, Callable[[ServerConversation], object]] = {
    "chooseMethod": lambda c: c.chooseMethod(0),
    "chooseMethod FF": lambda c: c.chooseMethod(Method.NO_ACCEPTABLE),
    "expect": lambda c: c.expect(userpass.readRequest, userpass.REQUEST_LIMIT),
    "authenticated": lambda c: c.authenticated(),
    "reply": lambda c: c.reply(Reply.SUCCEEDED),
    "reply a failure": lambda c: c.reply(Reply.NOT_ALLOWED),
    "refuse": lambda c: c.refuse(Reply.NOT_ALLOWED, "policy", "it may not"),
}
IN_ORDER = {
    ("offered", "chooseMethod"),
    ("offered", "chooseMethod FF"),
    ("chosen", "expect"),
    ("chosen", "authenticated"),
    ("requested5", "reply"),
    ("requested5", "reply a failure"),
    ("requested5", "refuse"),
    ("requested4", "reply"),
    ("requested4", "reply a failure"),
    ("requested4", "refuse"),
    # Who broke the protocol where a reply exists is told so, once.
    ("failedSocks4", "reply"),
    ("failedSocks4", "reply a failure"),
    ("failedSocks4", "refuse"),
    ("failedInRequest", "reply"),
    ("failedInRequest", "reply a failure"),
    ("failedInRequest", "refuse"),
}


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_order(way: Callable[[], ServerConversation], act: str) -> None:
    """
    Everything that is out of the order of SOCKS is a defect of the program,
    and changes nothing (RFC 1928 sections 3, 4 and 6).
    """
    conversation = way()
    before = conversation.state
    replyable = conversation.replyable
    if (way.__name__, act) in IN_ORDER:
        ACTS[act](conversation)
        assert conversation.state is not before
    else:
        with pytest.raises(OutOfOrder):
            ACTS[act](conversation)
        assert conversation.state is before
        assert conversation.replyable is replyable


@pytest.mark.parametrize(
    ("way", "replyable"),
    [
        (start, False),
        (offered, False),
        (chosen, False),
        (subnegotiating, False),
        (requesting, False),
        (requested5, True),
        (requested4, True),
        (replied5, False),
        (replied4, False),
        (failedAtStart, False),
        (failedSocks4, True),
        (failedInLogin, False),
        (failedInRequest, True),
        (answeredFailedRequest, False),
        (answeredFailedSocks4, False),
        (noneAcceptable, False),
    ],
    ids=lambda v: getattr(v, "__name__", ""),
)
def test_replyable(way: Callable[[], ServerConversation], replyable: bool) -> None:
    """
    A reply answers a request (RFC 1928 section 6), or what was to be one, and
    there is one only.
    """
    assert way().replyable is replyable


@pytest.mark.parametrize(
    ("way", "state"),
    [
        (start, State.START),
        (offered, State.OFFERED),
        (chosen, State.CHOSEN),
        (subnegotiating, State.SUBNEGOTIATING),
        (requesting, State.REQUESTING),
        (requested5, State.REQUESTED),
        (requested4, State.REQUESTED),
        (replied5, State.REPLIED),
        (replied4, State.REPLIED),
    ],
    ids=lambda v: getattr(v, "__name__", ""),
)
def test_states(way: Callable[[], ServerConversation], state: State) -> None:
    """The states are those that are documented."""
    assert way().state is state


@pytest.mark.parametrize(
    "way",
    [offered, chosen, requested5, requested4, replied5, replied4, noneAcceptable],
    ids=lambda way: way.__name__,
)
def test_paused(way: Callable[[], ServerConversation]) -> None:
    """
    While an answer of ours is due, octets wait; nothing of them is read, and
    nothing of them is lost.
    """
    conversation = way()
    conversation.receive(REQUEST5)
    assert conversation.next() is None
    conversation.receive(b"more")
    assert conversation.next() is None
    assert conversation.held == len(REQUEST5) + 4
    assert conversation.surplus() == REQUEST5 + b"more"


@pytest.mark.parametrize("octet", [o for o in range(256) if o not in spoken(DIALECTS)])
def test_unknownVersion(octet: int) -> None:
    """A first octet with which nothing begins that is spoken; there is no reply."""
    conversation = fed(bytes((octet,)))
    with pytest.raises(WireError) as raised:
        conversation.next()
    assert raised.value.reply is None
    assert conversation.version == 0
    assert not conversation.replyable


@pytest.mark.parametrize(("versions", "octets"), [((4,), b"\x05"), ((5,), REQUEST4)])
def test_versionNotSpoken(versions: tuple[int], octets: bytes) -> None:
    """A listener speaks the versions that it is told to, and no other."""
    conversation = fed(octets, *versions)
    with pytest.raises(WireError):
        conversation.next()
    assert not conversation.replyable


@pytest.mark.parametrize(
    ("octets", "versions", "word"),
    [
        (b"GET / HTTP/1.1\r\n", (4, 5), "HTTP"),
        (b"CONNECT a:1 HTTP/1.1\r\n", (4, 5), "HTTP"),
        (b"GET / HTTP/1.1\r\n", (4, 5), "--proxy-server=socks5://"),
        (b"POST / HTTP/1.1\r\n", (4, 5), "HTTP"),
        (b"PUT / HTTP/1.1\r\n", (4, 5), "HTTP"),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 4000 1080\r\n", (4, 5), "PROXY header"),
        (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c", (4, 5), "PROXY header"),
        (b"\x16\x03\x01", (4, 5), "TLS"),
        (REQUEST4, (5,), "SOCKS 4"),
    ],
)
def test_theWrongKindOfProxy(octets: bytes, versions: tuple[int], word: str) -> None:
    """What a client spoke instead is said where it can be told."""
    with pytest.raises(WireError, match=word):
        fed(octets, *versions).next()


def test_noReadingAfterFailure() -> None:
    """Who broke the protocol is not listened to any more."""
    conversation = failedAtStart()
    conversation.receive(REQUEST4)
    assert conversation.next() is None
    assert conversation.failed


def test_wholeConversation() -> None:
    """RFC 1928 sections 3, 4 and 6 with RFC 1929 in between."""
    conversation = start()
    assert conversation.next() is None
    conversation.receive(b"\x05\x02\x00\x02")
    assert conversation.next() == MethodsOffered(b"\x00\x02")
    assert conversation.version == 5
    assert conversation.chooseMethod(2) == b"\x05\x02"
    conversation.expect(userpass.readRequest, userpass.REQUEST_LIMIT)
    assert conversation.next() is None
    conversation.receive(LOGIN)
    assert conversation.next() == Decoded((b"alice", b"correct horse"))
    conversation.authenticated()
    assert conversation.next() is None
    conversation.receive(REQUEST5)
    assert conversation.next() == REQUESTED5
    octets = conversation.reply(Reply.SUCCEEDED, (V6, 8080))
    assert octets == bytes.fromhex("05 00 00 04 20010db8000000000000000000000001 1f90")
    assert conversation.surplus() == b""


def test_severalRounds() -> None:
    """A sub-negotiation has as many messages as its method wants."""
    conversation = chosen()
    for octets in (b"a", b"b", b"c"):
        conversation.expect(Reader.u8, 1)
        conversation.receive(octets)
        assert conversation.next() == Decoded(octets[0])
        assert conversation.state is State.CHOSEN


def test_falsyMessage() -> None:
    """A message of a sub-negotiation may be 0, or empty, and is one."""
    conversation = chosen()
    conversation.expect(Reader.u8, 1)
    conversation.receive(b"\0")
    assert conversation.next() == Decoded(0)
    conversation.expect(lambda reader: reader.take(reader.u8()), 256)
    conversation.receive(b"\0")
    assert conversation.next() == Decoded(b"")


def test_pipelined() -> None:
    """
    Everything may come at once; what is behind the request is the surplus,
    first and once.
    """
    conversation = fed(b"\x05\x01\x02" + LOGIN + REQUEST5 + b"GET /")
    assert conversation.next() == MethodsOffered(b"\x02")
    conversation.chooseMethod(2)
    conversation.expect(userpass.readRequest, userpass.REQUEST_LIMIT)
    assert isinstance(conversation.next(), Decoded)
    conversation.authenticated()
    assert conversation.next() == REQUESTED5
    conversation.receive(b" HTTP/1.1")
    conversation.reply(Reply.SUCCEEDED)
    conversation.receive(b"\r\n")
    assert conversation.held == len(b"GET / HTTP/1.1\r\n")
    assert conversation.surplus() == b"GET / HTTP/1.1\r\n"
    assert conversation.surplus() == b""
    assert conversation.held == 0


def test_pipelinedSocks4() -> None:
    """What is behind USERID's NULL is the surplus (SOCKS 4, CONNECT)."""
    conversation = fed(REQUEST4 + b"\0\x05")
    assert isinstance(conversation.next(), Requested)
    assert conversation.reply(Reply.SUCCEEDED, (V4, 80)) == bytes.fromhex(
        "00 5a 0050 c0000207"
    )
    assert conversation.surplus() == b"\0\x05"
    assert conversation.surplus() == b""


@pytest.mark.parametrize("way", [requested4, requested5])
def test_refusal(way: Callable[[], ServerConversation]) -> None:
    """SOCKS has a number for it, and no words."""
    refusal = way().refuse(Reply.NOT_ALLOWED, "policy", "it may not")
    assert refusal == way().reply(Reply.NOT_ALLOWED)


@pytest.mark.parametrize("reply", list(Reply))
def test_replies(reply: Reply) -> None:
    """Every reply, in both versions (RFC 1928 section 6; SOCKS 4)."""
    assert requested5().reply(reply) == bytes((5, reply, 0, 1)) + bytes(6)
    code = 90 if reply is Reply.SUCCEEDED else 91
    assert requested4().reply(reply) == bytes((0, code)) + bytes(6)


def test_replyBoundToIPv6InSocks4() -> None:
    """SOCKS 4 cannot say an IPv6 address: 0.0.0.0:0 stands for it."""
    octets = requested4().reply(Reply.SUCCEEDED, (V6, 8080))
    assert octets == b"\x00\x5a" + bytes(6)


@pytest.mark.parametrize(
    ("octets", "reply"),
    [
        # RFC 1928 section 6: X'08' address type not supported.
        (b"\x05\x01\x00\x02", Reply.ADDRESS_TYPE_NOT_SUPPORTED),
        (b"\x05\x01\x00\x00", Reply.ADDRESS_TYPE_NOT_SUPPORTED),
        # RFC 1928 section 4: VER is 5.
        (b"\x04", Reply.GENERAL_FAILURE),
        (b"\x01", Reply.GENERAL_FAILURE),
    ],
)
def test_brokenRequest(octets: bytes, reply: Reply) -> None:
    """A broken request is answered, as soon as it is known to be broken."""
    conversation = requesting()
    conversation.receive(octets)
    with pytest.raises(WireError) as raised:
        conversation.next()
    assert raised.value.reply is reply
    assert conversation.reply(reply) == bytes((5, reply, 0, 1)) + bytes(6)


def test_brokenSocks4() -> None:
    """SOCKS 4 knows one failure, 91."""
    conversation = fed(b"\x04\x01\0\x50\x7f\0\0\x01" + b"u" * 256)
    with pytest.raises(WireError) as raised:
        conversation.next()
    assert raised.value.reply is not None
    assert conversation.reply(raised.value.reply) == b"\x00\x5b" + bytes(6)


def insatiable(reader: Reader) -> None:
    """A decoder to which no message is whole."""
    raise NeedMoreData


@pytest.mark.parametrize("limit", [1, 7, 513])
@pytest.mark.parametrize("step", [1, 5, 4096])
def test_limit(limit: int, step: int) -> None:
    """
    A message that is not whole within its limit is an error, never octets
    that go on being kept.
    """
    conversation = chosen()
    conversation.expect(insatiable, limit)
    sent = 0
    while sent + step < limit:
        conversation.receive(bytes(step))
        sent += step
        assert conversation.next() is None
        assert conversation.held == sent
    conversation.receive(bytes(step))
    with pytest.raises(WireError, match=f"more than {limit} octets"):
        conversation.next()
    assert conversation.failed


def test_decoderSeesNothingBeyondTheLimit() -> None:
    """Octets behind the limit belong to what comes next."""
    seen: list[bytes] = []

    def decode(reader: Reader) -> bytes:
        seen.append(bytes(reader.octets))
        return reader.take(2)

    conversation = chosen()
    conversation.expect(decode, 3)
    conversation.receive(b"abcdef")
    assert conversation.next() == Decoded(b"ab")
    assert seen == [b"abc"]
    assert conversation.surplus() == b"cdef"


@pytest.mark.parametrize(
    ("octets", "limit"),
    [
        # The longest messages of each state are within the limits.
        (b"\x05\xff" + b"\x01" * 255, socks5.METHODS_LIMIT),
        (
            b"\x04\x01\0\x50\0\0\0\1" + b"u" * 255 + b"\0" + b"n" * 255 + b"\0",
            socks4.REQUEST_LIMIT,
        ),
    ],
)
def test_longestFirstMessage(octets: bytes, limit: int) -> None:
    """The longest first message there can be is read, also octet by octet."""
    assert len(octets) == limit
    conversation = start()
    for i in range(len(octets) - 1):
        conversation.receive(octets[i : i + 1])
        assert conversation.next() is None
        assert conversation.held == i + 1
    conversation.receive(octets[-1:] + b"s")
    assert conversation.next() is not None
    assert conversation.surplus() == b"s"


#: What the model says of each state: the acts that are in order, and where
#: they lead.
TRANSITIONS = {
    (State.OFFERED, "chooseMethod"): State.CHOSEN,
    (State.CHOSEN, "expect"): State.SUBNEGOTIATING,
    (State.CHOSEN, "authenticated"): State.REQUESTING,
    (State.REQUESTED, "reply"): State.REPLIED,
}
#: What an event leads to.
EVENTS = {
    (State.START, MethodsOffered): State.OFFERED,
    (State.SUBNEGOTIATING, Decoded): State.CHOSEN,
    (State.REQUESTING, Requested): State.REQUESTED,
    (State.START, Requested): State.REQUESTED,
}

snippets = st.one_of(
    st.sampled_from(
        [
            b"\x05\x02\x00\x02",
            b"\x05\x01\x00",
            LOGIN,
            REQUEST5,
            REQUEST4,
            b"\x05\x01\x00" + REQUEST5,
            b"\x05\x01\x02" + LOGIN + REQUEST5 + b"early",
            # A SOCKS 4 request that is broken, and can be answered.
            REQUEST4[:-1] + b"u" * 256,
            b"\x05\x01\x00\x02",
        ]
    ),
    st.sampled_from([LOGIN, REQUEST5, REQUEST4]).flatmap(
        lambda octets: st.integers(0, len(octets)).map(lambda cut: octets[:cut])
    ),
    st.binary(max_size=6),
)


class Conversations(RuleBasedStateMachine):
    """
    Two clients at a time: whatever they send, and in whatever order the
    program acts, no request of SOCKS 5 is read before *this* client is
    logged in, and the states are those that are documented.
    """

    @initialize()
    def begin(self) -> None:
        self.conversations = [ServerConversation(), ServerConversation()]
        self.states = [State.START, State.START]
        self.loggedIn = [False, False]
        self.failed = [False, False]
        self.consumed = [b"", b""]
        self.sent = [b"", b""]

    which = st.integers(0, 1)

    @rule(which=which, octets=snippets)
    def receive(self, which: int, octets: bytes) -> None:
        self.conversations[which].receive(octets)
        self.sent[which] += octets

    @rule(which=which)
    def next(self, which: int) -> None:
        conversation = self.conversations[which]
        before = conversation.held
        try:
            event = conversation.next()
        except WireError:
            assert not self.failed[which]
            self.failed[which] = True
            return
        if event is None:
            assert conversation.held == before
            return
        assert not self.failed[which]
        assert conversation.held < before
        if isinstance(event, Requested) and event.version == 5:
            assert self.loggedIn[which]
        self.states[which] = EVENTS[self.states[which], type(event)]

    @precondition(lambda self: any(s is State.OFFERED for s in self.states))
    @rule(which=which, method=st.sampled_from([0, 2, 0xFF]))
    def chooseMethod(self, which: int, method: int) -> None:
        def act(conversation: ServerConversation) -> None:
            assert conversation.chooseMethod(method) == bytes((5, method))

        if self._act(which, "chooseMethod", act) and method == 0xFF:
            self.failed[which] = True

    @rule(which=which)
    def expect(self, which: int) -> None:
        self._act(
            which,
            "expect",
            lambda c: c.expect(userpass.readRequest, userpass.REQUEST_LIMIT),
        )

    @rule(which=which)
    def authenticated(self, which: int) -> None:
        if self._act(which, "authenticated", ServerConversation.authenticated):
            self.loggedIn[which] = True

    @rule(which=which, reply=st.sampled_from(Reply))
    def reply(self, which: int, reply: Reply) -> None:
        conversation = self.conversations[which]
        if self.failed[which] and conversation.replyable:
            # A failure that can be told: see test_replyable.
            conversation.reply(reply)
            assert not conversation.replyable
            self.states[which] = State.REPLIED
            return
        self._act(which, "reply", lambda c: c.reply(reply))

    @rule(which=which)
    def surplus(self, which: int) -> None:
        """At the end only, as a relay does."""
        if self.states[which] is State.REPLIED:
            conversation = self.conversations[which]
            held = conversation.held
            octets = conversation.surplus()
            assert len(octets) == held
            assert self.sent[which].endswith(octets)
            assert conversation.surplus() == b""

    def _act(
        self, which: int, act: str, call: Callable[[ServerConversation], object]
    ) -> bool:
        """
        Act; that it was in order or not is as the model says.

        @return: whether it was.
        """
        after = TRANSITIONS.get((self.states[which], act))
        if after is None or self.failed[which]:
            with pytest.raises(OutOfOrder):
                call(self.conversations[which])
            return False
        call(self.conversations[which])
        self.states[which] = after
        return True

    @invariant()
    def asModelled(self) -> None:
        if hasattr(self, "conversations"):
            for i, conversation in enumerate(self.conversations):
                assert conversation.state is self.states[i]
                assert conversation.failed is self.failed[i]


Conversations.TestCase.settings = settings(
    max_examples=150, stateful_step_count=40, deadline=None
)
TestConversations = Conversations.TestCase
