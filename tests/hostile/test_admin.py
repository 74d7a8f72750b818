"""
The admin interface under those who want to harm it, or who are stuck.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.live import raw
from tests.live.clients import descriptorsFor
from tests.live.running import ALL, HEAD, resident, settled
from tests.live.servers import Destination, echo
from tests.live.serving import Serving, served


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A gateway for all."""
    for each in served(tmp_path_factory.mktemp("attacked"), HEAD + ALL):
        settled(each.gateway)
        yield each


def answer(serving: Serving, octets: bytes, seconds: float = 20) -> bytes:
    """Send octets to the port, and return what comes until the end."""
    with raw.dial(serving.port) as client:
        client.settimeout(seconds)
        came = b""
        try:
            client.sendall(octets)
            while part := client.recv(65536):
                came += part
        except (ConnectionResetError, BrokenPipeError):
            pass
        return came


HEAD_OF = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"


@pytest.mark.parametrize(
    ("octets", "status"),
    [
        (b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n", (b"", b"400")),
        (HEAD_OF + b"X: " + b"a" * 100_000 + b"\r\n\r\n", (b"", b"400")),
        (HEAD_OF + b"X: a\r\n" * 100 + b"\r\n", (b"400",)),
        (HEAD_OF + b"X: a\r\n X: b\r\n\r\n", (b"200",)),
        (HEAD_OF + b"Content-Length: -1\r\n\r\n", (b"400",)),
        (HEAD_OF + b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
         (b"400",)),
        (HEAD_OF + b"Authorization: Bearer x\r\nAuthorization: Bearer y\r\n\r\n",
         (b"400",)),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", (b"400",)),
        (b"\x05\x01\x00\r\n\r\n", (b"400",)),
        (b"GET http://evil.example/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
         (b"404",)),
        (b"CONNECT localhost:22 HTTP/1.1\r\nHost: localhost\r\n\r\n", (b"404",)),
        (b"get /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", (b"405",)),
    ],
)  # fmt: skip
def test_malformed(serving: Serving, octets: bytes, status: tuple[bytes, ...]) -> None:
    """Refused, and nothing is logged as a defect (L{Running.healthy})."""
    came = answer(serving, octets)
    assert came.split(b" ", 2)[1:2] in [[each] if each else [] for each in status], came


def test_manyRequests(serving: Serving) -> None:
    """One request of a connection is answered, whatever comes behind it."""
    came = answer(serving, (HEAD_OF + b"\r\n") * 1000)
    assert came.count(b"HTTP/1.1 200 OK") == 1
    assert b"onnection: close" in came


def test_largeBodies(serving: Serving) -> None:
    """A body is not held beyond its bound, of a known length or not."""
    before = resident(serving.gateway)
    head = (
        b"POST /api/explain HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer "
        + serving.tokens["looker"].encode()
        + b"\r\nContent-Type: application/json\r\n"
    )
    megabytes = 8
    chunk = b"100000\r\n" + b"x" * (1 << 20) + b"\r\n"
    for octets in (
        head + b"Content-Length: %d\r\n\r\n" % (megabytes << 20)
        + b"x" * (megabytes << 20),
        head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * megabytes + b"0\r\n\r\n",
    ):  # fmt: skip
        assert b" 413 " in answer(serving, octets)
    assert resident(serving.gateway) - before < 4 << 20


def test_idleConnections(serving: Serving) -> None:
    """Hundreds that ask nothing keep nobody away, at the port and at the socket."""
    with descriptorsFor(500), ExitStack() as stack:
        for i in range(150):
            client = stack.enter_context(raw.dial(serving.port))
            if i % 2:
                client.sendall(b"GET /api/sessions HTTP/1.1\r\nX: ")
        for _ in range(80):
            place = str(serving.gateway.directory / "admin.sock")
            stack.enter_context(raw.dialPath(place))
        for asking in (serving.operator, serving.own):
            assert asking.get("/api/status")["ready"]
        assert serving.gateway.descriptors < 300


def test_stuckClients(serving: Serving) -> None:
    """
    Sessions come to their end while scrapers read an octet now and then, and others who
    asked for much read nothing at all.
    """
    head = b"Host: localhost\r\nAuthorization: Bearer %b\r\n\r\n" % (
        serving.tokens["looker"].encode()
    )
    with ExitStack() as stack, Destination(echo) as server:
        stuck = []
        for path in (b"/api/events", b"/metrics", b"/api/sessions", b"/") * 4:
            client = stack.enter_context(raw.dial(serving.port))
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
            client.sendall(b"GET " + path + b" HTTP/1.1\r\n" + head)
            stuck.append(client)
        octets = os.urandom(10_000)
        for _ in range(60):
            with raw.through(
                raw.dial(serving.gateway.port), "127.0.0.1", server.port
            ) as client:
                client.sendall(octets)
                assert raw.exactly(client, len(octets)) == octets
            for each in stuck[1::4]:
                # What they asked for is not over yet.
                assert len(each.recv(1)) == 1
        assert raw.end(serving.gateway, server.port)["sent"] == len(octets)
        assert serving.own.get("/api/status")["ready"]


def test_anotherUser(serving: Serving) -> None:
    """A user who can connect, but is another one, gets nothing but what is public."""
    if os.geteuid() != 0:
        pytest.skip("only root can be somebody else")
    directory = serving.gateway.directory
    place = directory / "admin.sock"
    place.chmod(0o666)
    for each in [directory, *directory.parents]:
        if each.stat().st_uid == 0 and str(each).startswith("/tmp/"):
            each.chmod(0o755)
    script = (
        "import os, socket, sys\n"
        "os.setgroups([]); os.setgid(4711); os.setuid(4711)\n"
        "for path in sys.argv[2:]:\n"
        "    client = socket.socket(socket.AF_UNIX)\n"
        "    client.connect(sys.argv[1])\n"
        "    client.sendall(f'GET {path} HTTP/1.0\\r\\n\\r\\n'.encode())\n"
        "    print(client.makefile('rb').read().split()[1].decode())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, place, "/healthz", "/api/sessions", "/metrics"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.split() == ["200", "401", "401"]
