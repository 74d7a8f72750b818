"""
Logins at upstreams, and TLS to them: one gateway of ours leaves by another one, with a
real KDC.
"""

from __future__ import annotations

import random
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from signal import SIGHUP
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tests.live import raw, upstreams
from tests.live.datagrams import Association, Echo, associate
from tests.live.kerberos import Realm
from tests.live.running import LOOPBACK, Running, running, socksgw
from tests.live.servers import (
    Daemon,
    Destination,
    echo,
    freePort,
    missing,
    package,
    program,
)
from tests.tools.certificates import Authority, email, pemOf, server
from tests.tools.waiting import until

REALM = "CORP.EXAMPLE"
DATA = random.Random(1961).randbytes(1 << 20)
PASSWORD = "canary-password-4711"

FAR = """
[[listen]]
name = "plain"
address = ["127.0.0.1:0"]
protocols = ["socks5", "socks6", "http"]
[[listen]]
name = "tls"
address = ["127.0.0.1:0"]
protocols = ["socks5", "socks6", "http"]
[listen.tls]
certificate = "gw.pem"
key = "gw.key"
client_ca = "ca.pem"
client_certificate = "optional"
identity = ["email"]
[listen.udp]
tunnels = ["hev"]
[auth]
checkers = ["passwd:users"]
strip_realms = ["{realm}"]
gssapi = {{ keytab = "{keytab}" }}
[[auth.choose]]
listener = ["tls"]
methods = ["certificate", "userpass", "gssapi"]
[[auth.choose]]
methods = ["gssapi", "userpass"]
[[rule]]
id = "all"
allow = "any"
who = ["users"]
"""
NEAR = """
[[listen]]
name = "{0}"
address = ["127.0.0.1:0"]
[[rule]]
id = "{0}"
listener = ["{0}"]
allow = "any"
via = {1}
"""
CHOOSE = """
[[auth.choose]]
from = ["127.0.0.0/8"]
methods = ["none"]
"""
UPSTREAM = """
[[upstream]]
name = "{}"
url = "{}"
{}
"""
USERPASS = 'login = { method = "userpass", user = "alice", password_file = "pw" }'
CLEAR = "cleartext_passwords = true\n"
TLS = 'ca = "ca.pem"\n'
#: The scheme, the listener, the rest of the table; who far takes it for, and how.
WAYS: dict[str, tuple[str, str, str, str, str]] = {
    "password": ("socks5", "plain", CLEAR + USERPASS, "alice", "userpass"),
    "six": ("socks6", "plain", CLEAR + USERPASS, "alice", "userpass"),
    "six in tls": ("socks6+tls", "tls", TLS + USERPASS, "alice", "userpass"),
    "six in a session": (
        "socks6+tls", "tls", TLS + USERPASS + "\nsession = true", "alice", "userpass",
    ),
    "basic": ("http", "plain", CLEAR + USERPASS, "alice", "userpass"),
    "gssapi": ("socks5", "plain", 'login = { method = "gssapi" }', "alice", "gssapi"),
    "integrity": (
        "socks5", "plain",
        'login = { method = "gssapi", protection = ["integrity"] }', "alice", "gssapi",
    ),
    "keytab": (
        "socks5", "plain",
        'login = { method = "gssapi", user = "edge", keytab = "edge.keytab" }',
        "edge", "gssapi",
    ),
    "negotiate": (
        "http", "plain", 'login = { method = "negotiate" }', "alice", "gssapi",
    ),
    "tls": ("socks5+tls", "tls", TLS + USERPASS, "alice", "userpass"),
    "https": ("https", "tls", TLS + USERPASS, "alice", "userpass"),
    "certificate": (
        "socks5+tls", "tls",
        TLS + 'login = { method = "certificate", certificate = "edge.pem", '
        'key = "edge.key" }',
        "edge@corp.example", "certificate",
    ),
    "six by certificate": (
        "socks6+tls", "tls",
        TLS + 'login = { method = "certificate", certificate = "edge.pem", '
        'key = "edge.key" }',
        "edge@corp.example", "certificate",
    ),
    "six by gssapi": (
        "socks6+tls", "tls", TLS + 'login = { method = "gssapi" }', "alice", "gssapi",
    ),
    "inside": ("socks5+tls", "tls", TLS + USERPASS + '\nudp = "hev"', "alice", "userpass"),
    "both": (
        "socks5+tls", "tls", TLS + 'login = { method = "gssapi" }', "alice", "gssapi",
    ),
}  # fmt: skip
#: Where there is no UDP: what the client is told, and why.
WITHOUT_UDP = {
    "basic": (7, "upstream-refused"),
    "negotiate": (7, "upstream-refused"),
    "https": (7, "upstream-refused"),
    "tls": (1, "upstream-tls"),
    "certificate": (1, "upstream-tls"),
    "tls in tls": (7, "upstream-refused"),
    "all in all": (1, "upstream-tls"),
}
WITHOUT_BIND = {"basic", "negotiate", "https", "tls in tls"}
CHAINS = {"tls in tls": ("tls", "https"), "all in all": ("both", "gssapi", "tls")}


