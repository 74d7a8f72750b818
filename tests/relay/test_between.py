"""
Relays between connections of every kind, on either side, with real sockets on
loopback and a reactor of the test's own.
"""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import capturedLogs

from socksgw.limits.allowance import Allowance, Allowances
from socksgw.relay.between import Relays
from socksgw.relay.memory import Memory, Pipes
from socksgw.relay.settings import RelaySettings
from socksgw.relay.splice import SpliceRelay
from socksgw.relay.stream import CLOSING
from socksgw.relay.tally import Tally
from socksgw.system.watch import Watch
from tests.fakes.carriers import CARRIERS, HOPS, Carried, Peer
from tests.fakes.connections import Client, Recorder
from tests.fakes.loops import ReactorLoop, Timers
from tests.fakes.quota import Quota

UP = random.Random(60).randbytes(300_007)
DOWN = random.Random(61).randbytes(400_009)


class Near(Client):
    """A client whose connection hands what comes to the relay."""

    def take(self, receiver: Any) -> None:
        super().take(receiver)
        if receiver is not None:
            self.connection.take(receiver)
        else:
            self.connection.receiver = Recorder()


class World(ReactorLoop, Timers):
    """
    One relay between two kinds of connections.

    @ivar client: who plays the client.
    @ivar server: who plays the destination.
    @ivar done: what the relay returned, when it is over.
    """

    def __init__(self, near: str, far: str, directory: Path) -> None:
        ReactorLoop.__init__(self)
        Timers.__init__(self)
        self.watch = Watch(self.reactor)
        self.watch.start()
        self.memory = Memory(256_000_000)
        self._pipes = Pipes()
        self.tally = Tally()
        self.done: list[Any] = []
        carried = Carried(self, self.watch, directory, 16384)
        self.near, self.client = CARRIERS[near](carried)
        self.far, self.server = {**CARRIERS, **HOPS}[far](carried)
        self.relays = Relays(
            RelaySettings(
                self.watch,
                self.setDeadline,
                self.memory,
                self._pipes,
                40.0,
            )
        )

    def relay(self, early: bytes = b"", late: bytes = b"", **more: Any) -> None:
        """Begin."""
        over = Deferred.fromCoroutine(
            self.relays.between(
                Near(self.near), self.far, early, self.tally, late=late, **more
            )
        )
        self.over = over.addErrback(
            lambda failure: failure.trap(CancelledError) and None
        )
        over.addBoth(self._over)

    def _over(self, result: Any) -> None:
        self.done.append(result)
        if self.tally.reset:
            self.near.abortConnection()
        elif self.tally.reason == "closed":
            self.near.loseConnection()
        else:
            # As sessions do.
            self.near.cut()

    def read(self, peer: Peer, count: int) -> bytes:
        """So many octets; fewer when it ends before."""
        found = b""

        def enough() -> bool:
            nonlocal found
            self.client.flush()
            self.server.flush()
            try:
                came = peer.recv()
            except BlockingIOError:
                return False
            found += came
            return not came or len(found) >= count

        self.until(enough)
        return found

    def pass_(self, sender: Peer, reader: Peer, octets: bytes) -> bytes:
        """Send these; what arrives."""
        left, found = memoryview(octets), b""

        def all_() -> bool:
            nonlocal left, found
            try:
                if len(left):
                    left = left[sender.send(bytes(left[:16384])) :]
            except BlockingIOError:
                pass
            try:
                found += reader.recv()
            except BlockingIOError:
                pass
            return len(found) >= len(octets)

        self.until(all_)
        return found

    def over_(self, peer: Peer) -> None:
        """Read to the end; raises C{ConnectionResetError} where it is none."""
        found: list[Exception | bytes] = []

        def ended() -> bool:
            self.advance(0.2)
            try:
                came = peer.recv()
            except BlockingIOError:
                return False
            except ConnectionResetError as e:
                found.append(e)
                return True
            if not came:
                found.append(came)
            return bool(found)

        self.until(ended)
        if isinstance(found[0], Exception):
            raise found[0]

    def close(self) -> None:
        """See that nothing is left."""
        for peer in (self.client, self.server):
            peer.plain.close()
        self.until(lambda: self.done)
        for connection in (self.near, self.far):
            connection.abortConnection()
        self.settle()
        assert self.done == [None]
        assert (self.pending, self.memory.held, self.watch.watched) == (0, 0, 0)
        self._pipes.close()
        self.watch.stop()
        self.closeLoop()


@pytest.fixture(
    params=[
        *(f"{near}-{far}" for near in CARRIERS for far in CARRIERS),
        *(f"{near}-{far}" for near in ("plain", "tls") for far in HOPS),
    ]
)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """Each kind of client with each kind of destination; nothing goes wrong."""
    with capturedLogs() as events:
        near, far = request.param.split("-")
        made = World(near, far, tmp_path)
        yield made
        made.close()
    failures = [
        each["log_failure"].getTraceback() for each in events if "log_failure" in each
    ]
    assert not failures, failures[0]


def test_bothWays(world: World) -> None:
    """
    Whole, in order, counted; each side ends by itself, and what comes after the
    other's end arrives, too. Only two plain sockets are spliced.
    """
    plain = world.near.plain is not None and world.far.plain is not None
    world.relay(b"early ")
    assert isinstance(world.tally.relay, SpliceRelay) is plain
    assert world.read(world.server, 6) == b"early "
    assert world.pass_(world.client, world.server, UP) == UP
    world.client.end()
    assert world.read(world.server, 1) == b""
    assert world.pass_(world.server, world.client, DOWN) == DOWN
    assert world.done == []
    world.server.end()
    assert world.read(world.client, 1) == b""
    world.until(lambda: world.done)
    assert (world.tally.sent, world.tally.received) == (6 + len(UP), len(DOWN))
    assert (world.tally.reason, world.tally.reset) == ("closed", False)


