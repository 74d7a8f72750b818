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
from typing import Any

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
        "denied": (2, "upstream-refused"),
    },
    "microsocks": {
        "refused": (5, "refused"),
    },
    # It reaches nothing private, and here nothing else.
    "tor": {
        "refused": (1, "upstream-refused"),
    },
    # It ends the connection, whatever the cause.
    "ssh": {
        "refused": (1, "upstream-closed"),
    },
    "ours": {
        "refused": (5, "refused"),
        "denied": (2, "upstream-refused"),
    },
    "chain": {
        "refused": (5, "refused"),
        "denied": (2, "upstream-refused"),
    },
}
#: Those that reach loopback.
REACHING = tuple(name for name in TOLD if name != "tor")
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
url = "{1}"
resolve = "there"
"""
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
        urls: dict[str, str] = {}

        def serving(name: str, make: Callable[..., list[str]], *more: Any) -> None:
            port = freePort(kind=socket.SOCK_STREAM)
            log = directory / f"{name}.log"
            stack.enter_context(Daemon(make(port, *more), port, log, quiet))
            urls[name] = f"socks5://127.0.0.1:{port}"

        def gateway(name: str, text: str) -> Running:
            return stack.enter_context(
                contextmanager(running)(directory / name, text + LOOPBACK)
            )

        (directory / "ssh").mkdir()
        sshd = Sshd(directory / "ssh", quiet)
        stack.callback(sshd.stop)
        sshd.ready()
        serving("dante", upstreams.dante, directory)
        serving("microsocks", upstreams.microsocks)
        serving("tor", upstreams.tor, directory)
        serving("ssh", upstreams.ssh, sshd)
        ours = gateway("ours", OURS)
        urls["ours"], urls["two"] = (
            f"socks5://127.0.0.1:{port}" for port in ours.ports
        )
        vias = {name: f'["{name}"]' for name in urls if name != "two"}
        vias["chain"] = '["ours", "microsocks", "two"]'
        text = AHEAD + "".join(LISTEN.format(*each) for each in vias.items())
        text += "".join(UPSTREAM.format(*each) for each in urls.items())
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
