"""
Listeners on Twisted's endpoint strings: UNIX sockets, TLS, TCP; and the TLS of
the configuration's own, which has to do the same.
"""

from __future__ import annotations

import asyncio
import random
import socket
import ssl
from collections.abc import Callable, Iterator
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
name = "path"
endpoint = "unix:{directory}/s"
[[listen]]
name = "own-path"
address = ["unix:{directory}/own"]
[[listen]]
name = "tls"
endpoint = "ssl:0:interface=127.0.0.1:privateKey={key}:certKey={file}"
[[listen]]
name = "port"
endpoint = "tcp:0:interface=127.0.0.1"
[[listen]]
name = "tls-login"
endpoint = "ssl:0:interface=127.0.0.1:privateKey={key}:certKey={file}"
[[listen]]
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


class Door(NamedTuple):
    """
    A gateway, and how to come in.

    @ivar kind: C{unix}, C{path}, C{ssl}, C{tcp} or C{own}.
    @ivar place: the path or the port.
    @ivar tls: for C{ssl} and C{own}; in it Python has no half-close.
    """

    gateway: Running
    kind: str
    place: str | int
    tls: ssl.SSLContext | None

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


@pytest.fixture(params=["unix", "path", "ssl", "tcp", "own"])
def door(
    request: pytest.FixtureRequest, listening: Running, certificate: Certificate
) -> Door:
    """Each of them."""
    kind: str = request.param
    if kind == "unix":
        return Door(listening, kind, f"{listening.directory}/s", None)
    if kind == "path":
        return Door(listening, kind, f"{listening.directory}/own", None)
    if kind == "ssl":
        return Door(listening, kind, listening.ports[0], certificate.client())
    if kind == "own":
        return Door(listening, kind, listening.ports[3], certificate.client())
    return Door(listening, kind, listening.ports[1], None)


def test_bothWays(door: Door, destination: Callable[..., Destination]) -> None:
    """
    20 MiB each way at the same time arrive with equal hashes, and are counted
    exactly.
    """
    arrived: list[str] = []

    def serve(connection: socket.socket) -> None:
        sink = Sink(connection, len(UP))
        connection.sendall(DOWN)
        arrived.append(sink.digest)

    server = destination(serve)

    async def client() -> bytes:
        reader, writer = await door.open()
        writer.write(raw.GREETING + raw.request5("127.0.0.1", server.port))
        assert (await reader.readexactly(12))[:4] == b"\x05\0\x05\0"

        async def send() -> None:
            for at in range(0, len(UP), MIB):
                writer.write(UP[at : at + MIB])
                await writer.drain()

        sending = asyncio.create_task(send())
        came = await reader.readexactly(len(DOWN))
        await sending
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
        return came

    assert sha256(asyncio.run(asyncio.wait_for(client(), 60))) == sha256(DOWN)
    until(lambda: arrived)
    assert arrived == [sha256(UP)]
    line = raw.end(door.gateway, server.port)
    assert (line["sent"], line["received"]) == (len(UP), len(DOWN))
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
    with door.dial() as client:
        raw.through(client, "127.0.0.1", server.port)
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
    with door.dial() as client:
        raw.through(client, "127.0.0.1", server.port)
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
    with door.dial() as client:
        raw.through(client, "127.0.0.1", server.port)
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
        request = raw.request5("127.0.0.1", server.port)
        client.sendall(raw.GREETING + request + octets)
        assert raw.exactly(client, 2) == b"\x05\0"
        code, _, _ = raw.reply5(client)
        assert code == 0
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
        with door.dial() as client:
            raw.through(client, "127.0.0.1", server.port)
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
        request = raw.request5("127.0.0.1", taken.getsockname()[1])
        with door.dial() as client:
            client.sendall(raw.GREETING + request + bytes(behind))
            assert untilEnd(client) == b"\x05\0" + b"\x05\x05\0\x01" + bytes(6)


def test_loginOverTLS(
    listening: Running,
    certificate: Certificate,
    destination: Callable[..., Destination],
) -> None:
    """User and password inside TLS: the right one works, a wrong one fails."""
    recorder = Recorder(b"answer", expected=5)
    server = destination(recorder)
    door = Door(listening, "ssl", listening.ports[2], certificate.client())
    request = raw.request5("127.0.0.1", server.port)
    with door.dial() as client:
        login = raw.login(USER.encode(), b"wrong")
        client.sendall(raw.GREETING_LOGIN + login + request)
        assert untilEnd(client) == b"\x05\x02\x01\x01"
    with door.dial() as client:
        login = raw.login(USER.encode(), PASSWORD.encode())
        client.sendall(raw.GREETING_LOGIN + login + request + b"hello")
        assert raw.exactly(client, 4) == b"\x05\x02\x01\0"
        code, _, _ = raw.reply5(client)
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
    text = OPEN.replace('address = ["127.0.0.1:0"]', f'endpoint = "{place}"')
    door = Door(running := gateway(text), "ssl", running.port, certificate.client())
    with door.dial() as client:
        ends = client.getsockname()[1], running.port
        client.sendall(raw.GREETING_LOGIN)
        assert untilEnd(client) == b"\x05\xff"
        assert _held(*ends)
        until(lambda: not _held(*ends), 10)


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
    with raw.dial(listening.ports[0]) as client:
        client.sendall(raw.GREETING + raw.request5("127.0.0.1", 80))
        try:
            assert not untilEnd(client).startswith(b"\x05")
        except ConnectionResetError:
            pass
