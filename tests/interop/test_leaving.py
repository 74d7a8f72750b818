"""
Sessions leave by the address that is configured, and destinations are told whose
they are. All of 127.0.0.0/8 is this host's, so that no privilege is needed.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from socksgw.wire.address import Address
from socksgw.wire.proxyheader import readProxyHeader
from tests.live import raw
from tests.live.balancers import HAProxy, Nginx
from tests.live.datagrams import Association, Echo
from tests.live.running import LOOPBACK, OPEN, Running, running
from tests.live.servers import Certificate, Destination, echo, freePort, untilEnd
from tests.tools.proxyheaders import version2

#: By destination, what the rule for it says. 192.0.2.7 is no host's (RFC 5737).
SAID = {
    "127.0.1.1": 'leave_by = ["127.0.0.9"]',
    "127.0.1.2": 'leave_by = ["192.0.2.7"]',
    "127.0.1.3": 'leave_by = "same"',
    "127.0.1.4": 'leave_by = ["127.0.0.10", "127.0.0.11", "127.0.0.12"]',
    "127.0.1.5": 'proxy_header = "v1"',
    "127.0.1.6": 'proxy_header = "v2"\nleave_by = ["127.0.0.9"]',
    "127.0.1.7": 'proxy_header = "v2"\nvia = ["next"]\nleave_by = ["127.0.0.13"]',
    "127.0.1.10": 'proxy_header = "v2"\nvia = ["secured", "next"]',
    '::1", "127.0.1.8': 'leave_by = ["127.0.0.9"]',
}
LISTEN = """
[[listen]]
name = "main"
address = ["127.0.0.1:0"]
protocols = ["socks5", "http"]
[[listen]]
name = "behind"
address = ["127.0.0.1:0"]
proxy_protocol_from = ["127.0.0.1"]
[[listen]]
name = "path"
address = ["unix:HERE/gw.sock"]
[[listen]]
name = "leaving"
address = ["127.0.0.1:0"]
leave_by = ["127.0.0.14"]
[[listen]]
name = "reads"
address = ["127.0.1.5:0", "127.0.1.6:0"]
proxy_protocol_from = ["127.0.0.0/8"]
[[auth.choose]]
methods = ["none"]
from = ["127.0.0.0/8", "192.0.2.0/24", "2001:db8::/32"]
"""
CLIENTS = 'from = ["127.0.0.0/8", "192.0.2.0/24", "2001:db8::/32"]'


def configuration(directory: Path, upstream: int, secured: int) -> str:
    """The configuration of a gateway that leaves by upstreams for two destinations."""
    text = LISTEN.replace("HERE", str(directory)) + LOOPBACK
    text += f'[[upstream]]\nname = "next"\nurl = "socks5://127.0.0.1:{upstream}"\n'
    text += f'[[upstream]]\nname = "secured"\nca = "{directory}/cert.pem"\n'
    text += f'url = "socks5+tls://127.0.0.1:{secured}"\n'
    for number, (host, said) in enumerate(SAID.items()):
        commands = '["connect"]' if "header" in said else '["connect", "bind", "udp"]'
        text += f'[[rule]]\nid = "r{number}"\n{CLIENTS}\nallow = {commands}\n'
        text += f'to = ["{host}"]\n{said}\n'
    return f'{text}[[rule]]\nid = "rest"\n{CLIENTS}\nallow = "any"\n'


@pytest.fixture(scope="module")
def gateways(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Running]]:
    """A gateway, and its upstream."""
    directory = tmp_path_factory.mktemp("leaving")
    with ExitStack() as stack:
        start = contextmanager(running)
        (directory / "next").mkdir()
        certificate = Certificate(directory)
        shown = f'certificate = "{certificate.file}"\nkey = "{certificate.key}"\n'
        secured = '[[listen]]\nname = "secured"\naddress = ["127.0.0.1:0"]\n'
        secured += f"[listen.tls]\n{shown}"
        last = stack.enter_context(start(directory / "next", OPEN + secured))
        text = configuration(directory, last.port, last.ports[1])
        first = stack.enter_context(start(directory, text))
        yield [first, last]


@pytest.fixture
def gateway(gateways: list[Running]) -> Running:
    return gateways[0]


def connected(gateway: Running, host: str, listener: int = 0, **dialled: Any) -> str:
    """Return the address that a destination at this host sees."""
    with Destination(echo, host) as server:
        client = raw.dial(gateway.ports[listener], **dialled)
        with closing(raw.through(client, host, server.port)):
            client.sendall(b"hello")
            assert raw.exactly(client, 5) == b"hello"
        end = raw.end(gateway, server.port)
        assert end["bound"].partition(":")[0] == server.peers[0][0]
        return server.peers[0][0]


def test_theAddressOfTheRule(gateway: Running) -> None:
    """The destination sees it, the client is told it, and the record has it."""
    assert connected(gateway, "127.0.1.1") == "127.0.0.9"


def test_theAddressOfTheListener(gateway: Running) -> None:
    """A rule's address stands in its place; other rules leave by it."""
    assert connected(gateway, "127.0.1.9", 2) == "127.0.0.14"
    assert connected(gateway, "127.0.1.1", 2) == "127.0.0.9"
    assert connected(gateway, "127.0.1.9") == "127.0.0.1"


