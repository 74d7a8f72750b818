"""
Sessions that rules look into, by each way that they come to the gateway and leave it.
"""

from __future__ import annotations

import re
import socket
import ssl
import struct
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.live import raw
from tests.live.browser import headless
from tests.live.running import HEAD, OPEN, Running, running
from tests.live.servers import Destination, echo, program
from tests.live.transports import TRANSPORTS, Serving, opened, serving
from tests.tools.waiting import until

#: TLS for one domain alone; nothing else is let through.
RULES = """
[[rule]]
id = "ours"
allow = ["connect"]
application = ["tls"]
server_name = ["*.corp.example"]
[never]
except = ["127.0.0.0/8"]
"""
OURS, OTHER = "www.corp.example", "www.other.example"
#: The group X25519MLKEM768 (draft-ietf-tls-ecdhe-mlkem section 4.1), and how long
#: the share of its client is.
ML_KEM, SHARE = 0x11EC, 1184 + 32


@pytest.fixture(scope="module")
def gateways(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A listener for each transport."""
    with serving(tmp_path_factory.mktemp("looking"), RULES) as gateways:
        yield gateways


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One that goes on to another one, and compares the names in what it looks at."""
    directory = tmp_path_factory.mktemp("looks")
    beyond = directory / "beyond"
    beyond.mkdir()
    for upstream in running(beyond, OPEN):
        text = f"""
        [inspect]
        mismatch = "cut"
        [[upstream]]
        name = "beyond"
        url = "socks5://127.0.0.1:{upstream.port}"
        [[rule]]
        id = "no-more-http"
        deny = ["connect"]
        application = ["http"]
        report_only = true
        [[rule]]
        id = "no-proxies"
        deny = ["connect"]
        application = ["socks"]
        [[rule]]
        id = "beyond"
        allow = ["connect"]
        to = ["127.0.0.2"]
        application = ["tls"]
        server_name = ["*.corp.example"]
        via = ["beyond"]
        [[rule]]
        id = "all"
        allow = ["connect"]
        to = ["127.0.0.1"]
        """
        yield from running(directory, HEAD + text)


def hello(name: str) -> bytes:
    """The hello of the ssl module's library."""
    out = ssl.MemoryBIO()
    tls = ssl.create_default_context().wrap_bio(
        ssl.MemoryBIO(), out, server_hostname=name
    )
    with suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    return out.read()


def story(gateway: Running, port: int) -> list[dict[str, Any]]:
    """The lines of the latest session to a port, which has ended."""
    raw.end(gateway, port)
    session = raw.decision(gateway, port)["session"]
    return [e for e in gateway.journal() if e.get("session") == session]


@pytest.mark.parametrize("name", TRANSPORTS)
def test_eachTransport(gateways: Serving, name: str) -> None:
    """What the rule allows is passed on whole, and of other content not an octet."""
    octets = hello(OURS)
    with Destination(echo) as server:
        with opened(gateways, name) as client:
            client.connect(server.port)
            client.sendall(octets)
            assert raw.exactly(client.socket, len(octets)) == octets
            client.sendall(b"and more")
            assert raw.exactly(client.socket, 8) == b"and more"
        decision, inspected, end = story(gateways, server.port)
        assert (decision["listener"], decision["inspect"]) == (name, True)
        assert (inspected["verdict"], inspected["server_name"]) == ("allow", OURS)
        assert (end["application"], end["sent"]) == ("tls", len(octets) + 8)
        with opened(gateways, name) as client:
            client.connect(server.port)
            client.sendall(hello(OTHER))
            got = b""
            with suppress(OSError):
                got = client.recv(1)
            assert got == b""
        _, inspected, end = story(gateways, server.port)
    assert (inspected["verdict"], inspected["rule"]) == ("deny", "default")
    assert (end["reason"], end["sent"], end["rule"]) == ("inspected", 0, "default")


def test_upstream(gateway: Running) -> None:
    """The same through an upstream, which is sent no octet of what is denied."""
    octets = hello(OURS)
    with Destination(echo, "127.0.0.2") as server:
        with raw.through(raw.dial(gateway.port), "127.0.0.2", server.port) as client:
            client.sendall(octets)
            assert raw.exactly(client, len(octets)) == octets
        _, inspected, end = story(gateway, server.port)
        assert (inspected["verdict"], inspected["rule"]) == ("allow", "beyond")
        assert (end["path"], end["server_name"]) == ("beyond", OURS)
        with raw.through(raw.dial(gateway.port), "127.0.0.2", server.port) as client:
            client.sendall(hello(OTHER))
            with pytest.raises(ConnectionResetError):
                client.recv(1)
        *_, end = story(gateway, server.port)
    assert (end["reason"], end["sent"], end["path"]) == ("inspected", 0, "beyond")


@pytest.mark.parametrize(
    ("greeting", "detail"),
    [
        (raw.GREETING, "5"),
        (raw.request4("192.0.2.1", 80), "4 192.0.2.1:80"),
        (raw.request4(b"far.example", 80), "4a far.example:80"),
    ],
)
def test_socksInSocks(gateway: Running, greeting: bytes, detail: str) -> None:
    """A client that goes on to another gateway by this one is cut."""
    with Destination(echo) as server:
        with raw.through(raw.dial(gateway.port), "127.0.0.1", server.port) as client:
            client.sendall(greeting)
            with pytest.raises(ConnectionResetError):
                client.recv(1)
        _, inspected, end = story(gateway, server.port)
    assert (inspected["verdict"], inspected["rule"]) == ("deny", "no-proxies")
    assert (end["application"], end["detail"], end["sent"]) == ("socks", detail, 0)
    assert (end["reason"], end["rule"]) == ("inspected", "no-proxies")


def test_anotherName(gateway: Running) -> None:
    """TLS for another name than was asked for is cut, and the same name is not."""
    with Destination(echo) as server:
        with raw.through(raw.dial(gateway.port), b"localhost", server.port) as client:
            client.sendall(hello(OTHER))
            with pytest.raises(ConnectionResetError):
                client.recv(1)
        *_, end = story(gateway, server.port)
        assert (end["reason"], end["mismatch"], end["sent"]) == ("mismatch", True, 0)
        assert (end["server_name"], OTHER in end["why"]) == (OTHER, True)
        octets = hello("localhost")
        with raw.through(raw.dial(gateway.port), b"localhost", server.port) as client:
            client.sendall(octets)
            assert raw.exactly(client, len(octets)) == octets
        *_, end = story(gateway, server.port)
    assert (end["reason"], end.get("mismatch")) == ("closed", None)


def test_reportOnly(gateway: Running) -> None:
    """A rule that only reports is told by what the session may carry, then carries."""
    mayBe = ["no-more-http: deny"]
    request = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
    for octets, reported in ((request, mayBe), (hello("localhost"), [])):
        with Destination(echo) as server:
            with raw.through(
                raw.dial(gateway.port), b"localhost", server.port
            ) as client:
                client.sendall(octets)
                assert raw.exactly(client, len(octets)) == octets
            decision, inspected, end = story(gateway, server.port)
        assert decision["reports"] == mayBe
        for line in (inspected, end):
            assert line.get("reports", mayBe) == reported


def shares(octets: bytes) -> dict[int, int]:
    """The groups of a hello's key shares, with the octets of each (RFC 8446 4.2.8)."""
    at = 5 + 4 + 2 + 32
    at += 1 + octets[at]
    at += 2 + int.from_bytes(octets[at : at + 2], "big")
    at += 1 + octets[at]
    at += 2
    while at < len(octets):
        kind, length = struct.unpack_from(">HH", octets, at)
        at += 4
        if kind == 51:
            found, end, at = dict[int, int](), at + length, at + 2
            while at < end:
                group, size = struct.unpack_from(">HH", octets, at)
                found[group] = size
                at += 4 + size
            return found
        at += length
    return {}


def unread(gateway: Running, client: socket.socket) -> bool:
    """Whether octets of a client wait in the gateway's socket."""
    mine, theirs = client.getsockname()[1], gateway.port
    table = Path("/proc/net/tcp").read_text()
    line = re.search(rf":{theirs:04X} \w+:{mine:04X} 01 \w+:(\w+)", table)
    assert line is not None
    return int(line[1], 16) != 0


def test_mlkem(gateways: Serving, tmp_path: Path) -> None:
    """
    Chromium's hello, with a share of ML-KEM, is longer than a segment; it is known by
    its name also where its pieces come one by one.
    """
    came: list[bytes] = []

    def keep(connection: socket.socket) -> None:
        # A browser that is ended may have connected once more.
        with suppress(AssertionError, OSError):
            octets = raw.exactly(connection, 5)
            octets += raw.exactly(connection, int.from_bytes(octets[3:], "big"))
            came.append(octets)

    command = [*headless(tmp_path), f"--host-resolver-rules=MAP {OURS} 127.0.0.1"]
    with Destination(keep) as server:
        browser = subprocess.Popen(
            [*command, f"https://{OURS}:{server.port}/"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            until(lambda: came, 30)
        finally:
            browser.terminate()
            browser.wait(20)
    octets = came[0]
    assert shares(octets)[ML_KEM] == SHARE
    assert len(octets) > 1460
    with Destination(echo) as server:
        with raw.through(raw.dial(gateways.port), "127.0.0.1", server.port) as client:
            for part in (octets[:600], octets[600:1460], octets[1460:]):
                client.sendall(part)
                until(lambda: not unread(gateways, client))
            assert raw.exactly(client, len(octets)) == octets
        _, inspected, end = story(gateways, server.port)
    assert (inspected["server_name"], inspected["verdict"]) == (OURS, "allow")
    assert (end["sent"], "h2" in end["alpn"]) == (len(octets), True)


JAVA = """
import java.net.*;
import javax.net.ssl.*;

public class Hello {
    public static void main(String[] all) throws Exception {
        Proxy proxy = new Proxy(Proxy.Type.SOCKS,
            new InetSocketAddress("127.0.0.1", Integer.parseInt(all[0])));
        Socket below = new Socket(proxy);
        below.connect(new InetSocketAddress("127.0.0.1", Integer.parseInt(all[1])));
        SSLSocketFactory made = (SSLSocketFactory) SSLSocketFactory.getDefault();
        SSLSocket above = (SSLSocket) made.createSocket(below, all[2], 443, true);
        SSLParameters with = above.getSSLParameters();
        with.setApplicationProtocols(new String[] {"h2", "http/1.1"});
        above.setSSLParameters(with);
        try {
            above.startHandshake();
        } catch (SSLException e) {
            System.out.print(e.getMessage());
        }
    }
}
"""


def test_java(gateways: Serving, tmp_path: Path) -> None:
    """Java's hello (JSSE): its name and its protocols are found."""
    (tmp_path / "Hello.java").write_text(JAVA)
    command = [program("java", "openjdk-17-jdk-headless"), "-XX:TieredStopAtLevel=1"]
    came: list[bytes] = []

    def refuse(connection: socket.socket) -> None:
        came.append(connection.recv(1 << 14))
        # A fatal alert: handshake_failure (RFC 8446 section 6).
        connection.sendall(b"\x15\x03\x03\0\2\2\x28")

    with Destination(refuse) as server:
        done = subprocess.run(
            [*command, "Hello.java", str(gateways.port), str(server.port), OURS],
            cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True,
        )  # fmt: skip
        assert "handshake_failure" in done.stdout, done.stderr
        _, inspected, end = story(gateways, server.port)
    assert (inspected["verdict"], inspected["server_name"]) == ("allow", OURS)
    assert (end["alpn"], end["sent"]) == (["h2", "http/1.1"], len(came[0]))
