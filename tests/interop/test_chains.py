"""
Chains of our own gateways.
"""

from __future__ import annotations

import hashlib
import random
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.live import raw
from tests.live.running import LOOPBACK, VERSIONS, Running, running
from tests.live.servers import PATIENCE, Destination, Sink, echo, freePort
from tests.tools.waiting import until

#: Listeners of the first gateway, each with the chain of its rule.
CHAINS = {
    "two": '"middle"',
    "three": '"middle", "last"',
    "four": '"middle", "last", "middle"',
    "there": '"middle", "names"',
    "dead": '"dead"',
    "loop": '"itself"',
    # By SOCKS 6, of clients and to the next gateways.
    "six": '"middle6"',
    "six, three": '"middle6", "last6"',
    "six, there": '"middle6", "names6"',
    "six, dead": '"dead6"',
}
LISTEN = """
[[listen]]
name = "{0}"
address = ["127.0.0.1:{2}"]
protocols = ["socks5", "socks4", "socks6", "http"]
[[rule]]
id = "{0}"
allow = ["connect"]
listener = ["{0}"]
via = [{1}]
"""
UPSTREAM = """
[[upstream]]
name = "{}"
url = "{}://{}:{}"
resolve = "{}"
"""
HEAD = (
    """
[[auth.choose]]
from = ["127.0.0.0/8", "::1"]
methods = ["none"]
"""
    + LOOPBACK
)
BULK = 100 << 20


class Chain:
    """
    Three gateways in a row.

    @ivar first: the one that clients come to.
    @ivar middle: the next one.
    @ivar last: the one that is at the end of the longer chains.
    @ivar ports: those of the first one, by the names of its listeners.
    @ivar pipes: how many it has at first; those of a session stay for the next ones.
    """

    def __init__(self, stack: ExitStack, directory: Path) -> None:
        start = contextmanager(running)
        self.last = stack.enter_context(start(directory / "last", VERSIONS))
        self.middle = stack.enter_context(start(directory / "middle", VERSIONS))
        own = freePort(kind=socket.SOCK_STREAM)
        closed = freePort(kind=socket.SOCK_STREAM)
        upstreams = [("itself", "socks5", "localhost", own, "here")]
        for suffix, scheme in (("", "socks5"), ("6", "socks6")):
            for name, host, port, resolve in (
                ("middle", "127.0.0.1", self.middle.port, "here"),
                ("last", "127.0.0.1", self.last.port, "here"),
                ("names", "localhost", self.last.port, "there"),
                ("dead", "127.0.0.1", closed, "here"),
            ):
                upstreams.append((name + suffix, scheme, host, port, resolve))
        self._upstreams = "".join(UPSTREAM.format(*each) for each in upstreams)
        self._own = own
        self.first = stack.enter_context(
            start(directory / "first", self.configuration())
        )
        self.ports = dict(zip(CHAINS, self.first.ports, strict=True))
        self.pipes = self.first.pipes

    def configuration(self, before: str = "", **chains: str) -> str:
        """
        Return the configuration of the first gateway.

        @param before: rules before the others.
        @param chains: other chains for some listeners.
        """
        ports = dict.fromkeys(CHAINS, 0) | {"loop": self._own}
        text = HEAD + self._upstreams + before
        for name, via in (CHAINS | chains).items():
            text += LISTEN.format(name, via, ports[name])
        return text

    def reload(self, before: str = "", **chains: str) -> None:
        """Have the first gateway read another configuration."""
        count = len(self.first.journal("reloaded"))
        text = self.configuration(before, **chains)
        (self.first.directory / "gw.toml").write_text(text)
        self.first.process.send_signal(signal.SIGHUP)
        until(
            lambda: len(self.first.journal("reloaded")) > count,
            5,
            seen=lambda: self.first.journal("reload-failed"),
        )

    def dial(self, name: str) -> socket.socket:
        """Connect to a listener of the first gateway."""
        return raw.dial(self.ports[name])

    def refused(self, name: str, host: str | bytes, port: int) -> tuple[int, Any]:
        """Ask for what cannot be had: return the reply, and the end in the journal."""
        with self.dial(name) as client:
            code = raw.asked(client, host, port, versionOf(name))
            assert client.recv(1) == b""
        return code, raw.end(self.first, port)


