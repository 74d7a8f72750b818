"""
Kerberos in HTTP (RFC 4559): curl, Chromium and MIT's library with a real KDC.
"""

from __future__ import annotations

import socket
import subprocess
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.live import raw
from tests.live.browser import headless
from tests.live.kerberos import Realm, within
from tests.live.running import Running, running
from tests.live.servers import PATIENCE, Destination, Web, echo, package, program

REALM = "CORP.EXAMPLE"
CONFIGURATION = """
[[listen]]
name = "main"
address = ["127.0.0.1:0"]
protocols = ["socks5", "http"]
[[listen]]
name = "strict"
address = ["127.0.0.1:0"]
protocols = ["http"]
[auth]
strip_realms = ["{realm}"]
gssapi = {{ keytab = "{keytab}" }}
[[auth.choose]]
listener = ["strict"]
methods = ["gssapi"]
protection = ["confidentiality"]
[[auth.choose]]
methods = ["gssapi"]
[[rule]]
id = "alice"
allow = ["connect"]
who = ["alice"]
[never]
except = ["127.0.0.0/8"]
"""


@pytest.fixture(scope="module")
def realm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Realm]:
    """A realm with two users and the services; its KDC runs."""
    package("gssapi")
    made = Realm(tmp_path_factory.mktemp("kerberos") / "realm", REALM)
    made.services(made.keytab, "HTTP/localhost", "rcmd/localhost")
    made.services(made.directory / "other.keytab", "HTTP/elsewhere")
    made.user("alice")
    made.user("mallory")
    with made.running():
        yield made


