"""
Requests that are passed on, through a gateway that runs, octet by octet.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.live import raw
from tests.live.names import KnownNames
from tests.live.origin import Origin, Request, answer
from tests.live.running import LOOPBACK, Running, resident, running, socksgw
from tests.tools.waiting import until

USER, PASSWORD = "alice", "canary-e47a"
HEAD = (
    """
[[listen]]
name = "main"
address = ["127.0.0.1:0"]
protocols = ["socks5", "http"]
[[listen]]
name = "login"
address = ["127.0.0.1:0"]
protocols = ["http"]
[http]
reasons = true
[auth]
checkers = ["passwd:users"]
[[auth.choose]]
listener = ["main"]
from = ["127.0.0.0/8"]
methods = ["none"]
[[auth.choose]]
listener = ["login"]
methods = ["userpass"]
"""
    + LOOPBACK
)
RULES = """
[[rule]]
id = "no"
deny = ["connect"]
ports = [81]
[[rule]]
id = "all"
allow = ["connect"]
"""
BASIC = b"Basic " + b64encode(f"{USER}:{PASSWORD}".encode())


def users(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    made = socksgw("passwd", "users", USER, cwd=directory, stdin=f"{PASSWORD}\n")
    assert made.returncode == 0, made.stderr


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    directory = tmp_path_factory.mktemp("forwarding")
    users(directory)
    yield from running(directory, HEAD + RULES)


@contextmanager
def started(directory: Path, rules: str = RULES) -> Iterator[Running]:
    users(directory)
    yield from running(directory, HEAD + rules)


def get(url: bytes, fields: bytes = b"", method: bytes = b"GET") -> bytes:
    return method + b" " + url + b" HTTP/1.1\r\nHost: x\r\n" + fields + b"\r\n"


def told(connection: socket.socket, head: bool = False) -> tuple[bytes, bytes]:
    """
    One answer of a known length.

    @return: its head, and its body.
    """
    octets = b""
    while b"\r\n\r\n" not in octets:
        came = connection.recv(1)
        assert came, octets
        octets += came
    length = 0
    for line in octets.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            length = int(line.partition(b":")[2])
    return octets, b"" if head else raw.exactly(connection, length)


def hello(request: Request) -> None:
    """Answer with the path; read what is posted."""
    line, *fields = request.head.split(b"\r\n")
    for field in fields:
        name, _, value = field.partition(b": ")
        if name == b"Content-Length":
            request.body(int(value))
    request.say(answer(line.split(b" ")[1]))


def ended(gateway: Running) -> list[dict[str, Any]]:
    return gateway.journal("end")


def numbers(gateway: Running, event: str, port: int) -> list[int]:
    """The sessions to a port, by their decisions or ends."""
    found = [d["session"] for d in gateway.journal("decision") if d["port"] == port]
    if event == "decision":
        return found
    return [d["session"] for d in gateway.journal(event) if d["session"] in found]


def test_eachRequestIsASession(gateway: Running) -> None:
    """Judged on its own destination, with a decision and an end of its own."""
    with Origin(hello) as one, Origin(hello) as two, raw.dial(gateway.port) as client:
        for origin in (one, two, one):
            client.sendall(get(origin.url("/a")))
            assert told(client)[1] == b"/a"
        client.sendall(get(b"http://127.0.0.1:81/"))
        head, body = told(client)
        assert head.startswith(b"HTTP/1.1 403 ")
        assert b'"no"' in body
        client.sendall(get(one.url("/b")))
        assert told(client)[1] == b"/b"
        until(lambda: len(numbers(gateway, "end", one.port)) == 3)
        assert len(numbers(gateway, "decision", one.port)) == 3
        assert len(numbers(gateway, "end", two.port)) == 1
        (denied,) = [d for d in gateway.journal("decision") if d["port"] == 81]
        assert (denied["command"], denied["rule"]) == ("connect", "no")
        (end,) = [
            e
            for e in gateway.journal("end")
            if e["session"] == numbers(gateway, "end", two.port)[0]
        ]
        assert end["reason"] == "closed"
        assert end["sent"] == len(two.heads[0][1])
        assert end["received"] == len(answer(b"/a"))


def test_theConnectionIsUsedAgain(gateway: Running) -> None:
    """For the same client and destination, and for what may be sent again."""
    with Origin(hello) as origin, raw.dial(gateway.port) as client:
        for _ in range(3):
            client.sendall(get(origin.url()))
            told(client)
        assert [number for number, _ in origin.heads] == [0, 0, 0]
        client.sendall(get(origin.url(), b"Content-Length: 2\r\n", b"POST") + b"hi")
        told(client)
        client.sendall(get(origin.url()))
        told(client)
        assert [number for number, _ in origin.heads][3:] == [1, 1]
        with raw.dial(gateway.port) as other:
            other.sendall(get(origin.url()))
            told(other)
        assert origin.heads[-1][0] == 2


def test_aKeptConnectionIsClosedMeanwhile(gateway: Running) -> None:
    """The request goes by another one; the client notices nothing."""

    def serve(request: Request) -> bool:
        hello(request)
        # It closes without a word, as soon as there is another request.
        return not request.connection.recv(1)

    def once(request: Request) -> bool:
        hello(request)
        if request.number:
            return False
        request.connection.recv(1)
        return True

    with Origin(once) as origin, raw.dial(gateway.port) as client:
        for _ in range(2):
            client.sendall(get(origin.url()))
            assert told(client)[1] == b"/"
        assert [number for number, _ in origin.heads] == [0, 1]
        until(lambda: len(numbers(gateway, "end", origin.port)) == 2)


def test_pipelined(gateway: Running) -> None:
    """Requests that come at once are answered in turn, refusals among them."""
    with Origin(hello) as origin, raw.dial(gateway.port) as client:
        many = [get(origin.url(f"/{i}")) for i in range(20)]
        denied = get(b"http://127.0.0.1:81/")
        posted = get(
            b"http://127.0.0.1:81/", b"Content-Length: 40\r\n", b"POST"
        ) + b"GET http://127.0.0.1:1/ HTTP/1.1\r\n\r\n.."[:40].ljust(40)
        client.sendall(b"".join([*many[:10], denied, posted, *many[10:]]))
        found = [told(client) for _ in range(22)]
        assert [body for _, body in found[:10] + found[12:]] == [
            b"/%d" % i for i in range(20)
        ]
        for head, _ in found[10:12]:
            assert head.startswith(b"HTTP/1.1 403 ")


def test_aFloodOfRefusals(gateway: Running) -> None:
    """A client that takes no answers is not read for ever."""
    before = resident(gateway)
    with raw.dial(gateway.port) as client:
        client.setblocking(False)
        sent = 0
        end = time.monotonic() + 3
        request = get(b"http://127.0.0.1:81/") * 100
        while time.monotonic() < end and sent < 50_000_000:
            try:
                sent += client.send(request)
            except BlockingIOError:
                time.sleep(0.01)
            except OSError:
                break
    assert sent < 50_000_000
    assert resident(gateway) - before < 20_000_000


@pytest.mark.parametrize(
    ("target", "status"),
    [
        (b"/", b"400"),
        (b"https://127.0.0.1/", b"400"),
        (b"ftp://127.0.0.1/", b"501"),
        (b"http://alice:canary-e47a@127.0.0.1/", b"400"),
        (b"http://0x7f.1/", b"400"),
        (b"http://[::1%25lo]/", b"400"),
    ],
)
def test_targetsThatAreRefused(gateway: Running, target: bytes, status: bytes) -> None:
    """Nothing is dialled, and nothing of the target is repeated that may be secret."""
    with raw.dial(gateway.port) as client:
        client.sendall(get(target))
        head, body = told(client)
        assert head.split(b" ")[1] == status
        assert b"canary" not in body


#: Requests which two parsers may read in two ways: %s is an URL.
SMUGGLING = [
    b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST %s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 5, 6\r\n\r\nhello!",
    b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length : 5\r\n\r\nhello",
    b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r\nhello",
    b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 0x5\r\n\r\nhello",
    b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 5 5\r\n\r\nhello",
    b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length:\r\n\r\nhello",
    b"POST %s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    b"POST %s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    b"POST %s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    b"POST %s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
    b"POST %s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n",
    b"POST %s HTTP/1.1\r\nHost: x\r\nX: a\r\n Transfer-Encoding: chunked\r\n\r\n",
    b"POST %s HTTP/1.1\r\n Host: x\r\n\r\n",
    b"POST %s HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"GET %s HTTP/1.1\nHost: x\n\n",
    b"GET %s HTTP/1.1\r\nHost: x\n\r\n",
    b"GET %s HTTP/1.1\r\nHost: x\r\nX: a\rContent-Length: 5\r\n\r\n",
    b"GET %s HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
    b"GET %s HTTP/1.1\r\nX: y\r\n\r\n",
    b"GET %s HTTP/1.1\r\nHost: x\r\nX: a\0b\r\n\r\n",
    b"GET %s HTTP/1.1\r\nHost: x\r\n: y\r\n\r\n",
    b"GET %s HTTP/1.1\r\nHost: x\r\nX\r\n\r\n",
    b"GET  %s HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET %s  HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET %s\tHTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET %s HTTP/1.1 \r\nHost: x\r\n\r\n",
    b"GET %s HTTP/2.0\r\nHost: x\r\n\r\n",
    b"GET %s HTTP/0.9\r\nHost: x\r\n\r\n",
    b"GET %s\r\n\r\n",
    b"GET %s http/1.1\r\nHost: x\r\n\r\n",
    b"G(T %s HTTP/1.1\r\nHost: x\r\n\r\n",
]


@pytest.mark.parametrize("request_", SMUGGLING)
def test_smuggling(gateway: Running, request_: bytes) -> None:
    """A 4xx or 5xx, the connection's end, and never a dial."""
    with Origin(hello) as origin, raw.dial(gateway.port) as client:
        client.sendall(request_ % origin.url() + get(origin.url("/smuggled")))
        octets = b""
        while came := client.recv(65536):
            octets += came
        assert octets.split(b" ")[1] in (b"400", b"501", b"505"), octets
        assert octets.count(b"\r\nContent-Length: ") == 1
        assert b"\r\nConnection: close\r\n" in octets
        assert origin.heads == []


