"""
Questions to a service by HTTP: JSON there and back, or a document that is fetched.

Connections are kept, and all that comes is bounded.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from io import BytesIO
from typing import Any, Final, final

from OpenSSL import SSL
from twisted.internet.defer import CancelledError, Deferred, FailureGroup, race
from twisted.internet.endpoints import HostnameEndpoint, UNIXClientEndpoint
from twisted.internet.error import (
    ConnectError,
    ConnectingCancelledError,
    ConnectionClosed,
    DNSLookupError,
)
from twisted.internet.interfaces import IProtocol, IStreamClientEndpoint
from twisted.internet.protocol import Protocol, connectionDone
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from twisted.web.client import (
    URI,
    Agent,
    FileBodyProducer,
    HTTPConnectionPool,
    RequestTransmissionFailed,
    ResponseDone,
    ResponseFailed,
    ResponseNeverReceived,
)
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

from socksgw.login.stores.remote import Unavailable
from socksgw.system.tlsname import PeerRefused
from socksgw.system.tlspeer import TLSPeer

__all__ = ["JSONService"]

#: Octets of an answer at most, and of all that comes for one question: with
#: headers, provisional answers, and the framing of chunks.
_LONGEST: Final = 64 << 10
_ALL: Final = 96 << 10
#: Seconds that an unused connection is kept.
_IDLE: Final = 60
#: How much of its time a question has alone on a connection that was kept: from
#: then on it is asked on a new one, too, and the first answer counts.
_KEPT: Final = 0.4


def _once(members: list[tuple[str, Any]]) -> dict[str, Any]:
    """
    Return an object, each of whose members stands there once.

    RFC 8259 section 4 leaves open which of two counts.

    @raise ValueError: one stands there twice.
    """
    found = dict(members)
    if len(found) != len(members):
        raise ValueError("a member stands there twice")
    return found


@final
class JSONService:
    """
    A service that is asked by POST, or a document of one by GET.
    """

    def __init__(
        self,
        reactor: Any,
        peers: Mapping[str, TLSPeer],
        connections: int,
        seconds: float,
        token: bytes = b"",
        socket: str = "",
    ) -> None:
        """
        Make a service without any connection.

        @param peers: by the host of a URL, in lower case, whom it has to be, for https.
        @param connections: kept at most.
        @param seconds: that a question has.
        @param token: said to the service (RFC 6750), if there is one.
        @param socket: the Unix socket of it, in place of hosts and ports of URLs.
        """
        self._reactor = reactor
        self._socket = socket
        self._peers = peers
        self._seconds = seconds
        self._pool = HTTPConnectionPool(reactor)
        self._pool.maxPersistentPerHost = connections
        self._pool.cachedConnectionTimeout = _IDLE
        self._fresh = HTTPConnectionPool(reactor, persistent=False)
        # Answers come as they are: what is compressed could be of any size.
        self._headers = Headers()
        if token:
            self._headers.addRawHeader(b"Authorization", b"Bearer " + token)

    async def ask(self, url: str, question: Mapping[str, Any]) -> dict[str, Any]:
        """
        Ask; once more, on a new connection, when a kept one has died or is silent.

        @raise Unavailable: there is no answer that can be understood.
        """
        headers = self._headers.copy()
        headers.addRawHeader(b"Content-Type", b"application/json")
        octets = await self._answer(url, headers, json.dumps(question).encode())
        try:
            answer = json.loads(octets, object_pairs_hook=_once)
        except (ValueError, RecursionError):
            # The text would hold a part of the answer.
            raise Unavailable("an answer that is no JSON") from None
        if not isinstance(answer, dict):
            raise Unavailable("an answer that is no object")
        return answer

    async def fetch(self, url: str, token: bytes = b"") -> bytes:
        """
        Return the document at a URL; otherwise as L{ask}.

        @param token: said to the service this time, if there is one.
        @raise Unavailable: there is none.
        """
        headers = self._headers
        if token:
            headers = headers.copy()
            headers.addRawHeader(b"Authorization", b"Bearer " + token)
        return await self._answer(url, headers, None)

    async def _answer(self, url: str, headers: Headers, body: bytes | None) -> bytes:
        try:
            code, octets = await self._exchange(url, headers, body)
        except _FAILURES as e:
            raise _failure(e) from None
        if code != 200:
            raise Unavailable(f"status {code}")
        return octets

    async def _exchange(
        self, url: str, headers: Headers, body: bytes | None
    ) -> tuple[int, bytes]:
        endpoints = _Endpoints(self._reactor, self._peers, self._socket)
        needed = Deferred[None]()

        def look() -> None:
            if not endpoints.opened:
                needed.callback(None)

        async def first() -> tuple[int, bytes]:
            try:
                return await self._once(endpoints, self._pool, url, headers, body)
            except _FAILURES as e:
                if endpoints.opened or not _isDeath(e):
                    needed.cancel()
                elif not needed.called:
                    needed.callback(None)
                raise

        async def second() -> tuple[int, bytes]:
            await needed
            again = _Endpoints(self._reactor, self._peers, self._socket)
            return await self._once(again, self._fresh, url, headers, body)

        timer = self._reactor.callLater(_KEPT * self._seconds, look)
        asking = [Deferred.fromCoroutine(each()) for each in (second, first)]
        try:
            _, answer = await race(asking)
        except FailureGroup as e:
            # Where it was not asked again, that was cancelled.
            why = [f for f in e.failures if not f.check(CancelledError)] or e.failures
            why[0].raiseException()
        finally:
            if timer.active():
                timer.cancel()
        return answer

    async def _once(
        self,
        endpoints: _Endpoints,
        pool: HTTPConnectionPool,
        url: str,
        headers: Headers,
        body: bytes | None,
    ) -> tuple[int, bytes]:
        # It follows no redirection: a password goes where it was sent, and a
        # document comes from where it was asked for.
        agent = Agent.usingEndpointFactory(self._reactor, endpoints, pool)
        method, producer = b"GET", None
        if body is not None:
            method = b"POST"
            producer = FileBodyProducer(BytesIO(body), cooperator=_Whole())
        response: Any = await agent.request(
            method, url.encode("ascii"), headers, producer
        )
        came = _Body()
        response.deliverBody(came)
        return response.code, await came.done


@final
class _Whole:
    """
    A cooperator that does all of a task at once: bodies are short.
    """

    def cooperate(self, iterator: Any) -> _Whole:
        self._done: Deferred[Any] = Deferred()
        for _ in iterator:
            pass
        self._done.callback(iterator)
        return self

    def whenDone(self) -> Deferred[Any]:
        return self._done

    def stop(self) -> None:
        """Do nothing: the producer has ended already."""


@implementer(IAgentEndpointFactory)
@final
class _Endpoints:
    """
    Where one question connects to.

    @ivar opened: whether it had to: else it had a connection that was kept.
    """

    def __init__(
        self, reactor: Any, peers: Mapping[str, TLSPeer], socket: str = ""
    ) -> None:
        self._reactor = reactor
        self._peers = peers
        self._socket = socket
        self.opened = False

    def endpointForURI(self, uri: URI) -> _Endpoint:
        """As C{IAgentEndpointFactory}."""
        host = uri.host.decode("ascii")
        endpoint: Any
        if self._socket:
            endpoint = UNIXClientEndpoint(self._reactor, self._socket)
        else:
            endpoint = HostnameEndpoint(self._reactor, host, uri.port)
        if uri.scheme == b"https":
            endpoint = self._peers[host.lower()].over(endpoint)
        return _Endpoint(self, endpoint)


@implementer(IStreamClientEndpoint)
@final
class _Endpoint:
    """Make bounded connections, without a line in the log for each of them."""

    def __init__(self, endpoints: _Endpoints, endpoint: Any) -> None:
        self._endpoints = endpoints
        self._endpoint = endpoint

    def connect(self, protocolFactory: Any) -> Any:
        """As C{IStreamClientEndpoint}."""
        self._endpoints.opened = True
        protocolFactory.noisy = False
        factory = WrappingFactory(protocolFactory)
        factory.protocol = _Bounded
        factory.noisy = False
        connecting = self._endpoint.connect(factory)
        return connecting.addCallback(lambda bounded: bounded.wrappedProtocol)


class _TooLong(ConnectionClosed):
    """There came more than is read."""


class _Bounded(ProtocolWrapper):
    """
    End a connection on which too much comes for one question.

    Twisted's client has no bound of its own on headers.
    """

    transport: Any

    def __init__(self, factory: Any, wrapped: IProtocol) -> None:
        super().__init__(factory, wrapped)
        self._came = 0

    def write(self, data: bytes) -> None:
        """Send a question, or a part of one."""
        self._came = 0
        self.transport.write(data)

    def writeSequence(self, data: Any) -> None:
        """As L{write}."""
        self._came = 0
        self.transport.writeSequence(data)

    def dataReceived(self, data: bytes) -> None:
        """Take a part of the answer, as far as the bound allows."""
        self._came += len(data)
        if self._came <= _ALL:
            self.wrappedProtocol.dataReceived(data)
        else:
            self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Take note that nothing comes any more."""
        why = Failure(_TooLong()) if self._came > _ALL else reason
        super().connectionLost(why)  # type: ignore[no-untyped-call]


