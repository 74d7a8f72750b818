"""
Real gateways of others as upstreams: what a client of ours gets through them, what it
is told when they refuse or fail, and what our record says of it.
"""

from __future__ import annotations

import random
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial

import pytest

from tests.live import raw, upstreams
from tests.live.running import LOOPBACK, Running, running
from tests.live.servers import Daemon, Destination, echo, freePort
from tests.live.sshd import Sshd

#: What is asked for, and what the client is told and the record says (the reply, and
#: the reason), by the upstream.
TOLD: dict[str, dict[str, tuple[int, str]]] = {
    "dante": {
        "refused": (5, "refused"),
        "no name": (4, "host-unreachable"),
        "denied": (2, "upstream-refused"),
    },
    "microsocks": {
        "refused": (5, "refused"),
        "no name": (1, "upstream-refused"),
    },
    # It goes to no private address.
    "tor": {"refused": (1, "upstream-refused")},
    # It ends the connection, whatever the cause.
    "ssh": {
        "refused": (1, "upstream-closed"),
        "no name": (1, "upstream-closed"),
    },
    "ours": {
        "refused": (5, "refused"),
        "no name": (4, "host-unreachable"),
        "denied": (2, "upstream-refused"),
    },
    "chain": {
        "refused": (5, "refused"),
        "no name": (4, "host-unreachable"),
        "denied": (2, "upstream-refused"),
    },
    # What it says beyond the status is in its page, which is for people.
    "squid": {
        "refused": (5, "refused"),
        "no name": (1, "upstream-refused"),
        "denied": (2, "upstream-refused"),
    },
    "tinyproxy": {
        "refused": (1, "upstream-refused"),
        "no name": (1, "upstream-refused"),
    },
    "tinyproxy-ports": {"denied": (2, "upstream-refused")},
    # None where a login is asked for.
    "microsocks-login": {"refused": (1, "upstream-login")},
    "tinyproxy-login": {"refused": (1, "upstream-login")},
}
#: Those that reach loopback.
REACHING = ("dante", "microsocks", "ssh", "ours", "chain", "squid", "tinyproxy")
AHEAD = """
[[auth.choose]]
methods = ["none"]
from = ["127.0.0.0/8"]
"""
LISTEN = """
[[listen]]
name = "{0}"
address = ["127.0.0.1:0"]
[[rule]]
id = "{0}"
listener = ["{0}"]
allow = ["connect"]
via = {1}
"""
UPSTREAM = """
[[upstream]]
name = "{0}"
resolve = "there"
{1}
"""
#: The login that some ask for.
USER, PASSWORD = "alice", "sesame"
#: Two of our own, in one process: each listener is one.
OURS = """
[[listen]]
name = "one"
address = ["127.0.0.1:0"]
[[listen]]
name = "two"
address = ["127.0.0.1:0"]
[[auth.choose]]
methods = ["none"]
from = ["127.0.0.0/8"]
[[rule]]
id = "bad"
deny = ["connect"]
ports = [22]
[[rule]]
id = "all"
allow = ["connect"]
"""
DATA = random.Random(13).randbytes(1 << 20)


