"""
Each message of the gateway's arrives in one TCP segment: some clients take what
one recv(2) brings for the whole message.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from typing import Any

import pytest

from tests.live import raw
from tests.live.kinds import Clients
from tests.live.running import LOOPBACK, Running, running
from tests.live.servers import Certificate, Destination

CONFIGURATION = (
    """
[[listen]]
name = "plain"
address = ["127.0.0.1:0"]
protocols = ["socks5", "socks4", "socks6"]
[[listen]]
name = "tls"
address = ["127.0.0.1:0"]
[listen.tls]
certificate = "{file}"
key = "{key}"
[[listen]]
name = "gssapi"
address = ["127.0.0.1:0"]
[auth]
checkers = ["memory:alice:secret"]
strip_realms = ["R"]
gssapi = {{ mechanism = "stub", protection = ["confidentiality", "integrity"] }}
[[auth.choose]]
listener = ["gssapi"]
methods = ["gssapi"]
[[auth.choose]]
from = ["127.0.0.0/8"]
methods = ["userpass", "none"]
[[rule]]
id = "all"
allow = ["connect", "bind", "udp", "resolve"]
"""
    + LOOPBACK
)
KINDS = ("plain", "tls", "gssapi")


@pytest.fixture(scope="module")
def gateway(
    tmp_path_factory: pytest.TempPathFactory, certificate: Certificate
) -> Iterator[Running]:
    """One for all."""
    text = CONFIGURATION.format(file=certificate.file, key=certificate.key)
    yield from running(tmp_path_factory.mktemp("segments"), text)


def listen(connection: socket.socket) -> None:
    """Say nothing, until it is over."""
    with suppress(OSError):
        while connection.recv(100):
            pass


def segments(connection: socket.socket) -> int:
    """How many segments with data have come (tcpi_data_segs_in, linux/tcp.h)."""
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 160)
    count: int = struct.unpack_from("I", info, 152)[0]
    return count


class Talker(Clients):
    """
    A client that counts what comes.

    @ivar last: whether the connection ends behind the message.
    """

    last = False

    def __init__(self, gateway: Running, certificate: Certificate, kind: str) -> None:
        super().__init__(dict(zip(KINDS, gateway.ports, strict=True)), certificate)
        self.kind = kind

    def message(self, client: socket.socket) -> bytes:
        """The next message of GSSAPI's, in one segment with its head."""
        before = segments(client)
        found = super().message(client)
        assert segments(client) - before <= 1
        return found

    def ask(self, client: socket.socket, octets: bytes, length: int) -> bytes:
        """Say something, and hear the answer: one segment."""
        before = segments(client)
        self.say(self.kind, client, octets)
        return self.hear(client, length, before)

    def hear(self, client: socket.socket, length: int, before: int) -> bytes:
        """One message more, and no segment more than that."""
        if self.kind == "gssapi":
            found, secret = self.tokens.unwrap(Clients.message(self, client))
            assert secret
        elif self.last:
            # One record, which is one segment; TLS's word for the end follows at
            # once in another.
            found = client.recv(length + 1)
        else:
            found = raw.exactly(client, length)
        if not self.last:
            time.sleep(0.01)
            assert segments(client) - before == 1
        assert len(found) == length
        return bytes(found)


@pytest.fixture(params=KINDS)
def talker(
    request: pytest.FixtureRequest, gateway: Running, certificate: Certificate
) -> Iterator[Talker]:
    """A client of each kind of connection."""
    with closing(Talker(gateway, certificate, request.param)) as made:
        yield made


def loggedIn(talker: Talker) -> Any:
    """Connected, the handshake's last records (tickets, say) included."""
    client = talker.connected(talker.kind)
    time.sleep(0.05)
    return client


REQUESTS: dict[str, Callable[[int], bytes]] = {
    "connect": lambda port: raw.request5("127.0.0.1", port),
    "refused": lambda _: raw.request5("127.0.0.1", 1),
    "unknown": lambda port: raw.request5("127.0.0.1", port, 0x44),
    "associate": lambda _: raw.request5("0.0.0.0", 0, 3),
    "resolve": lambda _: raw.request5(b"127.0.0.1", 0, 0xF0),
}


#: After these the session goes on.
GOING_ON = ("connect", "associate")


@pytest.mark.parametrize("request_", REQUESTS)
def test_replies(talker: Talker, request_: str) -> None:
    """Of each command, good or bad."""
    if talker.kind == "tls" and request_ not in GOING_ON:
        talker.last = True
    with Destination(listen) as server:
        client = loggedIn(talker)
        reply = talker.ask(client, REQUESTS[request_](server.port), 10)
        talker.close()
    assert (reply[1] == 0) is (request_ in (*GOING_ON, "resolve"))


def test_bothRepliesOfBind(talker: Talker) -> None:
    """The second comes with the peer."""
    client = loggedIn(talker)
    reply = talker.ask(client, raw.request5("127.0.0.1", 0, 2), 10)
    assert reply[1] == 0
    before = segments(client)
    with socket.create_connection(("127.0.0.1", int.from_bytes(reply[8:10]))):
        assert talker.hear(client, 10, before)[1] == 0


@pytest.mark.parametrize("password", [b"secret", b"wrong"])
@pytest.mark.parametrize("kind", ["plain", "tls"])
def test_choiceAndOutcome(
    gateway: Running, certificate: Certificate, kind: str, password: bytes
) -> None:
    """The choice of the method, and what became of the login."""
    with closing(Talker(gateway, certificate, kind)) as talker:
        client: socket.socket = talker.dial(kind)
        if kind == "tls":
            client = talker._client = talker._tls.wrap_socket(
                client, server_hostname="localhost"
            )
            time.sleep(0.05)
        assert talker.ask(client, raw.GREETING_LOGIN, 2) == b"\x05\x02"
        talker.last = kind == "tls" and password == b"wrong"
        outcome = talker.ask(client, raw.login(b"alice", password), 2)
        assert (outcome[1] == 0) is (password == b"secret")


@pytest.mark.parametrize("kind", ["plain", "tls"])
def test_allInOneMessage(gateway: Running, certificate: Certificate, kind: str) -> None:
    """SOCKS 4's reply; and 4a's."""
    for host in ("127.0.0.1", b"127.0.0.1"):
        with (
            Destination(listen) as server,
            closing(Talker(gateway, certificate, kind)) as talker,
        ):
            client: socket.socket = talker.dial(kind)
            if kind == "tls":
                client = talker._client = talker._tls.wrap_socket(
                    client, server_hostname="localhost"
                )
                time.sleep(0.05)
            assert talker.ask(client, raw.request4(host, server.port), 8)[1] == 90
            talker.close()


def test_bothRepliesOfSocks6(gateway: Running) -> None:
    """
    They share a segment where the destination answers at once. The kernel holds the
    first one back for a moment only, which a busy machine may miss: one of some tries.
    """
    shared = False
    with Destination(listen) as server:
        for _ in range(20):
            with closing(raw.dial(gateway.port)) as client:
                client.sendall(raw.request6("127.0.0.1", server.port))
                assert raw.entered6(client) == (0, b"")
                assert raw.replied6(client)[0] == 0
                shared = shared or segments(client) == 1
    assert shared
