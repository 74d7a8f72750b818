"""
Endpoints through proxies, as programs use them; the test is the proxy.
"""

from __future__ import annotations

from typing import Any

import pytest
from OpenSSL import SSL
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectError, ConnectionDone, NoProtocol
from twisted.internet.interfaces import IHalfCloseableProtocol, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.python.failure import Failure
from zope.interface import directlyProvides
from zope.interface.verify import verifyObject

from socksgw.client.endpoint import (
    HTTPClientEndpoint,
    SocksClientEndpoint,
    destination,
)
from socksgw.client.errors import (
    ConnectionRefused,
    LoginWanted,
    ProtocolBroken,
    ProxyClosed,
    ProxyDistrusted,
    ProxyTimedOut,
    ProxyUnreachable,
)
from socksgw.client.logins.login import Login
from socksgw.client.logins.password import PasswordLogin
from socksgw.system.tlsname import PeerRefused
from socksgw.wire.address import Address
from tests.fakes.carriers import Flipping
from tests.fakes.endpoints import Carrier, ProxyEndpoint

ASKED = bytes.fromhex("05 01 00 03 0b 6578616d706c652e636f6d 0050")
GRANTED = bytes.fromhex("05 00 00 01 c0000207 1f90")


class Heard(Protocol):
    """Writes down what it hears."""

    def __init__(self) -> None:
        self.octets = b""
        self.ends = 0
        self.lost: list[Failure] = []

    def dataReceived(self, data: bytes) -> None:
        self.octets += data

    def readConnectionLost(self) -> None:
        self.ends += 1

    def writeConnectionLost(self) -> None: ...

    def connectionLost(self, reason: Any = None) -> None:
        self.lost.append(reason)


class HeardFactory(Factory):
    """Makes one; and counts starts less stops."""

    noisy = False
    started = 0

    def __init__(self) -> None:
        self.made: list[Heard] = []

    def doStart(self) -> None:
        self.started += 1

    def doStop(self) -> None:
        self.started -= 1

    def buildProtocol(self, addr: Any) -> Any:
        self.made.append(Heard())
        return self.made[-1]


class World:
    """
    An endpoint that is connecting.

    @ivar results: what came of it.
    """

    def __init__(
        self, kind: Any = SocksClientEndpoint, factory: Any = None, **options: Any
    ) -> None:
        self.clock = Clock()
        self.proxy = ProxyEndpoint()
        self.factory = factory or HeardFactory()
        self.endpoint = kind(self.clock, "example.com", 80, self.proxy, **options)
        self.results: list[Any] = []
        self.connecting: Deferred[Any] = self.endpoint.connect(self.factory)
        self.connecting.addBoth(self.results.append)

    def opened(self) -> Carrier:
        return self.proxy.open()

    def granted(self, behind: bytes = b"") -> Carrier:
        carrier = self.opened()
        carrier.tell(b"\x05\x00")
        carrier.tell(GRANTED + behind)
        return carrier

    @property
    def failure(self) -> BaseException:
        [failure] = self.results
        assert isinstance(failure, Failure)
        assert failure.value is not None
        return failure.value


def test_interface() -> None:
    """They are stream client endpoints as any other."""
    for kind in (SocksClientEndpoint, HTTPClientEndpoint):
        endpoint = kind(Clock(), "example.com", 80, ProxyEndpoint())
        verifyObject(IStreamClientEndpoint, endpoint)
        assert "example.com:80" in repr(endpoint)


def test_connected() -> None:
    """The protocol is made when the destination is open, and has the connection."""
    world = World()
    carrier = world.opened()
    assert carrier.taken() == b"\x05\x01\x00"
    carrier.tell(b"\x05\x00")
    assert carrier.taken() == ASKED
    assert (world.results, world.factory.made) == ([], [])
    carrier.tell(GRANTED)
    [protocol] = world.results
    assert protocol is world.factory.made[0]
    assert protocol.transport is carrier
    assert carrier.producerState == "producing"
    carrier.tell(b"hello")
    assert protocol.octets == b"hello"
    carrier.loseConnection()
    assert protocol.lost[0].check(ConnectionDone)
    assert world.clock.getDelayedCalls() == []


