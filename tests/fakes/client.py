"""
Play a client to a negotiation, without a session or a transport.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from socksgw.negotiate.attempt import Attempt
from socksgw.negotiate.methods import OfferedMethod
from socksgw.negotiate.negotiation import negotiate
from socksgw.system.program import Program
from socksgw.wire.address import Address
from socksgw.wire.events import Event
from socksgw.wire.server import ServerConversation

__all__ = ["CANARY", "LOGIN", "Client", "begun", "result"]


class Client:
    """
    A client with a real conversation.

    @ivar sent: what it was sent.
    @ivar chunks: what it says by and by: the next one when the one before is
        used up.
    @ivar waiting: what is awaited by whoever asked for more than it has said.
    """

    identity: Any = None
    program: Program | None = None
    secured = "clear"

    def __init__(self, *chunks: bytes, source: str = "192.0.2.7") -> None:
        self.conversation = ServerConversation()
        self.proved: Any = None
        self.source = Address.parse(source)
        self.sent = b""
        self.protection: Any = None
        self.waiting: Deferred[None] | None = None
        self.chunks = list(chunks)
        if chunks:
            self.conversation.receive(self.chunks.pop(0))

    async def next(self) -> Event:
        while (event := self.conversation.next()) is None:
            if self.chunks:
                self.conversation.receive(self.chunks.pop(0))
            else:
                self.waiting = Deferred()
                await self.waiting
        return event

    def ownedBy(self) -> Program | None:
        return self.program

    def send(self, octets: bytes) -> None:
        self.sent += octets

    def protect(self, protection: Any) -> None:
        self.protection = protection

    def receive(self, octets: bytes) -> None:
        """Say this now."""
        self.conversation.receive(octets)
        if self.waiting is not None:
            waiting, self.waiting = self.waiting, None
            waiting.callback(None)


CANARY = "canary-2b8d"
#: alice, and a password that must not be seen.
LOGIN = b"\x01\x05alice" + bytes((len(CANARY),)) + CANARY.encode()


def begun(client: Client, *wanted: OfferedMethod) -> Deferred[Attempt]:
    """Begin the negotiation with this client."""

    async def lead() -> Attempt:
        return await negotiate(client, await client.next(), wanted)

    return Deferred.fromCoroutine(lead())


def result(waiting: Deferred[Any]) -> Any:
    """Return what a Deferred has come to: a value, or an exception."""
    results: list[Any] = []
    waiting.addBoth(results.append)
    assert results, "it waits"
    return getattr(results[0], "value", results[0])
