"""
The handshake as it comes over a real connection: pipelined, in single
octets; and when success may be said.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable

import pytest

from tests.interop.shared import PASSWORD, USER, Shared
from tests.live import raw
from tests.live.running import VERSIONS, Running
from tests.live.servers import Destination, Full, Recorder, untilEnd
from tests.tools.waiting import until

FIRST = b"first octets, sent once\n" * 40


def _opening(kind: str, port: int) -> bytes:
    """All that a client says before its data."""
    if kind == "none":
        return raw.GREETING + raw.request5("127.0.0.1", port)
    if kind == "userpass":
        login = raw.login(USER.encode(), PASSWORD.encode())
        return raw.GREETING_LOGIN + login + raw.request5("127.0.0.1", port)
    if kind == "socks4":
        return raw.request4("127.0.0.1", port, userId=b"someone")
    if kind == "socks6":
        return raw.request6("127.0.0.1", port)
    if kind == "socks6-login":
        login = raw.login6(USER, PASSWORD)
        return raw.request6("127.0.0.1", port, options=login)
    if kind == "socks6-messages":
        # Section 8.2: user and password behind the request, and no initial data.
        login = raw.login(USER.encode(), PASSWORD.encode())
        option = bytes.fromhex("0002 0008 0000 02 00")
        return raw.request6("127.0.0.1", port, options=option) + login
    return raw.request4(b"localhost", port, userId=b"someone")


def _expected(kind: str, client: socket.socket) -> None:
    """The gateway's answers, each in its place, success at the end."""
    if kind.startswith("socks4"):
        code, _, _ = raw.reply4(client)
        assert code == 90
        return
    if kind.startswith("socks6"):
        if kind == "socks6-messages":
            assert raw.entered6(client) == (1, bytes.fromhex("0003 0008 02 000000"))
            assert raw.exactly(client, 2) == b"\x01\x00"
        told = raw.LET_IN6 if kind == "socks6-login" else b""
        assert raw.entered6(client) == (0, told)
        assert raw.replied6(client)[0] == 0
        return
    assert raw.exactly(client, 2) == (b"\x05\x02" if kind == "userpass" else b"\x05\0")
    if kind == "userpass":
        assert raw.exactly(client, 2) == b"\x01\x00"
    code, _, _ = raw.reply5(client)
    assert code == 0


KINDS = [
    *("none", "userpass", "socks4", "socks4a"),
    *("socks6", "socks6-login", "socks6-messages"),
]


def _port(shared: Shared, kind: str) -> int:
    return (
        shared.open if kind in ("none", "socks4", "socks4a", "socks6") else shared.login
    )


@pytest.mark.parametrize("kind", KINDS)
def test_pipelined(
    shared: Shared, destination: Callable[..., Destination], kind: str
) -> None:
    """
    Greeting, login, request and first data in one segment: every answer
    comes in its order, and the data reach the destination first and once.
    """
    recorder = Recorder(b"answer", expected=len(FIRST) + 4)
    server = destination(recorder)
    with raw.dial(_port(shared, kind)) as client:
        client.sendall(_opening(kind, server.port) + FIRST)
        _expected(kind, client)
        client.sendall(b"last")
        assert raw.exactly(client, 6) == b"answer"
        client.shutdown(socket.SHUT_WR)
        assert untilEnd(client) == b""
    until(lambda: recorder.received)
    assert recorder.received == [FIRST + b"last"]
    line = raw.end(shared.gateway, server.port)
    assert (line["sent"], line["received"]) == (len(FIRST) + 4, 6)


@pytest.mark.parametrize("kind", KINDS)
def test_pipelinedMuch(
    shared: Shared, destination: Callable[..., Destination], kind: str
) -> None:
    """
    More data behind the request than the gateway holds, then the client's
    end: nothing is lost, doubled or reordered.
    """
    much = b"".join(b"%07d\n" % i for i in range(40_000))
    recorder = Recorder(b"done")
    server = destination(recorder)
    with raw.dial(_port(shared, kind)) as client:
        client.sendall(_opening(kind, server.port) + much)
        client.shutdown(socket.SHUT_WR)
        _expected(kind, client)
        assert untilEnd(client) == b"done"
    until(lambda: recorder.received)
    assert recorder.received == [much]
    line = raw.end(shared.gateway, server.port)
    assert (line["sent"], line["received"]) == (len(much), 4)


