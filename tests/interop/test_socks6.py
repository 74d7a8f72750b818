"""
SOCKS 6 with a real gateway: one flight of the client's, sessions, replays.

No other program that speaks it is at hand: the client is written from the draft.
"""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.live import raw
from tests.live.running import LOOPBACK, Running, running, socksgw
from tests.live.servers import Destination, echo, program
from tests.tools.certificates import Authority, server
from tests.tools.waiting import until

USER, PASSWORD = "alice", "correct-horse"
CONFIGURATION = (
    """
[[listen]]
name = "plain"
address = ["127.0.0.1:0"]
protocols = ["socks5", "socks6"]
[[listen]]
name = "tls"
address = ["127.0.0.1:0"]
protocols = ["socks6"]
[listen.tls]
certificate = "gw.pem"
key = "gw.key"
[auth]
checkers = ["passwd:users"]
[[auth.choose]]
methods = ["userpass"]
[[rule]]
id = "all"
allow = ["connect"]
"""
    + LOOPBACK
)
LOGIN = raw.login6(USER, PASSWORD)
SESSION = bytes.fromhex("0005 0004")
TOKENS = bytes.fromhex("000b 0008 00000010")
TOKEN = bytes.fromhex("000d 0008 00000000")
REJECTED = bytes.fromhex("000f 0004")


@pytest.fixture(scope="module", params=[1, 2], ids=["alone", "two workers"])
def workers(request: pytest.FixtureRequest) -> int:
    """How many processes serve."""
    count: int = request.param
    return count


@pytest.fixture(scope="module")
def gateway(
    workers: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    """A gateway where a login is wanted."""
    directory: Path = tmp_path_factory.mktemp("six")
    server(Authority()).write(directory, "gw")
    made = socksgw("passwd", "users", USER, cwd=directory, stdin=f"{PASSWORD}\n")
    assert made.returncode == 0, made.stderr
    yield from running(directory, f"{CONFIGURATION}[gateway]\nworkers = {workers}\n")


def asked(gateway: Running, options: bytes, port: int, behind: bytes = b"") -> Any:
    """A client that has sent all that it ever sends."""
    client = raw.dial(gateway.port)
    client.sendall(raw.request6("127.0.0.1", port, options=options) + behind)
    return client


def test_oneFlight(gateway: Running, destination: Callable[..., Destination]) -> None:
    """Login, request and the destination's first octets go before anything comes."""
    echoing = destination(echo)
    with closing(asked(gateway, LOGIN, echoing.port, b"first octets")) as client:
        assert raw.entered6(client) == (0, raw.LET_IN6)
        code, host, _, _ = raw.replied6(client)
        assert (code, host) == (0, "127.0.0.1")
        assert raw.exactly(client, 12) == b"first octets"
    line = raw.decision(gateway, echoing.port)
    assert (line["protocol"], line["user"], line["method"]) == (
        "socks6", USER, "userpass",
    )  # fmt: skip


def test_replays(
    gateway: Running, destination: Callable[..., Destination], workers: int
) -> None:
    """
    A request that spends a token is served once, also across a reload. Where several
    processes serve there are no sessions, and so no tokens: the client is told of none.
    """
    echoing = destination(echo)
    with closing(asked(gateway, LOGIN + SESSION + TOKENS, echoing.port)) as client:
        kind, options = raw.entered6(client)
    assert kind == 0
    if workers > 1:
        assert options == raw.LET_IN6
        return
    session = options[8:28]
    assert session.startswith(bytes.fromhex("0006 0014"))
    spending = session + TOKEN
    with closing(asked(gateway, spending, echoing.port, b"once")) as client:
        assert raw.entered6(client)[0] == 0
        assert raw.replied6(client)[0] == 0
        assert raw.exactly(client, 4) == b"once"
    with closing(asked(gateway, spending, echoing.port, b"once")) as client:
        assert raw.entered6(client) == (1, REJECTED)
        assert client.recv(1) == b""
    gateway.process.send_signal(signal.SIGHUP)
    until(lambda: gateway.journal("reloaded"))
    with closing(asked(gateway, spending, echoing.port, b"once")) as client:
        assert raw.entered6(client) == (1, REJECTED)
    # The session itself goes on.
    with closing(asked(gateway, session, echoing.port)) as client:
        assert raw.entered6(client)[0] == 0


def test_noEarlyData(gateway: Running, tmp_path: Path, workers: int) -> None:
    """
    Early data of TLS 1.3 could be replayed: no ticket lets a client send any, so that
    each request comes after a handshake.
    """
    openssl, ticket = program("openssl", "openssl"), tmp_path / "ticket"
    command = [
        openssl,
        "s_client",
        "-ign_eof",
        "-tls1_3",
        "-connect",
        f"127.0.0.1:{gateway.ports[1]}",
    ]
    # It waits for a ticket until the gateway ends the connection of a broken request.
    subprocess.run(
        [*command, "-sess_out", str(ticket)],
        input=b"\x05\n", capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    shown = subprocess.run(
        [openssl, "sess_id", "-in", str(ticket), "-noout", "-text"],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert "Max Early Data: 0" in shown.stdout
    early = tmp_path / "early"
    early.write_bytes(raw.request6("127.0.0.1", 9, options=LOGIN))
    tried = subprocess.run(
        [*command, "-sess_in", str(ticket), "-early_data", str(early)],
        input=b"\x05\n", capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert b"Early data was not sent" in tried.stdout
    if workers == 1:
        # Another process has other keys of tickets.
        assert b"Reused, TLSv1.3" in tried.stdout
