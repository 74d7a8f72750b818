"""
Listeners on Twisted's endpoint strings: UNIX sockets, TLS, TCP; and the TLS of
the configuration's own, which has to do the same. Clients speak SOCKS 5 and 6.
"""

from __future__ import annotations

import asyncio
import random
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.interop.shared import PASSWORD, USER
from tests.live import raw
from tests.live.running import OPEN, Running, running, socksgw
from tests.live.servers import (
    PATIENCE,
    Certificate,
    Destination,
    Recorder,
    Sink,
    sha256,
    untilEnd,
)
from tests.tools.waiting import until

MIB = 1 << 20
UP = random.Random(20).randbytes(20 * MIB)
DOWN = random.Random(21).randbytes(20 * MIB)

TEXT = """
[[listen]]
protocols = ["socks5", "socks6"]
name = "path"
endpoint = "unix:{directory}/s"
[[listen]]
protocols = ["socks5", "socks6"]
name = "own-path"
address = ["unix:{directory}/own"]
[[listen]]
protocols = ["socks5", "socks6"]
name = "tls"
endpoint = "ssl:0:interface=127.0.0.1:privateKey={key}:certKey={file}"
[[listen]]
protocols = ["socks5", "socks6"]
name = "port"
endpoint = "tcp:0:interface=127.0.0.1"
[[listen]]
protocols = ["socks5", "socks6"]
name = "tls-login"
endpoint = "ssl:0:interface=127.0.0.1:privateKey={key}:certKey={file}"
[[listen]]
protocols = ["socks5", "socks6"]
name = "own"
address = ["127.0.0.1:0"]
[listen.tls]
certificate = "{file}"
key = "{key}"
[auth]
checkers = ["passwd:users"]
[[auth.choose]]
listener = ["tls-login"]
methods = ["userpass"]
"""


#: What a client of each version says before its request; what it is told then, and of a
#: destination that refuses (RFC 1928 section 6, and section 7 of the draft).
GREETING = {5: raw.GREETING, 6: b""}
GRANTED = {5: b"\5\0\5\0\0\1", 6: b"\6\0\0\0\6\0\0\0"}
REFUSED = {
    5: b"\5\0" + b"\5\5\0\1" + bytes(6),
    6: b"\6\0\0\0" + b"\6\5\0\0" + bytes(3) + b"\1" + bytes(4),
}


class Door(NamedTuple):
    """
    A gateway, and how to come in.

    @ivar kind: C{unix}, C{path}, C{ssl}, C{tcp} or C{own}.
    @ivar place: the path or the port.
    @ivar tls: for C{ssl} and C{own}; in it Python has no half-close.
    @ivar version: of SOCKS, which the client speaks.
    """

    gateway: Running
    kind: str
    place: str | int
    tls: ssl.SSLContext | None
    version: int = 5

    def request(self, port: int) -> bytes:
        """All that a client says that wants a connection to a port of this host."""
        make = raw.request5 if self.version == 5 else raw.request6
        return GREETING[self.version] + make("127.0.0.1", port)

    def through(self, port: int) -> socket.socket:
        """A connection to a port of this host."""
        client = self.dial()
        try:
            raw.through(client, "127.0.0.1", port, self.version)
        except BaseException:
            client.close()
            raise
        return client

    def dial(self) -> socket.socket:
        """A connection that says nothing yet."""
        if isinstance(self.place, str):
            return raw.dialPath(self.place)
        plain = raw.dial(self.place)
        if self.tls is None:
            return plain
        # An end without TLS's own word for it shall be an error.
        return self.tls.wrap_socket(
            plain, server_hostname="localhost", suppress_ragged_eofs=False
        )

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """The same for L{asyncio}."""
        if isinstance(self.place, str):
            return await asyncio.open_unix_connection(self.place)
        name = None if self.tls is None else "localhost"
        return await asyncio.open_connection(
            "127.0.0.1", self.place, ssl=self.tls, server_hostname=name
        )


@pytest.fixture(scope="module")
def listening(
    tmp_path_factory: pytest.TempPathFactory, certificate: Certificate
) -> Iterator[Running]:
    """A gateway with one listener of each kind."""
    directory = tmp_path_factory.mktemp("ends")
    made = socksgw("passwd", "users", USER, cwd=directory, stdin=f"{PASSWORD}\n")
    assert made.returncode == 0, made.stderr
    text = TEXT.format(directory=directory, key=certificate.key, file=certificate.file)
    yield from running(directory, text + OPEN[OPEN.index("[[auth.choose]]") :])


@pytest.fixture(params=[5, 6], ids=["socks5", "socks6"])
def version(request: pytest.FixtureRequest) -> int:
    """Each version of SOCKS."""
    found: int = request.param
    return found


