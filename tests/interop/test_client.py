"""
The client in Twisted programs, against real gateways.
"""

from __future__ import annotations

import copy
import re
import socket
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import treq
from treq.client import HTTPClient
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.protocol import DatagramProtocol, Factory, Protocol
from twisted.internet.ssl import Certificate, trustRootFromCertificates
from twisted.internet.tcp import Connection
from twisted.python.failure import Failure
from twisted.web.client import Agent, BrowserLikePolicyForHTTPS, readBody

from socksgw.client import (
    HTTPClientEndpoint,
    PasswordLogin,
    Session,
    SocksClientEndpoint,
    associate,
    bind,
    endSession,
    errors,
    overTLS,
    proxyAgent,
)
from tests.live.clientside import LOGIN, PASSWORD, PLAIN, TLS, USER, serving
from tests.live.datagrams import Echo
from tests.live.running import ROOT, Running, environment
from tests.live.servers import Certificate as Served
from tests.live.servers import Destination, Web, echo
from tests.tools.waiting import until

#: What the gateway has, and programs that use the client alone do not load.
GATEWAY = ("config", "gateway", "session", "accept", "policy", "interfaces", "audit")
reactor: Any = _reactor


def test_loadsNoGateway() -> None:
    """A program that imports the client gets nothing of the gateway, and no TLS."""
    shown = subprocess.run(
        [sys.executable, "-c", "import sys, socksgw.client; print(*sys.modules)"],
        cwd=ROOT, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    loaded = set(shown.stdout.split())
    assert "socksgw.client.endpoint" in loaded
    assert not loaded.intersection(f"socksgw.{each}" for each in GATEWAY)
    assert not loaded.intersection(
        ("cattrs", "OpenSSL", "cryptography", "twisted.internet.reactor")
    )


def awaited(deferred: Deferred[Any]) -> Any:
    """Turn the reactor until something has its result, and return that."""
    found: list[Any] = []
    deferred.addBoth(found.append)
    until(lambda: found, turn=lambda: reactor.iterate(0.01))
    if isinstance(found[0], Failure):
        found[0].raiseException()
    return found[0]


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    """No connection is left open at the end of a test."""
    yield

    def busy() -> list[Any]:
        watched = [*reactor.getReaders(), *reactor.getWriters()]
        found: list[Any] = [each for each in watched if isinstance(each, Connection)]
        # What TLS has to say waits for the next turn.
        return [*found, *reactor.getDelayedCalls()]

    until(lambda: not busy(), 10, lambda: reactor.iterate(0.01), busy)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the gateway's files are."""
    return tmp_path_factory.mktemp("client")


@pytest.fixture(scope="module")
def gateways(directory: Path) -> Iterator[Running]:
    """A gateway with a listener of each kind."""
    yield from serving(directory)


@pytest.fixture(scope="module")
def ca(directory: Path) -> Path:
    """The file of the authority that the gateway's certificate is from."""
    return directory / "ca.pem"


def proxyOf(gateways: Running, listener: int) -> TCP4ClientEndpoint:
    return TCP4ClientEndpoint(reactor, "127.0.0.1", gateways.ports[listener])


WAYS: dict[str, Callable[..., tuple[Any, dict[str, Any]]]] = {
    "socks5": lambda gateways, ca: (proxyOf(gateways, PLAIN), {}),
    "socks4a": lambda gateways, ca: (proxyOf(gateways, PLAIN), {"version": 4}),
    "socks6": lambda gateways, ca: (proxyOf(gateways, PLAIN), {"version": 6}),
    "socks6 login": lambda gateways, ca: (
        proxyOf(gateways, LOGIN),
        {"version": 6, "login": PasswordLogin(USER, PASSWORD)},
    ),
    "http": lambda gateways, ca: (
        proxyOf(gateways, PLAIN),
        {"kind": HTTPClientEndpoint},
    ),
    "socks5+tls": lambda gateways, ca: (
        overTLS(proxyOf(gateways, TLS), "localhost", ca=ca),
        {},
    ),
    "https": lambda gateways, ca: (
        overTLS(proxyOf(gateways, TLS), "localhost", ca=ca),
        {"kind": HTTPClientEndpoint},
    ),
    "login": lambda gateways, ca: (
        proxyOf(gateways, LOGIN),
        {"login": PasswordLogin(USER, PASSWORD)},
    ),
    "http login": lambda gateways, ca: (
        proxyOf(gateways, LOGIN),
        {"kind": HTTPClientEndpoint, "login": PasswordLogin(USER, PASSWORD)},
    ),
}


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, gateways: Running, ca: Path) -> Any:
    """Each way to the gateway: its endpoint, and the options."""
    return WAYS[request.param](gateways, ca)


