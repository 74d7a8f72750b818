"""
The sockets of a namespace, as the gateway has them, from a broker in a thread.
"""

from __future__ import annotations

import gc
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from socksgw.errors import ConnectFailed
from socksgw.system import brokered
from socksgw.system.broker import identityOf
from socksgw.system.brokered import Brokered
from tests.fakes.loops import WatchedLoop
from tests.live.clients import descriptorsFor
from tests.system.brokers import Threaded
from tests.tools.sockets import beyondSelect, descriptors

INET, STREAM, DATAGRAM = socket.AF_INET, socket.SOCK_STREAM, socket.SOCK_DGRAM
#: The stock of TCP sockets for IPv4.
STOCK = 64


class World(WatchedLoop):
    """A broker, and what the gateway has of it."""

    def __init__(self, where: Path) -> None:
        super().__init__()
        gc.collect()
        self.before = descriptors()
        self.broker = Threaded(where)
        self.sockets = Brokered("blue", where, self.watcher)

    def taken(self, count: int) -> list[socket.socket]:
        """Take so many without a turn."""
        return [self.sockets.open(INET, STREAM) for _ in range(count)]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path / "b.sock")
    yield made
    made.sockets.close()
    made.broker.end()
    assert descriptors() <= made.before
    made.closeLoop()


def test_aStock(world: World) -> None:
    """Of every kind there is one, that does not block, after the start."""
    assert world.sockets.identity == 0
    assert world.sockets.prepare()
    assert world.sockets.identity == identityOf(Path("/proc/self/ns/net"))
    for family in (INET, socket.AF_INET6):
        for kind in (STREAM, DATAGRAM):
            with world.sockets.open(family, kind) as found:
                assert (found.family, found.type) == (family, kind)
                assert found.gettimeout() == 0
                assert not found.get_inheritable()
    world.sockets.open(socket.AF_NETLINK, socket.SOCK_RAW).close()


def test_manyDescriptors(world: World) -> None:
    """It is there in a process with a thousand descriptors, too."""
    with descriptorsFor(2048), beyondSelect():
        assert world.sockets.prepare()
        world.sockets.close()


def test_moreThanTheStock(world: World) -> None:
    """Then one waits, in order, and the broker is asked; nothing blocks."""
    world.sockets.prepare()
    world.sockets.start()
    found = world.taken(STOCK)
    with pytest.raises(BlockingIOError):
        world.sockets.open(INET, STREAM)
    order: list[int] = []

    def take(number: int) -> None:
        order.append(number)
        found.append(world.sockets.open(INET, STREAM))

    waiting = [
        world.sockets.wait(INET, STREAM, lambda n=n: take(n))  # type: ignore[misc]
        for n in range(100)
    ]
    waiting[1].cancel()
    ready = world.sockets.ready(INET, STREAM)
    assert ready is not None
    ready.addCallback(lambda _: take(100))
    assert order == []
    world.until(lambda: len(order) == 100)
    assert order == [0, *range(2, 101)]
    world.settle()
    assert world.sockets.ready(INET, STREAM) is None
    found += world.taken(STOCK // 2)
    for each in found:
        each.close()


def test_theBrokerGoes(world: World) -> None:
    """What waits fails, and so does what follows, until there is one again."""
    world.sockets.prepare()
    world.sockets.start()
    found = world.taken(STOCK)
    failed: list[Any] = []

    def take() -> None:
        try:
            world.sockets.open(INET, STREAM)
        except ConnectFailed as e:
            failed.append(e)

    world.settle()
    found += world.taken(STOCK)
    world.sockets._stocks[1].asked = STOCK
    world.sockets.wait(INET, STREAM, take)
    world.broker.end()
    world.until(lambda: failed)
    assert (failed[0].reason, failed[0].reply) == ("network-lost", 3)
    assert world.sockets.identity == 0
    world.sockets.dial()
    with pytest.raises(ConnectFailed, match="start socksgw netns-broker blue"):
        world.sockets.open(INET, STREAM)
    assert world.sockets.ready(INET, STREAM) is None
    world.broker = Threaded(world.broker.where)
    world.sockets.dial()
    world.until(lambda: world.sockets.identity)
    world.sockets.open(INET, STREAM).close()
    for each in found:
        each.close()


def test_aBrokerThatDoesNotAnswer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It counts as gone after some seconds, at the start and later."""
    loop, where = WatchedLoop(), tmp_path / "mute.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as mute:
        mute.bind(str(where))
        mute.listen()
        sockets = Brokered("blue", where, loop.watcher)
        assert not sockets.prepare(0.1)
        assert sockets.why == "its broker does not answer"
        monkeypatch.setattr(brokered, "_PATIENCE", -1.0)
        sockets.start()
        sockets.dial()
        with pytest.raises(BlockingIOError):
            sockets.open(INET, STREAM)
        sockets.dial()
        with pytest.raises(ConnectFailed, match="its broker does not answer"):
            sockets.open(INET, STREAM)
    loop.closeLoop()


def test_somebodyElsesBroker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, world: World
) -> None:
    """Only one of our user or of root is believed."""
    monkeypatch.setattr(brokered, "peerOf", lambda _: os.geteuid() + 1)
    monkeypatch.setattr(brokered, "_ROOT", -1)
    assert not world.sockets.prepare()
    assert "it has to be ours, or root's" in world.sockets.why


@pytest.mark.parametrize(
    "said", [b"HTTP/1.1 200 OK", b"a longer text than a greeting", b"\x09\x01\x00"]
)
def test_whatIsNoBroker(tmp_path: Path, said: bytes) -> None:
    """What it says is not understood: it is left."""
    loop, where = WatchedLoop(), tmp_path / "odd.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as odd:
        odd.bind(str(where))
        odd.listen()
        sockets = Brokered("blue", where, loop.watcher)
        sockets.dial()
        peer, _ = odd.accept()
        with peer:
            peer.send(said)
            assert not sockets.prepare(5)
        assert sockets.why == "it is no broker of ours"
    loop.closeLoop()