@final
class _Body(Protocol):
    """
    Gather the octets of an answer. A question that is given up closes the connection.
    """

    transport: Any

    def __init__(self) -> None:
        self._octets = b""
        self.done: Deferred[bytes] = Deferred(lambda _: self.transport.loseConnection())

    def dataReceived(self, octets: bytes) -> None:
        self._octets += octets
        if len(self._octets) > _LONGEST and not self.done.called:
            self.done.errback(_TooLong())
            self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.done.called:
            return
        if reason.check(ResponseDone, PotentialDataLoss):
            self.done.callback(self._octets)
        else:
            self.done.errback(reason)


#: What Twisted wraps the reasons in.
_WRAPPED: Final = (RequestTransmissionFailed, ResponseFailed, ResponseNeverReceived)
_FAILURES: Final = (
    *_WRAPPED,
    ConnectError,
    ConnectingCancelledError,
    ConnectionClosed,
    DNSLookupError,
    OSError,
    PeerRefused,
    SSL.Error,
)


def _reason(error: Exception) -> Exception:
    """Return the exception that Twisted has wrapped."""
    while isinstance(error, _WRAPPED) and error.reasons:
        value = error.reasons[0].value
        if not isinstance(value, Exception):
            break
        error = value
    return error


def _isDeath(error: Exception) -> bool:
    """Return whether a connection ended before anything of an answer came on it."""
    if not isinstance(error, (RequestTransmissionFailed, ResponseNeverReceived)):
        return False
    reason = _reason(error)
    return not isinstance(reason, (CancelledError, _TooLong))


def _failure(error: Exception) -> Exception:
    """Return what went wrong, without anything that was sent."""
    error = _reason(error)
    if isinstance(error, CancelledError):
        return error
    if isinstance(error, ConnectingCancelledError):
        # It was given up while it was being connected.
        return CancelledError()
    if isinstance(error, _TooLong):
        return Unavailable("an answer that is too long", alone=True)
    if isinstance(error, PeerRefused):
        return Unavailable(str(error))
    if isinstance(error, SSL.Error):
        return Unavailable("TLS failed")
    return Unavailable(type(error).__name__)
