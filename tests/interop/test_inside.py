"""
TLS inside SOCKS (draft-ietf-aft-socks-ssl-00), with a client written from the
draft: no program of today speaks it.
"""

from __future__ import annotations

import random
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
from OpenSSL import SSL

from tests.interop.shared import PASSWORD, USER
from tests.live import raw
from tests.live.datagrams import Echo, addressed
from tests.live.running import LOOPBACK, Running, running, socksgw
from tests.live.servers import PATIENCE, Destination, Recorder, echo, sha256
from tests.tools.certificates import Authority, pemOf, server
from tests.tools.waiting import until

MIB = 1 << 20
OCTETS = random.Random(40).randbytes(3 * MIB)
HANDSHAKE, OPTIONS, DATA, CLOSING = 1, 2, 3, 4

CONFIGURATION = (
    """
[timeouts]
handshake = "3s"
[[listen]]
name = "main"
address = ["127.0.0.1:0"]
[auth]
checkers = ["passwd:users"]
[auth.tls]
certificate = "gw.pem"
key = "gw.key"
[[auth.choose]]
methods = ["tls"]
[[rule]]
id = "inside"
allow = ["connect", "udp"]
who = ["alice"]
method = ["userpass"]
secured = "confidentiality"
[[rule]]
id = "naked"
allow = ["udp"]
who = ["alice"]
secured = "clear"
"""
    + LOOPBACK
)


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One gateway for all."""
    directory = tmp_path_factory.mktemp("inside")
    root = Authority()
    server(root).write(directory, "gw")
    (directory / "ca.pem").write_bytes(pemOf(root.certificate))
    made = socksgw("passwd", "users", USER, cwd=directory, stdin=f"{PASSWORD}\n")
    assert made.returncode == 0, made.stderr
    yield from running(directory, CONFIGURATION)


class Client:
    """
    The client's side.

    @ivar states: the STATEs that the server's records have had.
    """

    def __init__(self, gateway: Running, method: int = 0x06) -> None:
        self.plain = raw.dial(gateway.port)
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.load_verify_locations(str(gateway.directory / "ca.pem"))
        context.set_verify(SSL.VERIFY_PEER, lambda *verdict: bool(verdict[-1]))
        self.tls = SSL.Connection(context, None)
        self.tls.set_connect_state()
        self.states: set[int] = set()
        self.plain.sendall(bytes((5, 1, method)))
        assert raw.exactly(self.plain, 2) == bytes((5, method))

    def close(self) -> None:
        self.plain.close()

    def record(self, state: int, data: bytes) -> None:
        """VER 01, STATE, LEN, DATA ("SSL Record Framing")."""
        for start in range(0, len(data), 60_000):
            part = data[start : start + 60_000]
            header = bytes((1, state)) + len(part).to_bytes(2, "big")
            self.plain.sendall(header + part)

    def receive(self) -> bool:
        """One record of the server's; whether there was one."""
        try:
            first = self.plain.recv(1)
        except ConnectionResetError:
            return False
        if not first:
            return False
        assert first == b"\x01"
        state, *length = raw.exactly(self.plain, 3)
        self.states.add(state)
        self.tls.bio_write(raw.exactly(self.plain, int.from_bytes(length, "big")))
        return True

    def shake(self) -> None:
        """The handshake."""
        while True:
            try:
                self.tls.do_handshake()
                return
            except SSL.WantReadError:
                self.record(HANDSHAKE, self.tls.bio_read(1 << 16))
                assert self.receive(), "no answer"
            finally:
                try:
                    self.record(HANDSHAKE, self.tls.bio_read(1 << 16))
                except SSL.WantReadError:
                    pass

    def send(self, state: int, octets: bytes) -> None:
        """Octets inside TLS."""
        for start in range(0, len(octets), 16_000):
            self.tls.send(octets[start : start + 16_000])
            self.record(state, self.tls.bio_read(1 << 17))

    def read(self, count: int) -> bytes:
        """So many octets; fewer when the server ends before."""
        found = b""
        while len(found) < count:
            try:
                found += self.tls.recv(count - len(found))
            except SSL.WantReadError:
                if not self.receive():
                    break
            except SSL.ZeroReturnError:
                break
        return found

    def login(self, password: str, options: bytes = b"\x01") -> bytes:
        """The options, and user and password; what comes back."""
        self.shake()
        self.send(OPTIONS, bytes((len(options),)) + options)
        assert self.read(1 + len(options))[1:] == options
        self.send(OPTIONS, raw.GREETING_LOGIN)
        assert self.read(2) == b"\x05\x02"
        self.send(OPTIONS, raw.login(USER.encode(), password.encode()))
        return self.read(2)

    def ask(self, octets: bytes) -> tuple[int, bytes, int]:
        """A request, and its reply."""
        self.send(DATA, octets)
        head = self.read(10)
        assert head[:1] == b"\x05", head
        return head[1], head[4:8], int.from_bytes(head[8:], "big")


