"""
What sessions carry, through a real gateway: rules by it, and what is recorded.
"""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from tests.live import raw
from tests.live.browser import headless
from tests.live.running import HEAD, ROOT, Running, running
from tests.live.servers import Certificate, Destination, Web, echo, program
from tests.live.sshd import Sshd
from tests.tools.waiting import until

RULES = """
[inspect]
timeout = "1s"
[[rule]]
id = "ours"
allow = ["connect"]
application = ["tls"]
server_name = ["*.corp.example"]
"""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One gateway, which lets TLS for some names through."""
    yield from running(tmp_path_factory.mktemp("inspection"), HEAD + RULES)


@pytest.fixture
def secure(certificate: Certificate) -> Iterator[Destination]:
    """A server of TLS that sends back what it gets."""
    context = certificate.server()

    def serve(connection: socket.socket) -> None:
        try:
            with context.wrap_socket(connection, server_side=True) as tls:
                while octets := tls.recv(65536):
                    tls.sendall(octets)
        except OSError:
            return

    with Destination(serve) as server:
        yield server


def tunnelled(gateway: Running, port: int) -> socket.socket:
    return raw.through(raw.dial(gateway.port), "127.0.0.1", port)


def hello(name: str, connection: socket.socket) -> ssl.SSLSocket:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context.wrap_socket(connection, server_hostname=name)


def lines(gateway: Running, port: int) -> list[dict[str, Any]]:
    """What the journal tells of the latest session to a port, which has ended."""
    raw.end(gateway, port)
    session = raw.decision(gateway, port)["session"]
    return [e for e in gateway.journal() if e.get("session") == session]


def test_aServerNameIsAllowed(gateway: Running, secure: Destination) -> None:
    """
    TLS for a name of the rule goes through, spliced behind the look, and the record
    tells what it was.
    """
    before = gateway.pipes
    with hello("www.corp.example", tunnelled(gateway, secure.port)) as tls:
        tls.sendall(b"octets" * 400_000)
        got = b""
        while len(got) < 2_400_000:
            got += tls.recv(65536)
        assert got == b"octets" * 400_000
    assert gateway.pipes > before
    decision, inspected, end = lines(gateway, secure.port)
    assert decision["verdict"] == "allow"
    assert (decision["rule"], decision["inspect"]) == ("ours", True)
    found = {
        "application": "tls",
        "server_name": "www.corp.example",
        "alpn": ["h2", "http/1.1"],
    }
    assert inspected == inspected | found | {"verdict": "allow", "rule": "ours"}
    assert end == end | found
    assert end["reason"] in ("closed", "client-reset")
    assert end["sent"] > 60000
    assert end["received"] > 60000


def test_anotherServerNameIsCut(gateway: Running, secure: Destination) -> None:
    """TLS for another name gets no octet to the server, and the client a reset."""
    connection = tunnelled(gateway, secure.port)
    with connection, pytest.raises(OSError):
        hello("www.other.example", connection)
    decision, inspected, end = lines(gateway, secure.port)
    assert decision["inspect"] is True
    assert (inspected["verdict"], inspected["rule"]) == ("deny", "default")
    assert inspected["server_name"] == "www.other.example"
    assert (end["reason"], end["sent"], end["received"]) == ("inspected", 0, 0)
    assert end["rule"] == "default"


def test_whatIsNotTLSIsCut(gateway: Running) -> None:
    """Octets of no known protocol are not passed on."""
    with Destination(echo) as server:
        with tunnelled(gateway, server.port) as client:
            client.sendall(b"\0\1\2\3 something else")
            with pytest.raises(ConnectionResetError):
                client.recv(100)
        _, inspected, end = lines(gateway, server.port)
    assert inspected["application"] == "other"
    assert (end["reason"], end["sent"]) == ("inspected", 0)


def test_anEndlessHelloIsCut(gateway: Running, secure: Destination) -> None:
    """A hello that does not come to its end in time is nothing that a rule allows."""
    with tunnelled(gateway, secure.port) as client:
        client.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    until(lambda: lines(gateway, secure.port))
    _, inspected, _ = lines(gateway, secure.port)
    assert (inspected["application"], inspected["verdict"]) == ("unknown", "deny")


# The manual's configuration, and real programs.


@pytest.fixture(scope="module")
def chapter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A gateway with the configuration of the chapter."""
    text = (ROOT / "socksgw" / "manual" / "inspection.rst").read_text("utf-8")
    block = text.partition(".. code-block:: toml\n")[2].partition(
        "\n``socksgw explain"
    )[0]
    configuration = dedent(block).replace("127.0.0.1:1080", "127.0.0.1:0")
    yield from running(tmp_path_factory.mktemp("chapter"), configuration)


class Bridge(Destination):
    """A port that leads through the gateway, for programs that know no proxy."""

    def __init__(self, gateway: int, port: int) -> None:
        self._ends = gateway, port
        super().__init__(self._carry)

    def _carry(self, near: socket.socket) -> None:
        gateway, port = self._ends
        with raw.through(raw.dial(gateway), "127.0.0.1", port) as far:
            back = threading.Thread(target=_copy, args=(far, near), daemon=True)
            back.start()
            _copy(near, far)
            back.join(20)