# Twisted says so of every Agent: the transport that a response shows has none.
@pytest.mark.filterwarnings("ignore:Using readBody with a transport")
@pytest.mark.parametrize("secured", [False, True], ids=["http", "https"])
@pytest.mark.parametrize("treqs", [False, True], ids=["Agent", "treq"])
def test_web(way: Any, treqs: bool, secured: bool, certificate: Served) -> None:
    """Agent and treq ask servers of http and https, whose names are verified."""
    proxy, options = way
    trust = trustRootFromCertificates(
        [Certificate.loadPEM(certificate.file.read_bytes())]
    )
    agent = proxyAgent(
        reactor, proxy, contextFactory=BrowserLikePolicyForHTTPS(trust), **options
    )
    assert isinstance(agent, Agent)
    with Web("127.0.0.1", certificate.server() if secured else None) as web:
        # The gateway looks the name up.
        url = f"http{'s' * secured}://localhost:{web.port}/hello"
        if treqs:
            reading = HTTPClient(agent).get(url).addCallback(treq.content)
        else:
            # At once: of one that waits, Twisted leaves the TLS connection open.
            reading = agent.request(b"GET", url.encode()).addCallback(readBody)
        assert b"served: /hello" in awaited(reading)
        assert len(web.seen) == 1


@pytest.mark.parametrize("kind", [SocksClientEndpoint, HTTPClientEndpoint])
@pytest.mark.parametrize(
    ("host", "failure"),
    [("127.0.0.9", errors.NotAllowed), ("127.0.0.1", errors.ConnectionRefused)],
)
def test_refused(
    gateways: Running, kind: Any, host: str, failure: type[Exception]
) -> None:
    """The gateway's own reply is the exception, in SOCKS and in HTTP."""
    agent = proxyAgent(reactor, proxyOf(gateways, PLAIN), kind=kind)
    with pytest.raises(failure):
        awaited(agent.request(b"GET", f"http://{host}:1/".encode()))


def test_wrongPassword(gateways: Running) -> None:
    """A login that the gateway does not accept."""
    for kind in (SocksClientEndpoint, HTTPClientEndpoint):
        agent = proxyAgent(
            reactor,
            proxyOf(gateways, LOGIN),
            kind=kind,
            login=PasswordLogin(USER, "wrong"),
        )
        with pytest.raises(errors.LoginRefused):
            awaited(agent.request(b"GET", b"http://127.0.0.1:1/"))


@pytest.mark.parametrize(
    ("listener", "name", "trusted"),
    [(TLS, "gw.example", True), (TLS, "localhost", False), (PLAIN, "localhost", True)],
    ids=["another name", "another authority", "no TLS"],
)
def test_distrusted(
    gateways: Running, ca: Path, listener: int, name: str, trusted: bool
) -> None:
    """A proxy that does not prove its name by TLS is told nothing."""
    proxy = overTLS(proxyOf(gateways, listener), name, ca=ca if trusted else None)
    agent = proxyAgent(reactor, proxy, login=PasswordLogin(USER, PASSWORD))
    with pytest.raises(errors.ProxyError) as caught:
        awaited(agent.request(b"GET", b"http://127.0.0.1:1/"))
    kind = errors.ProxyDistrusted if listener == TLS else errors.ProxyError
    assert isinstance(caught.value, kind)


class Collecting(Protocol):
    """Writes down what it hears."""

    def __init__(self) -> None:
        self.octets = b""

    def dataReceived(self, data: bytes) -> None:
        self.octets += data