@pytest.mark.parametrize("kind", KINDS)
def test_octetByOctet(
    shared: Shared, destination: Callable[..., Destination], kind: str
) -> None:
    """One octet at a time makes no difference."""
    recorder = Recorder(b"answer", expected=5)
    server = destination(recorder)
    with raw.dial(_port(shared, kind)) as client:
        for octet in _opening(kind, server.port):
            client.sendall(bytes([octet]))
            # Nothing tells when the gateway has read it.
            time.sleep(0.002)
        _expected(kind, client)
        client.sendall(b"hello")
        assert untilEnd(client) == b"answer"
    until(lambda: recorder.received)
    assert recorder.received == [b"hello"]


@pytest.mark.parametrize("kind", ["none", "socks4", "socks6"])
def test_boundAddress(
    shared: Shared, destination: Callable[..., Destination], kind: str
) -> None:
    """
    BND.ADDR and BND.PORT are the gateway's own side towards the destination
    (RFC 1928 section 6).
    """
    server = destination(untilEnd)
    with raw.dial(shared.open) as client:
        client.sendall(_opening(kind, server.port))
        if kind == "none":
            assert raw.exactly(client, 2) == b"\x05\0"
            code, *bound = raw.reply5(client)
        elif kind == "socks6":
            assert raw.entered6(client) == (0, b"")
            code, *bound, _ = raw.replied6(client)
        else:
            code, *bound = raw.reply4(client)
        assert code == (90 if kind == "socks4" else 0)
        until(lambda: server.peers)
        assert server.peers == [tuple(bound)]


def test_serverSpeaksFirst(
    shared: Shared, destination: Callable[..., Destination]
) -> None:
    """A banner that the destination sends at once comes behind the reply."""
    banner = b"220 ready\r\n" * 100
    server = destination(lambda c: c.sendall(banner))
    for _ in range(20):
        with raw.dial(shared.open) as client:
            raw.through(client, "127.0.0.1", server.port)
            assert untilEnd(client) == banner


def _silent(client: socket.socket) -> bool:
    """Whether the client is told nothing, for a while."""
    return not select.select([client], [], [], 0.5)[0]


@pytest.mark.parametrize("version", [5, 6])
def test_successOnlyWhenConnected(
    gateway: Callable[..., Running], version: int
) -> None:
    """
    While the destination has not answered, a client hears that it is let in, and
    no more; success comes when it has.
    """
    running = gateway(VERSIONS)
    with Full() as full, raw.dial(running.port) as client:
        if version == 6:
            client.sendall(raw.request6("127.0.0.1", full.port))
            assert raw.entered6(client) == (0, b"")
        else:
            client.sendall(raw.GREETING + raw.request5("127.0.0.1", full.port))
            assert raw.exactly(client, 2) == b"\x05\0"
        assert raw.decision(running, full.port)["verdict"] == "allow"
        assert _silent(client)
        full.drain()
        replied = raw.replied6 if version == 6 else raw.reply5
        assert replied(client)[0] == 0


@pytest.mark.parametrize("version", [4, 5, 6])
def test_neverSuccessWithoutConnection(
    gateway: Callable[..., Running], version: int
) -> None:
    """
    A destination that never answers: after C{timeouts.connect} the reply is
    04 (SOCKS 4: 91, SOCKS 6: 09), and nothing else was said before.
    """
    text = VERSIONS.replace("[never]", '[timeouts]\nconnect = "1s"\n[never]')
    running = gateway(text)
    with Full() as full, raw.dial(running.port) as client:
        if version == 5:
            client.sendall(raw.GREETING + raw.request5("127.0.0.1", full.port))
            assert untilEnd(client) == b"\x05\0" + b"\x05\x04\0\x01" + bytes(6)
        elif version == 6:
            client.sendall(raw.request6("127.0.0.1", full.port))
            told = bytes.fromhex("06 00 0000 06 09 0000 0000 00 01 00000000")
            assert untilEnd(client) == told
        else:
            client.sendall(raw.request4("127.0.0.1", full.port))
            assert untilEnd(client) == b"\0\x5b" + bytes(6)
        line = raw.end(running, full.port)
        assert line["reason"] == "connect-timeout"
