"""
PROXY headers with real sockets: who the client is, whatever way the header comes; and
who is not let in.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from OpenSSL import SSL

from socksgw.accept.certificates import ServerTLS
from socksgw.accept.inbound import Inbound
from socksgw.accept.layers import Layer
from socksgw.accept.proxied import ProxyLayer
from socksgw.accept.tls import TLSLayer
from socksgw.config.schema import ListenTLS
from socksgw.errors import HandshakeTimedOut
from socksgw.wire.address import Address
from socksgw.wire.events import MethodsOffered
from tests.accept.listeners import House, World
from tests.tools.certificates import Authority, server
from tests.tools.proxyheaders import LOCAL, checked, line, local, vector, version2
from tests.tools.sockets import RESET

GREETING = b"\x05\x01\x00"
HEADERS = [
    line("192.0.2.9", 4000),
    line("2001:db8::9", 4000, "2001:db8::1"),
    version2("192.0.2.9", 4000, vectors=vector(2, b"gw.example")),
    checked(version2("2001:db8::9", 4000, "2001:db8::1")),
]
IDS = ["1", "1, six", "2", "2, six"]
#: Headers of the sender's own connections.
OWN = [LOCAL, local(b"whatever"), b"PROXY UNKNOWN\r\n", b"PROXY UNKNOWN x y\r\n"]
WRONG = [
    b"PROXY TCP4 192.0.2.9 192.0.2.1 4000 65536\r\n",
    b"PROXY TCP4 192.0.2.9 192.0.2.1 04000 1080\r\n",
    b"PROXY TCP4 2001:db8::9 192.0.2.1 4000 1080\r\n",
    b"PROXY TCP6 fe80::9%lo fe80::1%lo 4000 1080\r\n",
    b"PROXY " + b"x" * 200,
    version2("0.0.0.0", 4000),
    version2("192.0.2.9", 4000, vectors=b"\x02\xff\xff"),
    checked(version2("192.0.2.9", 4000))[:-1] + b"\x00",
    LOCAL[:12] + b"\x21\x31\x00\xd8" + bytes(216),
    LOCAL[:12] + b"\x21\x12\x00\x0c" + bytes(12),
    LOCAL[:12] + b"\x21\x11\xff\xff",
    LOCAL[:12] + b"\x22",
]


def believe(house: House, *senders: str, above: tuple[Layer, ...] = ()) -> None:
    """Have the listener read headers of these senders."""

    def isSender(address: Address) -> bool:
        return address.text in senders

    house.listener.senders = isSender
    house.listener.layers = [ProxyLayer(isSender), *above]


@pytest.fixture(params=["address", "endpoint"])
def house(request: pytest.FixtureRequest) -> Iterator[House]:
    """Believes headers from this machine; nothing is left of any client."""
    made = House(request.param)
    believe(made, "127.0.0.1")
    yield made
    made.close()
    made.atBase()


def _heard(house: House, most: int) -> bool:
    return len(house.events) == most


def one(house: House) -> Inbound:
    (client,) = house.listener.clients
    return client


@pytest.mark.parametrize("header", HEADERS, ids=IDS)
def test_inTwoParts(house: House, header: bytes) -> None:
    """Cut at every octet; what follows is neither lost nor taken for the header's."""
    whole = header + GREETING
    for cut in range(1, len(whole) + 1):
        with house.call() as caller:
            caller.sendall(whole[:cut])
            house.reactor.iterate(0)
            house.reactor.iterate(0)
            caller.sendall(whole[cut:])
            house.until(partial(_heard, house, cut))
            client = house.served[-1]
            assert client.source.text in ("192.0.2.9", "2001:db8::9")
            assert client.port == 4000
            assert client.origin is not None
            assert client.origin.sender.text == "127.0.0.1"
            assert client.origin.port == caller.getsockname()[1]
        client.abort()
    assert house.events == [MethodsOffered(b"\x00")] * len(whole)


@pytest.mark.parametrize("header", HEADERS + OWN)
def test_octetByOctet(house: House, header: bytes) -> None:
    """The smallest parts."""
    with house.call() as caller:
        for octet in header + GREETING:
            caller.sendall(bytes((octet,)))
            house.reactor.iterate(0.001)
        house.until(lambda: house.events)
    assert house.events == [MethodsOffered(b"\x00")]


