"""
Real gateways of others as upstreams: what a client of ours gets through them, what it
is told when they refuse or fail, and what our record says of it.
"""

from __future__ import annotations

import random
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial

import pytest

from tests.live import raw, upstreams
from tests.live.running import LOOPBACK, Running, running
from tests.live.servers import Certificate, Daemon, Destination, echo, freePort, missing
from tests.live.sshd import Sshd
from tests.tools.waiting import until

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
    "ssh4": {"refused": (1, "upstream-closed")},
    "ours": {
        "refused": (5, "refused"),
        "no name": (4, "host-unreachable"),
        "denied": (2, "upstream-refused"),
    },
    "ours6": {
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
    "privoxy": {
        "refused": (1, "upstream-refused"),
        "no name": (4, "host-unreachable"),
        "denied": (2, "upstream-refused"),
    },
    "tinyproxy-ports": {"denied": (2, "upstream-refused")},
    # microsocks, and stunnel before it.
    "tls": {
        "refused": (5, "refused"),
        "no name": (1, "upstream-refused"),
    },
    # The same, which is not who it has to be.
    "tls-other": {"refused": (1, "upstream-tls")},
    # It refuses loopback; elsewhere a refusal is a success that ends.
    "stunnel": {
        "refused": (2, "upstream-refused"),
        "no name": (4, "host-unreachable"),
    },
    # The logins: none where one is asked for, and a wrong one.
    "microsocks-login": {"refused": (1, "upstream-login")},
    "microsocks-wrong": {"refused": (1, "upstream-login")},
    "tinyproxy-login": {"refused": (1, "upstream-login")},
    "tinyproxy-wrong": {"refused": (1, "upstream-login")},
}
#: Those that have CONNECT alone, and what the client is told of BIND and UDP.
WITHOUT = {
    "tor": (7, "upstream-refused"),
    "microsocks": (7, "upstream-refused"),
    "ssh": (1, "upstream-closed"),
    "squid": (7, "upstream-refused"),
}
#: Those that ask for a login, and get it.
LOGGED_IN = ("microsocks-with", "tinyproxy-with")
#: Those that reach loopback.
REACHING = (
    *(
        "dante",
        "microsocks",
        "ssh",
        "ours",
        "ours6",
        "chain",
        "squid",
        "tinyproxy",
        "privoxy",
    ),
    *("ssh4", "tls", "ssh4-tls", *LOGGED_IN),
)
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
allow = {2}
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
protocols = ["socks5", "socks6"]
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


