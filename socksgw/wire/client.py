"""
The client's side of a conversation: SOCKS 4, 4a and 5.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any, final

from socksgw.wire import socks4, socks5
from socksgw.wire.address import Address
from socksgw.wire.codes import SOCKS4, SOCKS5, Command, Method
from socksgw.wire.conversation import Conversation, OutOfOrder
from socksgw.wire.events import Decoded, MethodSelected, Replied
from socksgw.wire.multicast import readEntered
from socksgw.wire.reader import Reader, WireError

__all__ = ["ClientConversation", "ClientState"]


class ClientState(Enum):
    """
    Where a conversation is, and what brings it on.

    In this order::

        START             start()
        GREETED           the server's choice of method (SOCKS 5)
        SELECTED          expect(), or authenticated()
        SUBNEGOTIATING    the awaited message → SELECTED
        REQUESTED         the server's reply
        REPLIED           another(), in BIND → REQUESTED
    """

    START = "start"
    GREETED = "greeted"
    SELECTED = "selected"
    SUBNEGOTIATING = "subnegotiating"
    REQUESTED = "requested"
    REPLIED = "replied"


@final
class ClientConversation(Conversation):
    """
    What to say to a SOCKS server, and what it answers.

    @ivar state: where it is.
    """

    __slots__ = ("_command", "_methods", "_request", "state")

    def __init__(
        self,
        version: int,
        command: int,
        host: Address | str,
        port: int,
        methods: bytes = bytes((Method.NO_AUTHENTICATION,)),
        userId: bytes = b"",
    ) -> None:
        """
        Prepare what there is to say.

        @param version: 4 or 5.
        @param host: an address, or a name for the server to look up (in
            SOCKS 4 that makes it 4a).
        @param methods: the method octets to offer, in SOCKS 5.
        @param userId: in SOCKS 4.
        @raise ValueError: this version cannot say it.
        """
        super().__init__()
        self.version = version
        self.state = ClientState.START
        self._methods = methods
        self._command = command
        if version == SOCKS5:
            self._request = socks5.encodeRequest(command, host, port)
        elif version == SOCKS4:
            self._request = socks4.encodeRequest(command, host, port, userId)
        else:
            raise ValueError("SOCKS has the versions 4 and 5")

    def start(self) -> bytes:
        """
        Return the first octets to send: the greeting, or SOCKS 4's request.
        """
        self._require(ClientState.START)
        if self.version == SOCKS4:
            self.state = ClientState.REQUESTED
            self._awaitReply()
            return self._request
        greeting = socks5.encodeMethods(self._methods)
        self.state = ClientState.GREETED
        self._await(socks5.readSelection, socks5.SELECTION_LIMIT)
        return greeting

    def next(self) -> MethodSelected | Decoded | Replied | None:
        """
        Return the next event.

        @return: L{None} while more octets, or an answer of ours, are wanted.
        @raise WireError: the server broke the protocol.
        """
        event = self._take()
        if event is None:
            return None
        if self.state is ClientState.SUBNEGOTIATING:
            self.state = ClientState.SELECTED
            return Decoded(event)
        if isinstance(event, Replied):
            self.state = ClientState.REPLIED
            return event
        assert isinstance(event, MethodSelected)
        self.state = ClientState.SELECTED
        if event.method == Method.NO_ACCEPTABLE:
            self._fail()
        elif event.method not in self._methods:
            self._fail()
            raise WireError(f"the server chose method {event.method}, not offered")
        return event

    def expect(self, decoder: Callable[[Reader], Any], limit: int) -> None:
        """
        Go on with the method's sub-negotiation: L{Decoded} brings the next message.

        @param decoder: reads it.
        @param limit: most octets it may have.
        """
        self._require(ClientState.SELECTED)
        self.state = ClientState.SUBNEGOTIATING
        self._await(decoder, limit, secret=True)

    def authenticated(self) -> bytes:
        """
        Return the request: the server has let the client in, or wants no login.
        """
        self._require(ClientState.SELECTED)
        self.state = ClientState.REQUESTED
        self._awaitReply()
        return self._request

    def another(self) -> None:
        """
        Await the second reply to BIND (RFC 1928 section 6).
        """
        self._require(ClientState.REPLIED)
        self.state = ClientState.REQUESTED
        self._awaitReply()

    def _awaitReply(self) -> None:
        if self.version == SOCKS4:
            self._await(socks4.readReply, socks4.REPLY_LIMIT)
        elif self._command == Command.ENHANCED_UDP_MODE:
            self._await(readEntered, socks5.REQUEST_LIMIT)
        else:
            self._await(socks5.readAnswer, socks5.REQUEST_LIMIT)

    def _require(self, state: ClientState) -> None:
        if self.state is not state or self.failed:
            raise OutOfOrder(f"wants {state.value}, is {self.state.value}")