@pytest.fixture(params=["unix", "path", "ssl", "tcp", "own"])
def door(
    request: pytest.FixtureRequest,
    listening: Running,
    certificate: Certificate,
    version: int,
) -> Door:
    """Each listener, by each version."""
    kind: str = request.param
    places: dict[str, str | int] = {
        "unix": f"{listening.directory}/s",
        "path": f"{listening.directory}/own",
        "ssl": listening.ports[0],
        "tcp": listening.ports[1],
        "own": listening.ports[3],
    }
    tls = certificate.client() if kind in ("ssl", "own") else None
    return Door(listening, kind, places[kind], tls, version)


def test_bothWays(door: Door, destination: Callable[..., Destination]) -> None:
    """
    20 MiB each way at the same time arrive with equal hashes, and are counted
    exactly. They go the same way in both versions: of SOCKS 6 it is 1 MiB.
    """
    arrived: list[str] = []
    up, down = (x if door.version == 5 else x[:MIB] for x in (UP, DOWN))

    def serve(connection: socket.socket) -> None:
        sink = Sink(connection, len(up))
        connection.sendall(down)
        arrived.append(sink.digest)

    server = destination(serve)

    async def client() -> bytes:
        reader, writer = await door.open()
        writer.write(door.request(server.port))
        told = await reader.readexactly(len(REFUSED[door.version]))
        assert told.startswith(GRANTED[door.version])

        async def send() -> None:
            for at in range(0, len(up), MIB):
                writer.write(up[at : at + MIB])
                await writer.drain()

        sending = asyncio.create_task(send())
        came = await reader.readexactly(len(down))
        await sending
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
        return came

    assert sha256(asyncio.run(asyncio.wait_for(client(), 60))) == sha256(down)
    until(lambda: arrived)
    assert arrived == [sha256(up)]
    line = raw.end(door.gateway, server.port)
    assert (line["sent"], line["received"]) == (len(up), len(down))
    decision = raw.decision(door.gateway, server.port)
    assert (decision.get("tls_version") == "TLSv1.3") == (door.tls is not None)
    assert line["reason"] == "closed"


@pytest.mark.parametrize("amount", [0, 1, 3 * MIB + 17])
def test_destinationEnds(
    door: Door, destination: Callable[..., Destination], amount: int
) -> None:
    """
    The destination ends: everything that it sent arrives, and then an orderly
    end (over TLS with its own word for it, so that nothing can have been cut
    off).
    """
    server = destination(lambda c: c.sendall(DOWN[:amount]))
    with door.through(server.port) as client:
        assert sha256(untilEnd(client)) == sha256(DOWN[:amount])
    line = raw.end(door.gateway, server.port)
    assert (line["sent"], line["received"]) == (0, amount)
    assert line["reason"] == "closed"


@pytest.mark.parametrize("amount", [0, 1, 3 * MIB + 17])
def test_clientEnds(
    door: Door, destination: Callable[..., Destination], amount: int
) -> None:
    """
    The client ends: everything that it sent arrives, and then the end. Where
    there is a half-close (not in TLS), the answer still comes back.
    """
    recorder = Recorder(b"" if door.tls else DOWN[:amount])
    server = destination(recorder)
    with door.through(server.port) as client:
        client.sendall(UP[:amount])
        if isinstance(client, ssl.SSLSocket):
            client.unwrap().close()
        else:
            client.shutdown(socket.SHUT_WR)
            assert sha256(untilEnd(client)) == sha256(DOWN[:amount])
    until(lambda: recorder.received, PATIENCE)
    assert sha256(recorder.received[0]) == sha256(UP[:amount])
    line = raw.end(door.gateway, server.port)
    assert line["sent"] == amount
    assert line["reason"] == "closed"


@pytest.mark.parametrize("door", ["unix", "path", "tcp"], indirect=True)
def test_destinationEndsClientGoesOn(
    door: Door, destination: Callable[..., Destination]
) -> None:
    """
    The destination ends its side only: where there is a half-close (not in
    TLS), what the client sends afterwards still arrives.
    """
    arrived: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        connection.sendall(DOWN[:MIB])
        connection.shutdown(socket.SHUT_WR)
        arrived.append(untilEnd(connection))

    server = destination(serve)
    with door.through(server.port) as client:
        assert sha256(untilEnd(client)) == sha256(DOWN[:MIB])
        client.sendall(UP[:MIB])
        client.shutdown(socket.SHUT_WR)
        until(lambda: arrived)
    assert sha256(arrived[0]) == sha256(UP[:MIB])


def test_pipelined(door: Door, destination: Callable[..., Destination]) -> None:
    """Data behind the request reach the destination first and once."""
    octets = UP[:200_000]
    recorder = Recorder(b"answer", expected=len(octets))
    server = destination(recorder)
    with door.dial() as client:
        client.sendall(door.request(server.port) + octets)
        told = raw.exactly(client, len(REFUSED[door.version]))
        assert told.startswith(GRANTED[door.version])
        assert raw.exactly(client, 6) == b"answer"
    until(lambda: recorder.received, PATIENCE)
    assert recorder.received == [octets]


