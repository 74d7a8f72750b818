"""
What sessions carry, through a real gateway: rules by it, and what is recorded.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from typing import Any

import pytest

from tests.live import raw
from tests.live.running import HEAD, Running, running
from tests.live.servers import Certificate, Destination, echo
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
    """TLS for a name of the rule goes through, and the record tells what it was."""
    with hello("www.corp.example", tunnelled(gateway, secure.port)) as tls:
        tls.sendall(b"octets" * 10000)
        got = b""
        while len(got) < 60000:
            got += tls.recv(65536)
        assert got == b"octets" * 10000
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
