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
from itertools import accumulate
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
protocols = ["socks5", "socks4", "socks6"]
[listen.tls]
certificate = "{file}"
key = "{key}"
[[listen]]
name = "gssapi"
address = ["127.0.0.1:0"]
[[listen]]
name = "login"
address = ["127.0.0.1:0"]
protocols = ["socks6"]
[auth]
checkers = ["memory:alice:secret"]
strip_realms = ["R"]
gssapi = {{ mechanism = "stub", protection = ["confidentiality", "integrity"] }}
[[auth.choose]]
listener = ["gssapi"]
methods = ["gssapi"]
[[auth.choose]]
listener = ["login"]
methods = ["userpass"]
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
LISTENERS = (*KINDS, "login")


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
        super().__init__(dict(zip(LISTENERS, gateway.ports, strict=True)), certificate)
        self.kind = kind

    def opened(self) -> socket.socket:
        """Connect, and say nothing yet; the last records of a handshake have come."""
        client: socket.socket = self.dial(self.kind)
        if self.kind == "tls":
            client = self._client = self._tls.wrap_socket(
                client, server_hostname="localhost"
            )
            time.sleep(0.05)
        return client

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

    def several(self, client: socket.socket, octets: bytes, *lengths: int) -> bytes:
        """
        Say something, and hear several messages, which may come at once: no segment,
        or record of TLS, ends within one.
        """
        whole = set(accumulate(lengths))
        before = segments(client)
        client.sendall(octets)
        found = b""
        while len(found) < sum(lengths):
            more = client.recv(100)
            assert more, f"ended after {found!r}"
            found += more
            assert len(found) in whole
        if self.kind != "tls":
            assert segments(client) - before <= len(lengths)
        return found


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
        client = talker.opened()
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
            client = talker.opened()
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


#: SOCKS 6 (draft-olteanu-intarea-socks-6-11 sections 4 and 7): the second reply, and the
#: octets of what comes behind both.
REQUESTS6: dict[str, tuple[Callable[[int], bytes], int, tuple[int, ...]]] = {
    "connect": (lambda port: raw.request6("127.0.0.1", port), 0, ()),
    "refused": (lambda _: raw.request6("127.0.0.1", 1), 5, ()),
    "unknown": (lambda port: raw.request6("127.0.0.1", port, 0x44), 7, ()),
    "noop": (lambda _: raw.request6("0.0.0.0", 0, 0), 0, ()),
    # The association's ID (section 7.3).
    "associate": (lambda _: raw.request6("0.0.0.0", 0, 3), 0, (12,)),
    "bind": (lambda _: raw.request6("127.0.0.1", 0, 2), 0, ()),
}
IN_CLEAR_OR_TLS = pytest.mark.parametrize("kind", ["plain", "tls"])


@IN_CLEAR_OR_TLS
@pytest.mark.parametrize("request_", REQUESTS6)
def test_repliesOfSocks6(
    gateway: Running, certificate: Certificate, kind: str, request_: str
) -> None:
    """That the client is let in, and what came of its request; of BIND the third, too."""
    octets, code, behind = REQUESTS6[request_]
    with (
        Destination(listen) as server,
        closing(Talker(gateway, certificate, kind)) as talker,
    ):
        client = talker.opened()
        found = talker.several(client, octets(server.port), 4, 12, *behind)
        assert found[:6] == bytes((6, 0, 0, 0, 6, code))
        if request_ == "bind":
            before = segments(client)
            port = int.from_bytes(found[8:10], "big")
            with socket.create_connection(("127.0.0.1", port)):
                assert talker.hear(client, 12, before)[:2] == b"\x06\x00"


@IN_CLEAR_OR_TLS
@pytest.mark.parametrize("password", ["secret", "wrong"])
def test_outcomeInSocks6(
    gateway: Running, certificate: Certificate, kind: str, password: str
) -> None:
    """What became of a login that the request brings (section 9)."""
    with (
        Destination(listen) as server,
        closing(Talker(gateway, certificate, kind)) as talker,
    ):
        right = password == "secret"
        options = raw.login6("alice", password)
        asked = raw.request6("127.0.0.1", server.port, options=options)
        found = talker.several(talker.opened(), asked, 12, *((12,) if right else ()))
        assert found[:2] == bytes((6, not right))


@pytest.mark.parametrize("password", [b"secret", b"wrong"])
def test_messagesInSocks6(
    gateway: Running, certificate: Certificate, password: bytes
) -> None:
    """The same where the login's messages follow the request (section 6)."""
    with (
        Destination(listen) as server,
        closing(Talker(gateway, certificate, "login")) as talker,
    ):
        client = talker.opened()
        advertised = raw.option6(2, bytes.fromhex("0000 02"))
        asked = raw.request6("127.0.0.1", server.port, options=advertised)
        selected = bytes.fromhex("06 01 0008 0003 0008 02 000000")
        assert talker.ask(client, asked, 12) == selected
        right = password == b"secret"
        lengths = (2, 4, 12) if right else (2, 4)
        found = talker.several(client, raw.login(b"alice", password), *lengths)
        assert found[:4] == bytes((1, not right, 6, not right))