@pytest.mark.parametrize("version", [4, 5])
def test_bind(gateways: Running, version: int) -> None:
    """A peer connects to the gateway's port, and is carried to the program."""
    factory: Any = Factory.forProtocol(Collecting)
    factory.noisy = False
    proxy = proxyOf(gateways, PLAIN)
    binding = bind(reactor, proxy, factory, "127.0.0.1", version=version)
    listening = awaited(binding)
    with socket.create_connection(listening.address, 10) as peer:
        protocol = awaited(listening.peer)
        assert listening.peerAddress == peer.getsockname()
        peer.sendall(b"220 ready")
        until(
            lambda: protocol.octets == b"220 ready",
            turn=lambda: reactor.iterate(0.01),
        )
        protocol.transport.write(b"HELO")
        protocol.transport.loseConnection()
        until(
            lambda: protocol.transport.disconnected, turn=lambda: reactor.iterate(0.01)
        )
        assert peer.recv(100) == b"HELO"


class Answers(DatagramProtocol):
    """Writes down what it hears."""

    def __init__(self) -> None:
        self.came: list[Any] = []

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        self.came.append((datagram, addr))


def test_datagrams(gateways: Running) -> None:
    """Datagrams to an address and to a name, and their answers."""
    protocol = Answers()
    with Echo() as server:
        host, port = server.place
        association = awaited(associate(reactor, proxyOf(gateways, PLAIN), protocol))
        for number, name in enumerate((host, "localhost"), 1):
            association.write(b"hello", (name, port))
            until(
                lambda number=number: len(protocol.came) == number,
                turn=lambda: reactor.iterate(0.01),
            )
        assert protocol.came == [(b"hello", (host, port))] * 2
        awaited(association.stopListening())


def test_session(gateways: Running, destination: Callable[..., Destination]) -> None:
    """
    Only the first request logs in, whatever the later ones have for it; each spends a
    token of its own, also at a time, and none is served with a token that is spent. A
    session that the gateway has ended begins again.
    """
    port = destination(echo).port
    factory: Any = Factory.forProtocol(Collecting)
    factory.noisy = False
    session, proxy = Session(tokens=8), proxyOf(gateways, LOGIN)
    right, wrong = (PasswordLogin(USER, each) for each in (PASSWORD, "wrong"))

    def connected(
        login: PasswordLogin, times: int = 1, session: Session = session
    ) -> None:
        """Connect, so many times at once, and hear what was said."""
        endpoint = SocksClientEndpoint(
            reactor, "127.0.0.1", port, proxy,
            version=6, login=login, session=session, initial=b"hello",
        )  # fmt: skip
        for asking in [endpoint.connect(factory) for _ in range(times)]:
            protocol = awaited(asking)
            until(
                lambda protocol=protocol: protocol.octets == b"hello",
                turn=lambda: reactor.iterate(0.01),
            )
            protocol.transport.abortConnection()

    connected(right)
    assert session.isOpen
    for _ in range(4):
        connected(wrong, 6)
    another = copy.deepcopy(session)
    connected(wrong)
    with pytest.raises(errors.TokenRefused):
        connected(right, session=another)
    another = copy.copy(session)
    awaited(endSession(reactor, proxy, another, login=right))
    assert (session.isOpen, another.isOpen) == (True, False)
    connected(right)
    connected(wrong)
    awaited(endSession(reactor, proxy, session, login=right))
    awaited(endSession(reactor, proxy, session, login=right))
    with pytest.raises(errors.LoginRefused):
        connected(wrong)
    failed = [each["reason"] for each in gateways.journal("login-failed")]
    assert (failed.count("no-session"), failed.count("replayed")) == (1, 1)


def test_manual(gateways: Running, directory: Path, tmp_path: Path) -> None:
    """The program in the chapter fetches a page through a gateway, with a login."""
    chapter = (ROOT / "socksgw" / "manual" / "client.rst").read_text()
    found = re.search(r"code-block:: python\n\n((?:    .*\n|\n)+)", chapter)
    assert found is not None
    (tmp_path / "fetch.py").write_text(textwrap.dedent(found[1]))
    with Web("127.0.0.1") as web:
        done = subprocess.run(
            [
                *(sys.executable, str(tmp_path / "fetch.py"), "127.0.0.1"),
                *(str(gateways.ports[LOGIN]), f"http://localhost:{web.port}/page"),
                PASSWORD,
            ],
            env=environment(), capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert "served: /page" in done.stdout, done.stderr