def test_theEndOfABody(gateway: Running) -> None:
    """What h11 takes for the end, and others do not, is none: nothing behind it counts."""

    def hear(request: Request) -> bool:
        request.body(1 << 20)
        return True

    for end in (b"0\r\n\n", b"0\r\nX: y\n\n", b"0\r\nX: y\r\n\n"):
        with Origin(hear) as origin, raw.dial(gateway.port) as client:
            post = get(origin.url(), b"Transfer-Encoding: chunked\r\n", b"POST")
            client.sendall(post + end + get(origin.url("/smuggled")))
            head, _ = told(client)
            assert head.startswith(b"HTTP/1.1 400 ")
            assert b"\r\nConnection: close\r\n" in head
            assert client.recv(1) == b""
            assert len(numbers(gateway, "decision", origin.port)) == 1
            assert not any(b"/smuggled" in head for _, head in origin.heads)


def test_aConnectionOfEachUser(tmp_path: Path) -> None:
    """A login at the destination may hold for its connection: it is one user's."""
    with started(tmp_path) as gateway:
        made = socksgw("passwd", "users", "bob", cwd=tmp_path, stdin=f"{PASSWORD}\n")
        assert made.returncode == 0, made.stderr
        bob = b"Basic " + b64encode(f"bob:{PASSWORD}".encode())
        with Origin(hello) as origin, raw.dial(gateway.ports[1]) as client:
            for login in (BASIC, BASIC, bob, bob, BASIC):
                fields = b"Proxy-Authorization: " + login + b"\r\n"
                client.sendall(get(origin.url(), fields))
                assert told(client)[0].startswith(b"HTTP/1.1 200 ")
            assert [number for number, _ in origin.heads] == [0, 0, 1, 1, 2]