def test_serverSpeaksFirst(door: Door, destination: Callable[..., Destination]) -> None:
    """A banner that comes at once is not lost between reply and relay."""

    def serve(connection: socket.socket) -> None:
        connection.sendall(b"220 ready\r\n")
        assert untilEnd(connection) == b"quit"

    server = destination(serve)
    for _ in range(10):
        with door.through(server.port) as client:
            assert raw.exactly(client, 11) == b"220 ready\r\n"
            client.sendall(b"quit")
            if isinstance(client, ssl.SSLSocket):
                client.unwrap().close()
            else:
                client.shutdown(socket.SHUT_WR)
                assert untilEnd(client) == b""


@pytest.mark.parametrize("behind", [0, 65536], ids=["alone", "pipelined"])
def test_refusal(door: Door, behind: int) -> None:
    """A failure reply arrives, and then an orderly end."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        request = door.request(taken.getsockname()[1])
        with door.dial() as client:
            client.sendall(request + bytes(behind))
            assert untilEnd(client) == REFUSED[door.version]


def test_loginOverTLS(
    listening: Running,
    certificate: Certificate,
    destination: Callable[..., Destination],
    version: int,
) -> None:
    """User and password inside TLS: the right one works, a wrong one fails."""
    recorder = Recorder(b"answer", expected=5)
    server = destination(recorder)
    tls = certificate.client()
    door = Door(listening, "ssl", listening.ports[2], tls, version)

    def said(password: str) -> bytes:
        if version == 6:
            option = raw.login6(USER, password)
            return raw.request6("127.0.0.1", server.port, options=option)
        login = raw.login(USER.encode(), password.encode())
        return raw.GREETING_LOGIN + login + raw.request5("127.0.0.1", server.port)

    # RFC 1929 section 2; section 9 of the draft: an option with the same status.
    wrong = {5: b"\5\2\1\1", 6: b"\6\1\0\x08" + bytes.fromhex("0004 0008 02 0101 00")}
    right = {5: b"\5\2\1\0", 6: b"\6\0\0\x08" + raw.LET_IN6}
    with door.dial() as client:
        client.sendall(said("wrong"))
        assert untilEnd(client) == wrong[version]
    with door.dial() as client:
        client.sendall(said(PASSWORD) + b"hello")
        assert raw.exactly(client, len(right[version])) == right[version]
        code = (raw.reply5 if version == 5 else raw.replied6)(client)[0]
        assert code == 0
        assert raw.exactly(client, 6) == b"answer"
    until(lambda: recorder.received)
    assert recorder.received == [b"hello"]


def test_refusedAndStays(
    gateway: Callable[..., Running], certificate: Certificate
) -> None:
    """
    A refused client that does not end its TLS is closed all the same: within
    10 seconds, as RFC 1928 section 6 has it.
    """
    place = f"ssl:0:interface=127.0.0.1:privateKey={certificate.key}"
    place += f":certKey={certificate.file}"
    listen = f'endpoint = "{place}"\nprotocols = ["socks5", "socks6"]'
    running = gateway(OPEN.replace('address = ["127.0.0.1:0"]', listen))
    door = Door(running, "ssl", running.port, certificate.client())
    # No method is accepted; the destination's address is denied (section 7).
    refusals = {
        raw.GREETING_LOGIN: b"\5\xff",
        raw.request6("169.254.169.254", 80): (
            b"\6\0\0\0" + b"\6\2\0\0" + bytes(3) + b"\1" + bytes(4)
        ),
    }
    with ExitStack() as stack:
        held = []
        for said, told in refusals.items():
            client = stack.enter_context(door.dial())
            held.append((client.getsockname()[1], running.port))
            client.sendall(said)
            assert untilEnd(client) == told
            assert _held(*held[-1])
        until(lambda: not any(_held(*ends) for ends in held), 10)


def _held(port: int, gateway: int) -> bool:
    """Tell whether a process still has the gateway's end of a client's connection."""
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        # The addresses, and the inode: none once the program has closed it.
        _, near, far, *_, inode = line.split()[:10]
        ports = [int(each.partition(":")[2], 16) for each in (near, far)]
        if ports == [gateway, port]:
            return inode != "0"
    return False


def test_plaintextOnTLS(listening: Running) -> None:
    """Who speaks SOCKS without TLS to a TLS listener gets no SOCKS answer."""
    five = raw.GREETING + raw.request5("127.0.0.1", 80)
    for said in (five, raw.request6("127.0.0.1", 80)):
        with raw.dial(listening.ports[0]) as client:
            client.sendall(said)
            try:
                assert not untilEnd(client).startswith((b"\5", b"\6"))
            except ConnectionResetError:
                pass
