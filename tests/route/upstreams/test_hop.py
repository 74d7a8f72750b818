"""
One upstream, with real sockets on loopback: what it says, and what becomes of that.
"""

from __future__ import annotations

import gc
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from OpenSSL import SSL
from twisted.internet.defer import CancelledError

from socksgw.client.http import HTTPProxy
from socksgw.client.logins.password import PasswordLogin
from socksgw.errors import (
    LookupFailed,
    SocksError,
    UpstreamFailed,
    UpstreamRefused,
)
from socksgw.system.coroutines import Running
from socksgw.system.tlsclient import ClientTLS
from socksgw.system.tlscontext import Own, serverContext
from socksgw.wire.codes import Reply
from tests.live.raw import exactly
from tests.route.upstreams.scripted import BOUND, FAR, GRANTED, LOOP, SECONDS, Network
from tests.tools.certificates import Authority, pemOf, server
from tests.tools.sockets import RESET


def failed(network: Network, port: int, host: Any = FAR) -> SocksError:
    """Return what becomes of a connection through a server."""
    hop = network.hop("up", "127.0.0.1", port, there=True)
    with pytest.raises(SocksError) as caught:
        network.result(hop.open(network.ground, host, 80, network.trip(), SECONDS))
    return caught.value


def test_granted(network: Network) -> None:
    """The connection is the same one, and what came behind the reply is kept."""
    server = network.scripted(GRANTED + b"220 hello")
    hop = network.hop("up", "127.0.0.1", server.port)
    leg = network.result(hop.open(network.ground, FAR, 80, network.trip(), SECONDS))
    assert server.asked == [(FAR.text, 80)]
    assert (leg.bound, leg.used) == (BOUND, (hop.standing,))
    assert leg.surplus in (b"220 hello", b"")
    assert leg.connection.plain is not None
    assert network.pending == 0
    leg.connection.loseConnection()


@pytest.mark.parametrize("code", range(1, 10))
def test_replies(network: Network, code: int) -> None:
    """Each is told as it is; only the destination's have the words of direct ones."""
    server = network.scripted(bytes((5, code)) + GRANTED[2:])
    failure = failed(network, server.port)
    assert isinstance(failure, UpstreamRefused)
    assert failure.reply == (code if code < 9 else Reply.GENERAL_FAILURE)
    assert failure.reason == {
        3: "network-unreachable",
        4: "host-unreachable",
        5: "refused",
        6: "ttl-expired",
    }.get(code, "upstream-refused")
    assert '"up"' in str(failure)


#: What real servers do in place of RFC 1928's replies (observed.md): each with the
#: class of the failure, its reply and reason.
ODD: dict[str, tuple[bytes, type, int, str]] = {
    # Dante: no such name, and it says which.
    "name": (
        b"\x05\x04\x00\x03\x03foo\x00\x50",
        UpstreamRefused,
        4,
        "host-unreachable",
    ),
    # Tor, of a look-up.
    "type 0": (b"\x05\x04\x00\x00" + bytes(6), UpstreamRefused, 4, "host-unreachable"),
    # ssh -D: it ends the connection in place of a reply.
    "end": (b"", UpstreamFailed, 1, "upstream-closed"),
    "half": (GRANTED[:7], UpstreamFailed, 1, "upstream-closed"),
    "version": (b"\x04\x00" + GRANTED[2:], UpstreamFailed, 1, "upstream-protocol"),
    "HTTP": (b"HTTP/1.1 501 Tor is not\r\n", UpstreamFailed, 1, "upstream-protocol"),
}


@pytest.mark.parametrize("name", ODD)
def test_oddReplies(network: Network, name: str) -> None:
    """They are refusals all the same, and not successes."""
    reply, kind, code, reason = ODD[name]
    failure = failed(network, network.scripted(reply).port)
    assert (type(failure), failure.reply, failure.reason) == (kind, code, reason)


def test_replyBeforeReset(network: Network) -> None:
    """As Dante does: the reply counts, not what follows."""

    def reset(connection: socket.socket) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)

    refused = b"\x05\x05" + GRANTED[2:]
    failure = failed(network, network.scripted(refused, then=reset).port)
    assert failure.reason == "refused"