def test_whatIsForTheDestination(gateway: Running) -> None:
    """Octets that a client sends behind CONNECT, unanswered, are no request to us."""
    login = b"Proxy-Authorization: " + BASIC + b"\r\n"
    with Origin(hello) as origin, raw.dial(gateway.ports[1]) as client:
        place = b"127.0.0.1:%d" % origin.port
        connect = b"CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n" % (place, place)
        client.sendall(connect + get(origin.url(), login))
        head, _ = told(client)
        assert head.startswith(b"HTTP/1.1 407 ")
        assert b"\r\nConnection: close\r\n" in head
        assert client.recv(1) == b""
        assert origin.heads == []


def test_theLoginIsEachRequests(gateway: Running) -> None:
    """407 where it is missing, on the same connection; it goes no further."""
    login = b"Proxy-Authorization: " + BASIC + b"\r\n"
    wrong = b"Proxy-Authorization: Basic " + b64encode(b"alice:wrong") + b"\r\n"
    with Origin(hello) as origin, raw.dial(gateway.ports[1]) as client:
        post = get(origin.url(), b"Content-Length: 5\r\n", b"POST")
        client.sendall(post + b"GET x")
        assert told(client)[0].startswith(b"HTTP/1.1 407 ")
        client.sendall(get(origin.url(), method=b"HEAD"))
        assert told(client, head=True)[0].startswith(b"HTTP/1.1 407 ")
        for _ in range(2):
            client.sendall(get(origin.url(), login))
            assert told(client)[0].startswith(b"HTTP/1.1 200 ")
        client.sendall(get(origin.url()))
        assert told(client)[0].startswith(b"HTTP/1.1 407 ")
        client.sendall(get(origin.url(), wrong))
        assert told(client)[0].startswith(b"HTTP/1.1 407 ")
        assert client.recv(1) == b""
        assert len(origin.heads) == 2
        assert all(b"Proxy" not in head for _, head in origin.heads)
        decisions = [d for d in gateway.journal("decision") if d["port"] == origin.port]
        assert {d["user"] for d in decisions} == {USER}
    everything = b"".join(
        file.read_bytes() for file in gateway.directory.glob("var/**/*.jsonl")
    )
    for secret in (PASSWORD.encode(), BASIC.split(b" ")[1]):
        assert secret not in everything
        assert secret.decode() not in gateway.log