SQUIDS = {
    "squid": 'login = { method = "negotiate" }',
    "squid-password": CLEAR + USERPASS,
}
HELPER = Path("/usr/lib/squid/negotiate_kerberos_auth")


@contextmanager
def squid(directory: Path, realm: Realm) -> Iterator[int]:
    """Run Squid with the keys of HTTP/localhost, and yield its port."""
    program("squid", "squid")
    if not HELPER.exists():
        missing(f"{HELPER} of Debian's package squid-common is not there")
    directory.mkdir()
    # Squid gives up root for a user of its own, who does not reach pytest's folders.
    with TemporaryDirectory() as open_:
        keytab = Path(open_) / "keytab"
        keytab.write_bytes(realm.keytab.read_bytes())
        config = Path(realm.environment["KRB5_CONFIG"])
        (keytab.parent / "krb5.conf").write_bytes(config.read_bytes())
        for each in (keytab, keytab.parent):
            each.chmod(0o755)
        yield from _squid(directory, keytab)


def _squid(directory: Path, keytab: Path) -> Iterator[int]:
    port = freePort(kind=socket.SOCK_STREAM)
    allow = (
        f"auth_param negotiate program {HELPER} -r -k {keytab} -s HTTP/localhost\n"
        "auth_param negotiate children 2\n"
        "acl users proxy_auth REQUIRED\nhttp_access allow users\nhttp_access deny all"
    )
    command = upstreams.squid(port, directory, allow)
    quiet = {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "HOME": str(directory)}
    environment = {**quiet, "KRB5_CONFIG": str(keytab.parent / "krb5.conf")}
    with Daemon(command, port, directory / "log", environment):
        yield port