def test_http() -> None:
    """CONNECT in the same way; the answer to 407 goes on a new connection."""
    world = World(HTTPClientEndpoint, login=PasswordLogin("a", "b"))
    carrier = world.opened()
    assert (
        carrier.taken()
        == b"CONNECT example.com:80 HTTP/1.1\r\nHost: example.com:80\r\n\r\n"
    )
    carrier.tell(
        b"HTTP/1.1 407 Login\r\nProxy-Authenticate: Basic\r\nConnection: close\r\n\r\n"
    )
    assert carrier.state == "aborted"
    carrier = world.opened()
    assert b"Proxy-Authorization: Basic YTpi\r\n" in carrier.taken()
    carrier.tell(b"HTTP/1.1 200 OK\r\n\r\n220 ready")
    [protocol] = world.results
    assert protocol.octets == b"220 ready"


def test_surplus() -> None:
    """Octets behind the reply are told when the program has its protocol."""
    world = World()
    seen: list[bytes] = []
    world.connecting.addCallback(lambda _: seen.append(world.factory.made[0].octets))
    carrier = world.granted(b"220 ready")
    assert seen == [b""]
    assert world.factory.made[0].octets == b"220 ready"
    carrier.tell(b"!")
    assert world.factory.made[0].octets == b"220 ready!"


def test_surplusOfClosed() -> None:
    """A program that closes at once hears nothing more."""
    world = World()
    world.connecting.addCallback(lambda _: world.opened)
    carrier = world.opened()
    world.connecting.addBoth(lambda _: world.proxy.carriers[0].loseConnection())
    carrier.tell(b"\x05\x00")
    carrier.tell(GRANTED + b"220 ready")
    assert world.factory.made[0].octets == b""


def test_protocolFails() -> None:
    """A protocol that raises with its first octets is logged, and disconnected."""

    class Failing(Protocol):
        def dataReceived(self, data: bytes) -> None:
            raise ZeroDivisionError

    world = World(factory=Factory.forProtocol(Failing))
    with capturedLogs() as events:
        carrier = world.granted(b"x")
    assert carrier.state == "aborted"
    assert [
        event["log_failure"].type for event in events if "log_failure" in event
    ] == [ZeroDivisionError]


@pytest.mark.parametrize("steps", range(4))
def test_cancelled(steps: int) -> None:
    """At any step: the connection is closed, and nothing is left to come."""
    world = World()
    carrier = None
    if steps >= 1:
        carrier = world.opened()
    if carrier is not None and steps >= 2:
        carrier.tell(b"\x05\x00")
    if carrier is not None and steps >= 3:
        carrier.tell(GRANTED[:5])
    world.connecting.cancel()
    assert isinstance(world.failure, CancelledError)
    if carrier is None:
        assert world.proxy.cancelled == 1
    else:
        assert carrier.state == "aborted"
    assert world.clock.getDelayedCalls() == []
    assert world.factory.made == []


def test_cancelledTooLateForTheProxy() -> None:
    """A connection that opens all the same is closed at once."""
    world = World()
    world.connecting.cancel()
    assert world.opened().state == "aborted"


@pytest.mark.parametrize("steps", range(3))
def test_late(steps: int) -> None:
    """All steps together have the time that the program gives."""
    world = World(timeout=7)
    world.clock.advance(6)
    for step in range(steps):
        if not step:
            world.opened()
        else:
            world.proxy.carriers[0].tell(b"\x05\x00")
    world.clock.advance(0.9)
    assert world.results == []
    world.clock.advance(0.2)
    assert isinstance(world.failure, ProxyTimedOut)
    assert [each.state for each in world.proxy.carriers] == ["aborted"] * (steps > 0)


