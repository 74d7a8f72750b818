"""
The sockets that answer a diverted client: on addresses of loopback, which need no
privilege.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from twisted.logger import capturedLogs

from socksgw.accept import answers
from socksgw.accept.answers import DivertedConnection
from socksgw.relay.memory import Memory
from socksgw.system.transparent import MissingRight
from socksgw.system.watch import Watch
from socksgw.wire.address import Address
from socksgw.wire.datagram import encodeHeader
from tests.fakes.loops import ReactorLoop
from tests.tools.sockets import descriptors

LOOPBACK = Address.parse("127.0.0.1")


class Scene(ReactorLoop):
    """
    One client, and its connection.

    @ivar taken: what was carried: header and payload.
    @ivar gone: what was told at the end.
    """

    def __init__(self) -> None:
        super().__init__()
        self.watch = Watch(self.reactor)
        self.watch.start()
        self.client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.client.bind(("127.0.0.1", 0))
        self.client.settimeout(5)
        self.taken: list[tuple[bytes, bytes]] = []
        self.gone: list[Any] = []
        self.memory = Memory(1 << 20)
        self.connection = DivertedConnection(
            self.watch,
            self.client.getsockname(),
            (LOOPBACK, 53),
            lambda *told: self.gone.append(told),
            self.memory,
        )

    def carry(self) -> None:
        self.connection.carry(lambda h, p: self.taken.append((h, bytes(p))))

    def answer(self, host: str, port: int, payload: bytes) -> bytes:
        header = encodeHeader(Address.parse(host), port)
        self.connection.answer(header, memoryview(payload))
        return header


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    monkeypatch.setattr(answers, "foreign", lambda _: None)
    made = Scene()
    yield made
    made.connection.abortConnection()
    assert made.memory.held == 0
    made.watch.stop()
    made.client.close()


def free(host: str) -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def test_fromWhereItWasSent(scene: Scene) -> None:
    """The client sees the source; what it sends there goes on as before."""
    scene.carry()
    port = free("127.0.0.2")
    header = scene.answer("127.0.0.2", port, b"hello")
    assert scene.client.recvfrom(100) == (b"hello", ("127.0.0.2", port))
    scene.client.sendto(b"again", ("127.0.0.2", port))
    scene.until(lambda: scene.taken)
    assert scene.taken == [(header, b"again")]
    # Nobody else's datagrams count there.
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.sendto(b"x", ("127.0.0.2", port))
    scene.reactor.iterate(0.01)
    assert len(scene.taken) == 1


def test_severalClientsOfOneDestination(scene: Scene) -> None:
    """Each has a socket there."""
    scene.carry()
    other = Scene()
    other.carry()
    port = free("127.0.0.2")
    for each in (scene, other):
        each.answer("127.0.0.2", port, b"hello")
        each.client.recvfrom(100)
        each.client.sendto(b"%d" % each.client.fileno(), ("127.0.0.2", port))
        each.until(partial(bool, each.taken))
    for each in (scene, other):
        assert [p for _, p in each.taken] == [b"%d" % each.client.fileno()]
    other.connection.abortConnection()
    other.watch.stop()
    other.client.close()


def test_notForEver(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """A source that is forgotten has no socket; there are so many at most."""
    monkeypatch.setattr(answers, "_SOCKETS", 2)
    scene.carry()
    before = descriptors()
    header = scene.answer("127.0.0.2", free("127.0.0.2"), b"x")
    assert len(descriptors() - before) == 1
    scene.connection.forget(header)
    scene.connection.forget(header)
    assert descriptors() <= before
    for host in ("127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5"):
        scene.answer(host, free(host), b"x")
    assert len(descriptors() - before) == 2
    scene.connection.loseConnection()
    scene.connection.loseConnection()
    assert descriptors() <= before
    assert scene.gone == [(scene.client.getsockname(), True)]


def test_capabilityThatIsGone(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as after twistd --uid: said once, with the remedy."""

    def refused(_: socket.socket) -> None:
        raise MissingRight(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(answers, "foreign", refused)
    scene.carry()
    before = descriptors()
    with capturedLogs() as events:
        for _ in range(3):
            scene.answer("127.0.0.2", 5353, b"x")
    assert descriptors() <= before
    (event,) = events
    assert "CAP_NET_RAW" in event["instead"]


def test_itIsAConnection(scene: Scene) -> None:
    """No octet comes or goes on it; it hears of its end once."""
    connection = scene.connection
    lost: list[object] = []

    class Receiver:
        connectionLost = staticmethod(lost.append)

    receiver: Any = Receiver()
    connection.take(receiver)
    assert connection.receiver is receiver
    connection.write(b"nothing")
    connection.pauseProducing()
    connection.resumeProducing()
    connection.loseWriteConnection()
    assert (connection.plain, connection.secured) == (None, "clear")
    assert (connection.local, connection.peer[:2]) == (
        (LOOPBACK, 53, 0),
        (LOOPBACK, scene.client.getsockname()[1]),
    )
    connection.cut()
    assert len(lost) == 1
    connection.came((LOOPBACK, 53), memoryview(b"late"))
    assert scene.gone == [(scene.client.getsockname(), False)]
