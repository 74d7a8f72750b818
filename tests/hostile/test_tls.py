"""
Every command over a TLS listener: the same as over a plain one, and rules see
that the client's side is protected.
"""

from __future__ import annotations

import socket
import ssl
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.live.clients import GREETING, Server, exactly, four, request5, reset
from tests.live.datagrams import Echo, addressed, replied
from tests.live.running import LOOPBACK, Running, settled
from tests.live.servers import program
from tests.tools.waiting import until

CONFIGURATION = (
    """
[[listen]]
name = "tls"
endpoint = "ssl:0:interface=127.0.0.1:privateKey={key}:certKey={file}"
[listen.udp]
tunnels = ["hev"]
[[listen]]
name = "plain"
address = ["127.0.0.1:0"]
[[auth.choose]]
from = ["127.0.0.0/8"]
methods = ["none"]
[[rule]]
id = "secured"
allow = ["connect", "bind", "udp"]
secured = "confidentiality"
[[rule]]
id = "beside"
allow = ["udp"]
listener = ["tls"]
secured = "clear"
"""
    + LOOPBACK
)


@pytest.fixture
def running(gateway: Callable[..., Running], tmp_path: Path) -> Running:
    """A gateway that asks for TLS, and also listens without."""
    openssl = program("openssl", "openssl")
    key, file = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        [
            openssl,
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
            "-keyout",
            key,
            "-out",
            file,
        ],
        check=True,
        capture_output=True,
    )
    return gateway(CONFIGURATION.format(key=key, file=file))


def asked(running: Running, request: bytes) -> socket.socket:
    """A client with TLS that has sent its request."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    plain = socket.create_connection(("127.0.0.1", running.ports[0]), 10)
    client = context.wrap_socket(plain)
    client.sendall(GREETING + request)
    assert exactly(client, 2) == b"\x05\x00"
    return client


def rules(running: Running) -> list[object]:
    """The rules by which requests were allowed."""
    return [line["rule"] for line in running.journal("decision")]


def test_connect(running: Running) -> None:
    """The rule that wants protection matches here, and only here."""
    with Server() as server:
        request = request5(four("127.0.0.1"), server.port)
        with closing(asked(running, request)) as client:
            assert replied(client)[0] == 0
            client.sendall(b"hello")
            assert exactly(client, 5) == b"hello"
        plain = socket.create_connection(("127.0.0.1", running.ports[1]), 10)
        with closing(plain):
            plain.sendall(GREETING + request)
            assert exactly(plain, 4)[2:] == b"\x05\x02"
    secured = [line.get("secured") for line in running.journal("decision")]
    assert secured == ["confidentiality", None]


def test_associate(running: Running) -> None:
    """Datagrams go beside the protected connection, as RFC 1928 has it: in the clear."""
    with Echo() as echo:
        client = asked(running, request5(four("0.0.0.0"), 0, 3))
        with closing(client), socket.socket(type=socket.SOCK_DGRAM) as datagrams:
            code, host, port = replied(client)
            assert code == 0
            datagrams.settimeout(10)
            octets = addressed(*echo.place) + b"hello"
            datagrams.sendto(octets, (host, port))
            assert datagrams.recv(100) == octets
    assert rules(running) == ["beside"]


def test_bind(running: Running) -> None:
    """Two replies, then octets both ways."""
    with closing(asked(running, request5(four("127.0.0.1"), 0, 2))) as client:
        code, host, port = replied(client)
        assert code == 0
        with socket.create_connection((host, port), 10) as peer:
            assert replied(client) == (0, *peer.getsockname())
            peer.sendall(b"from the peer")
            assert exactly(client, 13) == b"from the peer"
            client.sendall(b"to the peer")
            assert exactly(peer, 11) == b"to the peer"


def test_tunnel(running: Running) -> None:
    """UDP inside the protected connection: hev's framing, both ways."""
    request = request5(four("0.0.0.0"), 0, 5)
    with Echo() as echo, closing(asked(running, request)) as client:
        assert replied(client)[0] == 0
        place = addressed(*echo.place)[3:]
        frame = b"\x00\x05" + bytes((3 + len(place),)) + place + b"hello"
        client.sendall(frame)
        assert exactly(client, len(frame)) == frame
    assert rules(running) == ["secured"]


def test_theDestinationGoesWhileTheClientSends(running: Running) -> None:
    """
    A client that sends on and never says its end is let go of all the same.
    """
    with socket.create_server(("127.0.0.1", 0)) as server:
        request = request5(four("127.0.0.1"), server.getsockname()[1])
        with closing(asked(running, request)) as client:
            assert replied(client)[0] == 0
            before = settled(running).descriptors
            peer, _ = server.accept()
            client.sendall(b"hello")
            assert exactly(peer, 5) == b"hello"
            reset(peer)
            client.settimeout(10)
            with pytest.raises((ConnectionError, ssl.SSLEOFError)):
                client.sendall(bytes(1 << 26))
            until(lambda: running.descriptors < before)