def test_limitsAreOfEachRequest(tmp_path: Path) -> None:
    """A place is taken while a request lasts, and no longer; a quota ends it."""
    rules = """
[[rule]]
id = "one"
allow = ["connect"]
limits = { per = "source", sessions = 1, quota = "1MB/1d" }
"""
    with (
        Origin(hello) as origin,
        started(tmp_path, rules) as gateway,
        raw.dial(gateway.port) as one,
        raw.dial(gateway.port) as two,
    ):
        for _ in range(3):
            for client in (one, two):
                client.sendall(get(origin.url()))
                assert told(client)[0].startswith(b"HTTP/1.1 200 ")
        both = get(origin.url(), b"Content-Length: 900\r\n", b"POST")
        one.sendall(both)
        until(lambda: len(origin.heads) == 7)
        two.sendall(get(origin.url()))
        assert told(two)[0].startswith(b"HTTP/1.1 429 ")
        one.sendall(bytes(900))
        assert told(one)[0].startswith(b"HTTP/1.1 200 ")
        until(lambda: len(numbers(gateway, "end", origin.port)) == 7)
        big = get(origin.url(), b"Content-Length: 9000000\r\n", b"POST")
        two.sendall(big)
        with suppress(OSError):
            for _ in range(200):
                two.sendall(bytes(65536))
                time.sleep(0.02)
        until(lambda: ended(gateway)[-1]["reason"] == "quota")
        assert ended(gateway)[-1]["sent"] <= 1_000_000


def test_aLimitOfAnotherAddress(tmp_path: Path) -> None:
    """
    A kept connection counts by the rule of its address, whichever counts at first.
    """
    with KnownNames({"two.example": "127.0.0.2 127.0.0.1"}) as names:
        rules = f"""
[[rule]]
id = "first"
allow = ["connect"]
to = ["127.0.0.2"]
[[rule]]
id = "second"
allow = ["connect"]
to = ["127.0.0.1"]
limits = {{ per = "rule", sessions = 1 }}
[resolver]
servers = ["{names.place}"]
"""
        with (
            Origin(hello) as origin,
            started(tmp_path, rules) as gateway,
            raw.dial(gateway.port) as one,
            raw.dial(gateway.port) as two,
        ):
            named = get(b"http://two.example:%d/" % origin.port)
            for _ in range(2):
                one.sendall(named)
                assert told(one)[0].startswith(b"HTTP/1.1 200 ")
            assert [number for number, _ in origin.heads] == [0, 0]
            two.sendall(get(origin.url(), b"Content-Length: 9\r\n", b"POST"))
            until(lambda: len(origin.heads) == 3)
            one.sendall(named)
            assert told(one)[0].startswith(b"HTTP/1.1 429 ")
            two.sendall(bytes(9))
            assert told(two)[0].startswith(b"HTTP/1.1 200 ")
            one.sendall(named)
            assert told(one)[0].startswith(b"HTTP/1.1 200 ")


