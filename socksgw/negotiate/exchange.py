"""
What a sub-negotiation has of its connection.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar, final

from zope.interface import implementer

from socksgw.errors import AuthenticationFailed
from socksgw.interfaces import IExchange, Program, Protection
from socksgw.wire.address import Address
from socksgw.wire.events import Decoded, Event
from socksgw.wire.reader import Reader
from socksgw.wire.server import ServerConversation

__all__ = ["Client", "Exchange"]

T = TypeVar("T")


class Client(Protocol):
    """
    What the negotiation needs of the client's connection.

    @ivar source: the client's address.
    @ivar proved: the method, and the credentials, by which an earlier request has
        proved whose connection it is; L{None} where none has.
    """

    source: Address
    proved: tuple[str, Any] | None

    @property
    def conversation(self) -> ServerConversation:
        """What the client says, in its protocol."""

    @property
    def identity(self) -> Any:
        """What the connection has proved (C{IVerifiedIdentity}), or L{None}."""

    def ownedBy(self) -> Program | None:
        """Return what the kernel says of the program at the other end."""

    @property
    def secured(self) -> str:
        """How it is protected: C{clear}, C{integrity} or C{confidentiality}."""

    def protect(self, protection: Protection) -> None:
        """Have every octet from here on go through a protection."""

    def next(self) -> Awaitable[Event]:
        """
        Wait for the client's next message.

        @raise WireError: it breaks the protocol.
        @raise ClientLost: none will come.
        """

    def send(self, octets: bytes) -> None:
        """Send octets to the client."""


@implementer(IExchange)
@final
class Exchange:
    """A sub-negotiation's view of its connection."""

    __slots__ = ("_client",)

    def __init__(self, client: Client) -> None:
        self._client = client

    async def read(self, decoder: Callable[[Reader], T], limit: int) -> T:
        """Read the client's next message (L{IExchange})."""
        client = self._client
        conversation = client.conversation
        event: Event | None = conversation.brought(decoder, limit)
        if event is None:
            self._send(conversation.invite())
            conversation.expect(decoder, limit)
            event = await client.next()
        assert isinstance(event, Decoded)
        message: T = event.message
        return message

    def write(self, octets: bytes) -> None:
        """Send octets to the client."""
        self._send(self._client.conversation.said(octets))

    def _send(self, octets: bytes) -> None:
        if octets:
            self._client.send(octets)

    def protect(self, protection: Protection) -> None:
        """
        Have every octet from here on go through a protection.

        @raise AuthenticationFailed: the protocol has none.
        """
        if not self.protects:
            raise AuthenticationFailed(
                "the logins of this protocol protect nothing of what follows",
                reason="protection",
                counts=False,
            )
        self._client.protect(protection)

    @property
    def protects(self) -> bool:
        """Whether there can be one (L{IExchange})."""
        return self._client.conversation.login is None

    @property
    def secured(self) -> str:
        """How the connection is protected (L{IExchange})."""
        return self._client.secured

    @property
    def identity(self) -> Any:
        """What the connection has proved (C{IVerifiedIdentity}), or L{None}."""
        return self._client.identity

    @property
    def program(self) -> Program | None:
        """What the kernel says of the program at the other end (L{IExchange})."""
        return self._client.ownedBy()