def versionOf(name: str) -> int:
    """Return the version of SOCKS that the client of a listener speaks."""
    return 6 if name.startswith("six") else 5


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    """Three gateways for all tests."""
    with ExitStack() as stack:
        yield Chain(stack, tmp_path_factory.mktemp("chain"))


@pytest.mark.parametrize("name", ["two", "three", "six", "six, three"])
def test_path(chain: Chain, destination: Callable[..., Destination], name: str) -> None:
    """The octets go through every hop, and the journal says so."""
    server = destination(echo)
    with chain.dial(name) as client:
        raw.through(client, "127.0.0.1", server.port, versionOf(name))
        client.sendall(b"hello")
        assert raw.exactly(client, 5) == b"hello"
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""
    path = CHAINS[name].replace('"', "")
    assert raw.decision(chain.first, server.port)["via"] == path
    end = raw.end(chain.first, server.port)
    assert (end["path"], end["address"]) == (path, "127.0.0.1")
    assert (end["sent"], end["received"], end["reason"]) == (5, 5, "closed")
    # Each hop was asked in the version of the first.
    spoken = f"socks{versionOf(name)}"
    assert raw.decision(chain.first, server.port)["protocol"] == spoken
    last = chain.last if "three" in name else chain.middle
    assert raw.decision(last, server.port)["protocol"] == spoken


@pytest.mark.parametrize("name", ["two", "three", "four", "six, three"])
def test_bulk(chain: Chain, destination: Callable[..., Destination], name: str) -> None:
    """100 MiB each way at once, through one to three hops, from kernel to kernel."""
    chance = random.Random(13)
    up, down = chance.randbytes(BULK), chance.randbytes(BULK)
    arrived: list[str] = []
    whole = threading.Event()

    def serve(connection: socket.socket) -> None:
        sink = Sink(connection)
        connection.sendall(down)
        connection.shutdown(socket.SHUT_WR)
        arrived.append(sink.digest)
        whole.wait(PATIENCE)

    server = destination(serve)
    with chain.dial(name) as client:
        raw.through(client, "127.0.0.1", server.port, versionOf(name))
        sink = Sink(client)
        client.sendall(up)
        client.shutdown(socket.SHUT_WR)
        assert sink.digest == hashlib.sha256(down).hexdigest()
        whole.set()
        until(lambda: arrived, PATIENCE)
    assert arrived == [hashlib.sha256(up).hexdigest()]
    assert chain.first.pipes > chain.pipes
    line = raw.end(chain.first, server.port)
    assert (line["sent"], line["received"]) == (BULK, BULK)


def greetingFirst(connection: socket.socket) -> None:
    """Speak before the client does."""
    connection.sendall(b"220 ready\r\n")
    echo(connection)


@pytest.mark.parametrize("name", ["two", "there", "six", "six, there"])
def test_serverSpeaksFirst(
    chain: Chain, destination: Callable[..., Destination], name: str
) -> None:
    """What comes behind the upstream's reply comes behind ours, and is counted."""
    server = destination(greetingFirst)
    host: str | bytes = b"localhost" if "there" in name else "127.0.0.1"
    with chain.dial(name) as client:
        raw.through(client, host, server.port, versionOf(name))
        assert raw.exactly(client, 11) == b"220 ready\r\n"
        client.sendall(b"x")
        assert raw.exactly(client, 1) == b"x"
    assert raw.end(chain.first, server.port)["received"] == 12


@pytest.mark.parametrize("name", ["there", "six, there"])
def test_names(
    chain: Chain, destination: Callable[..., Destination], name: str
) -> None:
    """The last one looks the name up; the record says that no address was judged."""
    server = destination(echo)
    with chain.dial(name) as client:
        raw.through(client, b"localhost", server.port, versionOf(name))
        client.sendall(b"x")
        assert raw.exactly(client, 1) == b"x"
    line = raw.decision(chain.first, server.port)
    assert (line["judged"], line["addresses"], line["name"]) == (
        "name",
        [],
        "localhost",
    )
    end = raw.end(chain.first, server.port)
    path = CHAINS[name].replace('"', "")
    assert (end["address"], end["path"]) == (None, path)
    assert "judged" not in raw.decision(chain.last, server.port)
    assert raw.decision(chain.last, server.port)["name"] == "localhost"
    # A literal is judged here.
    with chain.dial(name) as client:
        raw.through(client, "127.0.0.1", server.port, versionOf(name))
    assert "judged" not in raw.decision(chain.first, server.port)
    assert raw.end(chain.first, server.port)["address"] == "127.0.0.1"


