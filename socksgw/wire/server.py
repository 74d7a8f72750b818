"""
The server's side of a conversation, in the protocol that the client begins with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from typing import Any, Final, final

from socksgw.wire.address import Address
from socksgw.wire.codes import Method, Reply
from socksgw.wire.conversation import Conversation, OutOfOrder
from socksgw.wire.dialect import UNBOUND, Dialect, Exchange, Login
from socksgw.wire.events import Decoded, Event, MethodsOffered, Requested
from socksgw.wire.http import Http
from socksgw.wire.looks import LOOKED_AT, lookOf
from socksgw.wire.reader import Reader, WireError
from socksgw.wire.socks4 import Socks4
from socksgw.wire.socks5 import Socks5
from socksgw.wire.socks6 import Socks6
from socksgw.wire.transparent import Transparent

__all__ = ["DIALECTS", "Asking", "ServerConversation", "State", "configured", "spoken"]


class State(Enum):
    """
    Where a conversation is, and what brings it on.

    In this order::

        START           the client's first message
          ├─ SOCKS 5 ─→ OFFERED          chooseMethod()
          │             CHOSEN           expect(), authenticated(), or
          │                              selectAgain() → START
          │             SUBNEGOTIATING   the awaited message → CHOSEN
          │             REQUESTING       the client's request
          ├─ SOCKS 6 ─→ OFFERED          chooseMethod()
          │             CHOSEN           expect(), or admit() → REQUESTED
          │             SUBNEGOTIATING   the awaited message → CHOSEN
          │             REQUESTED        reply()
          │             REPLIED
          ├─ SOCKS 4 ─→ REQUESTED        reply()
          │             REPLIED
          └─ HTTP ────→ REQUESTED        challenge() → START, or
                                         reply()
                        REPLIED
    """

    START = "start"
    OFFERED = "offered"
    CHOSEN = "chosen"
    SUBNEGOTIATING = "subnegotiating"
    REQUESTING = "requesting"
    REQUESTED = "requested"
    REPLIED = "replied"


#: Under names of the module: Python 3.11 finds a member of an enumeration by a call
#: (EnumType.__getattr__), which costs as much as twenty attributes.
_START: Final = State.START
_OFFERED: Final = State.OFFERED
_CHOSEN: Final = State.CHOSEN
_SUBNEGOTIATING: Final = State.SUBNEGOTIATING
_REQUESTING: Final = State.REQUESTING
_REQUESTED: Final = State.REQUESTED
_REPLIED: Final = State.REPLIED
_NO_ACCEPTABLE: Final = int(Method.NO_ACCEPTABLE)
#: Every protocol that a listener can speak, by its name in C{listen.protocols}; and
#: the one of C{listen.transparent}, which is told by no octet.
DIALECTS: Final[Mapping[str, Dialect]] = {
    dialect.protocol: dialect
    for dialect in (Socks5(), Socks4(), Socks6(), Http(), Transparent())
}
#: How often one client goes on after a refusal, on one connection.
_REFUSALS: Final = 100
#: Before the client has said anything.
_UNKNOWN: Final = Dialect()
#: The longest first message.
_FIRST_LIMIT: Final = max(dialect.firstLimit for dialect in DIALECTS.values())


def configured(realm: str, reasons: bool) -> dict[str, Dialect]:
    """Return every protocol, as L{Dialect.configured}."""
    return {name: each.configured(realm, reasons) for name, each in DIALECTS.items()}


def spoken(
    protocols: Iterable[str], known: Mapping[str, Dialect] = DIALECTS
) -> dict[int, Dialect]:
    """
    Return what a listener speaks, by the first octet of its clients.

    @param protocols: as in C{listen.protocols}.
    @param known: every protocol (L{configured}).
    """
    dialects = [known[protocol] for protocol in protocols]
    return {octet: dialect for dialect in dialects for octet in dialect.first}


_EVERY: Final = spoken(DIALECTS)


@final
class Asking:
    """
    The login of a client that is told which credentials are wanted.

    @ivar challenges: each a scheme and its parameters, best first.
    @ivar turns: how often it has been told.
    @ivar conclusion: what the reply says besides; empty for nothing.
    """

    __slots__ = ("challenges", "conclusion", "turns")

    def __init__(self, challenges: Sequence[str]) -> None:
        self.challenges = challenges
        self.turns = 0
        self.conclusion = ""


class ServerConversation(Conversation):
    """
    What one client says, and the octets to answer with.

    A request that follows a login is read only after L{authenticated}. Where the
    client makes its request at once, the caller may serve it only after L{admit}.

    @ivar state: where it is.
    @ivar dialect: what the client speaks.
    @ivar protocol: the name of that; empty until it is known.
    @ivar asking: the login, where the dialect is challenging.
    @ivar login: the login, where the request brings it.
    @ivar goesOn: whether the client may make another request after a refusal.
    """

    __slots__ = (
        "_dialects", "_refusals", "_request", "asking", "dialect", "goesOn", "login",
        "protocol", "state",
    )  # fmt: skip

    def __init__(self, dialects: Mapping[int, Dialect] = _EVERY) -> None:
        """
        @param dialects: what may be spoken (L{spoken}).
        """
        super().__init__()
        self._dialects = dialects
        self.dialect = _UNKNOWN
        self.protocol = ""
        self.asking: Asking | None = None
        self.login: Login | None = None
        self.goesOn = False
        self._refusals = 0
        self._request: Requested | None = None
        self.state = _START
        self._await(self._readFirst, _FIRST_LIMIT)

    def _readFirst(self, reader: Reader) -> Event:
        octet = reader.octets[0]
        dialect = self._dialects.get(octet)
        if dialect is None:
            known = set(self._dialects.values())
            if len(known) == 1:
                (only,) = known
                self.login = only.stranger()
            first = bytes(reader.octets[:LOOKED_AT])
            raise WireError(f"first octet {octet}: {lookOf(first)}")
        self.dialect = dialect
        self.version, self.protocol = dialect.version, dialect.protocol
        self._limit, self._secret = dialect.firstLimit, dialect.secret
        return dialect.readFirst(reader)

    def next(self) -> Event | None:
        """
        Return the next event.

        @return: L{None} while more octets, or an answer of ours, are wanted.
        @raise WireError: the client broke the protocol. Its C{reply}, where
            there is one, can be sent.
        """
        try:
            event = self._take()
        except WireError as e:
            e.reply = e.reply or self.dialect.fault
            raise
        if event is None:
            return None
        if self.state is _SUBNEGOTIATING:
            self.state = _CHOSEN
            return Decoded(event)
        if isinstance(event, Requested):
            self._request = event
            self.login = self.dialect.login(event)
            self.state = _REQUESTED if self.login is None else _OFFERED
            return event
        assert isinstance(event, MethodsOffered)
        self.state = _OFFERED
        return event

    def answerOffer(self, method: int) -> bytes:
        """
        Answer the client's offer of methods.

        @param method: the one that is chosen; L{Method.NO_ACCEPTABLE}, which ends the
            conversation, for none.
        @return: the octets to send; empty where the client waits for no answer.
        """
        if self.state is not _OFFERED:
            return b""
        self.state = _CHOSEN
        if method == _NO_ACCEPTABLE:
            self._fail()
        if self.login is not None:
            return self.login.select(method)
        return self.dialect.encodeSelection(method)

    def chooseMethod(self, method: int) -> bytes:
        """
        Return the answer to L{MethodsOffered}, as L{answerOffer}.

        @raise OutOfOrder: none was awaited.
        """
        self._require(_OFFERED)
        return self.answerOffer(method)

    def challenge(self, challenges: Sequence[str] | None = None) -> bytes:
        """
        Ask for credentials, and await the request again.

        @param challenges: other ones than those that are wanted of everybody.
        @return: the octets to send.
        """
        self._require(_REQUESTED)
        asking = self.asking
        assert asking is not None
        asking.turns += 1
        octets = self.dialect.encodeChallenge(challenges or asking.challenges, True)
        octets = self.dialect.fitted(octets, self._request)
        self.skip(self.dialect.goesOn(self._request) or 0)
        self.state = _START
        self._await(self.dialect.readFirst, self.dialect.firstLimit, secret=True)
        return octets

    def renew(self, dialects: Mapping[int, Dialect]) -> None:
        """
        Await another request of a client that was answered.

        @param dialects: what may be spoken now.
        """
        self._dialects = dialects
        self.asking = self.login = self._request = None
        self.goesOn = False
        self.state = _START
        self._await(self._readFirst, _FIRST_LIMIT)

    def passOn(self) -> Exchange:
        """
        Have the destination answer the request.

        @return: what passes it on (L{Dialect.exchange}).
        @raise OutOfOrder: the client waits for no reply.
        """
        self._require(_REQUESTED)
        exchange = self.dialect.exchange(self._request)
        if self.asking is not None:
            exchange.conclusion = self.asking.conclusion
        return exchange

    def passed(self) -> None:
        """Take note that the destination answers the request."""
        self._require(_REQUESTED)
        self.state = _REPLIED
        self._request = None

    @property
    def unanswered(self) -> bool:
        """Whether the client was told to log in, and has not begun to answer."""
        asking = self.asking
        return (
            asking is not None
            and asking.turns > 0
            and self.state is _START
            and not self._buffer
        )

    def dismiss(self) -> bool:
        """
        Read no more of a client whose first message, or its login, takes too long.

        @return: whether the client waits for a reply: it does where it has begun
            one.
        """
        if self.unanswered:
            self.state = _REPLIED
        if self.state is _REQUESTED:
            self._refusals = _REFUSALS
            return True
        if self.state is not _START:
            return False
        self._fail()
        return self.replyable

    def admit(self, event: Event) -> Requested | None:
        """
        Go on to the request of a client that is logged in.

        @param event: the client's first message.
        @return: the request, where the client has made it already; L{None} where
            L{next} brings it.
        """
        if not isinstance(event, Requested):
            self.authenticated()
            return None
        if self.login is not None:
            self._require(_CHOSEN)
            self.state = _REQUESTED
        self.protocol = self.dialect.called(event)
        self.dialect = self.dialect.answering(event)
        return event

    def expect(self, decoder: Callable[[Reader], Any], limit: int) -> None:
        """
        Go on with the method's sub-negotiation: L{Decoded} brings the next message.

        @param decoder: reads it.
        @param limit: most octets it may have.
        """
        self._require(_CHOSEN)
        self.state = _SUBNEGOTIATING
        if self.login is not None:
            decoder, early = self.login.behind(decoder)
            limit += early
        self._await(decoder, limit, secret=True)

    def brought(self, decoder: Callable[[Reader], Any], limit: int) -> Decoded | None:
        """
        Return the method's next message, where the request has brought it.

        @return: L{None} where L{expect} has to wait for it.
        @raise WireError: it is none.
        """
        login = self.login
        if login is None or not login.brings:
            return None
        self._require(_CHOSEN)
        try:
            return Decoded(login.message(decoder, limit))
        except WireError as e:
            self._fail()
            e.reply = e.reply or self.dialect.fault
            raise

    def invite(self) -> bytes:
        """
        Return what a client is sent before L{expect} can wait for its message.

        @raise WireError: it has none to send.
        """
        if self.login is None:
            return b""
        try:
            return self.login.proceed()
        except WireError as e:
            self._fail()
            e.reply = e.reply or self.dialect.fault
            raise

    def said(self, octets: bytes) -> bytes:
        """
        Take what a method says.

        @return: the octets to send now.
        """
        return octets if self.login is None else self.login.say(octets)

    def welcome(self) -> bytes:
        """Return what tells a client that L{admit} let it in, where anything does."""
        return b"" if self.login is None else self.login.admitted()

    @property
    def held(self) -> int:
        """As L{Conversation.held}, with what is early."""
        login = self.login
        return len(self._buffer) + (0 if login is None else len(login.early))

    def drop(self) -> None:
        """As L{Conversation.drop}, with what is early."""
        super().drop()
        if self.login is not None:
            self.login.early = b""

    def ahead(self) -> bytes:
        """Return what L{surplus} would, and leave it where it is."""
        early = b"" if self.login is None else self.login.early
        return early + bytes(self._buffer)

    def surplus(self) -> bytes:
        """
        Return and consume everything behind the last message, and what is early.
        """
        octets = super().surplus()
        if self.login is not None and self.login.early:
            octets, self.login.early = self.login.early + octets, b""
        return octets

    def selectAgain(self) -> None:
        """
        Await another offer of methods (RFC 1928 section 3).

        The method that was chosen protects what follows, and logs no user in.
        """
        self._require(_CHOSEN)
        self.state = _START
        self._await(self.dialect.readMethods, self.dialect.firstLimit)

    def authenticated(self) -> None:
        """
        Await the request of a client that is logged in.
        """
        self._require(_CHOSEN)
        self.state = _REQUESTING
        self._await(self.dialect.readRequest, self.dialect.requestLimit)

    @property
    def replyable(self) -> bool:
        """
        Whether the client waits for a reply.

        It does when it made its request, or tried to, and has no reply yet.
        """
        if self.login is not None and not self.login.over:
            return self.state is not _REPLIED
        if self.failed:
            return self.state is _REQUESTING or (
                self.state is _START and self.dialect.fault is not None
            )
        return self.state is _REQUESTED

    def reply(
        self,
        reply: Reply,
        bound: tuple[Address | str, int] | None = None,
        more: bool = False,
    ) -> bytes:
        """
        Return the answer to the request, in the client's protocol.

        @param bound: the gateway's address and port towards the destination; a name
            in the answer to C{resolve-ptr}.
        @param more: whether another reply follows (BIND).
        @raise OutOfOrder: the client waits for none.
        """
        if not self.replyable:
            raise OutOfOrder(f"a reply in state {self.state.value}")
        if not more:
            self.state = _REPLIED
            self._request = None
        address, port = bound or UNBOUND
        octets = self.dialect.encodeReply(reply, address, port)
        if self.asking is not None and self.asking.conclusion:
            return self.dialect.concluded(octets, self.asking.conclusion)
        return octets

    def deny(self, reply: Reply, reason: str, why: str) -> bytes:
        """
        Return the answer to a client that is not let in.

        The cause is not told where there are credentials by which it could be.

        @raise OutOfOrder: the client waits for no reply.
        """
        if self.asking is None or not self.asking.challenges:
            return self.refuse(reply, reason, why)
        if not self.replyable:
            raise OutOfOrder(f"a denial in state {self.state.value}")
        self.state = _REPLIED
        octets = self.dialect.encodeChallenge(self.asking.challenges, False)
        return self.dialect.fitted(octets, self._request)

    def refuse(self, reply: Reply, reason: str, why: str, rule: str = "") -> bytes:
        """
        Return the answer to a request that is refused.

        @param reason: a fixed word, as in the record.
        @param why: for the operator.
        @param rule: the id of the rule that denies it.
        @raise OutOfOrder: the client waits for no reply.
        """
        if not self.replyable:
            raise OutOfOrder(f"a refusal in state {self.state.value}")
        # A client that broke the protocol made no request.
        body = None
        self._refusals += 1
        if not self.failed and self._request is not None and self._refusals < _REFUSALS:
            body = self.dialect.goesOn(self._request)
        if body is not None:
            self.skip(body)
            self.goesOn = True
        login = self.login
        if login is None and self.state is _START:
            login = self.dialect.login(None)
        self.state = _REPLIED
        if login is not None and not login.over:
            return login.refused()
        octets = self.dialect.encodeRefusal(reply, reason, why, rule, self.goesOn)
        return self.dialect.fitted(octets, self._request)

    def _require(self, state: State) -> None:
        if self.state is not state or self.failed:
            raise OutOfOrder(f"wants {state.value}, is {self.state.value}")