@pytest.mark.parametrize("header", HEADERS + OWN)
def test_cutOff(house: House, header: bytes) -> None:
    """A connection that ends within its header, or right after, is no client."""
    for cut in range(len(header) + 1):
        with house.call() as caller:
            caller.sendall(header[:cut])
            caller.shutdown(socket.SHUT_WR)
            house.reactor.iterate(0.001)
    house.until(lambda: not house.listener.clients)
    assert (house.served, house.events) == ([], [])


@pytest.mark.parametrize("header", WRONG)
def test_wrong(house: House, header: bytes) -> None:
    """One refusal, recorded with a reason; nothing behind it is read."""
    with house.call() as caller:
        caller.sendall(header + GREETING)
        house.until(lambda: house.ended)
        client = one(house)
        assert (client.failure and client.failure.reason) == "proxy-header"
        assert client.source.text == "127.0.0.1"
        caller.sendall(GREETING)
        house.reactor.iterate(0.01)
        client.finish()
        house.until(lambda: not house.listener.clients)
    assert house.served == [client]
    assert house.events == []


@pytest.mark.parametrize(
    ("octets", "what"),
    [(GREETING, "SOCKS 5"), (b"\x16\x03\x01", "TLS"), (b"GET / ", "HTTP")],
)
def test_missing(house: House, octets: bytes, what: str) -> None:
    """The line says what came instead, and what to do."""
    with house.call() as caller:
        caller.sendall(octets)
        house.until(lambda: house.ended)
        failure = one(house).failure
        assert failure is not None
        assert failure.reason == "proxy-missing"
        assert f"but {what}" in str(failure)
        assert "send-proxy" in str(failure)
        one(house).finish()
        house.until(lambda: not house.listener.clients)
    assert house.events == []


@pytest.mark.parametrize("octets", [HEADERS[0], GREETING, LOCAL])
def test_strangers(house: House, octets: bytes) -> None:
    """Whatever they say; and while they say nothing they leave no line."""
    believe(house, "192.0.2.1")
    with house.call():
        house.until(lambda: house.listener.clients)
    house.until(lambda: not house.listener.clients)
    assert house.served == []
    with house.call() as caller:
        caller.sendall(octets + GREETING)
        house.until(lambda: house.ended)
        failure = one(house).failure
        assert failure is not None
        assert failure.reason == "proxy-stranger"
        one(house).finish()
        house.until(lambda: not house.listener.clients)
    assert house.events == []


@pytest.mark.parametrize("header", OWN)
def test_ofItself(house: House, header: bytes) -> None:
    """Who asks for something is a client at the sender's address."""
    with house.call() as caller:
        caller.sendall(header + GREETING)
        house.until(lambda: house.events)
        client = one(house)
        assert client.source.text == "127.0.0.1"
        assert client.unasked
        client.requested()
        client.abort()
    house.until(lambda: not house.listener.clients)
    assert house.census.checks == 0


@pytest.mark.parametrize("behind", [b"", GREETING])
def test_checks(house: House, behind: bytes) -> None:
    """Who asks for nothing is counted, and no client."""
    for header in OWN:
        with house.call() as caller:
            _visit(house, caller, header + behind)
    assert house.census.checks == len(OWN)
    with house.call() as caller:
        # HAProxy's of version 1 names its own end of the connection.
        _visit(house, caller, line(*caller.getsockname()) + behind)
    assert house.census.checks == len(OWN) + 1
    with house.call() as caller:
        # Somebody on the balancer's host.
        _visit(house, caller, line("127.0.0.1", 1) + behind)
    assert house.census.checks == len(OWN) + 1


def _visit(house: House, caller: socket.socket, octets: bytes) -> None:
    """Say something, and go."""
    caller.sendall(octets)
    house.until(lambda: house.listener.clients)
    client = one(house)
    house.until(lambda: client.origin)
    caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    caller.close()
    house.until(lambda: not house.listener.clients)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
