"""
Real load balancers in front: the client is who connected to them, in every way that
they can tell; their health checks are nobody.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import ssl
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from socksgw.console.manual import chapters
from tests.live import raw
from tests.live.balancers import MODULE, HAProxy, Nginx
from tests.live.datagrams import Echo, addressed
from tests.live.protocols import PROTOCOLS
from tests.live.running import LOOPBACK, ROOT, Running, running, socksgw
from tests.live.servers import (
    PATIENCE,
    Daemon,
    Destination,
    echo,
    freePort,
    program,
    untilEnd,
)
from tests.tools.certificates import Authority, email, pemOf, server
from tests.tools.proxyheaders import LOCAL, line, version2
from tests.tools.sockets import RESET
from tests.tools.waiting import until

#: Who connects to the balancers, which themselves connect from 127.0.0.1.
CLIENT, FORBIDDEN = "127.0.0.77", "127.0.0.66"
CONFIGURATION = (
    """
[[listen]]
name = "clear"
address = ["127.0.0.1:0"]
protocols = ["socks5", "socks4", "socks6", "http"]
proxy_protocol_from = ["127.0.0.1"]
half_open_per_source = 3
[[listen]]
name = "tls"
address = ["127.0.0.1:0"]
protocols = ["socks5", "socks4", "socks6", "http"]
proxy_protocol_from = ["127.0.0.1"]
[listen.tls]
certificate = "gw.pem"
key = "gw.key"
client_ca = "ca.pem"
client_certificate = "optional"
[[listen]]
name = "path"
address = ["unix:HERE/proxied.sock"]
protocols = ["socks5", "socks4", "socks6", "http"]
proxy_protocol_from = ["127.0.0.1"]
[auth]
checkers = ["passwd:users"]
throttle = { per_source = 2 }
[[auth.choose]]
from = ["127.0.0.88"]
methods = ["userpass"]
cleartext_passwords = true
[[auth.choose]]
from = ["127.0.0.0/8"]
methods = ["certificate", "none"]
[[rule]]
id = "forbidden"
deny = "any"
from = ["127.0.0.66"]
[[rule]]
id = "all"
allow = ["connect", "udp"]
[[limit]]
per = "source"
sessions = 4
"""
    + LOOPBACK
)


class House:
    """
    A gateway, and balancers in front of it.

    @ivar gateway: the gateway.
    @ivar haproxy: HAProxy.
    @ivar nginx: nginx.
    """

    def __init__(self, gateway: Running, haproxy: HAProxy, nginx: Nginx) -> None:
        self.gateway = gateway
        self.haproxy = haproxy
        self.nginx = nginx

    def call(self, way: str, source: str = CLIENT, trusting: Any = None) -> Any:
        """A client of a balancer; by TLS where the way wants that."""
        whose, _, name = way.partition("-")
        port = getattr(self, whose).ports[name]
        plain = raw.dial(port, source=(source, 0))
        if trusting is None and name not in SECURED:
            return plain
        return (trusting or _trusting()).wrap_socket(plain)


def _trusting(directory: Path | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if directory is not None:
        context.load_cert_chain(directory / "bob.pem", directory / "bob.key")
    return context


#: Ways whose clients begin with TLS.
SECURED = {"ends", "passes"}
WAYS = [
    *("haproxy-one", "haproxy-two", "haproxy-all", "haproxy-ends", "haproxy-passes"),
    *("haproxy-path", "haproxy-both", "haproxy-both1"),
    *("nginx-one", "nginx-ends", "nginx-passes", "nginx-both"),
]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One of everything."""
    directory = tmp_path_factory.mktemp("f")
    authority = Authority()
    own = server(authority)
    both = own.writeTogether(directory, "gw")
    own.write(directory, "gw")
    (directory / "ca.pem").write_bytes(pemOf(authority.certificate))
    authority.issue(email("bob@partner.example"), subject="Bob").write(directory, "bob")
    (directory / "users").write_text("")
    (directory / "users").chmod(0o600)
    run = contextmanager(running)
    with run(directory, CONFIGURATION.replace("HERE", str(directory))) as gateway:
        clear, tls = (f"127.0.0.1:{port}" for port in gateway.ports)
        ends = f"ssl crt {both} ca-file {directory}/ca.pem verify optional"
        full = (
            "proxy-v2-options crc32c,unique-id,authority,ssl,cert-cn,cert-key,cert-sig"
        )
        for each in ("h", "n"):
            (directory / each).mkdir()
        both1, both2, both3 = (freePort(kind=socket.SOCK_STREAM) for _ in range(3))
        haproxy = HAProxy(
            directory / "h",
            {
                "one": ("", f"{clear} send-proxy check inter 100ms"),
                "two": ("", f"{clear} send-proxy-v2 check inter 100ms"),
                "all": ("", f"{clear} send-proxy-v2 {full} check inter 100ms"),
                "ends": (ends, f"{clear} send-proxy-v2-ssl-cn check inter 100ms"),
                "passes": ("", f"{tls} send-proxy-v2 check inter 100ms"),
                "path": ("", f"unix@{directory}/proxied.sock send-proxy-v2"),
            },
            f"""
frontend both
    # A socket of both families: its IPv4 clients are sent in IPv6-mapped addresses.
    bind :::{both1} v4v6
    default_backend two
frontend both1
    bind :::{both2} v4v6
    default_backend one
backend greets1
    option tcp-check
    tcp-check send-binary 050100
    tcp-check expect binary 0500
    server gateway {clear} send-proxy check inter 100ms
backend greets2
    option tcp-check
    tcp-check send-binary 050100
    tcp-check expect binary 0500
    server gateway {clear} send-proxy-v2 {full} check inter 100ms
backend greets3
    server gateway {tls} send-proxy-v2 check check-ssl verify none inter 100ms
""",
        )
        key = f"ssl_certificate {directory}/gw.pem; ssl_certificate_key {directory}/gw.key;"
        nginx = Nginx(
            directory / "n",
            {
                "one": ("", f"proxy_pass {clear};"),
                "ends": ("ssl", f"{key} proxy_pass {clear};"),
                "passes": ("", f"proxy_pass {tls};"),
                "two": ("", f"listen [::]:{both3} ipv6only=off; proxy_pass {clear};"),
            },
        )
        haproxy.ports.update(both=both1, both1=both2)
        nginx.ports.update(both=both3)
        with haproxy, nginx:
            yield House(gateway, haproxy, nginx)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("way", WAYS)