@pytest.mark.parametrize("method", [0x06, 0x86])
def test_connect(
    serving: Running, destination: Callable[..., Destination], method: int
) -> None:
    """
    The handshake, the options, a login inside, and then octets both ways; the
    states go on as the draft has them, to an orderly closure.
    """
    recorder = Recorder(OCTETS, expected=len(OCTETS))
    server_ = destination(recorder)
    with closing(Client(serving, method)) as client:
        assert client.login(PASSWORD) == b"\x01\x00"
        assert client.states == {HANDSHAKE, OPTIONS}
        assert client.ask(raw.request5("127.0.0.1", server_.port))[0] == 0
        client.send(DATA, OCTETS)
        assert sha256(client.read(len(OCTETS))) == sha256(OCTETS)
        assert client.read(1) == b""
        # TLS's own word for it, in a record of its own state.
        assert client.tls.get_shutdown() & SSL.RECEIVED_SHUTDOWN
        assert client.states == {HANDSHAKE, OPTIONS, DATA, CLOSING}
        client.tls.shutdown()
        client.record(CLOSING, client.tls.bio_read(1 << 16))
    until(lambda: recorder.received)
    assert sha256(recorder.received[0]) == sha256(OCTETS)
    line = raw.decision(serving, server_.port)
    assert (line["user"], line["method"]) == (USER, "userpass")
    assert line["secured"] == "confidentiality"
    ended = raw.end(serving, server_.port)
    assert (ended["sent"], ended["received"]) == (len(OCTETS), len(OCTETS))


def test_wrongPassword(serving: Running) -> None:
    """The failure is told inside, and then all is over."""
    with closing(Client(serving)) as client:
        assert client.login("wrong") == b"\x01\x01"
        assert client.read(1) == b""
    line = until(lambda: serving.journal("login-failed"))[-1]
    assert (line["method"], line["claimed"]) == ("userpass", USER)


def test_emptyRecord(serving: Running) -> None:
    """One of the handshake may hold nothing; that is no defect of ours."""
    with closing(Client(serving)) as client:
        client.plain.sendall(bytes((1, HANDSHAKE, 0, 0)))
        assert client.login(PASSWORD) == b"\x01\x00"


def test_pipelined(serving: Running, destination: Callable[..., Destination]) -> None:
    """
    The end of the handshake and all that follows in one segment: nothing is
    lost between them.
    """
    server_ = destination(echo)
    with closing(Client(serving)) as client:
        inside = [(OPTIONS, b"\x01\x01"), (OPTIONS, raw.GREETING_LOGIN)]
        inside += [(OPTIONS, raw.login(USER.encode(), PASSWORD.encode()))]
        inside += [(DATA, raw.request5("127.0.0.1", server_.port) + b"hello")]
        with pytest.raises(SSL.WantReadError):
            client.tls.do_handshake()
        client.record(HANDSHAKE, client.tls.bio_read(1 << 16))
        while True:
            assert client.receive()
            try:
                client.tls.do_handshake()
                break
            except SSL.WantReadError:
                pass
        octets = b""
        state = HANDSHAKE
        for state, each in [(HANDSHAKE, b""), *inside]:
            if each:
                client.tls.send(each)
            data = client.tls.bio_read(1 << 16)
            octets += bytes((1, state)) + len(data).to_bytes(2, "big") + data
        client.plain.sendall(octets)
        assert client.read(2 + 2 + 2) == b"\x01\x01\x05\x02\x01\x00"
        assert client.read(10)[:2] == b"\x05\x00"
        assert client.read(5) == b"hello"


