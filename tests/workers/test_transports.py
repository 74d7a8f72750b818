"""
Every transport with two workers: a stream, BIND and UDP by each.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator

import pytest

from tests.live import raw
from tests.live.datagrams import Echo, addressed
from tests.live.servers import PATIENCE, Destination, untilEnd
from tests.live.transports import TRANSPORTS, Serving, opened
from tests.live.transports import serving as servingAll

#: Clients by each transport at a time; the kernel gives each worker some of all.
_AT_ONCE = 3
_OCTETS = os.urandom(300_017)


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """What has a listener for each transport, with two workers."""
    with servingAll(tmp_path_factory.mktemp("transports"), workers=2) as both:
        yield both


@pytest.mark.parametrize("name", TRANSPORTS)
def test_streams(name: str, serving: Serving) -> None:
    """Both directions at once, and the record, which says who has served it."""
    arrived: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        sending = threading.Thread(target=connection.sendall, args=(_OCTETS,))
        sending.start()
        came = b""
        while len(came) < len(_OCTETS):
            came += connection.recv(1 << 16)
        arrived.append(came)
        sending.join()

    for _ in range(_AT_ONCE):
        with Destination(serve) as server, opened(serving, name) as client:
            client.connect(server.port)
            client.sendall(_OCTETS)
            assert untilEnd(client.socket) == _OCTETS
        decision, end = (
            raw.decision(serving, server.port),
            raw.end(serving, server.port),
        )
        assert decision["worker"] == end["worker"]
        assert decision.get("secured") == client.secured
        assert decision["client"].startswith(client.source)
        assert (end["sent"], end["received"]) == (len(_OCTETS), len(_OCTETS))
    assert arrived == [_OCTETS] * _AT_ONCE


@pytest.mark.parametrize("name", TRANSPORTS)
def test_bindAndDatagrams(name: str, serving: Serving) -> None:
    """Both are where their control connection is, in whichever worker."""
    for _ in range(_AT_ONCE):
        with opened(serving, name) as client:
            client.sendall(raw.request5("127.0.0.1", 0, 2))
            code, host, port = raw.reply5(client.socket)
            assert code == 0
            with socket.create_connection((host, port), PATIENCE) as peer:
                assert raw.reply5(client.socket) == (0, *peer.getsockname())
                peer.sendall(b"from the peer")
                assert raw.exactly(client.socket, 13) == b"from the peer"
        if not client.datagrams:
            continue
        with (
            opened(serving, name) as client,
            Echo() as server,
            socket.socket(type=socket.SOCK_DGRAM) as datagrams,
        ):
            client.sendall(raw.request5("0.0.0.0", 0, 3))
            code, host, port = raw.reply5(client.socket)
            assert code == 0
            datagrams.settimeout(PATIENCE)
            datagrams.bind((client.source.rstrip(":"), 0))
            octets = addressed(*server.place) + b"hello"
            datagrams.sendto(client.wrapped(octets), (host, port))
            assert client.unwrapped(datagrams.recv(1 << 16)) == octets


def test_bothServe(serving: Serving) -> None:
    """Neither was idle in the tests before."""
    assert {each["worker"] for each in serving.journal("decision")} == {1, 2}