def test_whoItIs(
    house: House, way: str, protocol: str, destination: Callable[..., Destination]
) -> None:
    """Octets both ways; the record has the client that the balancer has."""
    spoken, there = PROTOCOLS[protocol], destination(echo)
    with closing(house.call(way)) as client:
        mine = "{}:{}".format(*client.getsockname())
        front = "{}:{}".format(*client.getpeername())
        client.sendall(spoken.greeting)
        assert raw.exactly(client, len(spoken.greeted)) == spoken.greeted
        client.sendall(spoken.request("127.0.0.1", there.port))
        assert spoken.reply(client) == spoken.granted
        client.sendall(b"hello")
        assert raw.exactly(client, 5) == b"hello"
        found = raw.decision(house.gateway, there.port)
        assert (found["client"], found["sender_to"]) == (mine, front)
        assert found["sender"].startswith("127.0.0.1:")
        passed = way.endswith("passes")
        assert found.get("secured") == ("confidentiality" if passed else None)
        assert found["listener"] == (
            "tls" if passed else "path" if way.endswith("path") else "clear"
        )


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("way", WAYS)
def test_rules(house: House, way: str, protocol: str) -> None:
    """C{from} of a rule is where the client is."""
    spoken = PROTOCOLS[protocol]
    with closing(house.call(way, FORBIDDEN)) as client:
        client.sendall(spoken.greeting)
        assert raw.exactly(client, len(spoken.greeted)) == spoken.greeted
        client.sendall(spoken.request("127.0.0.1", 9))
        assert spoken.reply(client) == spoken.denied


def opened(
    house: House, way: str, port: int, source: str = CLIENT, trusting: Any = None
) -> tuple[Any, int]:
    """A client with its connection, and the code of the reply."""
    client = house.call(way, source, trusting)
    client.sendall(raw.GREETING)
    assert raw.exactly(client, 2) == b"\x05\x00"
    client.sendall(raw.request5("127.0.0.1", port))
    return client, raw.reply5(client)[0]


