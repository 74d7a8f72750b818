"""
The server's side of a conversation, in the protocol that the client begins with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import Any, Final, final

from socksgw.wire.address import Address
from socksgw.wire.codes import Method, Reply
from socksgw.wire.conversation import Conversation, OutOfOrder
from socksgw.wire.dialect import UNBOUND, Dialect
from socksgw.wire.events import Decoded, Event, MethodsOffered, Requested
from socksgw.wire.looks import LOOKED_AT, lookOf
from socksgw.wire.reader import Reader, WireError
from socksgw.wire.socks4 import Socks4
from socksgw.wire.socks5 import Socks5

__all__ = ["DIALECTS", "ServerConversation", "State", "spoken"]


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
          └─ SOCKS 4 ─→ REQUESTED        reply()
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
#: Every protocol that a listener can speak, by its name in C{listen.protocols}.
DIALECTS: Final[Mapping[str, Dialect]] = {
    dialect.protocol: dialect for dialect in (Socks5(), Socks4())
}
#: Before the client has said anything.
_UNKNOWN: Final = Dialect()
#: The longest first message.
_FIRST_LIMIT: Final = max(dialect.firstLimit for dialect in DIALECTS.values())


def spoken(protocols: Iterable[str]) -> dict[int, Dialect]:
    """
    Return what a listener speaks, by the first octet of its clients.

    @param protocols: as in C{listen.protocols}.
    """
    dialects = [DIALECTS[protocol] for protocol in protocols]
    return {octet: dialect for dialect in dialects for octet in dialect.first}


_EVERY: Final = spoken(DIALECTS)


@final
class ServerConversation(Conversation):
    """
    What one client says, and the octets to answer with.

    A request that follows a login is read only after L{authenticated}. Where the
    client makes its request at once, the caller may serve it only after L{admit}.

    @ivar state: where it is.
    @ivar dialect: what the client speaks.
    @ivar protocol: the name of that; empty until it is known.
    """

    __slots__ = ("_dialects", "dialect", "protocol", "state")

    def __init__(self, dialects: Mapping[int, Dialect] = _EVERY) -> None:
        """
        @param dialects: what may be spoken (L{spoken}).
        """
        super().__init__()
        self._dialects = dialects
        self.dialect = _UNKNOWN
        self.protocol = ""
        self.state = _START
        self._await(self._readFirst, _FIRST_LIMIT)

    def _readFirst(self, reader: Reader) -> Event:
        octet = reader.octets[0]
        dialect = self._dialects.get(octet)
        if dialect is None:
            first = bytes(reader.octets[:LOOKED_AT])
            raise WireError(f"first octet {octet}: {lookOf(first)}")
        self.dialect = dialect
        self.version, self.protocol = dialect.version, dialect.protocol
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
            self.state = _REQUESTED
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
        return self.dialect.encodeSelection(method)

    def chooseMethod(self, method: int) -> bytes:
        """
        Return the answer to L{MethodsOffered}, as L{answerOffer}.

        @raise OutOfOrder: none was awaited.
        """
        self._require(_OFFERED)
        return self.answerOffer(method)

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
        self.protocol = self.dialect.called(event)
        return event

    def expect(self, decoder: Callable[[Reader], Any], limit: int) -> None:
        """
        Go on with the method's sub-negotiation: L{Decoded} brings the next message.

        @param decoder: reads it.
        @param limit: most octets it may have.
        """
        self._require(_CHOSEN)
        self.state = _SUBNEGOTIATING
        self._await(decoder, limit, secret=True)

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
        address, port = bound or UNBOUND
        return self.dialect.encodeReply(reply, address, port)

    def refuse(self, reply: Reply, reason: str, why: str) -> bytes:
        """
        Return the answer to a request that is refused.

        @param reason: a fixed word, as in the record.
        @param why: for the operator.
        @raise OutOfOrder: the client waits for no reply.
        """
        if not self.replyable:
            raise OutOfOrder(f"a refusal in state {self.state.value}")
        self.state = _REPLIED
        return self.dialect.encodeRefusal(reply, reason, why)

    def _require(self, state: State) -> None:
        if self.state is not state or self.failed:
            raise OutOfOrder(f"wants {state.value}, is {self.state.value}")