def test_aRuleThatVanishes(tmp_path: Path) -> None:
    """It ends the request that lives by it; the next one is judged by the new rules."""

    def slow(request: Request) -> None:
        if b"/slow" in request.head:
            request.say(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbegin")
        else:
            hello(request)

    with (
        Origin(slow) as origin,
        started(tmp_path) as gateway,
        raw.dial(gateway.port) as slowly,
        raw.dial(gateway.port) as client,
    ):
        client.sendall(get(origin.url()))
        told(client)
        slowly.sendall(get(origin.url("/slow")))
        raw.exactly(slowly, 42)
        rules = RULES.replace("ports = [81]", f"ports = [{origin.port}]")
        (tmp_path / "gw.toml").write_text(HEAD + rules)
        os.kill(gateway.process.pid, signal.SIGHUP)
        raw.exactly(slowly, 3)
        with pytest.raises(ConnectionResetError):
            slowly.recv(100)
        client.sendall(get(origin.url()))
        assert told(client)[0].startswith(b"HTTP/1.1 403 ")
        (end,) = [e for e in gateway.journal("end") if e["reason"] != "closed"]
        assert end["reason"] == "revoked"


def test_theGatewayStops(tmp_path: Path) -> None:
    """Who makes no request is closed at once; an answer under way says that it ends."""

    def slow(request: Request) -> None:
        time.sleep(0.5)
        hello(request)

    with (
        Origin(slow) as origin,
        started(tmp_path) as gateway,
        raw.dial(gateway.port) as resting,
        raw.dial(gateway.port) as client,
    ):
        resting.sendall(get(origin.url()))
        told(resting)
        client.sendall(get(origin.url()))
        until(lambda: len(origin.heads) == 2)
        gateway.process.send_signal(signal.SIGTERM)
        assert resting.recv(1) == b""
        assert b"\r\nConnection: close\r\n" in told(client)[0]
        assert client.recv(1) == b""
        gateway.process.wait(10)


def test_deadDestinations(gateway: Running) -> None:
    """502 before the head, and the connection goes on; a cut afterwards."""

    def serve(request: Request) -> bool:
        if b"/half" in request.head:
            request.say(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbegin")
        if b"/wrong" in request.head:
            request.say(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nX : y\r\n\r\n!")
        return True

    with Origin(serve) as origin, raw.dial(gateway.port) as client:
        for path in ("/none", "/wrong"):
            client.sendall(get(origin.url(path)))
            assert told(client)[0].startswith(b"HTTP/1.1 502 ")
        client.sendall(get(origin.url("/none"), method=b"HEAD"))
        assert told(client, head=True)[0].startswith(b"HTTP/1.1 502 ")
        client.sendall(get(origin.url("/half")))
        octets = b""
        while came := client.recv(1000):
            octets += came
        assert octets.endswith(b"\r\n\r\nbegin")
        until(lambda: len(numbers(gateway, "end", origin.port)) == 4)
        last = [
            e["reason"]
            for e in gateway.journal("end")
            if e["session"] in numbers(gateway, "end", origin.port)
        ]
        assert last == [*("destination-lost", "bad-answer"), *["destination-lost"] * 2]


def test_anotherProtocol(gateway: Running) -> None:
    """Both sides speak it from then on, and everything is counted."""

    def serve(request: Request) -> bool:
        request.say(
            b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nfirst"
        )
        request.say(b"<" + request.body(9) + b">")
        return True

    fields = b"Connection: Upgrade\r\nUpgrade: echo\r\n"
    with Origin(serve) as origin, raw.dial(gateway.port) as client:
        client.sendall(get(origin.url(), fields) + b"early")
        head = told(client)[0]
        assert head.startswith(b"HTTP/1.1 101 ")
        assert raw.exactly(client, 5) == b"first"
        client.sendall(b"late")
        assert raw.exactly(client, 11) == b"<earlylate>"
        assert client.recv(1) == b""
        client.close()
        until(lambda: numbers(gateway, "end", origin.port))
        end = gateway.journal("end")[-1]
        assert end["sent"] == len(origin.heads[0][1]) + 9
        assert end["received"] == len(head) + 16