def test_whatIsTold(house: House, destination: Callable[..., Destination]) -> None:
    """What HAProxy 2.6 says besides, of clients without and with a certificate."""
    there = destination(echo)
    client, _ = opened(house, "haproxy-all", there.port)
    with closing(client):
        mine = "id-{}:{}".format(*client.getsockname())
        assert raw.decision(house.gateway, there.port)["told"] == {"unique_id": mine}
    there = destination(echo)
    client, _ = opened(house, "haproxy-ends", there.port)
    with closing(client):
        told = raw.decision(house.gateway, there.port)["told"]
        assert told == {"tls_version": "TLSv1.3", "tls_certificate": "none"}
    there = destination(echo)
    bob = _trusting(house.gateway.directory)
    client, _ = opened(house, "haproxy-ends", there.port, trusting=bob)
    with closing(client):
        found = raw.decision(house.gateway, there.port)
        assert found["told"] == {
            "tls_version": "TLSv1.3",
            "tls_certificate": "verified",
            "tls_name": "Bob",
        }
        # That is no login.
        assert found["user"] == "anonymous"


def test_explained(house: House, destination: Callable[..., Destination]) -> None:
    """What the record has of the sender is told to people."""
    there = destination(echo)
    client, _ = opened(house, "haproxy-all", there.port)
    with closing(client):
        found = raw.decision(house.gateway, there.port)
    file = str(house.gateway.directory / "gw.toml")
    said = socksgw("explain", "--config", file, "--record", str(found["n"]))
    assert said.returncode == 0, said.stderr
    assert f"  sender    {found['sender']}\n" in said.stdout
    assert f"  told      unique_id {found['told']['unique_id']}\n" in said.stdout
    checked = socksgw("check", "--config", file)
    assert "any client; every program of this machine can" in checked.stdout


def test_certificates(house: House, destination: Callable[..., Destination]) -> None:
    """Where TLS passes through, a client logs in by its certificate."""
    for way in ("haproxy-passes", "nginx-passes"):
        there = destination(echo)
        bob = _trusting(house.gateway.directory)
        client, code = opened(house, way, there.port, trusting=bob)
        with closing(client):
            found = raw.decision(house.gateway, there.port)
            assert (code, found["user"]) == (0, "bob@partner.example")
            assert found["client"].startswith(CLIENT)


def test_limits(house: House, destination: Callable[..., Destination]) -> None:
    """Sessions are counted for each client, and none for the balancer."""
    there = destination(echo)
    clients: list[Any] = []
    codes = []
    for source in ("127.0.0.81", "127.0.0.82", "127.0.0.83"):
        for _ in range(5):
            client, code = opened(house, "haproxy-two", there.port, source)
            clients.append(client)
            codes.append(code)
    for client in clients:
        client.close()
    assert codes == [0, 0, 0, 0, 1] * 3


def test_passwords(house: House) -> None:
    """Who guesses passwords is throttled; others at the balancer are not."""
    for number in range(4):
        with closing(house.call("nginx-one", "127.0.0.88")) as client:
            client.sendall(raw.GREETING_LOGIN)
            assert raw.exactly(client, 2) == b"\x05\x02"
            client.sendall(raw.login(b"alice", b"%d" % number))
            assert raw.exactly(client, 2)[1]
    failed = [
        each
        for each in house.gateway.journal("login-failed")
        if each["client"].startswith("127.0.0.88:")
    ]
    assert [each["reason"] for each in failed[-2:]] == ["throttled"] * 2
    assert all(each["sender"].startswith("127.0.0.1:") for each in failed)
    with closing(house.call("nginx-one")) as client:
        client.sendall(raw.GREETING)
        assert raw.exactly(client, 2) == b"\x05\x00"


