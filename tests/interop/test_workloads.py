"""
Workloads of SPIFFE by their certificates, in SOCKS and HTTP, while the bundle of
their authorities is renewed.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import pytest

from tests.interop.partners import House
from tests.live import raw
from tests.live.running import LOOPBACK, running
from tests.live.servers import Destination, echo
from tests.tools.certificates import Authority, Issued, dns, pemOf, uri
from tests.tools.waiting import until

CONFIGURATION = (
    """
[[listen]]
name = "mesh"
address = ["127.0.0.1:0"]
protocols = ["socks5", "socks6", "http"]
[listen.tls]
certificate = "gw.pem"
key = "gw.key"
client_ca = "bundle.pem"
client_certificate = "required"
identity = ["uri"]
[[auth.choose]]
methods = ["certificate"]
[[rule]]
id = "shell"
deny = "any"
who = ["spiffe://corp.example/ci/shell/*"]
[[rule]]
id = "ci"
allow = ["connect"]
who = ["spiffe://corp.example/ci/*"]
"""
    + LOOPBACK
)
BUILD = uri("spiffe://corp.example/ci/build")


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """A gateway of its own."""
    made = House(tmp_path / "house")
    made.put("bundle.pem", pemOf(made.root.certificate))
    for gateway in running(made.directory, CONFIGURATION):
        made.gateway = gateway
        yield made


def patient(connection: socket.socket) -> None:
    """As C{echo}, for clients that are cut off."""
    with suppress(OSError):
        echo(connection)


def tunnel(client: ssl.SSLSocket, port: int, protocol: str) -> bool:
    """Whether a client of SOCKS or HTTP gets its connection."""
    if protocol != "http":
        return raw.asked(client, "127.0.0.1", port, int(protocol[-1])) == 0
    client.sendall(
        b"CONNECT 127.0.0.1:%d HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n" % (port, port)
    )
    heard = b""
    while b"\r\n\r\n" not in heard:
        heard += client.recv(1000)
    return heard.startswith(b"HTTP/1.1 200 ")


def works(client: ssl.SSLSocket) -> bool:
    """Whether octets go there and back."""
    client.sendall(b"through")
    return raw.exactly(client, 7) == b"through"


@pytest.mark.parametrize("protocol", ["socks5", "socks6", "http"])
def test_patterns(house: House, protocol: str) -> None:
    """A rule is for a part of a trust domain; the record has the workload's name."""
    with Destination(patient) as server:
        for path, allowed in (
            ("ci/build", True),
            ("ci/a/b/c", True),
            ("ci/shell/x", False),
            ("cix", False),
            ("ops", False),
        ):
            name = f"spiffe://corp.example/{path}"
            issued = house.root.issue(dns("pod.corp.example"), uri(name))
            with closing(house.dial(issued)) as client:
                assert tunnel(client, server.port, protocol) is allowed, name
            line = house.gateway.journal("decision")[-1]
            assert (line["user"], line["method"]) == (name, "certificate")


@pytest.mark.parametrize(
    "names",
    [
        [BUILD, uri("https://corp.example/")],
        [BUILD, uri("spiffe://corp.example/ci/other")],
        [uri("spiffe://corp.example/ci/../ops")],
        [uri("spiffe://corp.example")],
        [uri("spiffe://corp.example/ci/*")],
        [dns("corp.example")],
    ],
    ids=repr,
)
def test_noWorkload(house: House, names: list[object]) -> None:
    """What is not to the letter is nobody's, and reaches nothing."""
    issued = house.root.issue(*names)  # type: ignore[arg-type]
    with (
        Destination(patient) as server,
        suppress(OSError, EOFError, AssertionError),
        closing(house.dial(issued)) as client,
    ):
        assert not tunnel(client, server.port, "socks5")
    assert not house.gateway.journal("decision")


def opened(house: House, issued: Issued, port: int) -> ssl.SSLSocket:
    """A session that works."""
    client = house.dial(issued)
    try:
        assert tunnel(client, port, "http")
        assert works(client)
    except BaseException:
        client.close()
        raise
    return client


def test_renewed(house: House) -> None:
    """
    From one authority over both to the other, with a cut file in between: nobody is
    out who has a certificate of an authority that is believed.
    """
    new = Authority("New CA")
    both = pemOf(house.root.certificate, new.certificate)
    read = lambda: len(house.gateway.journal("tls-read"))  # noqa: E731
    with Destination(patient) as server, ExitStack() as stack:
        old = stack.enter_context(
            closing(opened(house, house.root.issue(BUILD), server.port))
        )
        # A writer that is cut off leaves what was.
        for octets in (both[: len(both) - 200], b""):
            told = len(house.gateway.journal("tls-failed"))
            house.put("bundle.pem", octets)
            (line,) = until(
                lambda told=told: house.gateway.journal("tls-failed")[told:]
            )
            assert "the CAs that it had are believed meanwhile" in line["problems"][0]
            assert works(old)
            opened(house, house.root.issue(BUILD), server.port).close()
        before = read()
        house.put("bundle.pem", both)
        until(lambda: read() > before)
        young = stack.enter_context(
            closing(opened(house, new.issue(BUILD), server.port))
        )
        assert works(old)
        # The old one goes; with it go those who have nothing else.
        before = read()
        house.put("bundle.pem", pemOf(new.certificate))
        until(lambda: read() > before)
        assert works(young)
        (line,) = until(
            lambda: [
                each
                for each in house.gateway.journal("end")
                if each["reason"] == "revoked"
            ]
        )
        assert "the client's certificate" in line["why"]
        with pytest.raises((OSError, AssertionError, EOFError)):
            opened(house, house.root.issue(BUILD), server.port)
