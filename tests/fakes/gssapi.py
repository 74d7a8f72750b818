"""
A client of GSSAPI by the stub mechanism, message by message.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from socksgw.interfaces import Settings
from socksgw.login.identities import VerifiedIdentities
from socksgw.login.portal import Login
from socksgw.negotiate.methods import OfferedMethod
from socksgw.plugins import auth_gssapi
from socksgw.plugins.gssapi_stub import StubContext, StubInitiator, StubTokens
from socksgw.wire.gssapi import (
    ABORT,
    MessageType,
    Tokens,
    encode,
    readAuthentication,
    readLevel,
)
from socksgw.wire.reader import Reader
from tests.fakes.gateway import Gateway

REALM = "CORP.EXAMPLE"
OFFER = b"\x05\x01\x01"
#: What the server says to a failed login, after the method.
REFUSED = b"\x05\x01" + ABORT


def method(**table: Any) -> OfferedMethod:
    """Make the method with the stub mechanism and these settings."""
    settings = Settings({"mechanism": "stub", **table})
    return OfferedMethod("gssapi", 1, auth_gssapi.method.build(settings, None))


def gatewayWith(**table: Any) -> Gateway:
    """Make a gateway that offers GSSAPI alone."""
    gateway = Gateway([method(**table)])
    gateway.generation.login = Login(
        [VerifiedIdentities([REALM])], {"staff": ["alice"]}, 60, gateway.clock
    )
    return gateway


def established() -> tuple[StubTokens, StubContext]:
    """Return both sides of an established context, the client's first."""
    initiator = StubInitiator("alice@R")
    context = StubContext(bytes(16))
    answers: list[bytes] = []
    Deferred.fromCoroutine(context.step(initiator.first)).addCallback(answers.append)
    return initiator.established(answers[0]), context


class Peer:
    """
    A client; octets that it is sent are taken from its transport.

    @ivar transport: its connection, from the gateway's side.
    @ivar tokens: the established context.
    """

    def __init__(
        self,
        gateway: Gateway,
        name: str = f"alice@{REALM}",
        rounds: int = 1,
        silent: bool = False,
        single: bool = False,
    ) -> None:
        """
        @param single: whether it sends octet by octet.
        """
        self._single = single
        self.initiator = StubInitiator(name, rounds, silent)
        self.transport = gateway.connect()
        self.tokens: StubTokens | None = None
        self._stream = Tokens()
        self._position = 0

    def send(self, octets: bytes) -> None:
        """Send; nothing, once the connection is gone."""
        parts = [octets]
        if self._single:
            parts = [octets[i : i + 1] for i in range(len(octets))]
        for part in parts:
            if not self.transport.ending:
                self.transport.protocol.dataReceived(part)

    def received(self, length: int = -1) -> bytes:
        """Take the octets that it was sent since the last call."""
        found: bytes = self.transport.value()[self._position :]
        if length >= 0:
            found = found[:length]
        self._position += len(found)
        return found

    def authenticated(self) -> StubTokens:
        """Establish the context."""
        self.send(OFFER)
        assert self.received() == b"\x05\x01"
        token = self.initiator.first
        for _ in range(self.initiator.more + 1):
            self.send(encode(MessageType.AUTHENTICATION, token))
            reader = Reader(self.received())
            answer = readAuthentication(reader)
            assert reader.position == len(reader.octets)
            token = b"more"
        self.tokens = self.initiator.established(answer)
        return self.tokens

    def agreed(self, level: int, nec: bool = False) -> int:
        """
        Ask for a level.

        @return: what the server answered.
        """
        assert self.tokens is not None
        asked = bytes((level,))
        token = asked if nec else self.tokens.wrap(asked, False)
        self.send(encode(MessageType.LEVEL, token))
        answer = readLevel(Reader(self.received()))
        if not nec:
            answer, encrypted = self.tokens.unwrap(answer)
            assert not encrypted
        (found,) = answer
        return found

    def wrapped(self, octets: bytes, confidential: bool = True) -> bytes:
        """Make a data message of octets."""
        assert self.tokens is not None
        return encode(MessageType.DATA, self.tokens.wrap(octets, confidential))

    def unwrapped(self) -> tuple[bytes, set[bool]]:
        """
        Unwrap what it was sent, and tell whether that was encrypted.
        """
        assert self.tokens is not None
        found = [self.tokens.unwrap(x) for x in self._stream.receive(self.received())]
        return b"".join(octets for octets, _ in found), {secret for _, secret in found}


class StubSide:
    """
    A context of the stub, from the side that begins, as logins at proxies want it
    (L{socksgw.client.logins.initiator.InitiatorContext}).
    """

    confidential = True

    def __init__(self, name: str, rounds: int) -> None:
        self._initiator = StubInitiator(name, rounds)
        self._tokens: StubTokens | None = None
        self._sent = 0

    @property
    def complete(self) -> bool:
        return self._tokens is not None

    async def step(self, token: bytes) -> bytes:
        self._sent += 1
        if self._sent == 1:
            return self._initiator.first
        if self._sent <= self._initiator.more + 1:
            return b"more"
        self.conclude(token)
        return b""

    def conclude(self, token: bytes) -> None:
        self._tokens = self._initiator.established(token)

    def wrap(self, octets: bytes, confidential: bool) -> bytes:
        assert self._tokens is not None
        return self._tokens.wrap(octets, confidential)

    def unwrap(self, token: bytes) -> tuple[bytes, bool]:
        assert self._tokens is not None
        return self._tokens.unwrap(token)

    def longest(self, confidential: bool) -> int:
        return 40_000


class StubTickets:
    """What makes such contexts (L{socksgw.client.logins.initiator.Initiator})."""

    def __init__(self, name: str = f"alice@{REALM}", rounds: int = 1) -> None:
        self._name = name
        self._rounds = rounds
        self.services: list[str] = []

    def begin(
        self, service: str, negotiated: bool = False, datagrams: bool = False
    ) -> StubSide:
        self.services.append(service)
        return StubSide(self._name, self._rounds)