def _copy(one: socket.socket, other: socket.socket) -> None:
    try:
        while octets := one.recv(65536):
            other.sendall(octets)
        other.shutdown(socket.SHUT_WR)
    except OSError:
        # Whoever reads it is woken.
        with suppress(OSError):
            other.shutdown(socket.SHUT_RDWR)


def run(*command: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, input=stdin, capture_output=True, text=True, timeout=60, check=False
    )


def test_curl(chapter: Running, web: Callable[..., Web]) -> None:
    """curl's hello and its request: the name and the host are found."""
    curl = program("curl", "curl")
    for secure, scheme in ((True, "https"), (False, "http")):
        server = web("127.0.0.1", secure)
        url = f"{scheme}://www.corp.example:{server.port}/x"
        to = f"www.corp.example:{server.port}:127.0.0.1"
        proxy = f"socks5://127.0.0.1:{chapter.port}"
        done = run(curl, "-sSk", "--resolve", to, "-x", proxy, url)
        assert "served: /x" in done.stdout, done.stderr
        *_, end = lines(chapter, server.port)
        assert end["server_name"] == "www.corp.example"
        if secure:
            assert (end["application"], end["alpn"][-1]) == ("tls", "http/1.1")
        else:
            assert (end["application"], end["http_method"]) == ("http", "GET")
            assert end["rule"] == "plain"


def test_anotherNameIsAMismatch(chapter: Running, web: Callable[..., Web]) -> None:
    """A name is asked for, and the request is for another one: it never arrives."""
    server = web("127.0.0.1")
    curl = [program("curl", "curl"), "-sS", "-H", "Host: other.example"]
    curl += ["-x", f"socks5h://127.0.0.1:{chapter.port}"]
    done = run(*curl, f"http://localhost:{server.port}/x")
    assert done.returncode != 0
    *_, end = lines(chapter, server.port)
    assert (end["reason"], end["mismatch"], end["sent"]) == ("mismatch", True, 0)


# The ssl module leaves a socket open that was reset before it is wrapped.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_openssl(chapter: Running, secure: Destination) -> None:
    """s_client through the gateway, with a name that no rule has, and with one."""
    openssl = program("openssl", "openssl")
    for name, allowed in (("a.corp.example", True), ("b.example", False)):
        with Bridge(chapter.port, secure.port) as bridge:
            done = run(
                openssl, "s_client", "-connect", f"127.0.0.1:{bridge.port}",
                "-servername", name, "-alpn", "h2",
            )  # fmt: skip
        assert ("BEGIN CERTIFICATE" in done.stdout) == allowed, done.stderr
        *_, end = lines(chapter, secure.port)
        assert (end["server_name"], end["alpn"]) == (name, ["h2"])
        assert (end["reason"] == "inspected") != allowed


def test_ssh(chapter: Running, tmp_path: Path, quiet: dict[str, str]) -> None:
    """OpenSSH: the banner of either side is enough, and nothing goes on."""
    directory = tmp_path / "ssh"
    directory.mkdir()
    server = Sshd(directory, quiet)
    try:
        server.ready()
        with Bridge(chapter.port, server.port) as bridge:
            done = run(
                program("ssh", "openssh-client"), "-p", str(bridge.port),
                "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no",
                "-o", f"UserKnownHostsFile={tmp_path}/known", "127.0.0.1", "true",
            )  # fmt: skip
        assert done.returncode == 255
        *_, end = lines(chapter, server.port)
    finally:
        server.stop()
    assert end["application"] == "ssh"
    assert end["detail"].startswith("SSH-2.0-OpenSSH")
    assert (end["reason"], end["received"]) == ("inspected", 0)


def test_dig(chapter: Running) -> None:
    """dig over TCP: the name is found."""

    def serve(connection: socket.socket) -> None:
        query = connection.recv(600)
        connection.sendall(query[:4] + b"\x81\x83" + query[6:])

    with Destination(serve) as server, Bridge(chapter.port, server.port) as bridge:
        run(
            program("dig", "bind9-dnsutils"), "+tcp", "+tries=1", "+time=5",
            "-p", str(bridge.port), "@127.0.0.1", "www.Example.org",
        )  # fmt: skip
        *_, end = lines(chapter, server.port)
    assert (end["application"], end["detail"]) == ("dns", "www.example.org")
    assert end["rule"] == "plain"


def test_chromium(chapter: Running, web: Callable[..., Web], tmp_path: Path) -> None:
    """Its hello has ML-KEM and an ECH of grease; the page comes, the name is found."""
    server = web("127.0.0.1", True)
    command = [*headless(tmp_path), "--dump-dom", "--ignore-certificate-errors"]
    command += ["--host-resolver-rules=MAP www.corp.example 127.0.0.1"]
    command += [f"--proxy-server=socks4://127.0.0.1:{chapter.port}"]
    done = run(*command, f"https://www.corp.example:{server.port}/browser")
    assert "served: /browser</p>" in done.stdout, done.stderr
    ends = until(
        lambda: (
            [e for e in chapter.journal("end") if e.get("ech")] and chapter.journal()
        )
    )
    end = next(e for e in ends if e["event"] == "end" and e.get("ech"))
    assert (end["application"], end["server_name"]) == ("tls", "www.corp.example")
    assert "h2" in end["alpn"]
