"""
One suite of sessions over every transport: what a client asks for, the reply, both
directions and their ends, and the record are the same, whatever is in between.
"""

from __future__ import annotations

import random
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from tests.live import raw
from tests.live.datagrams import Echo, addressed
from tests.live.servers import PATIENCE, Destination, echo, untilEnd
from tests.live.transports import (
    ASKED,
    ASKED5,
    TRANSPORTS,
    Channel,
    Serving,
    opened,
)
from tests.live.transports import (
    serving as servingAll,
)
from tests.tools.sockets import RESET
from tests.tools.waiting import until

UP = random.Random(50).randbytes(1_300_017)
DOWN = random.Random(51).randbytes(1_400_003)
#: Behind a request that is refused.
PIPELINED = b"\xa5" * 65536


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """What has a listener for each transport."""
    with servingAll(tmp_path_factory.mktemp("transports")) as both:
        yield both


@pytest.fixture(params=ASKED, ids="-".join)
def client(
    request: pytest.FixtureRequest,
    serving: Serving,
    destination: Callable[..., Destination],
) -> Iterator[Channel]:
    """
    A client by each of them, in each protocol, whose request is due; it goes before
    its server.
    """
    with opened(serving, *request.param) as made:
        yield made


@pytest.fixture(params=ASKED5)
def client5(
    request: pytest.FixtureRequest,
    serving: Serving,
    destination: Callable[..., Destination],
) -> Iterator[Channel]:
    """The same, in SOCKS 5 alone: for what no other protocol has."""
    with opened(serving, request.param) as made:
        yield made


@pytest.fixture(params=[*TRANSPORTS])
def octets5(request: pytest.FixtureRequest, serving: Serving) -> Iterator[Channel]:
    """The same, for octets that our own client never sends."""
    with opened(serving, request.param) as made:
        yield made


def asked(client: Channel, octets: bytes) -> tuple[int, str, int]:
    """A request, and its reply."""
    client.sendall(octets)
    return raw.reply5(client.socket)


def test_octetByOctet(
    serving: Serving, client: Channel, destination: Callable[..., Destination]
) -> None:
    """Octets both ways after a request in the smallest pieces; and the record."""
    server = destination(echo)
    for octet in client.protocol.request("127.0.0.1", server.port):
        client.sendall(bytes((octet,)))
    assert client.protocol.reply(client.socket) == client.protocol.granted
    client.sendall(b"hello")
    assert raw.exactly(client.socket, 5) == b"hello"
    line = raw.decision(serving, server.port)
    assert (line["verdict"], line.get("secured")) == ("allow", client.secured)
    assert line["client"].startswith(client.source)


def test_behindTheRequest(
    client: Channel, destination: Callable[..., Destination]
) -> None:
    """Octets that do not wait for the reply arrive first, and once."""
    server = destination(echo)
    client.connect(server.port, b"early ")
    client.sendall(b"late")
    assert raw.exactly(client.socket, 10) == b"early late"


def test_clientEndsFirst(
    serving: Serving, client: Channel, destination: Callable[..., Destination]
) -> None:
    """The destination sees the end, and what it answers then arrives whole."""
    arrived: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        arrived.append(untilEnd(connection))
        if client.halfCloses:
            connection.sendall(DOWN)

    server = destination(serve)
    client.connect(server.port)
    client.sendall(UP)
    client.shutdown(socket.SHUT_WR)
    came = untilEnd(client.socket)
    until(lambda: arrived)
    assert arrived == [UP]
    assert came == (DOWN if client.halfCloses else b"")
    line = raw.end(serving, server.port)
    assert (line["sent"], line["received"]) == (len(UP), len(came))
    assert line["reason"] == "closed"


def test_destinationEndsFirst(
    serving: Serving, client: Channel, destination: Callable[..., Destination]
) -> None:
    """The client sees the end, and what it sends then arrives whole."""
    arrived: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        connection.sendall(DOWN)
        connection.shutdown(socket.SHUT_WR)
        arrived.append(untilEnd(connection))

    server = destination(serve)
    client.connect(server.port)
    assert untilEnd(client.socket) == DOWN
    if client.halfCloses:
        client.sendall(UP)
        client.shutdown(socket.SHUT_WR)
    else:
        client.shutdown(socket.SHUT_WR)
    until(lambda: arrived)
    assert arrived == [UP if client.halfCloses else b""]
    line = raw.end(serving, server.port)
    assert (line["sent"], line["received"]) == (len(arrived[0]), len(DOWN))
    assert line["reason"] == "closed"


def test_bothAtOnce(
    client: Channel, serving: Serving, destination: Callable[..., Destination]
) -> None:
    """Each side sends while it receives."""
    arrived: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        sending = threading.Thread(target=connection.sendall, args=(DOWN,))
        sending.start()
        octets = b""
        while len(octets) < len(UP):
            octets += connection.recv(1 << 16)
        arrived.append(octets)
        sending.join()

    server = destination(serve)
    client.connect(server.port)
    half = len(UP) // 2
    client.sendall(UP[:half])
    assert raw.exactly(client.socket, 100_000) == DOWN[:100_000]
    client.sendall(UP[half:])
    assert untilEnd(client.socket) == DOWN[100_000:]
    assert arrived == [UP]


