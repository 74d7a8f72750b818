"""
TLS connections that the gateway opens: who cannot prove to be the configured
peer gets nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

import pytest
from cryptography import x509
from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import Certificate, trustRootFromCertificates
from twisted.internet.testing import StringTransport
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from socksgw.system.tlscontext import Own, serverContext
from socksgw.system.tlsname import PeerRefused
from socksgw.system.tlspeer import TLSPeer
from tests.tools.certificates import (
    CLIENT,
    HOUR,
    SERVER,
    Authority,
    Issued,
    dns,
    email,
    pemOf,
    rawName,
    uri,
)

SECRET = b"canary-password"
CA = Authority()
TRUST = trustRootFromCertificates([Certificate.loadPEM(pemOf(CA.certificate))])


def ip(text: str) -> x509.GeneralName:
    return x509.IPAddress(ip_address(text))


def issue(*names: x509.GeneralName, **more: Any) -> Issued:
    return (more.pop("by", None) or CA).issue(*names, usage=(SERVER,), **more)


class Application(Protocol):
    """Says its secret as soon as it can."""

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(SECRET)
        # Small writes wait for the next turn of a reactor, or for the end.
        self.transport.loseConnection()


@implementer(IOpenSSLServerConnectionCreator)
class _Server:
    def __init__(self, own: Issued) -> None:
        self._own = own

    def serverConnectionForTLS(self, protocol: Any) -> SSL.Connection:
        return SSL.Connection(serverContext(Own(self._own.chain, self._own.key)))


class Meeting:
    """
    A client and a server, and the octets between them.

    @ivar heard: what the server's application got.
    @ivar result: what the endpoint's connection came to.
    """

    def __init__(self, shown: Issued, host: str) -> None:
        self.heard = b""
        self.result: list[Any] = []
        peer = TLSPeer(host, TRUST)
        meeting = self

        class Hearing(Protocol):
            def dataReceived(self, data: bytes) -> None:
                meeting.heard += data

        class Endpoint:
            def connect(self, factory: Any) -> Deferred[Any]:
                protocol = meeting._client = factory.buildProtocol(None)
                protocol.makeConnection(meeting.ours)
                connected: Deferred[Any] = Deferred()
                connected.callback(protocol)
                return connected

        self._client: Any = None
        self.ours, self.theirs = _Transport(), _Transport()
        factory = Factory.forProtocol(Hearing)
        server = TLSMemoryBIOFactory(_Server(shown), False, factory)
        self._server = server.buildProtocol(None)
        self._server.makeConnection(self.theirs)
        endpoint = peer.over(Endpoint())
        connecting = endpoint.connect(Factory.forProtocol(Application))
        self.connecting = connecting.addBoth(self.result.append)
        self.run()

    def run(self) -> None:
        """Carry octets until there are none."""
        while True:
            out, back = self.ours.value(), self.theirs.value()
            self.ours.clear()
            self.theirs.clear()
            if not out and not back:
                break
            if out:
                self._server.dataReceived(out)
            if back and not self.ours.aborted:
                self._client.dataReceived(back)
        if self.ours.aborted or self.ours.disconnecting:
            self._client.connectionLost(Failure(ConnectionLost()))


class _Transport(StringTransport):
    aborted = False

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        pass

    def abortConnection(self) -> None:
        self.aborted = True


GOOD = {
    "name": ("dc1.corp.test", [dns("dc1.corp.test")]),
    "of several": ("dc1.corp.test", [email("a@b"), dns("other"), dns("DC1.corp.test")]),
    "wildcard": ("dc1.corp.test", [dns("*.corp.test")]),
    "address": ("192.0.2.7", [ip("192.0.2.7")]),
    "address of six": ("2001:db8::7", [ip("2001:db8:0::7")]),
}


@pytest.mark.parametrize(("host", "names"), GOOD.values(), ids=list(GOOD))
def test_good(host: str, names: list[x509.GeneralName]) -> None:
    """Whom the certificate names gets what it is to get."""
    meeting = Meeting(issue(*names), host)
    assert meeting.heard == SECRET
    assert isinstance(meeting.result[0], Application)


HOST = "dc1.corp.test"
NAMED = [dns(HOST)]
#: Certificates by whoever could have them, and a word of the refusal.
BAD: dict[str, tuple[str, Callable[[], Issued], str]] = {
    "no name": (HOST, lambda: issue(subject=HOST), "DNS:dc1.corp.test"),
    "no name, for an address": ("192.0.2.7", lambda: issue(), "IP:192.0.2.7"),
    "mail only": (HOST, lambda: issue(email(f"root@{HOST}")), "no DNS name and no IP"),
    "URI only": (HOST, lambda: issue(uri(f"ldap://{HOST}")), "cannot be read|no DNS name"),
    "other name": (HOST, lambda: issue(dns("dc2.corp.test")), "is for dc2.corp.test, and not for dc1"),
    "name below": (HOST, lambda: issue(dns(f"x.{HOST}")), "is for x.dc1"),
    "wildcard above": (HOST, lambda: issue(dns("*.test")), r"cannot be read|\*\.test"),
    "wildcard alone": (HOST, lambda: issue(dns("*")), "refused"),
    "other address": ("192.0.2.7", lambda: issue(ip("192.0.2.8")), "is for 192.0.2.8"),
    "address as a name": ("192.0.2.7", lambda: issue(raw=rawName(0x82, b"192.0.2.7")), "refused"),
    "name with NUL": (HOST, lambda: issue(raw=rawName(0x82, HOST.encode() + b"\0.evil.test")), "refused"),
    "names that are none": (HOST, lambda: issue(raw=rawName(0x82, b"\xff\xfe")), "refused"),
    "names cut off": (HOST, lambda: issue(raw=x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.17"), b"\x30\x7f")), "refused"),
    "expired": (HOST, lambda: issue(*NAMED, before=-2 * HOUR, after=-HOUR), "it has expired"),
    "not yet": (HOST, lambda: issue(*NAMED, before=HOUR), "not valid yet"),
    "another's": (HOST, lambda: issue(*NAMED, by=Authority()), '"ca"'),
    "a client's": (HOST, lambda: CA.issue(*NAMED, usage=(CLIENT,)), "not for servers"),
}  # fmt: skip


@pytest.mark.parametrize(("host", "make", "why"), BAD.values(), ids=list(BAD))
def test_bad(host: str, make: Callable[[], Issued], why: str) -> None:
    """
    Whoever has not that name hears nothing: the application is not even told
    that there is a connection. The refusal tells the cause.
    """
    meeting = Meeting(make(), host)
    assert meeting.heard == b""
    (failure,) = meeting.result
    assert failure.check(PeerRefused)
    assert failure.type is PeerRefused
    with pytest.raises(PeerRefused, match=why):
        failure.raiseException()
    assert failure.getErrorMessage().isprintable()


def test_confirmed(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The name is looked at again when the handshake is complete, whatever was
    found, or not found, during it.
    """

    def unverified(self: TLSPeer, protocol: Any) -> SSL.Connection:
        return SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), None)

    monkeypatch.setattr(TLSPeer, "clientConnectionForTLS", unverified)
    assert Meeting(issue(*NAMED), HOST).heard == SECRET
    for shown in (issue(), issue(dns("dc2.corp.test"))):
        meeting = Meeting(shown, HOST)
        assert meeting.heard == b""
        assert meeting.result[0].check(PeerRefused)


def test_givenUp() -> None:
    """Whoever does not wait for the handshake closes the connection."""
    transports = []

    class Endpoint:
        def connect(self, factory: Any) -> Deferred[Any]:
            protocol = factory.buildProtocol(None)
            transports.append(_Transport())
            protocol.makeConnection(transports[0])
            connected: Deferred[Any] = Deferred()
            connected.callback(protocol)
            return connected

    endpoint = TLSPeer(HOST, TRUST).over(Endpoint())
    connecting = endpoint.connect(Factory.forProtocol(Application))
    connecting.addErrback(lambda _: None)
    connecting.cancel()
    assert transports[0].aborted


@pytest.mark.parametrize("host", ["", "a b", "*.corp.test", "a/b", "ü" * 70])
def test_noHost(host: str) -> None:
    """What no certificate can name is an error of the configuration."""
    with pytest.raises(ValueError, match="neither a DNS name nor an address"):
        TLSPeer(host, TRUST)