def test_noTimeout() -> None:
    """The program may see to the time by itself."""
    world = World(timeout=None)
    assert world.clock.getDelayedCalls() == []
    world.granted()
    assert len(world.factory.made) == 1


def test_unreachable() -> None:
    """That the proxy cannot be reached is not that the destination cannot."""
    world = World()
    world.proxy.refuse()
    assert isinstance(world.failure, ProxyUnreachable)
    assert "refused" in str(world.failure)
    assert world.factory.started == 0


@pytest.mark.parametrize(
    "error", [PeerRefused("it is for others"), SSL.Error([("ssl", "", "no TLS")])]
)
@pytest.mark.parametrize("connected", [False, True])
def test_distrusted(error: Exception, connected: bool) -> None:
    """A proxy that does not prove its name is told apart, whenever TLS tells."""
    world = World()
    if connected:
        world.opened().protocol.connectionLost(Failure(error))
    else:
        world.proxy.refuse(error)
    assert isinstance(world.failure, ProxyDistrusted)


@pytest.mark.parametrize(
    ("octets", "kind"),
    [
        (b"\x05\xff", Exception),
        (b"HTTP/1.1 400 Bad\r\n\r\n", ProtocolBroken),
        (b"\x05\x00\x05\x00\x00\x01", ProtocolBroken),
    ],
)
def test_broken(octets: bytes, kind: type[Exception]) -> None:
    """A failure closes the connection."""
    world = World()
    carrier = world.opened()
    carrier.tell(octets)
    assert isinstance(world.failure, kind)
    assert isinstance(world.failure, ConnectError)
    assert carrier.state == "aborted"


def test_refused() -> None:
    """The proxy's reply is the exception's class."""
    world = World()
    carrier = world.opened()
    carrier.tell(b"\x05\x00")
    carrier.tell(b"\x05\x05\x00\x01")
    assert isinstance(world.failure, ConnectionRefused)
    assert carrier.state == "aborted"


@pytest.mark.parametrize("how", ["end", "loseConnection", "abortConnection"])
def test_closed(how: str) -> None:
    """The end of the connection is told, however it ends."""
    world = World()
    carrier = world.opened()
    getattr(carrier, how)()
    assert isinstance(world.failure, ProxyClosed)
    assert carrier.state != "open"


def test_loginWanted() -> None:
    """An HTTP proxy that wants a login that we do not have."""
    world = World(HTTPClientEndpoint)
    world.opened().tell(b"HTTP/1.1 407 Login\r\nProxy-Authenticate: Basic\r\n\r\n")
    assert isinstance(world.failure, LoginWanted)


def test_noProtocol() -> None:
    """A factory that makes none ends the connection (C{IStreamClientEndpoint})."""

    class Nothing(HeardFactory):
        def buildProtocol(self, addr: Any) -> Any:
            return None

    world = World(factory=Nothing())
    carrier = world.granted()
    assert isinstance(world.failure, NoProtocol)
    assert carrier.state == "aborted"


def test_halfClose() -> None:
    """A protocol that can be half closed is; another one is disconnected."""
    world = World()
    carrier = world.granted()
    protocol = world.factory.made[0]
    directlyProvides(protocol, IHalfCloseableProtocol)
    carrier.end()
    assert (protocol.ends, carrier.state) == (1, "open")
    world = World()
    carrier = world.granted()
    carrier.end()
    assert (world.factory.made[0].ends, carrier.state) == (0, "closed")


def test_chain() -> None:
    """An endpoint through a proxy is the way to the next proxy."""
    clock, far = Clock(), ProxyEndpoint()
    near = SocksClientEndpoint(clock, "second.example", 1081, far)
    factory = HeardFactory()
    results: list[Any] = []
    endpoint = HTTPClientEndpoint(clock, "example.com", 80, near)
    endpoint.connect(factory).addBoth(results.append)
    carrier = far.open()
    carrier.tell(b"\x05\x00")
    assert b"second.example" in carrier.taken()
    carrier.tell(GRANTED)
    assert carrier.taken().startswith(b"CONNECT example.com:80 ")
    carrier.tell(b"HTTP/1.1 200 OK\r\n\r\nhi")
    assert results == factory.made
    assert factory.made[0].octets == b"hi"