@pytest.mark.parametrize(
    ("says", "reason"),
    [
        (b"", "upstream-closed"),
        (b"\x05\xff", "upstream-login"),
        # It wants what was not offered.
        (b"\x05\x02", "upstream-protocol"),
        (b"HTTP/1.0 400 Bad Request\r\n", "upstream-protocol"),
        # It answers what it was not asked yet.
        (b"\x05\x00" + GRANTED, "upstream-protocol"),
    ],
)
def test_beforeTheRequest(network: Network, says: bytes, reason: str) -> None:
    """It is no success, and the next one may be tried."""

    def serve(connection: socket.socket) -> None:
        connection.recv(3)
        connection.sendall(says)
        connection.shutdown(socket.SHUT_WR)
        connection.recv(100)

    server = network.served(serve)
    failure = failed(network, server.port)
    assert isinstance(failure, UpstreamFailed)
    assert failure.reason == reason
    assert failure.upstream == "up"


def test_unreachable(network: Network) -> None:
    """Its port is closed, which is no word about the destination."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    failure = failed(network, port)
    assert isinstance(failure, UpstreamFailed)
    assert (failure.reply, failure.reason) == (1, "upstream-unreachable")
    assert '"up"' in str(failure)


def test_nameOfTheUpstream(network: Network) -> None:
    """It is looked up here; without address it cannot be reached."""
    server = network.scripted(GRANTED)
    network.names.addresses["gw.example"] = ["127.0.0.1"]
    hop = network.hop("up", "gw.example", server.port, there=True)
    leg = network.result(
        hop.open(network.ground, "www.example", 80, network.trip(), SECONDS)
    )
    leg.connection.loseConnection()
    assert network.names.asked == ["gw.example"]
    assert server.asked == [("www.example", 80)]
    other = network.hop("up", "no.example", server.port)
    with pytest.raises(UpstreamFailed) as caught:
        network.result(other.open(network.ground, FAR, 80, network.trip(), SECONDS))
    assert caught.value.reason == "upstream-unreachable"
    assert not isinstance(caught.value, LookupFailed)


def silent(connection: socket.socket) -> None:
    """Say nothing."""
    connection.recv(1000)
    connection.recv(1000)


def greeting(connection: socket.socket) -> None:
    """Choose a method, and say nothing more."""
    connection.recv(3)
    connection.sendall(b"\x05\x00")
    silent(connection)


@pytest.mark.parametrize("serve", [silent, greeting])
def test_timeOut(network: Network, serve: Callable[[Any], None]) -> None:
    """The time is that of the whole trip."""
    server = network.served(serve)
    hop = network.hop("up", "127.0.0.1", server.port)
    _, found = network.started(
        hop.open(network.ground, FAR, 80, network.trip(), SECONDS)
    )
    network.until(lambda: server.peers)
    network.settle()
    network.advance(SECONDS - 0.1)
    assert not found
    network.advance(0.2)
    assert found[0].check(UpstreamFailed)
    assert found[0].value.reason == "upstream-timeout"


def test_cancelled(network: Network) -> None:
    """Its client has gone: the connection is closed."""
    server = network.served(greeting)
    hop = network.hop("up", "127.0.0.1", server.port)
    waiting, found = network.started(
        hop.open(network.ground, FAR, 80, network.trip(), SECONDS)
    )
    network.until(lambda: server.peers)
    network.settle()
    waiting.cancel()
    assert found[0].check(CancelledError)


def test_ownListener(network: Network) -> None:
    """It is not dialled at all."""
    server = network.scripted(GRANTED)
    network.own.add(server.port)
    failure = failed(network, server.port)
    assert isinstance(failure, UpstreamFailed)
    assert failure.reason == "loop"
    network.names.addresses["gw.example"] = ["127.0.0.1"]
    hop = network.hop("up", "gw.example", server.port)
    with pytest.raises(UpstreamFailed, match="listener of this gateway"):
        network.result(hop.open(network.ground, LOOP, 80, network.trip(), SECONDS))
    assert server.peers == []


def test_again(network: Network) -> None:
    """A proxy that closes after its challenge is asked again, on a new connection."""
    requests: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        requests.append(connection.recv(4096))
        if len(requests) == 1:
            connection.sendall(
                b"HTTP/1.1 407 Proxy Authentication Required\r\nConnection: close\r\n"
                b'Proxy-Authenticate: Basic realm="r"\r\nContent-Length: 0\r\n\r\n'
            )
        else:
            connection.sendall(b"HTTP/1.1 200 Yes\r\n\r\n")

    server = network.served(serve)
    proxy = HTTPProxy(PasswordLogin("alice", "canary-61d0"))
    hop = network.hop("up", "127.0.0.1", server.port, proxy=proxy)
    leg = network.result(hop.open(network.ground, FAR, 80, network.trip(), SECONDS))
    leg.connection.loseConnection()
    assert len(server.peers) == 2
    assert b"Authorization" not in requests[0]
    assert b"Proxy-Authorization: Basic" in requests[1]


ANSWERS = b"\x05\x00" + GRANTED


@pytest.mark.parametrize("reset", [False, True])
def test_closedAtEachOctet(network: Network, reset: bool) -> None:
    """Before the reply is whole it is a failure, in whatever way it ends."""
    for cut in range(len(ANSWERS)):

        def serve(connection: socket.socket, cut: int = cut) -> None:
            exactly(connection, 3)
            connection.sendall(ANSWERS[: min(cut, 2)])
            if cut > 2:
                exactly(connection, 10)
                connection.sendall(ANSWERS[2:cut])
            if reset:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)

        failure = failed(network, network.served(serve).port)
        assert isinstance(failure, UpstreamFailed), cut
        assert (failure.reason, failure.reply) == ("upstream-closed", 1), cut


def test_octetByOctet(network: Network) -> None:
    """However its answers are cut, they are the same."""

    def serve(connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        exactly(connection, 3)
        for octet in ANSWERS[:2]:
            connection.sendall(bytes((octet,)))
        exactly(connection, 10)
        for octet in ANSWERS[2:] + b"220":
            connection.sendall(bytes((octet,)))

    hop = network.hop("up", "127.0.0.1", network.served(serve).port)
    leg = network.result(hop.open(network.ground, FAR, 80, network.trip(), SECONDS))
    assert leg.bound == BOUND
    assert b"220".startswith(leg.surplus)
    leg.connection.loseConnection()


def _otherTLS(connection: socket.socket) -> None:
    """A server with a certificate of nobody's."""
    issued = server(Authority())
    connection.setblocking(True)
    tls = SSL.Connection(serverContext(Own(issued.chain, issued.key)), connection)
    tls.set_accept_state()
    with suppress(SSL.Error):
        tls.do_handshake()