def test_sameOnLoopback(gateway: Running) -> None:
    """By loopback nothing leaves: it leaves as usual."""
    assert connected(gateway, "127.0.1.3", 2) == "127.0.0.1"


def test_oneOfSeveral(gateway: Running) -> None:
    """Of clients without a login each source has the same one each time."""
    sources = [f"127.0.5.{n}" for n in range(1, 13)]
    seen = {each: connected(gateway, "127.0.1.4", source=(each, 0)) for each in sources}
    assert set(seen.values()) == {"127.0.0.10", "127.0.0.11", "127.0.0.12"}
    for each in sources[:3]:
        assert connected(gateway, "127.0.1.4", source=(each, 0)) == seen[each]


def test_bind(gateway: Running) -> None:
    """A peer comes to the address that connections leave by."""
    with raw.dial(gateway.port) as client:
        client.sendall(raw.GREETING + raw.request5("127.0.1.1", 0, 2))
        assert raw.exactly(client, 2) == b"\x05\x00"
        code, host, port = raw.reply5(client)
        assert (code, host) == (0, "127.0.0.9")
        with socket.create_connection((host, port), 20, ("127.0.1.1", 0)) as peer:
            assert raw.reply5(client)[:2] == (0, "127.0.1.1")
            peer.sendall(b"hello")
            assert raw.exactly(client, 5) == b"hello"


def test_datagrams(gateway: Running) -> None:
    """Each flow leaves by the address of its own rule, and is answered there."""
    with Association(gateway.port) as client, ExitStack() as stack:
        servers = {
            host: stack.enter_context(Echo(host))
            for host in ("127.0.1.1", "127.0.1.9", "127.0.1.4")
        }
        for server in servers.values():
            client.echo(server, b"hello")
        seen = {host: server.came[0][1][0] for host, server in servers.items()}
    assert seen["127.0.1.1"] == "127.0.0.9"
    assert seen["127.0.1.4"] in ("127.0.0.10", "127.0.0.11", "127.0.0.12")
    assert seen["127.0.1.9"] == "127.0.0.1"


def test_anAddressThatIsNotThere(gateway: Running) -> None:
    """It fails by its own reason; log and journal say it once, the record each time."""
    for _ in range(2):
        with raw.dial(gateway.port) as client:
            client.sendall(raw.GREETING + raw.request5("127.0.1.2", 9))
            assert raw.exactly(client, 2) == b"\x05\x00"
            assert raw.reply5(client)[0] == 1
    end = raw.end(gateway, 9)
    assert end["reason"] == "leave-by"
    assert "192.0.2.7 is no address of this host now" in end["why"]
    with Association(gateway.port) as client, Echo("127.0.1.2") as server:
        client.send(*server.place, b"lost")
        assert client.silent()
        assert not server.came
    assert gateway.journal("flow-end")[-1]["reason"] == "leave-by"
    assert [(line["address"], line["state"]) for line in gateway.journal("leave-by")] == [("192.0.2.7", "lost")]  # fmt: skip
    assert gateway.log.count("departures#error] leave_by: 192.0.2.7") == 1