class Pair:
    """
    Two gateways, of which the near one leaves by the far one.

    @ivar ports: the near one's ports, by the way.
    """

    def __init__(self, near: Running, far: Running) -> None:
        self.near, self.far = near, far
        self.ports = dict(zip([*WAYS, *CHAINS, *SQUIDS], near.ports, strict=True))


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Both, with everything that they need."""
    package("gssapi")
    directory = tmp_path_factory.mktemp("logins")
    realm = Realm(directory / "realm", REALM)
    realm.services(realm.keytab, "rcmd/localhost", "HTTP/localhost")
    realm.user("alice")
    root = Authority()
    for name in ("near", "far"):
        place = directory / name
        place.mkdir()
        (place / "ca.pem").write_bytes(pemOf(root.certificate))
        server(root).write(place, "gw")
        root.issue(email("edge@corp.example")).write(place, "edge")
        (place / "pw").touch(0o600)
        (place / "pw").write_text(PASSWORD + "\n")
    realm.services(directory / "near" / "edge.keytab", "edge")
    made = socksgw(
        "passwd", "users", "alice", cwd=directory / "far", stdin=f"{PASSWORD}\n"
    )
    assert made.returncode == 0, made.stderr
    with realm.running(), ExitStack() as stack:
        text = FAR.format(realm=REALM, keytab=realm.keytab) + LOOPBACK
        start = contextmanager(running)
        with start(directory / "far", text, extra=realm.environment) as far:
            ports = dict(zip(("plain", "tls"), far.ports, strict=True))
            text = CHOOSE + LOOPBACK
            for name, (scheme, listener, rest, _, _) in WAYS.items():
                url = f"{scheme}://localhost:{ports[listener]}"
                text += UPSTREAM.format(name, url, rest) + NEAR.format(
                    name, f'["{name}"]'
                )
            for name, path in CHAINS.items():
                text += NEAR.format(name, str(list(path)).replace("'", '"'))
            proxy = stack.enter_context(squid(directory / "squid", realm))
            for name, rest in SQUIDS.items():
                text += UPSTREAM.format(name, f"http://localhost:{proxy}", rest)
                text += NEAR.format(name, f'["{name}"]')
            with start(directory / "near", text, extra=realm.tickets()) as near:
                yield Pair(near, far)


def through(pair: Pair, name: str, port: int) -> bytes:
    """Send much through a way, and return what is echoed."""
    with closing(raw.dial(pair.ports[name])) as client:
        raw.through(client, "127.0.0.1", port)
        sending = threading.Thread(target=client.sendall, args=(DATA,))
        sending.start()
        found = raw.exactly(client, len(DATA))
        sending.join()
    return found


@pytest.mark.parametrize("name", WAYS)
def test_ways(pair: Pair, name: str, destination: Callable[..., Destination]) -> None:
    """Everything arrives, and the far one knows who it is, and how."""
    echoing = destination(echo)
    assert through(pair, name, echoing.port) == DATA
    ended = raw.end(pair.near, echoing.port)
    assert ended["path"] == name
    record: dict[str, Any] = raw.decision(pair.far, echoing.port)
    _, listener, _, user, method = WAYS[name]
    agreed = [record[each] for each in ("tls_version", "tls_group") if each in record]
    # Both ends say the same of it.
    assert ended.get("path_tls", "").split()[:2] == agreed
    assert bool(agreed) == (listener == "tls")
    assert ("fingerprint" in record) == ("certificate" in name)
    assert (record["user"], record["method"]) == (user, method)


@pytest.mark.parametrize("name", CHAINS)
def test_chains(pair: Pair, name: str, destination: Callable[..., Destination]) -> None:
    """TLS within TLS, and within what GSSAPI protects."""
    echoing = destination(echo)
    assert through(pair, name, echoing.port) == DATA
    assert raw.end(pair.near, echoing.port)["path"] == ", ".join(CHAINS[name])


@pytest.mark.parametrize("name", [each for each in WAYS if each not in WITHOUT_UDP])
def test_datagrams(pair: Pair, name: str) -> None:
    """They are as well protected as the connection, and the far one knows who it is."""
    with Echo() as server, Association(pair.ports[name]) as client:
        for text in (b"", b"hello", bytes(60_000)):
            client.echo(server, text)
    found: list[dict[str, Any]] = until(
        lambda: [e for e in pair.far.journal("flow") if e["port"] == server.port]
    )
    _, _, _, user, method = WAYS[name]
    assert (found[0]["user"], found[0]["method"]) == (user, method)


@pytest.mark.parametrize("name", WITHOUT_UDP)
def test_noDatagrams(pair: Pair, name: str) -> None:
    """None leaves in the clear, and the client is told."""
    code, reason = WITHOUT_UDP[name]
    control, (replied, *_) = associate(pair.ports[name])
    with control:
        assert control.recv(1) == b""
    assert replied == code
    decided = pair.near.journal("decision")[-1]["session"]
    (ended,) = until(
        lambda: [e for e in pair.near.journal("end") if e["session"] == decided]
    )
    assert ended["reason"] == reason


@pytest.mark.parametrize("name", [*WAYS, *CHAINS])
def test_bind(pair: Pair, name: str) -> None:
    """The peer comes to the far one, and what it says first goes through all layers."""
    with closing(raw.dial(pair.ports[name])) as client:
        client.sendall(raw.GREETING)
        assert raw.exactly(client, 2) == b"\x05\x00"
        client.sendall(raw.request5("127.0.0.1", 0, 2))
        code, there, number = raw.reply5(client)
        if name in WITHOUT_BIND:
            assert code == 7
            return
        assert code == 0
        with closing(socket.create_connection((there, number), 20)) as peer:
            peer.sendall(b"220 hello")
            assert raw.reply5(client)[0] == 0
            assert raw.exactly(client, 9) == b"220 hello"
            client.sendall(b"bye")
            assert raw.exactly(peer, 3) == b"bye"


def test_squid(pair: Pair, destination: Callable[..., Destination]) -> None:
    """Squid, which lets in who has a ticket (C{negotiate_kerberos_auth})."""
    echoing = destination(echo)
    assert through(pair, "squid", echoing.port) == DATA
    assert raw.end(pair.near, echoing.port)["path"] == "squid"


def test_squidWithoutATicket(
    pair: Pair, destination: Callable[..., Destination]
) -> None:
    """It asks for Negotiate, and does not get a password."""
    echoing = destination(echo)
    with closing(raw.dial(pair.ports["squid-password"])) as client:
        client.sendall(raw.GREETING)
        raw.exactly(client, 2)
        client.sendall(raw.request5("127.0.0.1", echoing.port))
        assert raw.reply5(client)[0] == 1
    end = raw.end(pair.near, echoing.port)
    assert end["reason"] == "upstream-login"
    assert "asks for another login: negotiate" in end["why"]


def test_noSecretIsTold(pair: Pair) -> None:
    """No log and no journal of either has the password."""
    for gateway in (pair.near, pair.far):
        assert PASSWORD not in gateway.log
        assert PASSWORD not in str(gateway.journal())


#: A gateway that others go to, at a port that it keeps.
KEPT = """
[[listen]]
name = "plain"
address = ["127.0.0.1:{}"]
protocols = ["socks6"]
[auth]
checkers = ["passwd:users"]
[[auth.choose]]
methods = ["userpass"]
[[rule]]
id = "all"
allow = ["connect"]
who = ["users"]
"""


def test_session(tmp_path: Path, destination: Callable[..., Destination]) -> None:
    """
    Only the first request from each own address logs in: the later ones need no right
    password. A gateway that has forgotten the session is logged in at again, and the
    client does not notice; a reload of ours begins another session.
    """
    port = freePort(kind=socket.SOCK_STREAM)
    kept = KEPT.format(port) + LOOPBACK
    rest = USERPASS + "\nsession = true"
    text = CHOOSE + LOOPBACK
    text += UPSTREAM.format("far", f"socks6://127.0.0.1:{port}", rest)
    text += NEAR.format("one", '["far"]') + NEAR.format("two", '["far"]')
    text += 'leave_by = ["127.0.0.2"]\n'
    for name in ("near", "far"):
        (tmp_path / name).mkdir()
    password = tmp_path / "near" / "pw"
    password.touch(0o600)
    password.write_text(PASSWORD)
    told = f"{PASSWORD}\n"
    made = socksgw("passwd", "users", "alice", cwd=tmp_path / "far", stdin=told)
    assert made.returncode == 0, made.stderr
    server, start = destination(echo), contextmanager(running)

    def asked(listener: int) -> int:
        with closing(raw.dial(near.ports[listener])) as client:
            return raw.asked(client, "127.0.0.1", server.port)

    with ExitStack() as stack:
        with start(tmp_path / "far", kept) as far:
            near = stack.enter_context(start(tmp_path / "near", text))
            assert [asked(each) for each in (0, 1)] == [0, 0]
            password.write_text("wrong")
            assert [asked(each) for each in (0, 1) * 3] == [0] * 6
        assert not far.journal("login-failed")
        with start(tmp_path / "far", kept) as far:
            password.write_text(PASSWORD)
            assert asked(0) == 0
            password.write_text("wrong")
            assert asked(0) == 0
            near.process.send_signal(SIGHUP)
            until(lambda: near.journal("reloaded"))
            assert asked(0) == 1
        failed = [each["reason"] for each in far.journal("login-failed")]
        assert (failed[0], failed.count("no-session")) == ("no-session", 1)
