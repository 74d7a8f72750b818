"""
Logins in a protocol whose requests bring the credentials.

A client that brings none, or such as are not wanted, is told which are, and makes
its request again (RFC 9110 section 11).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, final

from twisted.internet.defer import CancelledError
from zope.interface import implementer

from socksgw.errors import (
    AuthenticationFailed,
    NoAcceptableMethod,
    SocksError,
    Unanswered,
)
from socksgw.interfaces import IAnswers, IVerifiedIdentity
from socksgw.negotiate.attempt import Attempt, attempt, defect
from socksgw.negotiate.exchange import Client, Exchange
from socksgw.negotiate.methods import OfferedMethod
from socksgw.wire.events import Event, Requested
from socksgw.wire.reader import WireError
from socksgw.wire.server import Asking

__all__ = ["Answers", "answered"]

#: How often one client is told to log in, on one connection.
_TURNS: Final = 12


@implementer(IAnswers)
@final
class Answers:
    """
    What a method reads that a client answers to its challenges.

    @ivar answer: as in C{IAnswers}.
    @ivar event: the request that brought it.
    """

    __slots__ = ("_client", "_scheme", "_shown", "answer", "event")

    def __init__(self, client: Client, challenge: str, event: Requested) -> None:
        self._client = client
        self._shown = challenge.partition(" ")[0]
        self._scheme = self._shown.lower()
        self.event = event
        self.answer = client.conversation.dialect.presented(event)[1]

    async def challenge(self, octets: str) -> bytes:
        """Challenge again, and wait for the answer (C{IAnswers})."""
        client = self._client
        conversation = client.conversation
        dialect = conversation.dialect
        asking = conversation.asking
        assert asking is not None
        if asking.turns >= _TURNS or not dialect.keeps(self.event):
            raise AuthenticationFailed(
                "the login takes more requests than one connection has",
                reason="protocol",
                counts=False,
            )
        self.event = await _again(client, (f"{self._shown} {octets}",))
        scheme, self.answer = dialect.presented(self.event)
        if scheme != self._scheme:
            raise AuthenticationFailed(
                "the client has given this login up", reason="protocol", counts=False
            )
        return self.answer

    def conclude(self, octets: str) -> None:
        """Say this with the reply to the request (C{IAnswers})."""
        asking = self._client.conversation.asking
        assert asking is not None
        asking.conclusion = f"{self._shown} {octets}"

    def deny(self, octets: str) -> None:
        """Say this with the denial of the login (C{IAnswers})."""
        asking = self._client.conversation.asking
        assert asking is not None
        asking.challenges = [
            f"{self._shown} {octets}"
            if each.partition(" ")[0].lower() == self._scheme
            else each
            for each in asking.challenges
        ]

    @property
    def identity(self) -> Any:
        """What the connection has proved (C{IVerifiedIdentity}), or L{None}."""
        return self._client.identity

    @property
    def secured(self) -> str:
        """How the connection is protected."""
        return self._client.secured


@final
class _Told:
    """Tells nothing of a login: the answer to the request does."""

    async def writeOutcome(
        self, exchange: Any, credentials: Any, granted: bool
    ) -> None:
        """Do nothing."""


_TOLD: Final = _Told()


async def _again(client: Client, challenges: Sequence[str] | None = None) -> Requested:
    """Tell the client which credentials are wanted, and wait for its request."""
    client.send(client.conversation.challenge(challenges))
    event = await client.next()
    assert isinstance(event, Requested)
    return event


def _fit(
    wanted: Sequence[OfferedMethod], offered: bytes, scheme: str, exchange: Exchange
) -> OfferedMethod | None:
    """Return the best method that the credentials of a request can serve."""
    for method in wanted:
        if method.inner or not method.isFor(exchange):
            continue
        if scheme and method.capabilities.scheme == scheme:
            return method
        if any(code in offered for code in method.codes):
            return method
    return None


def _unmet(wanted: Sequence[OfferedMethod]) -> str:
    """Say why the client cannot be asked to log in, for the journal."""
    if not wanted:
        return "nobody may log in here: no [[auth.choose]] is for this client"
    names = ", ".join(f'"{method.name}"' for method in wanted)
    return (
        f"no method that is wanted here ({names}) can be used in the client's "
        "protocol, on this connection"
    )


async def answered(
    client: Client,
    event: Event,
    wanted: Sequence[OfferedMethod],
    chosen: Callable[[str], None] | None = None,
) -> Attempt:
    """
    Choose a method by the credentials that a request brings, and read them.

    @param event: the client's first request.
    @param wanted: the acceptable methods, best first.
    @param chosen: told the name of the method before it reads.
    @return: the try; its C{event} is the request to serve.
    @raise NoAcceptableMethod: none of them can serve the connection.
    @raise WireError: the client broke the protocol.
    @raise AuthenticationFailed: the method has a defect.
    """
    exchange, conversation = Exchange(client), client.conversation
    dialect = conversation.dialect
    challenges = [
        method.capabilities.challenge
        for method in wanted
        if method.capabilities.challenge and method.isFor(exchange)
    ]
    asking = conversation.asking = Asking(challenges)
    while True:
        assert isinstance(event, Requested)
        scheme, _ = dialect.presented(event)
        if not scheme and client.proved is not None:
            name, credentials = client.proved
            if any(method.name == name for method in wanted):
                return Attempt(name, _TOLD, exchange, credentials, event)
        method = _fit(wanted, dialect.offered(event), scheme, exchange)
        if method is not None:
            break
        if not challenges:
            raise NoAcceptableMethod(_unmet(wanted), dialect.denial)
        if (
            asking.turns >= _TURNS
            or not dialect.keeps(event)
            # What the client sends to its destination before it is answered is no
            # request to us.
            or (conversation.held and dialect.goesOn(event) is None)
        ):
            raise Unanswered("a login is wanted, and none was made", dialect.denial)
        event = await _again(client)
    if chosen is not None:
        chosen(method.name)
    try:
        if scheme and method.capabilities.scheme == scheme:
            answers = Answers(client, method.capabilities.challenge, event)
            reading = method.authenticator.readAnswers(answers)
            found = await attempt(method, _TOLD, answers, event, reading)
            found.event = answers.event
            found.holds = IVerifiedIdentity.providedBy(found.credentials)
            return found
        reading = method.authenticator.readCredentials(exchange)
        return await attempt(method, method.authenticator, exchange, event, reading)
    except (WireError, SocksError, CancelledError):
        raise
    except Exception as e:
        raise defect(method.name, e) from None