@pytest.mark.parametrize("naked", [True, False])
def test_associate(serving: Running, naked: bool) -> None:
    """UDP-Naked: datagrams go beside, unprotected, where that is agreed on."""
    options = b"\x01\x10" if naked else b"\x01"
    with Echo() as there, closing(Client(serving)) as client:
        assert client.login(PASSWORD, options) == b"\x01\x00"
        code, _, port = client.ask(raw.request5("0.0.0.0", 0, 3))
        if not naked:
            assert code == 7
            return
        assert code == 0
        with socket.socket(type=socket.SOCK_DGRAM) as datagrams:
            datagrams.settimeout(PATIENCE)
            octets = addressed(*there.place) + b"hello"
            datagrams.sendto(octets, ("127.0.0.1", port))
            assert datagrams.recv(100) == octets
    lines = [raw.decision(serving, 0), serving.journal("flow")[-1]]
    assert [line["rule"] for line in lines] == ["naked", "naked"]
    assert not any("secured" in line for line in lines)


# What must not work.


def noLogin(client: Client) -> None:
    """No option is asked for: nobody would have logged in."""
    client.shake()
    client.send(OPTIONS, b"\x00")
    assert client.read(1) == b"\x00"


def nothingWanted(client: Client) -> None:
    """Inside, the client offers no authentication only."""
    client.shake()
    client.send(OPTIONS, b"\x01\x01")
    assert client.read(2) == b"\x01\x01"
    client.send(OPTIONS, raw.GREETING)
    assert client.read(2) == b"\x05\xff"


def requestAtOnce(client: Client) -> None:
    """A request where the method should be selected."""
    client.shake()
    client.send(OPTIONS, b"\x01\x01")
    client.send(DATA, raw.request5("127.0.0.1", 80))


def plain(client: Client) -> None:
    """No TLS in the records."""
    client.record(HANDSHAKE, raw.GREETING_LOGIN + raw.login(b"alice", b"x"))


def noRecord(client: Client) -> None:
    """No record at all."""
    client.plain.sendall(raw.GREETING_LOGIN)


def wrongState(client: Client) -> None:
    """The handshake in the state of data."""
    with pytest.raises(SSL.WantReadError):
        client.tls.do_handshake()
    client.record(DATA, client.tls.bio_read(1 << 16))


def plainInside(client: Client) -> None:
    """Octets that TLS has not sealed, after the handshake."""
    client.shake()
    client.record(OPTIONS, b"\x01\x01" + raw.GREETING)


def changed(client: Client) -> None:
    """A record that somebody changed on the way."""
    client.shake()
    client.tls.send(b"\x01\x01")
    sealed = bytearray(client.tls.bio_read(1 << 16))
    sealed[-1] ^= 1
    client.record(OPTIONS, bytes(sealed))


def backAgain(client: Client) -> None:
    """A state that is over."""
    client.shake()
    client.send(OPTIONS, b"\x01\x01")
    assert client.read(2) == b"\x01\x01"
    client.send(HANDSHAKE, raw.GREETING_LOGIN)


def endless(client: Client) -> None:
    """Empty records without end; or until the deadline."""
    for _ in range(50_000):
        client.plain.sendall(b"\x01\x01\0\0" * 10)


@pytest.mark.parametrize(
    "attack",
    [
        noLogin,
        nothingWanted,
        requestAtOnce,
        plain,
        noRecord,
        wrongState,
        plainInside,
        changed,
        backAgain,
        endless,
    ],
)
def test_attacks(serving: Running, attack: Callable[[Client], Any]) -> None:
    """None gets as far as a decision, and all are closed."""
    decided = len(serving.journal("decision"))
    client = Client(serving)
    with closing(client):
        try:
            attack(client)
            while client.plain.recv(1 << 16):
                pass
        except (ConnectionResetError, BrokenPipeError):
            pass
    assert len(serving.journal("decision")) == decided


def test_oldTLS(serving: Running) -> None:
    """TLS 1.1 is too old, also here."""
    client = Client(serving)
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_max_proto_version(SSL.TLS1_1_VERSION)
    context.set_cipher_list(b"ALL:@SECLEVEL=0")
    client.tls = SSL.Connection(context, None)
    client.tls.set_connect_state()
    with closing(client), pytest.raises(SSL.Error, match="protocol version"):
        client.shake()