def test_loopbackOfTheSender(host: str) -> None:
    """It is on the sender's machine, whose address it counts as."""
    world = World(layers=[ProxyLayer(lambda _: True)])
    client, _ = world.connect()
    client.connection.receiver.dataReceived(line(host, 7, host) + GREETING)
    assert world.events == [MethodsOffered(b"\x00")]
    assert (client.source.text, client.port) == ("192.0.2.9", 7)
    assert not client.unasked
    client.connectionLost()
    world.atBase()


def test_aSenderIsManySources(house: House) -> None:
    """What bounds one source bounds those that headers name, and no sender."""
    house.listener.admission.limit(100, 2)
    with ExitStack() as stack:
        callers = [stack.enter_context(house.call()) for _ in range(20)]
        house.until(lambda: len(house.listener.clients) == 20)
        for number, caller in enumerate(callers[:10]):
            caller.sendall(line(f"192.0.2.{number + 1}", 1))
        house.until(lambda: len(house.listener.admission._bySource) == 11)
        assert house.census.refused == 0
        for caller in callers[10:]:
            caller.sendall(line("192.0.2.1", 2))
        house.until(lambda: len(house.listener.clients) == 11)
        assert house.census.refused == 9
        assert house.census.clients == 11
    house.until(lambda: not house.listener.clients)


def test_theLargestSourceMakesRoom(house: House) -> None:
    """Who opens many connections through a balancer shuts itself out, not others."""
    house.listener.admission.limit(8, 100)
    with ExitStack() as stack:
        for _ in range(8):
            caller = stack.enter_context(house.call())
            caller.sendall(line("192.0.2.66", 1))
        greedy = Address.parse("192.0.2.66").sourceKey
        bySource = house.listener.admission._bySource
        house.until(lambda: len(bySource.get(greedy, ())) == 8)
        other = stack.enter_context(house.call())
        other.sendall(line("192.0.2.7", 1) + GREETING)
        house.until(lambda: house.events)
        assert house.served[-1].source.text == "192.0.2.7"
        assert len(bySource[greedy]) == 7
        house.served[-1].abort()
    house.until(lambda: not house.listener.clients)


def test_slow(house: House) -> None:
    """The handshake's deadline holds for the header, and for what follows."""
    with house.call() as caller, house.call() as other:
        caller.sendall(HEADERS[2][:20])
        other.sendall(HEADERS[2])
        house.until(lambda: len(house.listener.clients) == 2)
        house.reactor.iterate(0.01)
        clients = [*house.listener.clients]
        house.advance(5)
        caller.sendall(HEADERS[2][20:25])
        house.reactor.iterate(0.01)
        house.advance(6)
        house.until(lambda: not house.listener.clients)
    assert [type(each.failure) for each in clients] == [HandshakeTimedOut] * 2
    assert house.served == []


@pytest.mark.parametrize("header", HEADERS + OWN)
@pytest.mark.parametrize("apart", [False, True], ids=["together", "apart"])
def test_belowTLS(tmp_path: Path, header: bytes, apart: bool) -> None:
    """The ClientHello comes in the header's segment, or after it."""
    server(Authority()).write(tmp_path, "gw")
    house = House("address")
    tls = ServerTLS(ListenTLS("gw.pem", "gw.key"), tmp_path)
    believe(house, "127.0.0.1", above=(TLSLayer(tls, house.watch),))
    ours = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), None)
    ours.set_connect_state()
    with house.call() as caller:
        if apart:
            caller.sendall(header)
            house.until(lambda: house.listener.clients)
            house.reactor.iterate(0.01)
            header = b""

        def shaken() -> bool:
            nonlocal header
            try:
                ours.do_handshake()
            except SSL.WantReadError:
                caller.sendall(header + _outgoing(ours))
                header = b""
                try:
                    ours.bio_write(caller.recv(1 << 16))
                except BlockingIOError:
                    pass
                return False
            return True

        house.until(shaken)
        ours.send(GREETING)
        caller.sendall(_outgoing(ours))
        house.until(lambda: house.events)
        client = one(house)
        assert client.secured == "confidentiality"
        assert client.origin is not None
        client.abort()
    house.until(lambda: not house.listener.clients)
    assert house.events == [MethodsOffered(b"\x00")]
    house.close()
    house.atBase()


def _outgoing(tls: Any) -> bytes:
    try:
        octets: bytes = tls.bio_read(1 << 16)
    except SSL.WantReadError:
        return b""
    return octets
