"""
Gateways in a row that tell each other who the client is, and judge that.
"""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from tests.live import raw
from tests.live.running import Running, running, socksgw
from tests.live.servers import Destination, echo, freePorts
from tests.tools.certificates import Authority, pemOf, server
from tests.tools.waiting import until

#: The last gateway: its rules are about the people, not about the gateway before it.
LAST = """
[gateway]
name = "last"
[[listen]]
name = "gateways"
address = ["127.0.0.1:0"]
protocols = ["socks5", "socks6"]
identity_keys = ["edge.pub"]
identity_prefix = "edge/"
[listen.tls]
certificate = "gw.pem"
key = "gw.key"
[groups]
operators = { token = ["ops"] }
[[auth.choose]]
methods = ["gateway", "none"]
[[rule]]
id = "not-carol"
deny = "any"
who = ["edge/carol"]
[[rule]]
id = "operators"
allow = ["connect"]
who = ["@operators"]
[[rule]]
id = "known-place"
allow = ["connect"]
who = ["anonymous"]
from = ["127.0.0.7"]
[never]
except = ["127.0.0.0/8"]
"""
#: The first gateway: it lets people in, and leaves the rest to the last.
EDGE = """
[gateway]
name = "edge"
[[listen]]
name = "people"
address = ["127.0.0.1:0"]
protocols = ["socks5", "socks6"]
[[listen]]
name = "strangers"
address = ["127.0.0.1:0"]
protocols = ["socks5", "socks6"]
[auth]
checkers = ["passwd:users"]
[groups]
ops = ["alice"]
[[auth.choose]]
listener = ["people"]
methods = ["userpass"]
[[auth.choose]]
methods = ["none"]
[[rule]]
id = "through"
allow = ["connect"]
via = ["last"]
[[upstream]]
name = "last"
url = "{protocol}+tls://localhost:{port}"
ca = "ca.pem"
identity_key = "edge.key"
[never]
except = ["127.0.0.0/8"]
"""
PASSWORD = "correct-horse"


class Row:
    """
    Two gateways, the first of which leaves by the second.

    @ivar protocol: what clients speak to the first one, and that to the second.
    """

    def __init__(self, edge: Running, last: Running, protocol: str) -> None:
        self.edge = edge
        self.last = last
        self.protocol = protocol

    def connect(self, user: str, port: int, source: str = "127.0.0.1") -> bytes:
        """Ask the first one, as a user or as nobody; return the reply."""
        listener = self.edge.ports[0 if user else 1]
        with raw.dial(listener, source=(source, 0)) as client:
            return self.ask(client, user, port)

    def ask(self, client: socket.socket, user: str, port: int) -> bytes:
        """Ask on a connection to the first one; return the reply."""
        if self.protocol == "socks6":
            options = raw.login6(user, PASSWORD) if user else b""
            client.sendall(raw.request6("127.0.0.1", port, options=options))
            assert raw.entered6(client) == (0, raw.LET_IN6 if user else b"")
            return bytes(raw.replied6(client)[:1])
        if user:
            client.sendall(raw.GREETING_LOGIN)
            assert raw.exactly(client, 2) == b"\x05\x02"
            client.sendall(raw.login(user.encode(), PASSWORD.encode()))
            assert raw.exactly(client, 2) == b"\x01\x00"
        else:
            client.sendall(raw.GREETING)
            assert raw.exactly(client, 2) == b"\x05\x00"
        client.sendall(raw.request5("127.0.0.1", port))
        return raw.exactly(client, 10)[1:2]


def keysIn(directory: Path, name: str) -> bytes:
    """Make a gateway's key, and return its public half."""
    key = Ed25519PrivateKey.generate()
    file = directory / name
    file.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    file.chmod(0o600)
    return key.public_key().public_bytes(
        Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
    )


def reloaded(gateway: Running, text: str = "") -> int:
    """Reload, with another configuration if there is one; return what that ended."""
    if text:
        (gateway.directory / "gw.toml").write_text(text)
    before = len(gateway.journal("reloaded"))
    gateway.process.send_signal(signal.SIGHUP)
    until(lambda: len(gateway.journal("reloaded")) > before, 20)
    ended: int = gateway.journal("reloaded")[-1]["ended"]
    return ended


@pytest.fixture(scope="module", params=["socks5", "socks6"])
def row(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Row]:
    """Both run."""
    protocol: str = request.param
    directory = tmp_path_factory.mktemp("identities")
    first, second = directory / "edge", directory / "last"
    first.mkdir()
    second.mkdir()
    authority = Authority()
    server(authority).write(second, "gw")
    (first / "ca.pem").write_bytes(pemOf(authority.certificate))
    (second / "edge.pub").write_bytes(keysIn(first, "edge.key"))
    for user in ("alice", "bob", "carol"):
        socksgw("passwd", "users", user, cwd=first, stdin=f"{PASSWORD}\n")
    with ExitStack() as stack:
        start = contextmanager(running)
        last = stack.enter_context(start(second, LAST))
        text = EDGE.format(port=last.port, protocol=protocol)
        edge = stack.enter_context(start(first, text))
        yield Row(edge, last, protocol)