@pytest.mark.parametrize(
    ("three", "there", "six"),
    [("three", "there", ""), ("six, three", "six, there", "6")],
)
def test_refusals(chain: Chain, three: str, there: str, six: str) -> None:
    """What the last one says of the destination is the client's reply, too."""
    port = freePort(kind=socket.SOCK_STREAM)
    code, end = chain.refused(three, "127.0.0.1", port)
    assert (code, end["reply"], end["reason"]) == (5, 5, "refused")
    assert f'upstream "last{six}"' in end["why"]
    code, end = chain.refused(there, b"no-such-host.invalid", port)
    assert (code, end["reason"]) == (4, "host-unreachable")
    assert f'upstream "names{six}"' in end["why"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("dead", "upstream-unreachable"),
        ("six, dead", "upstream-unreachable"),
        ("loop", "loop"),
    ],
)
def test_noUpstream(chain: Chain, name: str, reason: str) -> None:
    """It is no word about the destination; nothing comes in by our own door."""
    port = freePort(kind=socket.SOCK_STREAM)
    code, end = chain.refused(name, "127.0.0.1", port)
    assert (code, end["reason"]) == (1, reason)
    assert CHAINS[name].strip('"') in end["why"]
    assert len([e for e in chain.first.journal("decision") if e["port"] == port]) == 1


@pytest.mark.parametrize("name", ["two", "there", "dead", "six", "six, there"])
def test_judgedFirst(chain: Chain, name: str) -> None:
    """What the policy refuses is not known to any upstream, be it there or not."""
    port = freePort(kind=socket.SOCK_STREAM)
    with chain.dial(name) as client:
        assert raw.asked(client, "169.254.169.254", port, versionOf(name)) == 2
    line = raw.decision(chain.first, port)
    assert (line["verdict"], line["rule"]) == ("deny", "never")
    for each in (chain.middle, chain.last):
        assert not [e for e in each.journal("decision") if e["port"] == port]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_forwarded(
    chain: Chain, destination: Callable[..., Destination], host: str
) -> None:
    """Requests in absolute form leave by the same ways, and use a connection again."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"

    def serve(connection: socket.socket) -> None:
        while connection.recv(4096):
            connection.sendall(answer)

    server = destination(serve)
    request = f"GET http://{host}:{server.port}/ HTTP/1.1\r\nHost: {host}:{server.port}"
    with chain.dial("there") as client:
        for _ in range(2):
            client.sendall(request.encode() + b"\r\n\r\n")
            assert raw.exactly(client, len(answer)).startswith(b"HTTP/1.1 200 OK")
    assert len(server.peers) == 1
    until(lambda: len(ends(chain.first, server.port)) == 2)
    assert [each["path"] for each in ends(chain.first, server.port)] == [
        "middle, names",
        "middle, names",
    ]


def ends(gateway: Running, port: int) -> list[dict[str, Any]]:
    """Return the ends of all sessions with a destination port."""
    sessions = {e["session"] for e in gateway.journal("decision") if e["port"] == port}
    return [e for e in gateway.journal("end") if e["session"] in sessions]


DENY = """
[[rule]]
id = "closed"
deny = ["connect"]
listener = ["there"]
to = ["{}"]
"""


def test_reload(chain: Chain, destination: Callable[..., Destination]) -> None:
    """
    What is allowed still goes on, also where it leaves another way now; a name is
    judged again by name.
    """
    server = destination(echo)
    with chain.dial("two") as one, chain.dial("there") as other:
        raw.through(one, "127.0.0.1", server.port)
        raw.through(other, b"localhost", server.port)
        # By address, it does not concern a name that nothing looks up.
        chain.reload(DENY.format("127.0.0.0/8"), two='"middle", "last"')
        for client in (one, other):
            client.sendall(b"x")
            assert raw.exactly(client, 1) == b"x"
        with chain.dial("two") as new:
            raw.through(new, "127.0.0.1", server.port)
            assert raw.decision(chain.first, server.port)["via"] == "middle, last"
        chain.reload(DENY.format("=localhost"))
        with pytest.raises(ConnectionResetError):
            other.recv(1)
        one.sendall(b"x")
        assert raw.exactly(one, 1) == b"x"
    end = until(
        lambda: [e for e in ends(chain.first, server.port) if e["reason"] == "revoked"]
    )
    assert 'rule "closed"' in end[0]["why"]
    chain.reload()