class House:
    """
    Every upstream, and our gateway before them, with a listener for each.

    @ivar ports: the listeners' ports, by the upstream's name.
    """

    def __init__(self, gateway: Running, names: list[str]) -> None:
        self.gateway = gateway
        self.ports = dict(zip(names, gateway.ports, strict=True))

    def asked(
        self, name: str, host: str | bytes, port: int
    ) -> tuple[socket.socket, int]:
        """A client that has asked through an upstream, and the reply."""
        client = raw.dial(self.ports[name])
        client.sendall(raw.GREETING)
        assert raw.exactly(client, 2) == b"\x05\x00"
        client.sendall(raw.request5(host, port))
        return client, raw.reply5(client)[0]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """All of them, started once."""
    directory = tmp_path_factory.mktemp("upstreams")
    quiet = {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "HOME": str(directory)}
    with ExitStack() as stack:
        tables: dict[str, str] = {}

        def served(scheme: str, name: str, make: Callable[[int], list[str]]) -> None:
            port = freePort(kind=socket.SOCK_STREAM)
            daemon = Daemon(make(port), port, directory / f"{name}.log", quiet)
            stack.enter_context(daemon)
            tables[name] = f'url = "{scheme}://127.0.0.1:{port}"'

        def gateway(name: str, text: str) -> Running:
            return stack.enter_context(
                contextmanager(running)(directory / name, text + LOOPBACK)
            )

        (directory / "ssh").mkdir()
        sshd = Sshd(directory / "ssh", quiet)
        stack.callback(sshd.stop)
        sshd.ready()
        served("socks5", "dante", lambda port: upstreams.dante(port, directory))
        served("socks5", "tor", lambda port: upstreams.tor(port, directory))
        served("socks5", "ssh", lambda port: upstreams.ssh(port, sshd))
        served("socks5", "microsocks", upstreams.microsocks)
        served("http", "squid", lambda port: upstreams.squid(port, directory))
        for name, line in {
            "tinyproxy": "",
            "tinyproxy-ports": "ConnectPort 443",
            "tinyproxy-login": f"BasicAuth {USER} {PASSWORD}",
        }.items():
            served("http", name, partial(upstreams.tinyproxy, directory, line))
        asking = partial(upstreams.microsocks, user=USER, password=PASSWORD)
        served("socks5", "microsocks-login", asking)
        ours = gateway("ours", OURS)
        for name, port in zip(("ours", "two"), ours.ports, strict=True):
            tables[name] = f'url = "socks5://127.0.0.1:{port}"'
        vias = {name: f'["{name}"]' for name in tables if name != "two"}
        vias["chain"] = '["ours", "microsocks", "two"]'
        text = AHEAD + "".join(LISTEN.format(*each) for each in vias.items())
        text += "".join(UPSTREAM.format(*each) for each in tables.items())
        yield House(gateway("gateway", text), [*vias])


@pytest.mark.parametrize("name", REACHING)
@pytest.mark.parametrize("host", ["127.0.0.1", b"localhost"], ids=["literal", "name"])
def test_bothWays(
    house: House,
    destination: Callable[..., Destination],
    name: str,
    host: str | bytes,
) -> None:
    """A MiB each way, and the record names the path."""
    server = destination(echo)
    client, code = house.asked(name, host, server.port)
    with closing(client):
        assert code == 0
        sending = threading.Thread(target=client.sendall, args=(DATA,))
        sending.start()
        assert raw.exactly(client, len(DATA)) == DATA
        sending.join()
    end = raw.end(house.gateway, server.port)
    assert (end["reason"], end["reply"]) == ("closed", 0)
    assert (end["sent"], end["received"]) == (len(DATA), len(DATA))
    assert end["path"] == ("ours, microsocks, two" if name == "chain" else name)


@pytest.mark.parametrize(
    ("name", "what"), [(name, what) for name, told in TOLD.items() for what in told]
)
def test_failures(house: House, name: str, what: str) -> None:
    """The client is told what the upstream tells, and the record who told it."""
    closed = freePort(kind=socket.SOCK_STREAM)
    asked: dict[str, tuple[str | bytes, int]] = {
        "refused": ("127.0.0.1", closed),
        "no name": (b"nothing.invalid", closed),
        "denied": ("127.0.0.1", upstreams.BAD_PORT),
    }
    host, port = asked[what]
    client, code = house.asked(name, host, port)
    with closing(client):
        assert client.recv(1) == b""
    end = raw.end(house.gateway, port)
    assert (code, end["reason"]) == TOLD[name][what]
    last = "two" if name == "chain" else name
    assert end["why"].startswith(f'upstream "{last}": ')


def test_offline(house: House) -> None:
    """Tor without a network tells 06 in its first seconds, and 01 afterwards."""
    port = freePort(kind=socket.SOCK_STREAM)
    client, code = house.asked("tor", b"host.example", port)
    client.close()
    end = raw.end(house.gateway, port)
    assert (code, end["reason"]) in {(6, "ttl-expired"), (1, "upstream-refused")}