def test_failureInAChain() -> None:
    """The first proxy's own failure is told, not that the second is unreachable."""
    clock, far = Clock(), ProxyEndpoint()
    near = SocksClientEndpoint(clock, "second.example", 1081, far)
    results: list[Any] = []
    endpoint = SocksClientEndpoint(clock, "example.com", 80, near)
    endpoint.connect(HeardFactory()).addBoth(results.append)
    carrier = far.open()
    carrier.tell(b"\x05\x00")
    carrier.tell(b"\x05\x05")
    assert results[0].check(ConnectionRefused)


class Protecting(Login):
    """A login that puts something around the octets."""

    methods = b"\x80"
    called = "a login that protects"

    async def socks5(self, method: int, exchange: Any) -> Any:
        return Flipping()


def test_protected() -> None:
    """What a login puts around the octets is around those of the program."""
    wrap = Flipping().wrap
    world = World(login=Protecting())
    carrier = world.opened()
    carrier.tell(b"\x05\x80")
    carrier.taken()
    carrier.tell(wrap(GRANTED + b"220"))
    [protocol] = world.results
    carrier.tell(wrap(b" ready"))
    assert protocol.octets == b"220 ready"
    protocol.transport.write(b"HELO")
    protocol.transport.writeSequence([b" ", b"x" * 100_000])
    assert carrier.taken() == wrap(b"HELO " + b"x" * 100_000)
    protocol.transport.loseWriteConnection()
    assert carrier.ended
    protocol.transport.loseConnection()
    assert carrier.state == "closed"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"version": 7}, "versions 4"),
        ({"initial": b"GET"}, "no initial data"),
        ({"version": 6, "userId": "fred"}, "user id"),
        ({"version": 4, "login": PasswordLogin("a", "b")}, "no login"),
        ({"userId": "fred"}, "user id"),
        ({"version": 4, "userId": "a\0b"}, "NULL"),
        ({"login": Login()}, "SOCKS 5"),
    ],
)
def test_options(options: dict[str, Any], text: str) -> None:
    """What cannot be asked for is told at once."""
    with pytest.raises(ValueError, match=text):
        SocksClientEndpoint(Clock(), "example.com", 80, ProxyEndpoint(), **options)


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_ports(port: int) -> None:
    """A port is within 1 to 65535."""
    with pytest.raises(ValueError, match="port"):
        SocksClientEndpoint(Clock(), "example.com", port, ProxyEndpoint())


@pytest.mark.parametrize(
    ("host", "found"),
    [
        ("192.0.2.7", Address.parse("192.0.2.7")),
        ("2001:db8::7", Address.parse("2001:db8::7")),
        ("[2001:db8::7]", Address.parse("2001:db8::7")),
        (b"Example.COM.", "example.com"),
        ("bücher.example", "xn--bcher-kva.example"),
    ],
)
def test_destination(host: str | bytes, found: Address | str) -> None:
    """Literals are addresses; names are as DNS has them."""
    assert destination(host) == found


@pytest.mark.parametrize("host", ["", "a b", "1.2.3", "fe80::1%eth0", "ü..x", b"\xff"])
def test_noHost(host: str | bytes) -> None:
    """What is no host is not asked for."""
    with pytest.raises(ValueError, match="host"):
        destination(host)


def test_version4() -> None:
    """SOCKS 4a by a keyword."""
    world = World(version=4, userId="fred")
    carrier = world.opened()
    assert carrier.taken() == bytes.fromhex(
        "04 01 0050 00000001 66726564 00 6578616d706c652e636f6d 00"
    )
    carrier.tell(bytes.fromhex("00 5a 0000 00000000"))
    assert len(world.factory.made) == 1