def _own() -> str:
    """Return an address of this machine that is not loopback, if there is one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return ""
        found: str = probe.getsockname()[0]
    return found


OWN = _own()
REACHED = LOOPBACK.replace("::1", OWN) if OWN else LOOPBACK


class House:
    """
    Every upstream, and our gateway before them, with a listener for each.

    @ivar ports: the listeners' ports, by the upstream's name.
    """

    def __init__(self, gateway: Running, names: list[str]) -> None:
        self.gateway = gateway
        self.ports = dict(zip(names, gateway.ports, strict=True))

    def asked(
        self, name: str, host: str | bytes, port: int, command: int = 1
    ) -> tuple[socket.socket, int]:
        """A client that has asked through an upstream, and the reply."""
        client = raw.dial(self.ports[name])
        client.sendall(raw.GREETING)
        assert raw.exactly(client, 2) == b"\x05\x00"
        client.sendall(raw.request5(host, port, command))
        return client, raw.reply5(client)[0]


@pytest.fixture(scope="module")
def house(
    tmp_path_factory: pytest.TempPathFactory, certificate: Certificate
) -> Iterator[House]:
    """All of them, started once."""
    directory = tmp_path_factory.mktemp("upstreams")
    quiet = {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "HOME": str(directory)}
    with ExitStack() as stack:
        tables: dict[str, str] = {}

        def served(scheme: str, name: str, make: Callable[[int], list[str]]) -> str:
            port = freePort(kind=socket.SOCK_STREAM)
            daemon = Daemon(make(port), port, directory / f"{name}.log", quiet)
            stack.enter_context(daemon)
            tables[name] = f'url = "{scheme}://127.0.0.1:{port}"'
            return str(port)

        def gateway(name: str, text: str) -> Running:
            return stack.enter_context(
                contextmanager(running)(directory / name, text + REACHED)
            )

        (directory / "ssh").mkdir()
        sshd = Sshd(directory / "ssh", quiet)
        stack.callback(sshd.stop)
        sshd.ready()
        served("socks5", "dante", lambda port: upstreams.dante(port, directory))
        served("socks5", "tor", lambda port: upstreams.tor(port, directory))
        served("socks5", "ssh", lambda port: upstreams.ssh(port, sshd))
        behind = served("socks5", "microsocks", upstreams.microsocks)
        served("http", "squid", lambda port: upstreams.squid(port, directory))
        served("http", "privoxy", lambda port: upstreams.privoxy(port, directory))
        for name, line in {
            "tinyproxy": "",
            "tinyproxy-ports": "ConnectPort 443",
            "tinyproxy-login": f"BasicAuth {USER} {PASSWORD}",
        }.items():
            served("http", name, partial(upstreams.tinyproxy, directory, line))
        tables["ssh4"] = tables["ssh"].replace("socks5", "socks4a")
        both = directory / "both.pem"
        both.write_text(certificate.file.read_text() + certificate.key.read_text())
        for name, line in {
            "stunnel": "protocol = socks",
            "tls": f"connect = 127.0.0.1:{behind}",
        }.items():
            make = partial(upstreams.stunnel, directory, both, line)
            served("socks5+tls", name, make)
            tables[name] += f'\nca = "{certificate.file}"'
        line = "connect = " + tables["ssh"].rpartition("/")[2].strip('"')
        make = partial(upstreams.stunnel, directory, both, line)
        served("socks4a+tls", "ssh4-tls", make)
        tables["ssh4-tls"] += f'\nca = "{certificate.file}"'
        tables["tls-other"] = tables["tls"] + '\nserver_name = "gw.example"'
        asking = partial(upstreams.microsocks, user=USER, password=PASSWORD)
        served("socks5", "microsocks-login", asking)
        for word, content in (("with", PASSWORD), ("wrong", "hunter2")):
            file = directory / word
            file.write_text(content)
            file.chmod(0o600)
            for name in ("microsocks", "tinyproxy"):
                login = f'user = "{USER}", password_file = "{file}"'
                tables[f"{name}-{word}"] = (
                    tables[f"{name}-login"]
                    + f'\nlogin = {{ method = "userpass", {login} }}'
                )
        ours = gateway("ours", OURS)
        for name, port in zip(("ours", "two"), ours.ports, strict=True):
            tables[name] = f'url = "socks5://127.0.0.1:{port}"'
        tables["ours6"] = tables["ours"].replace("socks5", "socks6")
        vias = {name: f'["{name}"]' for name in tables if name != "two"}
        vias["chain"] = '["ours", "microsocks", "two"]'
        text = AHEAD
        for name, via in vias.items():
            # In clear beside TLS no UDP leaves.
            allow = '"any"' if name in WITHOUT else '["connect"]'
            text += LISTEN.format(name, via, allow)
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


@pytest.mark.parametrize("name", REACHING)
def test_nothingAhead(
    house: House, destination: Callable[..., Destination], name: str
) -> None:
    """What a client sends behind its request waits: some lose what comes with theirs."""
    server = destination(echo)
    with raw.dial(house.ports[name]) as client:
        client.sendall(raw.GREETING)
        assert raw.exactly(client, 2) == b"\x05\x00"
        client.sendall(raw.request5("127.0.0.1", server.port) + b"early")
        assert raw.reply5(client)[0] == 0
        assert raw.exactly(client, 5) == b"early"


@pytest.mark.parametrize("command", [2, 3], ids=["BIND", "UDP"])
@pytest.mark.parametrize("name", WITHOUT)
def test_otherCommands(house: House, name: str, command: int) -> None:
    """These have CONNECT alone, and say so, or end the connection."""
    before = len(house.gateway.journal("end"))
    client, code = house.asked(
        name, "127.0.0.1" if command == 2 else "0.0.0.0", 0, command
    )
    with closing(client):
        assert client.recv(1) == b""
    line = until(lambda: house.gateway.journal("end")[before:])[-1]
    assert (code, line["reason"]) == WITHOUT[name]


def test_successThenEnd(house: House, destination: Callable[..., Destination]) -> None:
    """stunnel has succeeded before it connects: a refusal is an end without octets."""
    if not OWN:
        missing("an address of this machine that is not loopback")
    server = destination(echo, OWN)
    client, code = house.asked("stunnel", OWN, server.port)
    with closing(client):
        assert code == 0
        client.sendall(b"hello")
        assert raw.exactly(client, 5) == b"hello"
    closed = freePort(OWN, socket.SOCK_STREAM)
    client, code = house.asked("stunnel", OWN, closed)
    with closing(client):
        assert code == 0
        # Cut off, as the destination was.
        with suppress(ConnectionResetError):
            assert client.recv(1) == b""
    end = raw.end(house.gateway, closed)
    # It does not end its TLS either.
    assert (end["reason"], end["received"]) == ("destination-lost", 0)
    assert end["path"] == "stunnel"


def test_offline(house: House) -> None:
    """Tor without a network tells 06 in its first seconds, and 01 afterwards."""
    port = freePort(kind=socket.SOCK_STREAM)
    client, code = house.asked("tor", b"host.example", port)
    client.close()
    end = raw.end(house.gateway, port)
    assert (code, end["reason"]) in {(6, "ttl-expired"), (1, "upstream-refused")}
