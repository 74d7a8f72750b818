"""
The client's own password handed on to an upstream: to whom, when, and to nobody else.
"""

from __future__ import annotations

import socket
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from tests.live import raw
from tests.live.running import LOOPBACK, Running, running, socksgw
from tests.live.servers import Destination, echo
from tests.tools.waiting import until

USER, PASSWORD = b"alice", b"canary-5d0f"
LOGIN = """
[auth]
checkers = ["passwd:users"]
[[auth.choose]]
methods = ["userpass"]
listener = ["with"]
[[auth.choose]]
methods = ["none"]
from = ["127.0.0.0/8"]
"""
LISTEN = """
[[listen]]
name = "{0}"
address = ["127.0.0.1:0"]
protocols = ["socks5", "http"]
"""
RULE = '[[rule]]\nid = "{0}"\nallow = ["connect"]\n'
#: By the destination's port: through the real one, or through the test's.
FIRST = """
[[upstream]]
name = "real"
url = "socks5://127.0.0.1:{0}"
pass_through = true
[[upstream]]
name = "scripted"
url = "socks5://127.0.0.1:{1}"
pass_through = true
[[rule]]
id = "scripted"
allow = ["connect"]
ports = [7]
via = ["scripted"]
[[rule]]
id = "real"
allow = ["connect"]
via = ["real"]
"""


class Scripted:
    """
    An upstream that says what the test wants, and keeps what it is sent.

    @ivar answers: what it says, one after each message.
    @ivar heard: the messages of each connection.
    """

    def __init__(self) -> None:
        self.answers: list[bytes] = []
        self.heard: list[list[bytes]] = []

    def serve(self, connection: socket.socket) -> None:
        """Answer one connection."""
        messages: list[bytes] = []
        self.heard.append(messages)
        # It is reset by who has heard enough.
        with suppress(ConnectionError):
            for answer in self.answers:
                messages.append(connection.recv(1024))
                connection.sendall(answer)
            messages.append(connection.recv(1024))


class House:
    """
    A gateway whose clients log in, and both of its upstreams.

    @ivar real: one of ours, with the same users.
    """

    def __init__(self, stack: ExitStack, directory: Path) -> None:
        start = contextmanager(running)
        for name in ("real", "first"):
            (directory / name).mkdir()
            done = socksgw(
                "passwd",
                "users",
                USER.decode(),
                cwd=directory / name,
                stdin=PASSWORD.decode() + "\n",
            )
            assert done.returncode == 0, done.stderr
        last = LISTEN.format("with") + LOGIN + LOOPBACK + RULE.format("all")
        self.real: Running = stack.enter_context(start(directory / "real", last))
        self.scripted = Scripted()
        server = stack.enter_context(Destination(self.scripted.serve))
        text = LISTEN.format("with") + LISTEN.format("without") + LOGIN + LOOPBACK
        text += FIRST.format(self.real.port, server.port)
        self.first: Running = stack.enter_context(start(directory / "first", text))

    def asked(self, port: int, login: bool = True) -> int:
        """Have a client ask for a port, and return the reply."""
        with raw.dial(self.first.ports[0 if login else 1]) as client:
            if login:
                client.sendall(b"\x05\x01\x02")
                assert raw.exactly(client, 2) == b"\x05\x02"
                client.sendall(raw.login(USER, PASSWORD))
                assert raw.exactly(client, 2) == b"\x01\x00"
            else:
                client.sendall(raw.GREETING)
                assert raw.exactly(client, 2) == b"\x05\x00"
            client.sendall(raw.request5("127.0.0.1", port))
            return raw.reply5(client)[0]

    def to(self, *answers: bytes) -> list[bytes]:
        """Return what the scripted upstream is sent when it answers so."""
        self.scripted.answers = list(answers)
        self.asked(7)
        return self.scripted.heard[-1]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """All of them, started once; the password is nowhere."""
    directory = tmp_path_factory.mktemp("passing")
    with ExitStack() as stack:
        yield House(stack, directory)
    for path in directory.rglob("*"):
        if path.is_file():
            assert PASSWORD not in path.read_bytes(), path


def test_thePersonIsJudged(
    house: House, destination: Callable[..., Destination]
) -> None:
    """The next gateway knows the user, who logged in there with the same password."""
    server = destination(echo)
    # The second login is known to the first gateway's memory; the password is not.
    for _ in range(2):
        assert house.asked(server.port) == 0
    until(lambda: len(house.real.journal("decision")) == 2)
    assert {line["user"] for line in house.real.journal("decision")} == {"alice"}


def test_onlyWhereItIsAskedFor(house: House) -> None:
    """In its turn, whole, and to no upstream that chooses otherwise."""
    heard = house.to(b"\x05\x02", b"\x01\x00", b"\x05\x05\x00\x01" + bytes(6))
    assert tuple(heard[:2]) == (b"\x05\x01\x02", raw.login(USER, PASSWORD))
    for choice in (b"\x05\x00", b"\x05\x01", b"\x05\xff", b"\x05\x02\x01\x00"):
        heard = house.to(choice)
        assert heard[0] == b"\x05\x01\x02"
        assert PASSWORD not in b"".join(heard), choice


def test_refused(house: House) -> None:
    """A wrong password is the client's fault: the upstream is not ejected."""
    for _ in range(5):
        house.to(b"\x05\x02", b"\x01\x01")
        line = raw.end(house.first, 7)
        assert (line["reason"], line["reply"]) == ("upstream-login", 1)
    assert not [
        line
        for line in house.first.journal("upstream")
        if "upstream-login" in line["why"]
    ]


def test_noPassword(house: House) -> None:
    """A client that has shown none is refused, and the upstream hears nothing."""
    before = len(house.scripted.heard)
    assert house.asked(7, login=False) == 1
    assert "no password" in raw.end(house.first, 7)["why"]
    assert len(house.scripted.heard) == before


def test_anotherRequestOnAConnectionThatWasKept(
    house: House, destination: Callable[..., Destination]
) -> None:
    """The destination has closed it meanwhile: the next one takes the password, too."""
    served: list[int] = []

    def serve(connection: socket.socket) -> None:
        served.append(1)
        connection.recv(1024)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        connection.recv(1024)

    server = destination(serve)
    login = b64encode(USER + b":" + PASSWORD)
    asked = (
        b"GET http://127.0.0.1:%d/ HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n"
        b"Proxy-Authorization: Basic %s\r\n\r\n" % (server.port, server.port, login)
    )
    with raw.dial(house.first.ports[0]) as client:
        for _ in range(2):
            client.sendall(asked)
            answer = b""
            while not answer.endswith(b"ok"):
                more = client.recv(1024)
                answer += more
                assert more, answer
                assert answer.startswith(b"HTTP/1.1 200 "[: len(answer)]), answer
    assert len(served) == 2