@pytest.mark.parametrize(
    "path", ["h/one.sock", "h/two.sock", "h/all.sock", "n/one.sock"]
)
def test_localClients(
    house: House, path: str, destination: Callable[..., Destination]
) -> None:
    """
    A client on a balancer's Unix socket is sent as LOCAL or UNKNOWN, with data: it is
    served at the balancer's address.
    """
    there = destination(echo)
    with raw.dialPath(f"{house.gateway.directory}/{path}") as client:
        client.sendall(raw.GREETING)
        assert raw.exactly(client, 2) == b"\x05\x00"
        client.sendall(raw.request5("127.0.0.1", there.port))
        assert raw.reply5(client)[0] == 0
        found = raw.decision(house.gateway, there.port)
        assert found["client"] == found["sender"]
        assert found["client"].startswith("127.0.0.1:")
        assert "sender_to" not in found
        told = found.get("told", {})
        assert ("unique_id" in told) == (path == "h/all.sock")


def test_theBalancersUser(
    house: House, destination: Callable[..., Destination]
) -> None:
    """A client is not the program that the kernel sees on a Unix socket of ours."""
    there = destination(echo)
    with raw.dialPath(f"{house.gateway.directory}/h/path.sock") as client:
        client.sendall(raw.GREETING + raw.request5("127.0.0.1", there.port))
        assert raw.exactly(client, 2) == b"\x05\x00"
        assert raw.reply5(client)[0] == 0
        found = raw.decision(house.gateway, there.port)
    assert (found["listener"], found["client"]) == ("path", "127.0.0.1:0")
    assert not {"uid", "pid"} & set(found)


def clientsOf(gateway: Running) -> list[dict[str, Any]]:
    """The lines of clients; earlier sessions may end meanwhile."""
    return [line for line in gateway.journal() if "client" in line]


def test_healthChecks(house: House) -> None:
    """HAProxy finds the gateway there, in every way; the journal has no line of it."""
    wanted = {
        **dict.fromkeys(("one", "two", "all", "ends", "passes"), "UP L4OK"),
        **dict.fromkeys(("greets1", "greets2"), "UP L7OK"),
        "greets3": "UP L6OK",
        "path": "no check ",
    }
    until(lambda: house.haproxy.checked() == wanted, seen=house.haproxy.checked)
    before = len(clientsOf(house.gateway))
    # Five of each.
    time.sleep(0.6)
    assert house.haproxy.checked() == wanted
    assert clientsOf(house.gateway)[before:] == []


def test_datagrams(house: House) -> None:
    """They go past the balancer, to and from the client alone."""
    with (
        closing(house.call("haproxy-two")) as client,
        Echo() as there,
        socket.socket(type=socket.SOCK_DGRAM) as ours,
        socket.socket(type=socket.SOCK_DGRAM) as balancers,
    ):
        client.sendall(raw.GREETING + raw.request5("0.0.0.0", 0, 3))
        assert raw.exactly(client, 2) == b"\x05\x00"
        code, host, port = raw.reply5(client)
        assert code == 0
        octets = addressed(*there.place) + b"hello"
        balancers.bind(("127.0.0.1", 0))
        balancers.settimeout(0.3)
        balancers.sendto(octets, (host, port))
        with pytest.raises(TimeoutError):
            balancers.recv(100)
        ours.bind((CLIENT, 0))
        ours.settimeout(PATIENCE)
        ours.sendto(octets, (host, port))
        assert ours.recv(100) == octets


@pytest.mark.parametrize(
    ("source", "octets", "reason"),
    [
        ("127.0.0.2", line("127.0.0.77", 1) + raw.GREETING, "proxy-stranger"),
        ("127.0.0.3", raw.GREETING, "proxy-stranger"),
        ("127.0.0.1", raw.GREETING, "proxy-missing"),
        ("127.0.0.1", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "proxy-missing"),
        ("127.0.0.1", b"PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n", "proxy-header"),
        ("127.0.0.1", version2("192.0.2.7", 1)[:13] + b"\x31\0\0", "proxy-header"),
    ],
)
def test_whoIsNotLetIn(house: House, source: str, octets: bytes, reason: str) -> None:
    """Closed without an answer, with one line that says what to do."""
    before = len(house.gateway.journal("refused"))
    with raw.dial(house.gateway.port, source=(source, 0)) as client:
        client.sendall(octets)
        assert _end(client) == b""
    (found,) = until(lambda: house.gateway.journal("refused")[before:])
    assert (found["reason"], found["reply"]) == (reason, 0)
    assert found["client"].startswith(f"{source}:")
    assert "sender" not in found


