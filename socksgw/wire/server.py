"""
The server's side of a conversation: SOCKS 4, 4a and 5, told apart by the
first octet.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any, Final, final

from socksgw.wire import socks4, socks5
from socksgw.wire.address import UNSPECIFIED4, Address
from socksgw.wire.codes import SOCKS4, SOCKS5, Method, Reply
from socksgw.wire.conversation import Conversation, OutOfOrder
from socksgw.wire.events import Decoded, Event, MethodsOffered, Requested
from socksgw.wire.reader import Reader, WireError

__all__ = ["ServerConversation", "State", "lookOf"]


class State(Enum):
    """
    Where a conversation is, and what brings it on::

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


BOTH: Final = frozenset({SOCKS4, SOCKS5})
_UNBOUND: Final = (UNSPECIFIED4, 0)
#: The longest first message.
_FIRST_LIMIT: Final = max(socks4.REQUEST_LIMIT, socks5.METHODS_LIMIT)
_HTTP: Final = (
    "HTTP: the client takes this for an HTTP proxy; say socks5h:// to it, and to "
    "Chromium --proxy-server=socks5:// (which under ALL_PROXY=socks5h:// speaks HTTP)"
)
_PROXY: Final = (
    "a PROXY header, which is not taken here: switch it off at the balancer "
    "(send-proxy), or listen by an endpoint that takes it (haproxy:tcp:...)"
)
#: What others begin with, by the first octet.
_LOOKS_LIKE: Final = {
    SOCKS4: "SOCKS 4, which is not spoken here",
    SOCKS5: "SOCKS 5, which is not spoken here",
    0x16: "TLS, which is not spoken here; use a listener with TLS, or none at the "
    "client",
    # The PROXY protocol, version 2, section 2.2.
    0x0D: _PROXY,
    **dict.fromkeys(b"CDGHOPT", _HTTP),
}
#: Version 1 (section 2.1), whose first letter several methods of HTTP have.
_PROXY1: Final = b"PROXY "


def lookOf(octets: bytes) -> str:
    """
    Say what octets look like that begin no SOCKS which is spoken here, and what
    to do. As many as C{PROXY} and a space has are looked at.
    """
    if octets.startswith(_PROXY1):
        return _PROXY
    return _LOOKS_LIKE.get(octets[0], "no SOCKS that is spoken here")


@final
class ServerConversation(Conversation):
    """
    What one client says, and the octets to answer with. A request of SOCKS 5
    is read only after L{authenticated}; one of SOCKS 4 brings no login, which
    the caller has to bear in mind.

    @ivar state: where it is.
    """

    __slots__ = ("_versions", "state")

    def __init__(self, versions: frozenset[int] = BOTH) -> None:
        """
        @param versions: which of 4 and 5 may be spoken.
        """
        super().__init__()
        self._versions = versions
        self.state = State.START
        self._await(self._readFirst, _FIRST_LIMIT)

    def _readFirst(self, reader: Reader) -> Event:
        version = reader.octets[0]
        if version not in self._versions:
            first = bytes(reader.octets[: len(_PROXY1)])
            raise WireError(f"first octet {version}: {lookOf(first)}")
        self.version = version
        if version == SOCKS5:
            return socks5.readMethods(reader)
        return socks4.readRequest(reader)

    def next(self) -> Event | None:
        """
        The next event, or L{None} while more octets (or our answer) are
        wanted.

        @raise WireError: the client broke the protocol. Its C{reply}, where
            there is one, can be sent.
        """
        event = self._take()
        if event is None:
            return None
        if self.state is State.SUBNEGOTIATING:
            self.state = State.CHOSEN
            return Decoded(event)
        if isinstance(event, Requested):
            self.state = State.REQUESTED
            return event
        assert isinstance(event, MethodsOffered)
        self.state = State.OFFERED
        return event

    def chooseMethod(self, method: int) -> bytes:
        """
        The answer to L{MethodsOffered}; L{Method.NO_ACCEPTABLE} ends the
        conversation.
        """
        self._require(State.OFFERED)
        self.state = State.CHOSEN
        if method == Method.NO_ACCEPTABLE:
            self._fail()
        return socks5.encodeSelection(method)

    def expect(self, decoder: Callable[[Reader], Any], limit: int) -> None:
        """
        The method's sub-negotiation goes on with a message that C{decoder}
        reads; L{Decoded} brings it.

        @param limit: most octets it may have.
        """
        self._require(State.CHOSEN)
        self.state = State.SUBNEGOTIATING
        self._await(decoder, limit)

    def selectAgain(self) -> None:
        """
        The method protects what follows, and has logged nobody in: the client
        selects another inside (RFC 1928 section 3, and L{MethodsOffered}).
        """
        self._require(State.CHOSEN)
        self.state = State.START
        self._await(socks5.readMethods, socks5.METHODS_LIMIT)

    def authenticated(self) -> None:
        """
        The client is logged in: it may make its request.
        """
        self._require(State.CHOSEN)
        self.state = State.REQUESTING
        self._await(socks5.readRequest, socks5.REQUEST_LIMIT)

    @property
    def replyable(self) -> bool:
        """
        Whether a reply is what the client waits for: it made its request, or
        tried to, and has none yet.
        """
        if self.failed:
            return self.state is State.REQUESTING or (
                self.state is State.START and self.version == SOCKS4
            )
        return self.state is State.REQUESTED

    def reply(
        self,
        reply: Reply,
        bound: tuple[Address | str, int] | None = None,
        more: bool = False,
    ) -> bytes:
        """
        The answer to the request, in the client's version.

        @param bound: the gateway's address and port towards the destination;
            for RESOLVE_PTR, in SOCKS 5, a name.
        @param more: whether another reply follows (BIND).
        """
        if not self.replyable:
            raise OutOfOrder(f"a reply in state {self.state.value}")
        if not more:
            self.state = State.REPLIED
        address, port = bound or _UNBOUND
        if self.version == SOCKS4:
            assert isinstance(address, Address)
            return socks4.encodeReply(reply, address, port)
        return socks5.encodeReply(reply, address, port)

    def _require(self, state: State) -> None:
        if self.state is not state or self.failed:
            raise OutOfOrder(f"wants {state.value}, is {self.state.value}")