def test_thePersonIsJudged(row: Row, destination: Callable[..., Destination]) -> None:
    """Name, groups and address are the client's, in the last one's rules and journal."""
    server = destination(echo)
    assert row.connect("alice", server.port) == b"\x00"
    line = raw.decision(row.last, server.port)
    found = line["protocol"], line["user"], line["method"]
    assert found == (row.protocol, "edge/alice", "gateway")
    assert (line["rule"], line["groups"]) == ("operators", ["operators"])
    assert line["client"].startswith("127.0.0.1")
    assert line["told"]["gateways"].startswith("edge/")
    assert line["secured"] == "confidentiality"


@pytest.mark.parametrize(("user", "rule"), [("bob", "default"), ("carol", "not-carol")])
def test_denied(
    row: Row, destination: Callable[..., Destination], user: str, rule: str
) -> None:
    """The last one's denial is the reply, for that person alone."""
    server = destination(echo)
    assert row.connect(user, server.port) == b"\x02"
    line = raw.decision(row.last, server.port)
    assert (line["verdict"], line["rule"], line["user"]) == (
        "deny",
        rule,
        f"edge/{user}",
    )


def test_nobody(row: Row, destination: Callable[..., Destination]) -> None:
    """Without a login, the address counts: the client's own."""
    server = destination(echo)
    assert row.connect("", server.port, "127.0.0.7") == b"\x00"
    line = raw.decision(row.last, server.port)
    assert (line["user"], line["rule"]) == ("anonymous", "known-place")
    assert line["client"].startswith("127.0.0.7")
    assert row.connect("", server.port, "127.0.0.8") == b"\x02"


def test_revoked(row: Row, destination: Callable[..., Destination]) -> None:
    """A reload leaves a person's session alone; without the gateway's key it ends."""
    server = destination(echo)
    last = row.last
    file = last.directory / "edge.pub"
    mine = file.read_bytes()

    with raw.dial(row.edge.ports[0]) as client:
        assert row.ask(client, "alice", server.port) == b"\x00"
        assert reloaded(last) == 0
        client.sendall(b"still here")
        assert raw.exactly(client, 10) == b"still here"
        file.write_bytes(keysIn(last.directory, "other.key"))
        assert reloaded(last) == 1
        assert "gateway" in raw.end(last, server.port)["why"]
    assert row.connect("alice", server.port) == b"\x01"
    file.write_bytes(mine)
    assert reloaded(last) == 0
    assert row.connect("alice", server.port) == b"\x00"


def test_whoIsRefusedDoesNotLeaveDirectly(
    row: Row, destination: Callable[..., Destination]
) -> None:
    """The next gateway's word about somebody is no fault of it: nobody gets past it."""
    server = destination(echo)
    edge, last = row.edge, row.last
    texts = {each: (each.directory / "gw.toml").read_text() for each in (edge, last)}
    reloaded(edge, texts[edge].replace('["last"]', '[["last", "direct"]]'))
    reloaded(last, texts[last].replace('"gateway", "none"', '"gateway"'))
    for _ in range(4):
        assert row.connect("", server.port, "127.0.0.7") == b"\x01"
    assert row.connect("alice", server.port) == b"\x00"
    assert raw.end(edge, server.port)["path"] == "last"
    assert edge.journal("upstream") == []
    for each, text in texts.items():
        reloaded(each, text)


LOOP = """
[gateway]
name = "{name}"
[[listen]]
name = "main"
address = ["127.0.0.1:{port}"]
identity_keys = ["keys.pub"]
[listen.tls]
certificate = "gw.pem"
key = "gw.key"
[[listen]]
name = "plain"
address = ["127.0.0.1:0"]
[[auth.choose]]
methods = ["none"]
[[rule]]
id = "round"
allow = ["connect"]
via = ["other"]
[[upstream]]
name = "other"
url = "socks5+tls://localhost:{other}"
ca = "ca.pem"
identity_key = "own.key"
[never]
except = ["127.0.0.0/8"]
"""


def test_loop(tmp_path: Path, destination: Callable[..., Destination]) -> None:
    """Two gateways that lead to each other: one session in each, then it ends."""
    ports = [freePorts(4), 0]
    ports[1] = ports[0] + 1
    authority = Authority()
    names = ("east", "west")
    keys = b""
    for name in names:
        directory = tmp_path / name
        directory.mkdir()
        server(authority).write(directory, "gw")
        (directory / "ca.pem").write_bytes(pemOf(authority.certificate))
        keys += keysIn(directory, "own.key")
    with ExitStack() as stack:
        start = contextmanager(running)
        gateways = []
        for i, name in enumerate(names):
            (tmp_path / name / "keys.pub").write_bytes(keys)
            text = LOOP.format(name=name, port=ports[i], other=ports[1 - i])
            gateways.append(stack.enter_context(start(tmp_path / name, text)))
        east, west = gateways
        server_ = destination(echo)
        with raw.dial(east.ports[1]) as client:
            client.sendall(raw.GREETING)
            assert raw.exactly(client, 2) == b"\x05\x00"
            client.sendall(raw.request5("127.0.0.1", server_.port))
            assert raw.exactly(client, 10)[1] != 0
        assert len(west.journal("decision")) == 1
        (refused,) = east.journal("refused")
        assert refused["reason"] == "loop"
        assert len(east.journal("decision")) == 1