@pytest.mark.parametrize("who", ["client", "server"])
@pytest.mark.parametrize("before", ["nothing", "octets", "octets, end"])
def test_whatComesWhileTheSocketsAreHandedOver(
    who: str, before: str, tmp_path: Path
) -> None:
    """What was told before the relay, or between, is not lost to it."""
    world = World("plain", "plain", tmp_path)
    connection, peer = (
        (world.near, world.client) if who == "client" else (world.far, world.server)
    )
    other = world.server if who == "client" else world.client
    connection.take(Recorder())
    connection.pauseProducing()
    if before.startswith("octets"):
        peer.send(b"octets ")
    if before.endswith("end"):
        peer.end()
    world.settle()
    world.relay()
    expected = b"octets " if before.startswith("octets") else b""
    if not before.endswith("end"):
        peer.send(b"more")
        expected += b"more"
    assert world.read(other, len(expected)) == expected
    if before.endswith("end"):
        assert world.read(other, 1) == b""
    world.close()


def test_whatTheDestinationSaidBefore(world: World) -> None:
    """It comes first, and counts; two plain sockets are spliced all the same."""
    plain = world.near.plain is not None and world.far.plain is not None
    quota, clock = Quota(1000), world.clock
    all_ = Allowances(clock, clock.seconds)
    world.relay(late=b"220 ready", receiving=Allowance(all_, [], [quota]))
    assert isinstance(world.tally.relay, SpliceRelay) is plain
    assert quota.left() == 991
    assert world.pass_(world.server, world.client, b"!" * 9) == b"220 ready"
    assert world.read(world.client, 9) == b"!" * 9
    world.server.end()
    world.client.end()
    world.until(lambda: world.done)
    assert world.tally.received == 18


def test_theDestinationEndsFirst(world: World) -> None:
    """The same the other way round."""
    world.relay()
    assert world.pass_(world.server, world.client, DOWN) == DOWN
    world.server.end()
    assert world.read(world.client, 1) == b""
    assert world.pass_(world.client, world.server, UP) == UP
    world.client.end()
    assert world.read(world.server, 1) == b""
    world.until(lambda: world.done)
    assert world.tally.reason == "closed"


@pytest.mark.parametrize("who", ["client", "destination"])
def test_oneIsReset(world: World, who: str) -> None:
    """What it sent arrives, the other hears of it, and the reason is who it was."""
    world.relay()
    one, other = world.client, world.server
    if who == "destination":
        one, other = other, one
    assert world.pass_(one, other, b"hello") == b"hello"
    one.reset()
    world.until(lambda: world.done)
    assert world.tally.reason in (f"{who}-reset", f"{who}-lost")
    try:
        assert world.read(other, 1) == b""
    except ConnectionResetError:
        pass


def test_aReaderThatStalls(world: World) -> None:
    """The sender is held up, what is held counts, and all arrives."""
    world.relay()
    sent = quiet = 0
    while quiet < 10 or not world.memory.held:
        try:
            sent += world.server.send(bytes(16384))
            quiet = 0
        except BlockingIOError:
            quiet += 1
            world.reactor.iterate(0.002)
        assert sent < 1 << 24
        assert quiet < 1000
    assert world.memory.held <= 1 << 20
    assert len(world.read(world.client, sent)) == sent
    world.until(lambda: not world.memory.held)


def test_idle(world: World) -> None:
    """Ended with a reset on both sides."""
    world.relay()
    world.advance(60.0)
    assert (world.tally.reason, world.tally.reset) == ("idle", True)
    for peer in (world.client, world.server):
        with pytest.raises(ConnectionResetError):
            world.read(peer, 1)


def test_cutOffFromWithin(world: World) -> None:
    """The destination can tell that it was not the client's orderly end."""
    world.relay()
    assert world.pass_(world.client, world.server, b"half of") == b"half of"
    world.over.cancel()
    with pytest.raises(ConnectionResetError):
        world.read(world.server, 1)


def test_aDestinationThatTakesNothing(world: World) -> None:
    """It is closed some time after a relay whose client has gone."""
    world.relay()
    quiet = 0
    while quiet < 10:
        try:
            world.client.send(bytes(16384))
            quiet = 0
        except BlockingIOError:
            quiet += 1
            world.reactor.iterate(0.002)
    world.client.reset()
    for _ in range(4):
        # A relay of plain sockets looks several times whether it has taken something.
        world.settle()
        world.advance(1.0)
    # Twisted's transports do not tell of a reset while they are paused.
    world.advance(60.0)
    world.until(lambda: world.done)
    world.advance(CLOSING)
    world.settle()
    assert (world.watch.watched, world.pending) == (0, 0)


@pytest.mark.parametrize("near", ["plain", "tls"])
@pytest.mark.parametrize("far", HOPS)
@pytest.mark.parametrize("who", ["client", "server"])
def test_cutOff(near: str, far: str, who: str, tmp_path: Path) -> None:
    """
    A stream that ends without the end of TLS is not told as complete, on either side;
    what came of it arrives.
    """
    world = World(near, far, tmp_path)
    world.relay()
    one, other = world.client, world.server
    if who == "server":
        one, other = other, one
    octets = UP[:100_000]
    assert world.pass_(one, other, octets) == octets
    one.send(b"last")
    one.flush()
    if who == "client" and near == "plain":
        # A plain client has no other way to say so.
        world.settle()
        one.reset()
    else:
        one.plain.shutdown(socket.SHUT_WR)
    with pytest.raises(ConnectionResetError):
        world.over_(other)
    assert world.tally.reason in (f"{who}-lost", "destination-lost", "client-lost")
    world.close()
