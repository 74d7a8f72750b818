"""
SOCKS 6 with a real gateway: one flight of the client's, sessions, replays.

No other program that speaks it is at hand: the client is written from the draft.
"""

from __future__ import annotations

import os
import signal
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.live import raw
from tests.live.clients import four
from tests.live.datagrams import (
    ERRORS,
    Association,
    Association6,
    Echo,
    addressed,
    associate,
    replied,
)
from tests.live.restarts import Restarted, restarted
from tests.live.running import LOOPBACK, OPEN, Running, running, socksgw, withWorkers
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
allow = "any"
"""
    + LOOPBACK
)
#: A gateway in front of that: all leaves by it, in SOCKS 6.
FRONT = (
    """
[[listen]]
name = "front"
address = ["127.0.0.1:0"]
protocols = ["socks5", "socks6"]
[[auth.choose]]
from = ["127.0.0.0/8"]
methods = ["none"]
[[upstream]]
name = "six"
url = "socks6://127.0.0.1:%d"
login = { method = "userpass", user = "alice", password_file = "pw" }
[[rule]]
id = "all"
allow = ["connect", "bind", "udp"]
via = ["six"]
"""
    + LOOPBACK
)
LISTEN_OPEN = OPEN.replace("[[listen]]", '[[listen]]\nprotocols = ["socks6"]', 1)
LOGIN = raw.login6(USER, PASSWORD)
SESSION = bytes.fromhex("0005 0004")
TOKENS = bytes.fromhex("000b 0008 00000010")
REJECTED = bytes.fromhex("000f 0004")
OK, INVALID = bytes.fromhex("0008 0004"), bytes.fromhex("0009 0004")


@pytest.fixture(scope="module", params=[1, 2], ids=["alone", "two workers"])
def workers(request: pytest.FixtureRequest) -> int:
    """How many processes serve."""
    count: int = request.param
    return count


@pytest.fixture(scope="module")
def gateway(
    workers: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Restarted]:
    """A gateway where a login is wanted."""
    directory: Path = tmp_path_factory.mktemp("six")
    server(Authority()).write(directory, "gw")
    made = socksgw("passwd", "users", USER, cwd=directory, stdin=f"{PASSWORD}\n")
    assert made.returncode == 0, made.stderr
    text = f"{CONFIGURATION}[gateway]\nworkers = {workers}\n"
    with restarted(directory, text) as started:
        yield started


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


def begun(gateway: Running, port: int) -> bytes:
    """The option with the ID of a session that has sixteen tokens."""
    with closing(asked(gateway, LOGIN + SESSION + TOKENS, port)) as client:
        kind, options = raw.entered6(client)
    session = options[8:28]
    assert (kind, options[:8], session[:4]) == (0, raw.LET_IN6, b"\0\x06\0\x14")
    assert options[28:] == bytes.fromhex("000c 000c 00000000 00000010")
    return session


def spending(number: int) -> bytes:
    """The option that spends a token."""
    return bytes.fromhex("000d 0008") + number.to_bytes(4, "big")


def granted(gateway: Running, session: bytes, number: int, port: int) -> bool:
    """Spend a token; whether the destination has heard of it, too."""
    options = session + spending(number)
    with closing(asked(gateway, options, port, b"once")) as client:
        kind, told = raw.entered6(client)
        if kind:
            assert told == REJECTED
            assert client.recv(1) == b""
            return False
        assert raw.replied6(client)[0] == 0
        assert raw.exactly(client, 4) == b"once"
        return True


def test_replays(
    gateway: Restarted, destination: Callable[..., Destination], workers: int
) -> None:
    """
    A request that spends a token is served once, however many come at a time, and to
    whichever process; also after a reload, the death of a worker, and a restart. The
    session goes on.
    """
    port = destination(echo).port
    session = begun(gateway, port)
    for number in range(3):
        clients = [
            asked(gateway, session + spending(number), port, b"once") for _ in range(12)
        ]
        kinds = [raw.entered6(client)[0] for client in clients]
        for client in clients:
            client.close()
        assert sorted(kinds) == [0] + [1] * 11
    gateway.process.send_signal(signal.SIGHUP)
    until(lambda: gateway.journal("reloaded"))
    assert not granted(gateway, session, 2, port)
    assert granted(gateway, session, 3, port)
    if workers > 1:
        died = gateway.journal("worker")[-1]
        os.kill(died["pid"], signal.SIGKILL)
        until(lambda: gateway.journal("worker")[-1]["pid"] != died["pid"])
        until(lambda: gateway.journal("worker")[-1]["state"] == "started")
    assert not any(granted(gateway, session, 3, port) for _ in range(4))
    assert granted(gateway, session, 4, port)
    gateway.restart()
    assert not any(granted(gateway, session, 4, port) for _ in range(4))
    assert all(granted(gateway, session, number, port) for number in range(5, 16))
    reasons = {
        each["reason"] for each in gateway.journal("decision") if "reason" in each
    }
    assert "no-session" not in reasons


def test_aSessionOfAGatewayThatHasEnded(
    tmp_path: Path, destination: Callable[..., Destination]
) -> None:
    """Nobody knows what of its tokens is spent: it is refused."""
    port = destination(echo).port
    text = LISTEN_OPEN
    with restarted(tmp_path / "one", text) as gateway:
        with closing(asked(gateway, SESSION + TOKENS, port)) as client:
            session = raw.entered6(client)[1][:20]
        assert granted(gateway, session, 0, port)
    with restarted(tmp_path / "two", text) as gateway:
        options = session + spending(1)
        with closing(asked(gateway, options, port, b"once")) as client:
            assert raw.entered6(client) == (1, INVALID)


def test_aSessionOfAnotherProtection(
    tmp_path: Path, destination: Callable[..., Destination]
) -> None:
    """
    A session that has begun inside TLS is of TLS alone: where a reload takes TLS from the
    listener, its client has to log in again. So has that of one in clear, inside TLS.
    """
    port = destination(echo).port
    server(Authority()).write(tmp_path, "gw")
    inside = LISTEN_OPEN.replace(
        "[[auth", '[listen.tls]\ncertificate = "gw.pem"\nkey = "gw.key"\n[[auth', 1
    )

    def dialled(at: int, secured: bool, options: bytes) -> tuple[int, bytes]:
        client: Any = raw.dial(at)
        if secured:
            client = unverified().wrap_socket(client)
        with closing(client):
            client.sendall(raw.request6("127.0.0.1", port, options=options))
            return raw.entered6(client)

    begin = contextmanager(running)
    with begin(tmp_path, inside) as gateway:
        at = gateway.port
        for secured, text, count in ((True, LISTEN_OPEN, 1), (False, inside, 2)):
            session = dialled(at, secured, SESSION)[1]
            assert dialled(at, secured, session) == (0, OK)
            (tmp_path / "gw.toml").write_text(withWorkers(text))
            gateway.process.send_signal(signal.SIGHUP)
            until(lambda count=count: len(gateway.journal("reloaded")) == count)
            assert dialled(at, not secured, session) == (1, INVALID)
            line = gateway.journal("login-failed")[-1]
            assert line["reason"] == "no-session"
            assert dialled(at, not secured, b"") == (0, b"")


def unverified() -> ssl.SSLContext:
    """TLS with whoever it is."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


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