def test_noAddressOfThatVersion(gateway: Running) -> None:
    """Such destinations are not dialled, and the remedy is told."""
    with Destination(echo, "::1") as server:
        with raw.dial(gateway.port) as client:
            client.sendall(raw.GREETING + raw.request5("::1", server.port))
            assert raw.exactly(client, 2) == b"\x05\x00"
            assert raw.reply5(client)[0] == 3
        end = raw.end(gateway, server.port)
        assert (end["reason"], server.peers) == ("leave-by", [])
        assert "no IPv6 address; add one" in end["why"]


# PROXY headers.


def told(server: list[bytes]) -> Any:
    """Return the header that a destination got, and what came behind."""
    (octets,) = server
    found = readProxyHeader(octets)
    assert found is not None
    return found[0], octets[found[1] :]


def sent(gateway: Running, host: str, client: socket.socket) -> tuple[Any, bytes, int]:
    """Connect to a destination, send a word, and return what it was told."""
    got: list[bytes] = []
    with Destination(lambda c: got.append(untilEnd(c)), host) as server:
        with closing(raw.through(client, host, server.port)):
            client.sendall(b"hello")
            client.shutdown(socket.SHUT_WR)
            assert client.recv(1) == b""
        assert raw.end(gateway, server.port)["sent"] == 5
    header, rest = told(got)
    return header, rest, server.port


@pytest.mark.parametrize("host", ["127.0.1.5", "127.0.1.6", "127.0.1.7", "127.0.1.10"])
def test_header(gateway: Running, host: str) -> None:
    """It comes first: the client, and where it wanted to go; also behind upstreams."""
    with raw.dial(gateway.port, source=("127.0.0.77", 0)) as client:
        port = client.getsockname()[1]
        header, rest, far = sent(gateway, host, client)
    assert header.source == (Address.parse("127.0.0.77"), port)
    assert header.destination == (Address.parse(host), far)
    assert rest == b"hello"


def test_headerOfAHeader(gateway: Running) -> None:
    """The source is whom the balancer in front has named."""
    for source in ("192.0.2.77", "2001:db8::77"):
        for host in ("127.0.1.5", "127.0.1.6"):
            with raw.dial(gateway.ports[1]) as client:
                client.sendall(version2(source, 4000, "2001:db8::1" if ":" in source else "192.0.2.1"))  # fmt: skip
                header, rest, far = sent(gateway, host, client)
            assert header.source == (Address.parse(source), 4000)
            assert header.destination == (Address.parse(host), far)
            assert rest == b"hello"


@pytest.mark.parametrize("host", ["127.0.1.5", "127.0.1.6"])
def test_headerOfAUnixSocket(
    gateways: list[Running], tmp_path: Path, host: str
) -> None:
    """Its client has no address: UNKNOWN, and LOCAL."""
    gateway = gateways[0]
    path = gateway.directory / "gw.sock"
    with raw.dialPath(str(path)) as client:
        header, rest, _ = sent(gateway, host, client)
    assert (header.source, header.destination, rest) == (None, None, b"hello")


def test_headerOfPassedOnHTTP(gateway: Running) -> None:
    """The connection that is used again has one."""
    got: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        octets = b""
        for _ in range(2):
            while octets.count(b"\r\n\r\n") <= len(got):
                octets += connection.recv(1 << 16)
            got.append(octets)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    with Destination(serve, "127.0.1.5") as server, raw.dial(gateway.port) as client:
        where = f"127.0.1.5:{server.port}"
        for _ in range(2):
            client.sendall(f"GET http://{where}/ HTTP/1.1\r\nHost: {where}\r\n\r\n".encode())  # fmt: skip
            octets = b""
            while not octets.endswith(b"ok"):
                octets += client.recv(1 << 16)
        port = client.getsockname()[1]
    line = f"PROXY TCP4 127.0.0.1 127.0.1.5 {port} {server.port}\r\nGET / HTTP/1.1\r\n"
    assert got[1].startswith(line.encode())
    assert got[1].count(b"PROXY") == 1
    assert len(server.peers) == 1