def test_aReaderThatStalls(
    client: Channel, destination: Callable[..., Destination]
) -> None:
    """The destination is held up, and all arrives when it is read."""
    sent: list[int] = [0]
    held = threading.Event()
    payload = bytes(1 << 16)

    def serve(connection: socket.socket) -> None:
        connection.settimeout(0.4)
        try:
            while sent[0] < 1 << 26:
                sent[0] += connection.send(payload)
        except TimeoutError:
            held.set()
        connection.settimeout(PATIENCE)
        connection.shutdown(socket.SHUT_WR)
        untilEnd(connection)

    server = destination(serve)
    client.connect(server.port)
    assert held.wait(PATIENCE), "the destination was never held up"
    assert len(untilEnd(client.socket)) == sent[0]


def test_theDestinationIsReset(
    serving: Serving, client: Channel, destination: Callable[..., Destination]
) -> None:
    """What it sent arrives; the client can tell that it was not the orderly end."""
    server = destination(_resetting)
    client.connect(server.port)
    assert raw.exactly(client.socket, 5) == b"hello"
    client.sendall(b"go")
    if client.tellsCut:
        with pytest.raises(ConnectionError):
            client.recv(1)
    else:
        assert client.recv(1) == b""
    assert raw.end(serving, server.port)["reason"].startswith("destination-")


def _resetting(connection: socket.socket) -> None:
    connection.sendall(b"hello")
    assert connection.recv(2) == b"go"
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)


def test_theClientIsReset(
    serving: Serving, client: Channel, destination: Callable[..., Destination]
) -> None:
    """The destination hears of it, and the record says who it was."""
    over = threading.Event()

    def serve(connection: socket.socket) -> None:
        connection.sendall(b"hello")
        try:
            connection.recv(1)
        except ConnectionResetError:
            pass
        over.set()

    server = destination(serve)
    client.connect(server.port)
    assert raw.exactly(client.socket, 5) == b"hello"
    client.plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    client.plain.close()
    assert over.wait(PATIENCE)
    reason = raw.end(serving, server.port)["reason"]
    assert reason.startswith("client-") if client.resets else reason == "closed"


@pytest.mark.parametrize("behind", [b"", PIPELINED], ids=["alone", "pipelined"])
@pytest.mark.parametrize(
    ("octets", "code"),
    [
        (raw.request5("127.0.0.9", 80), 2),
        (raw.request5("127.0.0.1", 80, 9), 7),
        (b"\x05\x01\x00\x09" + bytes(6), 8),
    ],
    ids=["policy", "command", "address"],
)
def test_refused(octets5: Channel, octets: bytes, code: int, behind: bytes) -> None:
    """The reply arrives, and then an orderly end, whatever was sent behind."""
    octets5.sendall(octets + behind)
    assert untilEnd(octets5.socket) == bytes((5, code, 0, 1)) + bytes(6)


def test_nobodyThere(serving: Serving, client: Channel) -> None:
    """The destination refuses."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        assert client.ask("127.0.0.1", port) == client.protocol.refused
        assert untilEnd(client.socket) == b""
        assert raw.end(serving, port)["reason"] == "refused"


@pytest.mark.parametrize("behind", [b"", PIPELINED], ids=["alone", "pipelined"])
def test_denied(client: Channel, behind: bytes) -> None:
    """By a rule; the answer arrives, and then an orderly end."""
    assert client.ask("127.0.0.9", 80, behind) == client.protocol.denied
    assert untilEnd(client.socket) == b""


def test_bind(client5: Channel) -> None:
    """Two replies, one peer, octets both ways."""
    code, host, port = asked(client5, raw.request5("127.0.0.1", 0, 2))
    assert code == 0
    with socket.create_connection((host, port), PATIENCE) as peer:
        assert raw.reply5(client5.socket) == (0, *peer.getsockname())
        peer.sendall(b"from the peer")
        assert raw.exactly(client5.socket, 13) == b"from the peer"
        client5.sendall(b"to the peer")
        assert raw.exactly(peer, 11) == b"to the peer"


def test_datagrams(client5: Channel) -> None:
    """
    Beside the connection, protected where it says so; its end is the end. Where
    clients have no address, none.
    """
    code, host, port = asked(client5, raw.request5("0.0.0.0", 0, 3))
    assert code == (0 if client5.datagrams else 7)
    if code:
        return
    with Echo() as server, socket.socket(type=socket.SOCK_DGRAM) as datagrams:
        datagrams.settimeout(PATIENCE)
        # From where the client is, whatever carries its connection.
        datagrams.bind((client5.source.rstrip(":"), 0))
        octets = addressed(*server.place) + b"hello"
        datagrams.sendto(client5.wrapped(octets), (host, port))
        assert client5.unwrapped(datagrams.recv(1 << 16)) == octets
        client5.shutdown(socket.SHUT_WR)
        assert untilEnd(client5.socket) == b""
