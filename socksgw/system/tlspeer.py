"""
TLS on the connections that the gateway opens.

The peer proves that it has the configured name (L{socksgw.system.tlsname}) before the
first secret is sent to it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import wrapClientTLS
from twisted.internet.interfaces import (
    IHandshakeListener,
    IOpenSSLClientConnectionCreator,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.ssl import CertificateOptions, TLSVersion
from twisted.python.failure import Failure
from zope.interface import implementer

from socksgw.system.tlsname import PeerName, PeerRefused

__all__ = ["TLSPeer"]


@implementer(IOpenSSLClientConnectionCreator)
@final
class TLSPeer:
    """
    The peer that a connection is to reach, by its name.

    It has to speak TLS 1.2 or newer, and to show a certificate for that name.
    """

    def __init__(
        self,
        host: str,
        trust: Any = None,
        context: Callable[[], SSL.Context] | None = None,
    ) -> None:
        """
        Prepare for any number of connections.

        @param host: the DNS name or IP address that the configuration names.
        @param trust: which authorities are believed (C{IOpenSSLTrustRoot}).
        @param context: returns what has the authorities, and what is shown to the
            peer, instead of C{trust}.
        @raise ValueError: C{host} is neither.
        """
        self._name = PeerName(host)
        if context is None:
            context = CertificateOptions(
                trustRoot=trust, raiseMinimumTo=TLSVersion.TLSv1_2
            ).getContext
        self._context = context

    def clientConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        """
        As C{IOpenSSLClientConnectionCreator}.
        """

        def refuse(why: PeerRefused) -> None:
            tlsProtocol.failVerification(Failure(why))

        return self._name.connection(self._context(), refuse)

    def confirm(self, transport: Any) -> None:
        """
        Check the name once more.

        This is called when the handshake is complete, before anything is written.

        @param transport: the one whose handle is the TLS connection.
        @raise PeerRefused: the certificate is not for this name.
        """
        self._name.confirm(transport.getHandle())

    def over(self, endpoint: Any, clock: Any = None) -> Any:
        """
        Return an endpoint that connects by TLS over another one.

        It hands a protocol its transport when the peer is confirmed, and not before.
        Its connections fail with L{PeerRefused} where the peer is refused.

        @param clock: the reactor that the other endpoint uses; by default the
            process's own.
        """
        return _Confirmed(self, endpoint, clock)


@implementer(IStreamClientEndpoint)
@final
class _Confirmed:
    """An endpoint whose peers are confirmed."""

    def __init__(self, peer: TLSPeer, endpoint: Any, clock: Any) -> None:
        self._peer = peer
        self._endpoint = wrapClientTLS(peer, endpoint, clock)

    def connect(self, protocolFactory: Any) -> Deferred[Any]:
        """As C{IStreamClientEndpoint}."""
        return Deferred.fromCoroutine(self._connect(protocolFactory))

    async def _connect(self, factory: Any) -> Any:
        handshake = _Handshake(self._peer, factory)
        connecting = Factory.forProtocol(lambda: handshake)
        connecting.noisy = False
        await self._endpoint.connect(connecting)
        return await handshake.done


@implementer(IHandshakeListener)
@final
class _Handshake(Protocol):
    """
    Stands in for a protocol until the peer is confirmed.

    @ivar done: fires with the protocol.
    """

    transport: Any

    def __init__(self, peer: TLSPeer, factory: Any) -> None:
        self._peer = peer
        self._factory = factory
        self.done: Deferred[Any] = Deferred(lambda _: self.transport.abortConnection())

    def handshakeCompleted(self) -> None:
        """As C{IHandshakeListener}."""
        transport = self.transport
        if self.done.called or transport.disconnecting:
            return
        try:
            self._peer.confirm(transport)
        except PeerRefused:
            transport.failVerification(Failure())
            return
        protocol = self._factory.buildProtocol(transport.getPeer())
        # No layer of its own for what follows.
        transport.wrappedProtocol = protocol
        protocol.makeConnection(transport)
        self.done.callback(protocol)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Fail, where the connection ended before its peer was confirmed."""
        if not self.done.called:
            self.done.errback(reason)
