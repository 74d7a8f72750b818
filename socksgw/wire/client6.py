"""
The client's side of a conversation in SOCKS 6.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any, final

from socksgw.wire import socks6
from socksgw.wire.association import INITIATED_LIMIT, readInitiated
from socksgw.wire.codes import SOCKS6
from socksgw.wire.conversation import Conversation, OutOfOrder
from socksgw.wire.events import Decoded
from socksgw.wire.reader import Reader, WireError
from socksgw.wire.socks6 import AuthReplied, Socks6Replied

__all__ = ["ClientConversation6", "ClientState6"]


class ClientState6(Enum):
    """
    Where a conversation is, and what brings it on.

    In this order::

        START             start()
        ENTERING          the server's authentication reply: it lets us in → REQUESTED,
                          selects a method → SELECTED, or neither
        SELECTED          expect(), or told()
        SUBNEGOTIATING    the awaited message → SELECTED
        CONCLUDING        the second authentication reply → REQUESTED
        REQUESTED         the server's operation reply
        REPLIED           another() → REQUESTED, or associating()
        ASSOCIATING       the association's ID → REPLIED
    """

    START = "start"
    ENTERING = "entering"
    SELECTED = "selected"
    SUBNEGOTIATING = "subnegotiating"
    CONCLUDING = "concluding"
    REQUESTED = "requested"
    REPLIED = "replied"
    ASSOCIATING = "associating"


@final
class ClientConversation6(Conversation):
    """
    What to say to a server of SOCKS 6, and what it answers.

    @ivar state: where it is.
    """

    __slots__ = ("_request", "state")

    def __init__(self, request: Callable[[bytes], bytes]) -> None:
        """
        Begin.

        @param request: makes the request, with encoded options; raises C{ValueError}
            where it cannot be said.
        """
        super().__init__()
        self.version = SOCKS6
        self.state = ClientState6.START
        self._request = request

    def start(self, options: bytes = b"") -> bytes:
        """
        Return the request.

        @param options: encoded ones.
        @raise ValueError: it cannot be said.
        """
        self._require(ClientState6.START)
        octets = self._request(options)
        self.state = ClientState6.ENTERING
        self._await(socks6.readAuthReply, socks6.AUTH_REPLY_LIMIT)
        return octets

    def next(self) -> AuthReplied | Decoded | Socks6Replied | None:
        """
        Return the next event.

        @return: L{None} while more octets, or a message of ours, are wanted.
        @raise WireError: the server broke the protocol.
        """
        event = self._take()
        if event is None:
            return None
        if self.state is ClientState6.SUBNEGOTIATING:
            self.state = ClientState6.SELECTED
            return Decoded(event)
        if self.state is ClientState6.ASSOCIATING:
            self.state = ClientState6.REPLIED
            return Decoded(event)
        if isinstance(event, Socks6Replied):
            self.state = ClientState6.REPLIED
            return event
        assert isinstance(event, AuthReplied)
        second = self.state is ClientState6.CONCLUDING
        if event.succeeded:
            self.state = ClientState6.REQUESTED
            self._await(socks6.readAnswer, socks6.REQUEST_LIMIT)
        elif event.options.method is None:
            self._fail()
        elif second:
            # Section 6: it must not allow for further negotiations.
            self._fail()
            raise WireError("the server selects a method a second time")
        else:
            self.state = ClientState6.SELECTED
        return event

    def expect(self, decoder: Callable[[Reader], Any], limit: int) -> None:
        """
        Go on with the method's messages: L{Decoded} brings the next one.

        @param decoder: reads it.
        @param limit: most octets it may have.
        """
        self._require(ClientState6.SELECTED)
        self.state = ClientState6.SUBNEGOTIATING
        self._await(decoder, limit, secret=True)

    def told(self) -> None:
        """Await the second authentication reply: the method has said all."""
        self._require(ClientState6.SELECTED)
        self.state = ClientState6.CONCLUDING
        self._await(socks6.readAuthReply, socks6.AUTH_REPLY_LIMIT)

    def another(self) -> None:
        """Await the second reply to BIND (section 7.2)."""
        self._require(ClientState6.REPLIED)
        self.state = ClientState6.REQUESTED
        self._await(socks6.readAnswer, socks6.REQUEST_LIMIT)

    def associating(self) -> None:
        """Await the ID of the association: L{Decoded} brings it (section 7.3)."""
        self._require(ClientState6.REPLIED)
        self.state = ClientState6.ASSOCIATING
        self._await(readInitiated, INITIATED_LIMIT)

    def _require(self, state: ClientState6) -> None:
        if self.state is not state or self.failed:
            raise OutOfOrder(f"wants {state.value}, is {self.state.value}")