@pytest.fixture(scope="module")
def front(
    gateway: Running, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    """A gateway whose upstream is the other one, by SOCKS 6 with a login."""
    directory: Path = tmp_path_factory.mktemp("front")
    secret = directory / "pw"
    secret.write_text(f"{PASSWORD}\n")
    secret.chmod(0o600)
    yield from running(directory, FRONT % gateway.port)


@pytest.mark.parametrize("kind", [Association, Association6])
def test_datagramsByAnUpstream(
    gateway: Running, front: Running, kind: type[Association]
) -> None:
    """Through both gateways, to an address and to a name; both record each flow."""
    with kind(front.port) as client, Echo() as server, Echo("::1") as six:
        for text in (b"one", b"", bytes(20_000)):
            client.echo(server, text)
        client.echo(six, b"other family")
        client.send(b"127.0.0.1", server.port, b"named")
        assert client.receive() == addressed(*server.place) + b"named"
    # The name was a literal: the upstream is told the address, as before.
    for each, least in ((front, 2), (gateway, 1)):
        assert until(lambda: _flows(each, server.port, least, "flow-end"))  # noqa: B023
        begun = _flows(each, server.port, least)
        assert {line["verdict"] for line in begun} == {"allow"}
    (line,) = _flows(gateway, server.port, 1)
    (decision,) = (
        x for x in gateway.journal("decision") if x["session"] == line["session"]
    )
    assert (decision["protocol"], decision["command"]) == ("socks6", "udp")


def _flows(
    gateway: Running, port: int, least: int, event: str = "flow"
) -> list[dict[str, Any]]:
    """The lines about a destination's flows, once there are so many."""
    found = [
        line
        for line in gateway.journal(event)
        if line.get("port", line.get("address", "").rpartition(":")[2])
        in (port, str(port))
    ]
    return found if len(found) >= least else []


@pytest.mark.parametrize("version", [5, 6])
def test_bindByAnUpstream(gateway: Running, front: Running, version: int) -> None:
    """The upstream listens, and tells who has come."""
    client, (code, host, port) = associate(
        front.port, four("127.0.0.1"), 0, 2, version=version
    )
    with closing(client):
        assert code == 0
        with socket.create_connection((host, port), 20) as peer:
            assert replied(client) == (0, *peer.getsockname())
            peer.sendall(b"hello")
            assert raw.exactly(client, 5) == b"hello"
            client.sendall(b"back")
            assert raw.exactly(peer, 4) == b"back"
    assert "bind" in {x["command"] for x in gateway.journal("decision")}


def test_icmp(gateway: Running) -> None:
    """A client hears that nobody is at a port: the option, the flow, the error."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gone:
        gone.bind(("127.0.0.1", 0))
        port = gone.getsockname()[1]
    with Association6(gateway.port, ERRORS, login=LOGIN) as client, Echo() as server:
        client.send("127.0.0.1", port, b"anybody?")
        assert client.message() == (2, b"")
        client.confirmed = True
        home = bytes.fromhex("7f000001")
        body = b"\1\0" + port.to_bytes(2, "big") + home + b"\1\2\0\0" + home
        assert client.message() == (4, body)
        client.echo(server, b"still")