@pytest.fixture(scope="module")
def gateway(
    realm: Realm, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    """A gateway with the keys of HTTP/localhost."""
    text = CONFIGURATION.format(realm=REALM, keytab=realm.keytab)
    directory = tmp_path_factory.mktemp("gateway")
    yield from running(directory, text, extra=realm.environment)


def curl(
    quiet: dict[str, str], tickets: dict[str, str], *arguments: str
) -> subprocess.CompletedProcess[str]:
    command = [program("curl", "curl"), "-sS", "--max-time", "30", "--noproxy", ""]
    return subprocess.run(
        [*command, "--proxytunnel", "--proxy-user", ":", *arguments],
        env={**quiet, **tickets},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("option", ["--proxy-negotiate", "--proxy-anyauth"])
def test_curl(
    gateway: Running,
    realm: Realm,
    web: Callable[..., Web],
    quiet: dict[str, str],
    option: str,
) -> None:
    """At once, and after it is told; the user is the same as in SOCKS."""
    proxy, server = f"http://localhost:{gateway.ports[0]}", web("127.0.0.1")
    url = f"http://127.0.0.1:{server.port}/kerberos"
    done = curl(quiet, realm.tickets(), option, "--proxy", proxy, url)
    assert done.returncode == 0, done.stderr
    assert "served: /kerberos" in done.stdout
    line = raw.decision(gateway, server.port)
    assert (line["user"], line["method"], line["protocol"]) == (
        "alice",
        "gssapi",
        "http",
    )
    assert "secured" not in line


def test_chromium(
    gateway: Running,
    realm: Realm,
    web: Callable[..., Web],
    quiet: dict[str, str],
    tmp_path: Path,
) -> None:
    """
    A browser logs in with its user's ticket, unasked: for proxies no setting is
    needed (--auth-server-allowlist is about servers).
    """
    server = web("127.0.0.1", True)
    command = [*headless(tmp_path), "--dump-dom", "--ignore-certificate-errors"]
    command += [f"--proxy-server=http://localhost:{gateway.ports[0]}"]
    command += ["--proxy-bypass-list=<-loopback>"]
    before = len(gateway.journal("decision"))
    done = subprocess.run(
        [*command, f"https://127.0.0.1:{server.port}/single-sign-on"],
        env={**quiet, **realm.tickets()},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "served: /single-sign-on" in done.stdout, done.stderr
    lines = gateway.journal("decision")[before:]
    assert {(line["user"], line["method"]) for line in lines} == {("alice", "gssapi")}


def test_git(
    gateway: Running, realm: Realm, web: Callable[..., Web], quiet: dict[str, str]
) -> None:
    """By libcurl, which is told by a setting of git's."""
    server = web("127.0.0.1", True)
    command = [program("git", "git"), "-c", "http.proxyAuthMethod=negotiate"]
    command += ["-c", "http.sslVerify=false"]
    command += ["-c", f"http.proxy=http://:@localhost:{gateway.ports[0]}"]
    before = len(gateway.journal("decision"))
    subprocess.run(
        [*command, "ls-remote", f"https://127.0.0.1:{server.port}/nothing"],
        env={**quiet, **realm.tickets(), "GIT_TERMINAL_PROMPT": "0"},
        capture_output=True,
        timeout=60,
        check=False,
    )
    lines = gateway.journal("decision")[before:]
    assert {(line["user"], line["method"]) for line in lines} == {("alice", "gssapi")}


def test_curlIsToldOfTheRules(
    gateway: Running, realm: Realm, web: Callable[..., Web], quiet: dict[str, str]
) -> None:
    """Another user of the realm logs in, and no rule is for her."""
    proxy, server = f"http://localhost:{gateway.ports[0]}", web("127.0.0.1", True)
    url = f"https://127.0.0.1:{server.port}/"
    tickets = realm.tickets("mallory")
    done = curl(quiet, tickets, "--proxy-negotiate", "--proxy", proxy, url)
    assert "response 403" in done.stderr
    line = raw.decision(gateway, server.port)
    assert (line["user"], line["verdict"]) == ("mallory", "deny")


def test_protectionThatIsWanted(
    gateway: Running, realm: Realm, quiet: dict[str, str]
) -> None:
    """Where levels are written down, a connection in clear is none of them."""
    proxy = f"http://localhost:{gateway.ports[1]}"
    tickets = realm.tickets()
    done = curl(
        quiet, tickets, "--proxy-negotiate", "--proxy", proxy, "http://127.0.0.1:1/"
    )
    assert "response 407" in done.stderr
    line = next(
        line for line in gateway.journal("login-failed") if line["listener"] == "strict"
    )
    assert line["reason"] == "protection"
    assert "use TLS" in line["why"]


def ask(client: socket.socket, port: int, token: bytes) -> tuple[int, bytes]:
    """Ask for a tunnel to a port; return the status, and the token of the answer."""
    place = f"127.0.0.1:{port}"
    client.sendall(
        f"CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n"
        f"Proxy-Authorization: Negotiate {b64encode(token).decode()}\r\n\r\n".encode()
    )
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += raw.exactly(client, 1)
    found = b""
    length = 0
    for line in head.decode().split("\r\n"):
        name, _, value = line.partition(": ")
        if name == "Proxy-Authenticate":
            found = b64decode(value.partition(" ")[2])
        elif name == "Content-Length":
            length = int(value)
    raw.exactly(client, length)
    return int(head.split(b" ", 2)[1]), found


def context(dce: bool = False, service: str = "HTTP@localhost", **more: Any) -> Any:
    """The client's side of a context."""
    import gssapi

    flags = gssapi.RequirementFlag
    asked = flags.mutual_authentication | flags.integrity
    if dce:
        asked |= flags.dce_style
    name = gssapi.Name(service, gssapi.NameType.hostbased_service)
    return gssapi.SecurityContext(name=name, flags=asked, usage="initiate", **more)


def spnego() -> Any:
    import gssapi

    return gssapi.OID.from_int_seq("1.3.6.1.5.5.2")


@pytest.mark.parametrize("wrapped", [False, True], ids=["Kerberos", "SPNEGO"])
@pytest.mark.parametrize("dce", [False, True], ids=["one leg", "several legs"])
def test_legs(
    gateway: Running,
    realm: Realm,
    destination: Callable[..., Destination],
    dce: bool,
    wrapped: bool,
) -> None:
    """
    As many legs as the mechanism wants, on one connection; the last token of ours
    proves us to the client.
    """
    import gssapi

    server = destination(echo)
    with within(realm.tickets()), raw.dial(gateway.ports[0]) as client:
        mech = spnego() if wrapped else gssapi.MechType.kerberos
        made = context(dce, mech=mech)
        status, answer, legs = 407, None, 0
        while status == 407:
            token = made.step(answer)
            status, answer = ask(client, server.port, token)
            legs += 1
            assert legs < 10
        assert status == 200
        if answer:
            made.step(answer)
        assert made.complete
        assert (legs > 1) is dce
        client.sendall(b"through")
        assert raw.exactly(client, 7) == b"through"
    line = raw.decision(gateway, server.port)
    assert (line["user"], line["protocol"]) == ("alice", "http")


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        (b"NTLMSSP\0\1\0\0\0" + bytes(24), "bad-token"),
        (b"nonsense", "bad-token"),
        (b"", "protocol"),
    ],
)
def test_noTicket(gateway: Running, token: bytes, reason: str) -> None:
    """Each is refused in the same words as a wrong password."""
    before = len(gateway.journal("login-failed"))
    with raw.dial(gateway.ports[0]) as client:
        status, answer = ask(client, 1, token)
        assert (status, answer) == (407, b"")
        client.settimeout(PATIENCE)
        assert client.recv(1) == b""
    line = gateway.journal("login-failed")[before]
    assert line["reason"] == reason


def test_aTicketForAnother(gateway: Running, realm: Realm) -> None:
    """The keytab does not have that service."""
    import gssapi

    with within(realm.tickets()), raw.dial(gateway.ports[0]) as client:
        made = context(service="HTTP@elsewhere", mech=gssapi.MechType.kerberos)
        assert ask(client, 1, made.step())[0] == 407


def test_replayed(
    gateway: Running, realm: Realm, destination: Callable[..., Destination]
) -> None:
    """A token that was seen on the wire logs nobody else in."""
    server = destination(echo)
    with within(realm.tickets()):
        token = context(mech=spnego()).step()
    statuses = []
    for _ in range(2):
        with raw.dial(gateway.ports[0]) as client:
            statuses.append(ask(client, server.port, token)[0])
    assert statuses == [200, 407]


def test_curlWithoutATunnel(
    gateway: Running, realm: Realm, web: Callable[..., Web], quiet: dict[str, str]
) -> None:
    """One login serves all requests on its connection (RFC 4559 section 6)."""
    proxy, server = f"http://localhost:{gateway.ports[0]}", web("127.0.0.1")
    command = [program("curl", "curl"), "-sSv", "--max-time", "30", "--noproxy", ""]
    before = len(gateway.journal("decision"))
    done = subprocess.run(
        [
            *(*command, "--proxy-user", ":", "--proxy-negotiate", "--proxy", proxy),
            *[f"http://127.0.0.1:{server.port}/{i}" for i in range(3)],
        ],
        env={**quiet, **realm.tickets()},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert all(f"served: /{i}" in done.stdout for i in range(3))
    found = gateway.journal("decision")[before:]
    assert [(d["user"], d["method"]) for d in found] == [("alice", "gssapi")] * 3
    assert len({d["client"] for d in found}) == 1


def test_theLoginIsTheConnections(
    gateway: Running, realm: Realm, web: Callable[..., Web]
) -> None:
    """The answer ends it; another connection has to prove itself."""
    server = web("127.0.0.1")
    url = f"http://127.0.0.1:{server.port}/"
    plain = f"GET {url} HTTP/1.1\r\nHost: x\r\n".encode()
    with within(realm.tickets()), raw.dial(gateway.ports[0]) as client:
        made = context()
        token = b64encode(made.step()).decode()
        login = f"Proxy-Authorization: Negotiate {token}\r\n\r\n".encode()
        client.sendall(plain + login)
        head = told(client)
        assert head.startswith(b"HTTP/1.1 200 ")
        (field,) = [
            line for line in head.split(b"\r\n") if line.startswith(b"Proxy-Authent")
        ]
        made.step(b64decode(field.split(b" ")[2]))
        assert made.complete
        client.sendall(plain + b"\r\n")
        head = told(client)
        assert head.startswith(b"HTTP/1.1 200 ")
        assert b"Proxy-Authenticate" not in head
    with raw.dial(gateway.ports[0]) as client:
        client.sendall(plain + b"\r\n")
        assert told(client).startswith(b"HTTP/1.1 407 ")


def told(client: socket.socket) -> bytes:
    """The head of an answer, whose body is read, too."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += raw.exactly(client, 1)
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length: "):
            raw.exactly(client, int(line.partition(b": ")[2]))
    return head