def _end(client: socket.socket) -> bytes:
    try:
        return untilEnd(client)
    except ConnectionResetError:
        return b""


def test_checksLookLikeNobody(house: House) -> None:
    """Reset or closed, after the header or the greeting: no line."""
    before = len(clientsOf(house.gateway))
    for header in (LOCAL, b"PROXY UNKNOWN\r\n", b""):
        for behind in (b"", raw.GREETING):
            for reset in (False, True):
                with raw.dial(house.gateway.port) as client:
                    own = header or line(*client.getsockname())
                    client.sendall(own + behind)
                    if behind:
                        assert raw.exactly(client, 2) == b"\x05\x00"
                    if reset:
                        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    time.sleep(0.2)
    assert clientsOf(house.gateway)[before:] == []


def test_manyConnectionsOfOneBalancer(house: House) -> None:
    """More than one source may have half-open, before and after their headers."""
    clients = [raw.dial(house.gateway.port) for _ in range(12)]
    for number, client in enumerate(clients):
        client.sendall(line(f"127.0.1.{number + 1}", 1) + raw.GREETING)
    for client in clients:
        assert raw.exactly(client, 2) == b"\x05\x00"
        client.close()


def _blocks(heading: str) -> list[str]:
    """The configurations of balancers under a heading of the manual's chapter."""
    text = (ROOT / "socksgw" / "manual" / "frontends.rst").read_text("utf-8")
    part = re.split(r"\n\n(?=\w[^\n]*\n-+\n)", text)
    (found,) = [each for each in part if each.startswith(f"{heading}\n---")]
    blocks = re.findall(r"(?m)^\.\. code-block:: text\n\n((?:    .*\n|\n)+)", found)
    return [textwrap.dedent(each) for each in blocks]


def test_theManuals(house: House, tmp_path: Path) -> None:
    """Its configurations are run, with the addresses and files of here."""
    front, secured = (freePort(kind=socket.SOCK_STREAM) for _ in range(2))
    gateway = f"127.0.0.1:{house.gateway.port}"
    files = house.gateway.directory
    here = {
        "10.0.0.2:1080": gateway,
        "10.0.0.3:1080": gateway,
        "bind :1080": f"bind 127.0.0.1:{front}",
        "bind :1443": f"bind 127.0.0.1:{secured}",
        "listen 1080": f"listen 127.0.0.1:{front}",
        "listen 1443": f"listen 127.0.0.1:{secured}",
        "/etc/haproxy/gw.pem": f"{files}/gw.both.pem",
        "/etc/haproxy/partners.pem": f"{files}/ca.pem",
        "/etc/nginx/gw.pem": f"{files}/gw.pem",
        "/etc/nginx/gw.key": f"{files}/gw.key",
        "/run/socksgw/proxied.sock": f"{files}/proxied.sock",
    }

    def localised(text: str) -> str:
        for there, ours in here.items():
            text = text.replace(there, ours)
        return text

    passing, ending, path = map(localised, _blocks("HAProxy"))
    file = tmp_path / "haproxy.cfg"
    path = f"\nbackend path\n{textwrap.indent(path, '    ')}"
    file.write_text(passing + ending + path)
    log = tmp_path / "log"
    command = [program("haproxy", "haproxy"), "-db", "-f", str(file)]
    with Daemon(command, secured, log, dict(os.environ)):
        _bothWays(house, front, secured)
    assert "WARNING" not in log.read_text()
    (streams,) = map(localised, _blocks("nginx"))
    file = tmp_path / "nginx.conf"
    head = f"load_module {MODULE};\ndaemon off;\nuser root;\npid {tmp_path}/pid;\n"
    head += f"error_log {tmp_path}/error.log;\nevents {{}}\n"
    file.write_text(head + streams)
    command = [program("nginx", "nginx"), "-p", str(tmp_path), "-c", str(file)]
    with Daemon(command, secured, log, dict(os.environ)):
        _bothWays(house, front, secured)