#: What an upstream does, and whether TLS is wanted of it.
ENDS: dict[str, tuple[Callable[[socket.socket], object], bool]] = {
    "silence": (lambda each: each.recv(3), False),
    "no method": (lambda each: each.sendall(b"\x05\xff"), False),
    "no SOCKS": (lambda each: each.sendall(b"HTTP/1.1 400 \r\n\r\n"), False),
    "no TLS": (lambda each: each.sendall(bytes(20)), True),
    "silence for TLS": (lambda each: each.recv(3), True),
    "another's TLS": (_otherTLS, True),
}


@pytest.mark.parametrize(("serve", "tls"), ENDS.values(), ids=list(ENDS))
def test_nothingWaitsForTheCollector(
    network: Network,
    tmp_path: Path,
    serve: Callable[[socket.socket], object],
    tls: bool,
) -> None:
    """What a failed dialogue held is free without the garbage collector."""
    port = network.served(serve).port
    (tmp_path / "ca.pem").write_bytes(pemOf(Authority().certificate))
    client = ClientTLS("localhost", tmp_path / "ca.pem") if tls else None
    hop = network.hop("up", "127.0.0.1", port, there=True, tls=client)

    def fail() -> None:
        trip = network.trip()
        running = Running(hop.open(network.ground, FAR, 80, trip, SECONDS))
        network.until(lambda: running.called)
        running.addErrback(lambda failure: failure.trap(SocksError) and None)

    fail()
    gc.collect()
    gc.disable()
    try:
        fail()
        network.settle()
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        kinds = {f"{type(each).__module__}" for each in gc.garbage}
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert not [each for each in kinds if each.startswith(("socksgw", "OpenSSL"))]
