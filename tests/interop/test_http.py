"""
What clients of HTTP are told by a real gateway: each cause, its status and its text.
"""

from __future__ import annotations

import signal
import socket
from base64 import b64encode
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from tests.live import raw
from tests.live.running import LOOPBACK, Running, running, socksgw
from tests.live.servers import Destination, Full, echo, untilEnd
from tests.tools.waiting import until

USER, PASSWORD = "alice", "correct-horse"
HTTP = '[http]\nreasons = {reasons}\nrealm = "{realm}"\n'
CONFIGURATION = (
    """
[[listen]]
name = "open"
address = ["127.0.0.1:0"]
protocols = ["socks5", "http"]
[[listen]]
name = "login"
address = ["127.0.0.1:0"]
protocols = ["socks5", "http"]
[auth]
checkers = ["passwd:users"]
throttle = { per_user = 2, per_source = 0, window = "10m" }
[[auth.choose]]
listener = ["login"]
methods = ["userpass"]
[[auth.choose]]
methods = ["none"]
[timeouts]
connect = "1s"
handshake = "2s"
[[rule]]
id = "no-nine"
deny = "any"
to = ["127.0.0.9"]
[[rule]]
id = "one-at-a-time"
allow = ["connect"]
to = ["127.0.0.5"]
limits = { per = "source", sessions = 1 }
[[rule]]
id = "all"
allow = ["connect"]
to = ["127.0.0.0/8", "*.invalid"]
"""
    + LOOPBACK
)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A gateway that tells reasons."""
    directory = tmp_path_factory.mktemp("http")
    made = socksgw("passwd", "users", USER, cwd=directory, stdin=f"{PASSWORD}\n")
    assert made.returncode == 0, made.stderr
    text = CONFIGURATION + HTTP.format(reasons="true", realm="here")
    yield from running(directory, text)


def asked(port: int, place: str, *fields: str) -> tuple[int, bytes]:
    """Ask for a tunnel; return the status, and the whole answer to its end."""
    with raw.dial(port) as client:
        lines = [f"CONNECT {place} HTTP/1.1", f"Host: {place}", *fields, "", ""]
        client.sendall("\r\n".join(lines).encode())
        octets = untilEnd(client)
    return int(octets.split(b" ", 2)[1]), octets


def closed() -> int:
    """A port where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


@pytest.mark.parametrize(
    ("place", "status", "told"),
    [
        ("127.0.0.9:80", 403, b'"no-nine"'),
        ("10.0.0.1:80", 403, b'"default"'),
        ("169.254.169.254:80", 403, b'"never"'),
        ("user@127.0.0.1:80", 400, b"(bad-destination)"),
        ("127.0.0.1:0", 400, b"(bad-destination)"),
        ("127.0.0.1", 400, b"a host and a port"),
        ("name.invalid:80", 502, b"(no-such-host)"),
    ],
)
def test_causes(gateway: Running, place: str, status: int, told: bytes) -> None:
    """The status of the cause, and rule and reason for people."""
    found, octets = asked(gateway.ports[0], place)
    assert found == status, octets
    assert told in octets
    head, _, body = octets.partition(b"\r\n\r\n")
    assert b"Content-Type: text/plain" in head
    assert b"Content-Length: %d\r\n" % len(body) in head


def test_refusedByTheDestination(gateway: Running) -> None:
    """A closed port is 502, with the same reason as in SOCKS."""
    port = closed()
    status, octets = asked(gateway.ports[0], f"127.0.0.1:{port}")
    assert (status, b"(refused)" in octets) == (502, True)
    assert raw.end(gateway, port)["reason"] == "refused"


def test_late(gateway: Running) -> None:
    """A destination that does not answer is 504, of a tunnel and of a request."""
    for method, target in (("CONNECT", "{}"), ("GET", "http://{}/")):
        with Full() as full, raw.dial(gateway.ports[0]) as client:
            place = f"127.0.0.1:{full.port}"
            line = f"{method} {target.format(place)} HTTP/1.1"
            ending = f"Host: {place}\r\nConnection: close\r\n\r\n"
            client.sendall(f"{line}\r\n{ending}".encode())
            octets = untilEnd(client)
            assert octets.startswith(b"HTTP/1.1 504 "), octets
            assert b"(connect-timeout)" in octets
            assert raw.end(gateway, full.port)["reason"] == "connect-timeout"


def test_limit(gateway: Running, destination: Callable[..., Destination]) -> None:
    """One more than may be is 429, and told when to try again."""
    server = destination(echo, "127.0.0.5")
    place = f"127.0.0.5:{server.port}"
    with raw.dial(gateway.ports[0]) as client:
        client.sendall(f"CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n\r\n".encode())
        assert raw.exactly(client, 12) == b"HTTP/1.1 200"
        status, octets = asked(gateway.ports[0], place)
    assert status == 429
    assert b"\r\nRetry-After: 1\r\n" in octets


def test_slow(gateway: Running) -> None:
    """A request that is not whole in time is 408."""
    with raw.dial(gateway.ports[0]) as client:
        client.sendall(b"CONNECT 127.0.0.1:80 HTTP/1.1\r\nHost: ")
        assert untilEnd(client).startswith(b"HTTP/1.1 408 ")


def test_throttled(gateway: Running) -> None:
    """Beyond the throttle's bound the right password is 407, too, in the same words."""
    right = "Proxy-Authorization: Basic YWxpY2U6Y29ycmVjdC1ob3JzZQ=="
    wrong = [
        "Proxy-Authorization: Basic " + b64encode(f"alice:{n}".encode()).decode()
        for n in range(3)
    ]
    place = f"127.0.0.1:{closed()}"
    assert asked(gateway.ports[1], place, right)[0] == 502
    answers = {asked(gateway.ports[1], place, field) for field in [*wrong, right]}
    ((status, octets),) = answers
    assert status == 407
    assert b'Proxy-Authenticate: Basic realm="here", charset="UTF-8"\r\n' in octets
    reasons = [line["reason"] for line in gateway.journal("login-failed")]
    assert reasons[-1] == "throttled"


def test_reload(gateway: Running) -> None:
    """[http] counts for the next client."""

    def told() -> tuple[bool, bool]:
        _, refusal = asked(gateway.ports[0], "127.0.0.9:80")
        _, challenge = asked(gateway.ports[1], "127.0.0.9:80", "Connection: close")
        return b"no-nine" in refusal, b'realm="here"' in challenge

    assert told() == (True, True)
    file = gateway.directory / "gw.toml"
    before = file.read_text()
    for text, expected in (
        (before.replace("reasons = true", "").replace('"here"', '"there"'), False),
        (before, True),
    ):
        file.write_text(text)
        reloads = len(gateway.journal("reloaded"))
        gateway.process.send_signal(signal.SIGHUP)
        until(partial(lambda n: len(gateway.journal("reloaded")) > n, reloads))
        assert told() == (expected, expected)