def test_aMemberThatIsDead(house: House, tmp_path: Path) -> None:
    """
    By the configuration of the chapter on clusters HAProxy tries another one at once,
    also before its checks have found that out.
    """
    front = freePort(kind=socket.SOCK_STREAM)
    _, _, text = chapters()["cluster"].partition("    listen socks\n")
    block = "listen socks\n" + textwrap.dedent(text.partition("\n\n")[0])
    for name, port in (
        ("10.0.0.11:1080", house.gateway.port),
        ("10.0.0.12:1080", freePort(kind=socket.SOCK_STREAM)),
    ):
        assert name in block
        block = block.replace(name, f"127.0.0.1:{port}")
    block = re.sub(r" check inter .*|.*10\.0\.0\.13.*", "", block)
    block = block.replace("bind :1080", f"bind 127.0.0.1:{front}")
    file = tmp_path / "haproxy.cfg"
    file.write_text(
        f"global\n    log {tmp_path}/log local0\ndefaults\n    log global\n"
        "    option logasap\n    log-format <%s,%rc>\n    timeout connect 5s\n"
        f"    timeout client 60s\n    timeout server 60s\n{block}\n"
    )
    command = [program("haproxy", "haproxy"), "-db", "-f", str(file)]
    with (
        closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as log,
        ExitStack() as stack,
    ):
        log.bind(str(tmp_path / "log"))
        log.settimeout(PATIENCE)
        stack.enter_context(Daemon(command, front, tmp_path / "out", dict(os.environ)))
        for number in range(4):
            source = (f"127.0.0.{92 + number}", 0)
            client = stack.enter_context(raw.dial(front, source=source))
            client.sendall(b"\x05\x01\x00")
            assert raw.exactly(client, 2) == b"\x05\x00"
        tried: list[tuple[str, str]] = []
        while len(tried) < 4:
            tried += re.findall(r"<([^<,]+),([^>]+)>", log.recv(4096).decode())
    # As long as no member has a session, either may be chosen.
    assert tried[1:] == [("edge-1", "+1")] * 3


def _bothWays(house: House, front: int, secured: int) -> None:
    """A client without and one with TLS are served, as who they are."""
    for number, port in enumerate((front, secured)):
        before = len(house.gateway.journal("decision"))
        source = f"127.0.0.{90 + number}"
        plain = raw.dial(port, source=(source, 0))
        with closing(_trusting().wrap_socket(plain) if number else plain) as client:
            client.sendall(raw.request4("127.0.0.1", 9))
            raw.reply4(client)
        found = until(lambda since=before: house.gateway.journal("decision")[since:])
        assert [each["client"].rpartition(":")[0] for each in found] == [source]


def test_reload(gateway: Callable[..., Running]) -> None:
    """The list is that of now, for whoever connects from now on."""
    with_ = CONFIGURATION.partition('[[listen]]\nname = "tls"')[0]
    with_ += '[[auth.choose]]\nfrom = ["127.0.0.0/8"]\nmethods = ["none"]\n'
    with_ += '[[rule]]\nid = "no"\ndeny = "any"\n' + LOOPBACK
    without = with_.replace('proxy_protocol_from = ["127.0.0.1"]\n', "")
    started = gateway(with_)
    for text, header, client in (
        (with_, line("127.0.0.77", 1), "127.0.0.77:1"),
        (without, b"", ""),
        (
            with_.replace('from = ["127.0.0.1"]', 'from = ["127.0.0.2"]'),
            b"",
            "proxy-stranger",
        ),
        (with_, line("127.0.0.78", 1), "127.0.0.78:1"),
    ):
        before = len(started.journal("reloaded"))
        (started.directory / "gw.toml").write_text(text)
        started.process.send_signal(signal.SIGHUP)
        until(lambda since=before: len(started.journal("reloaded")) > since)
        seen = len(clientsOf(started))
        with raw.dial(started.port) as connection:
            connection.sendall(header + raw.request4("127.0.0.1", 9))
            _end(connection)
            mine = "{}:{}".format(*connection.getsockname())
        (found,) = until(lambda since=seen: clientsOf(started)[since:])
        assert (client or mine) in (found["client"], found.get("reason"))
