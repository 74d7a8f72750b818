"""
A link on a transport of Twisted's, which then carries a program's protocol.
"""

from __future__ import annotations

from typing import Any, Final, final

from twisted.internet.error import NoProtocol
from twisted.internet.interfaces import (
    IAddress,
    IHalfCloseableProtocol,
    IProtocolFactory,
    ISSLTransport,
    ITransport,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from socksgw.client.errors import ProtocolBroken, ProxyClosed, ProxyDistrusted
from socksgw.client.link import Link
from socksgw.wire.protection import Protection, StreamProtection
from socksgw.wire.reader import WireError

__all__ = ["TransportFactory", "TransportLink"]

_log = Logger()

#: Names, so that programs without TLS need not load it.
_TLS_FAILURES: Final = (
    "OpenSSL.SSL.Error",
    "service_identity.exceptions.VerificationError",
    "service_identity.exceptions.CertificateError",
    "socksgw.system.tlsname.PeerRefused",
)
#: Octets that become one message of a protection, and less than 64 KiB of it.
_AT_ONCE: Final = 60 << 10


@implementer(IHalfCloseableProtocol)
@final
class TransportLink(Link, Protocol):
    """
    A link, and the program's protocol behind it from L{handOver} on.

    What the program's protocol gets as transport is the connection's own, unless a
    protection stands in between.
    """

    transport: Any

    def __init__(self) -> None:
        super().__init__()
        self._abandoned = False
        self._protocol: Any = None
        self._protection: Protection | None = None

    # As a link.

    @property
    def secured(self) -> bool:
        """As L{Link.secured}."""
        return bool(ISSLTransport.providedBy(self.transport))

    def write(self, octets: bytes) -> None:
        """As L{Link.write}."""
        self.transport.write(octets)

    def pause(self) -> None:
        """As L{Link.pause}: nothing is read until L{handOver}, in the same turn."""
        self.transport.pauseProducing()

    def abandon(self) -> None:
        """Close the connection, also one that is still to come."""
        self._abandoned = True
        if self.transport is not None:
            _abort(self.transport)

    def handOver(
        self, factory: IProtocolFactory, protection: Protection | None
    ) -> Protocol:
        """
        Make the program's protocol, which has the connection from now on.

        @raise NoProtocol: the factory makes none.
        """
        transport = self.transport
        if protection is not None:
            self._protection = protection
            transport = ProtectedTransport(transport, protection)
        protocol: Any = factory.buildProtocol(self.transport.getPeer())
        if protocol is None:
            raise NoProtocol
        self._protocol = protocol
        self.transport.resumeProducing()
        protocol.makeConnection(transport)
        made: Protocol = protocol
        return made

    def deliver(self) -> None:
        """Hand the surplus on, when the program knows its protocol."""
        octets, self.surplus = self.surplus, b""
        if not octets or getattr(self.transport, "disconnecting", False):
            return
        try:
            self._protocol.dataReceived(octets)
        except Exception:
            # As the reactor does with what it hands on.
            _log.failure("a protocol failed with its first octets")
            _abort(self.transport)

    # As a protocol.

    def connectionMade(self) -> None:
        """Close at once what is not wanted any more."""
        if self._abandoned:
            _abort(self.transport)

    def dataReceived(self, data: bytes) -> None:
        """Take octets, or hand them on."""
        if self._protocol is None:
            self.came(data)
            return
        if self._protection is not None:
            try:
                data = self._protection.unwrap(data)
            except WireError as e:
                self._broken(e)
                return
        if data:
            self._protocol.dataReceived(data)

    def _broken(self, error: WireError) -> None:
        """End a connection whose protection does not hold."""
        protocol, self._protocol = self._protocol, Protocol()
        _abort(self.transport)
        text = f"the proxy breaks the login's protection: {error}"
        protocol.connectionLost(Failure(ProtocolBroken(text)))

    def readConnectionLost(self) -> None:
        """As C{IHalfCloseableProtocol}."""
        if self._protocol is None:
            self.ended(ProxyClosed("the proxy closed the connection without a reply"))
        elif IHalfCloseableProtocol.providedBy(self._protocol):
            self._protocol.readConnectionLost()
            return
        self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        """As C{IHalfCloseableProtocol}."""
        if IHalfCloseableProtocol.providedBy(self._protocol):
            self._protocol.writeConnectionLost()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Tell the end."""
        if self._protocol is not None:
            self._protocol.connectionLost(reason)
        elif reason.check(*_TLS_FAILURES):
            self.ended(distrusted(reason.value))
        else:
            self.ended(ProxyClosed("the proxy closed the connection without a reply"))


def distrusted(error: BaseException | None) -> ProxyDistrusted:
    """Return what a failure of TLS means."""
    text = str(error) or type(error).__name__
    return ProxyDistrusted(f"the proxy has not proved its name by TLS: {text}")


def isOfTLS(error: Exception) -> bool:
    """Return whether a failure is one of TLS."""
    return Failure(error).check(*_TLS_FAILURES) is not None


def _abort(transport: Any) -> None:
    """Close a connection at once, where its transport can."""
    getattr(transport, "abortConnection", transport.loseConnection)()


@final
class TransportFactory:
    """
    Makes the one protocol of a link; what else is told is the program's factory's.
    """

    noisy = False

    def __init__(self, link: TransportLink, factory: Any) -> None:
        self._link = link
        self.doStart = factory.doStart
        self.doStop = factory.doStop

    def buildProtocol(self, _: IAddress | None) -> TransportLink:
        """As C{IProtocolFactory}."""
        return self._link


@implementer(ITransport)
@final
class ProtectedTransport:
    """
    A transport whose octets go through the protection of a login.
    """

    def __init__(self, below: Any, protection: Protection) -> None:
        self._below = below
        self._protection = protection
        self._open = isinstance(protection, StreamProtection)
        self.getPeer = below.getPeer
        self.getHost = below.getHost
        self.pauseProducing = below.pauseProducing
        self.resumeProducing = below.resumeProducing
        self.registerProducer = below.registerProducer
        self.unregisterProducer = below.unregisterProducer

    @property
    def disconnecting(self) -> bool:
        """Whether the connection closes."""
        return bool(self._below.disconnecting)

    def write(self, data: bytes) -> None:
        """As C{ITransport}."""
        for start in range(0, len(data), _AT_ONCE):
            part = bytes(data[start : start + _AT_ONCE])
            self._below.write(self._protection.wrap(part))

    def writeSequence(self, data: Any) -> None:
        """As C{ITransport}."""
        self.write(b"".join(data))

    def setTcpNoDelay(self, enabled: bool) -> None:
        """As C{ITCPTransport}."""
        self._below.setTcpNoDelay(enabled)

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """As C{ITCPTransport}."""
        self._below.setTcpKeepAlive(enabled)

    def _close(self) -> None:
        """Send the protection's own end, once, where it has one."""
        if self._open and isinstance(self._protection, StreamProtection):
            self._open = False
            self._below.write(self._protection.close())

    def loseWriteConnection(self) -> None:
        """As C{IHalfCloseableDescriptor}."""
        self._close()
        self._below.loseWriteConnection()

    def loseConnection(self) -> None:
        """As C{ITransport}."""
        self._close()
        self._below.loseConnection()

    def stopProducing(self) -> None:
        """As C{IPushProducer}."""
        self.loseConnection()

    def abortConnection(self) -> None:
        """As C{ITCPTransport}."""
        _abort(self._below)