@pytest.fixture(scope="module")
def balancers(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[[str, str], int]]:
    """HAProxy and nginx that answer with the client's address and port."""
    directory = tmp_path_factory.mktemp("balancers")
    ports: dict[tuple[str, str], int] = {}
    with ExitStack() as stack:
        for name in ("h", "n"):
            (directory / name).mkdir()
        for host in ("127.0.1.5", "127.0.1.6"):
            ports["haproxy", host] = freePort(host, socket.SOCK_STREAM)
            ports["nginx", host] = freePort(host, socket.SOCK_STREAM)
        told = "".join(
            f"""
frontend told{port}
    bind {host}:{port} accept-proxy
    mode http
    http-request return status 200 content-type text/plain lf-string "%ci %cp %[dst] %[dst_port]"
"""
            for (kind, host), port in ports.items() if kind == "haproxy"
        )  # fmt: skip
        stack.enter_context(
            HAProxy(directory / "h", {"none": ("", "127.0.0.1:9")}, told)
        )
        answers = "".join(
            f"listen {host}:{port} proxy_protocol; "
            for (kind, host), port in ports.items() if kind == "nginx"
        )  # fmt: skip
        answers += (
            'return "HTTP/1.0 200 OK\\r\\n\\r\\n$proxy_protocol_addr $proxy_protocol_port '
            '$proxy_protocol_server_addr $proxy_protocol_server_port";'
        )
        stack.enter_context(Nginx(directory / "n", {"none": ("", answers)}))
        yield lambda kind, host: ports[kind, host]


@pytest.mark.parametrize("host", ["127.0.1.5", "127.0.1.6"])
@pytest.mark.parametrize("kind", ["haproxy", "nginx"])
def test_realReceivers(
    gateway: Running, balancers: Callable[[str, str], int], kind: str, host: str
) -> None:
    """Real servers read both versions, and report the client."""
    far = balancers(kind, host)
    with raw.dial(gateway.port, source=("127.0.0.78", 0)) as client:
        port = client.getsockname()[1]
        raw.through(client, host, far)
        if kind == "haproxy":
            # nginx says it at once, and would reset a connection with more to read.
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        octets = untilEnd(client)
    assert octets.endswith(f"\r\n\r\n127.0.0.78 {port} {host} {far}".encode()), octets


@pytest.mark.parametrize("host", ["127.0.1.5", "127.0.1.6"])
def test_anotherGateway(gateway: Running, host: str) -> None:
    """It judges the client, not the gateway in between."""
    far = gateway.ports[3 if host == "127.0.1.5" else 4]
    with Destination(echo) as server:
        with raw.dial(gateway.port, source=("127.0.0.79", 0)) as client:
            port = client.getsockname()[1]
            raw.through(raw.through(client, host, far), "127.0.0.1", server.port)
        assert raw.decision(gateway, server.port)["client"] == f"127.0.0.79:{port}"


@pytest.mark.parametrize("host", ["127.0.1.5", "127.0.1.6"])
def test_realReceiversOfAUnixSocket(
    gateway: Running, balancers: Callable[[str, str], int], host: str
) -> None:
    """HAProxy reports the gateway's own end, nginx nothing."""
    near = "127.0.0.1" if host == "127.0.1.5" else "127.0.0.9"
    for kind, reported in (("haproxy", f"{near} "), ("nginx", "   ")):
        with raw.dialPath(str(gateway.directory / "gw.sock")) as client:
            raw.through(client, host, balancers(kind, host))
            if kind == "haproxy":
                client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            body = untilEnd(client).partition(b"\r\n\r\n")[2].decode()
        assert body.startswith(reported), (kind, body)
