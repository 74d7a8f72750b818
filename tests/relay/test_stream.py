"""
The relay through the process, with real sockets on loopback and a reactor of the
test's own.
"""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.python.failure import Failure

from socksgw.limits.allowance import Allowance, Allowances
from socksgw.relay.memory import SCARCE, Memory, Pipes
from socksgw.relay.settings import RelaySettings
from socksgw.relay.stream import StreamRelay
from socksgw.system.plain import PlainConnection
from socksgw.system.watch import Watch
from tests.fakes.connections import Client
from tests.fakes.loops import ReactorLoop, Timers
from tests.fakes.quota import Quota
from tests.tools.sockets import RESET, pair

MIB = 1 << 20
IDLE = 40.0


class Near(Client):
    """A client whose connection hands what comes to the relay."""

    def take(self, receiver: Any) -> None:
        super().take(receiver)
        self.connection.take(receiver)


class House(ReactorLoop, Timers):
    """
    A reactor that is nobody else's, and everything that relays share.
    """

    def __init__(self) -> None:
        ReactorLoop.__init__(self)
        Timers.__init__(self)
        self.memory = Memory(256_000_000)
        self.watch = Watch(self.reactor)
        self.watch.start()
        self.settings = RelaySettings(
            self.watch, self.setDeadline, self.memory, Pipes(), IDLE
        )
        self.runs: list[Run] = []

    def relay(self, early: bytes = b"", buffer: int = 0, reply: bytes = b"") -> Run:
        """A relay that runs."""
        run = Run(self, early, buffer, reply)
        self.runs.append(run)
        return run

    def atBase(self) -> None:
        """Nothing is left of any relay."""
        for run in self.runs:
            run.client.close()
            run.server.close()
            run.near.abortConnection()
            run.far.abortConnection()
        self.settle()
        for run in self.runs:
            assert run.done or run.cancelled
        assert self.pending == 0
        assert self.memory.held == 0
        assert self.watch.watched == 0
        self.watch.stop()
        self.closeLoop()


class Run:
    """
    One relay, between a client and a server that the test plays.

    @ivar done: what the relay said at its end.
    """

    def __init__(self, house: House, early: bytes, buffer: int, reply: bytes) -> None:
        self.house = house
        self.client, near = pair(buffer=buffer)
        far, self.server = pair(buffer=buffer)
        self.near = PlainConnection(near, house.watch)
        self.far = PlainConnection(far, house.watch)
        self.near.write(reply)
        self.relay = StreamRelay(house.settings, Near(self.near), self.far)
        self.done: list[tuple[str, bool, bool]] = []
        self.cancelled = False
        self.relay.done.addCallbacks(self._done, self._cancelled)
        self.relay.start(early)

    def _done(self, result: tuple[str, bool, bool]) -> None:
        """Who waits for the end closes both."""
        self.done.append(result)
        for each, reset in zip((self.near, self.far), result[1:], strict=True):
            if reset:
                each.abortConnection()
            else:
                each.loseConnection()

    def _cancelled(self, _: Failure) -> None:
        self.cancelled = True
        self.far.abortConnection()

    def exchange(self, up: bytes, down: bytes) -> tuple[bytes, bytes]:
        """
        Both send all they have, and end their side.

        @return: what the server, and what the client, received.
        """
        sides: list[list[Any]] = [
            [self.client, memoryview(up), bytearray(), False],
            [self.server, memoryview(down), bytearray(), False],
        ]

        def over() -> bool:
            for side in sides:
                connection, left, came, _ = side
                try:
                    if len(left):
                        side[1] = left[connection.send(left[:65536]) :]
                        if not len(side[1]):
                            connection.shutdown(socket.SHUT_WR)
                except BlockingIOError:
                    pass
                try:
                    octets = connection.recv(65536)
                    came.extend(octets)
                    side[3] = not octets
                except BlockingIOError:
                    pass
            return all(side[3] for side in sides)

        for side in sides:
            if not len(side[1]):
                side[0].shutdown(socket.SHUT_WR)
        self.house.until(over)
        return bytes(sides[1][2]), bytes(sides[0][2])


@pytest.fixture
def house() -> Iterator[House]:
    """Where nothing is left at the end, and nothing went wrong."""
    with capturedLogs() as events:
        made = House()
        yield made
        made.atBase()
    assert not [event for event in events if event.get("isError")]


def read(house: House, connection: socket.socket, count: int) -> bytes:
    """So many octets; fewer when it ends before."""
    found = bytearray()

    def enough() -> bool:
        try:
            octets = connection.recv(count - len(found))
        except BlockingIOError:
            return False
        found.extend(octets)
        return not octets or len(found) >= count

    house.until(enough)
    return bytes(found)


@pytest.mark.parametrize("sizes", [(0, 0), (1, 0), (0, 1), (3 * MIB, 2 * MIB)])
def test_bothWays(house: House, sizes: tuple[int, int]) -> None:
    """Whole, in order, counted; each side ends when it likes."""
    up, down = (random.Random(size).randbytes(size) for size in sizes)
    run = house.relay()
    assert run.exchange(up, down) == (up, down)
    house.until(lambda: run.done)
    assert run.done == [("closed", False, False)]
    assert (run.relay.client.moved, run.relay.destination.moved) == sizes


def test_earlyOctetsGoFirst(house: House) -> None:
    """What came behind the request, once, before all else."""
    run = house.relay(b"early ")
    run.client.sendall(b"late")
    assert read(house, run.server, 10) == b"early late"
    assert run.relay.client.moved == 10
    run.client.close()


@pytest.mark.parametrize("first", ["client", "server"])
def test_halfClose(house: House, first: str) -> None:
    """The other direction goes on after one has ended."""
    run = house.relay()
    one, other = run.client, run.server
    if first == "server":
        one, other = other, one
    one.sendall(b"question")
    one.shutdown(socket.SHUT_WR)
    assert read(house, other, 100) == b"question"
    house.settle()
    assert run.done == []
    other.sendall(b"answer")
    other.shutdown(socket.SHUT_WR)
    assert read(house, one, 100) == b"answer"
    house.until(lambda: run.done)
    assert run.done == [("closed", False, False)]


@pytest.mark.parametrize(
    ("first", "reason"), [("client", "client-lost"), ("server", "destination-lost")]
)
def test_reset(house: House, first: str, reason: str) -> None:
    """The other side is told, and the reason is who it was."""
    run = house.relay()
    one, other = (run.client, run.server)
    if first == "server":
        one, other = other, one
    one.sendall(b"x")
    assert read(house, other, 1) == b"x"
    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    one.close()
    house.until(lambda: run.done)
    assert run.done[0][0] == reason
    try:
        assert read(house, other, 1) == b""
    except ConnectionResetError:
        pass


def test_resetAfterTheClientHasEnded(house: House) -> None:
    """An answer that is cut off does not pass for a whole one."""
    run = house.relay()
    run.client.sendall(b"question")
    run.client.shutdown(socket.SHUT_WR)
    assert read(house, run.server, 8) == b"question"
    assert read(house, run.server, 1) == b""
    run.server.sendall(b"half an ans")
    assert read(house, run.client, 11) == b"half an ans"
    run.server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    run.server.close()
    house.until(lambda: run.done)
    assert run.done[0][0] == "destination-lost"


@pytest.mark.parametrize("stalled", ["client", "server"])
def test_aReaderThatStalls(house: House, stalled: str) -> None:
    """
    The sender is held up before much is buffered, that counts on the budget,
    and all arrives when it is read.
    """
    run = house.relay(buffer=16384)
    reader, sender = run.client, run.server
    if stalled == "server":
        reader, sender = sender, reader
    sent = 0
    quiet = 0
    while quiet < 20:
        try:
            sent += sender.send(b"x" * 65536)
            quiet = 0
        except BlockingIOError:
            quiet += 1
            house.reactor.iterate(0.002)
        assert sent < 8 * MIB
    assert 0 < house.memory.held <= MIB
    sender.shutdown(socket.SHUT_WR)
    assert read(house, reader, sent) == b"x" * sent
    assert read(house, reader, 1) == b""
    house.until(lambda: house.memory.held == 0)
    reader.shutdown(socket.SHUT_WR)
    house.until(lambda: run.done)
    assert run.done == [("closed", False, False)]


@pytest.mark.parametrize("stalled", ["client", "server"])
def test_aReaderThatStallsFromTheBeginning(house: House, stalled: str) -> None:
    """Where a reply, or octets behind the request, wait already, no more are read."""
    first = b"f" * 65536
    if stalled == "server":
        run = house.relay(early=first, buffer=4096)
        reader, sender = run.server, run.client
    else:
        run = house.relay(reply=first, buffer=4096)
        reader, sender = run.client, run.server
    assert house.memory.held
    sent = quiet = 0
    while quiet < 20:
        try:
            sent += sender.send(b"x" * 16384)
            quiet = 0
        except BlockingIOError:
            quiet += 1
            house.reactor.iterate(0.002)
        assert sent < MIB
    # The rest is in the kernel.
    assert run.relay.client.moved == (65536 if stalled == "server" else 0)
    assert run.relay.destination.moved == 0
    sender.shutdown(socket.SHUT_WR)
    assert read(house, reader, 65536 + sent) == first + b"x" * sent


def test_noRoomInTheBudget(house: House) -> None:
    """
    A direction that stalled goes on in small pieces, and in large ones when
    others have given back.
    """
    run = house.relay(buffer=16384)
    total = 4 * MIB
    view = memoryview(b"y" * total)
    found = bytearray()

    def send() -> None:
        nonlocal view
        try:
            view = view[run.server.send(view[:65536]) :]
        except BlockingIOError:
            house.reactor.iterate(0.001)

    def receive() -> bool:
        try:
            found.extend(run.client.recv(65536))
        except BlockingIOError:
            pass
        send()
        return len(found) == total

    while not house.memory.held:
        send()
        assert view, "nothing held the sender up"
    others = house.memory.limit - house.memory.held
    house.memory.take(others)
    for _ in range(60):
        receive()
        house.reactor.iterate(0.001)
    assert len(found) < total
    house.memory.give(others)
    house.until(receive)
    run.client.close()


@pytest.mark.parametrize("way", ["down", "up"])
def test_whoReadsIsServedThoughNoMemoryIsLeft(house: House, way: str) -> None:
    """
    Others that stall hold all the memory: who takes what comes is not held up
    by them, and holds little when it stalls as well.
    """
    run = house.relay(buffer=16384)
    house.until(lambda: run.relay.destination.connection)
    house.memory.take(house.memory.limit)
    sender, reader = run.server, run.client
    if way == "up":
        sender, reader = reader, sender
    sent = 0

    def stalled() -> bool:
        nonlocal sent
        with suppress(BlockingIOError):
            sent += sender.send(b"x" * 65536)
        return house.memory.held > house.memory.limit

    # The first time it had begun to read before.
    for most in (1 << 17, 2 * SCARCE, 2 * SCARCE):
        sent = 0
        house.until(stalled)
        house.settle()
        assert house.memory.held - house.memory.limit <= most
        assert read(house, reader, sent) == b"x" * sent
        house.until(lambda: house.memory.held == house.memory.limit)
    house.memory.give(house.memory.limit)


@pytest.mark.parametrize("talking", ["client", "server", "nobody"])
def test_idle(house: House, talking: str) -> None:
    """Without an octet either way for the idle time: a reset for both."""
    run = house.relay()
    for _ in range(8):
        house.advance(IDLE / 4)
        if talking == "nobody":
            continue
        one, other = (run.client, run.server)
        if talking == "server":
            one, other = other, one
        one.sendall(b"x")
        assert read(house, other, 1) == b"x"
    if talking != "nobody":
        assert run.done == []
        house.advance(IDLE * 1.5)
    assert run.done == [("idle", True, True)]
    house.settle()
    for connection in (run.client, run.server):
        with pytest.raises(ConnectionResetError):
            read(house, connection, 1)


def test_cancelled(house: House) -> None:
    """Cut off from within: the destination is closed, nothing is watched."""
    run = house.relay()
    run.client.sendall(b"x")
    assert read(house, run.server, 1) == b"x"
    run.relay.done.cancel()
    assert run.cancelled
    assert house.pending == 0
    with pytest.raises(ConnectionResetError):
        read(house, run.server, 1)


# With an allowance.


def bounded(clock: Clock, rate: int = 0, quota: int = 1 << 40) -> Allowance:
    """An allowance on a clock of the test's own; without a rate when it is 0."""
    all_ = Allowances(clock, clock.seconds)
    buckets = [all_.bucket("somebody", rate)] if rate else []
    return Allowance(all_, buckets, [Quota(quota)])


def test_aQuotaIsExact(house: House) -> None:
    """To the octet; what is left waits, and goes on when it may."""
    octets = random.Random(3).randbytes(100_000)
    run = house.relay()
    run.relay.limit(bounded(Clock(), quota=33_333), bounded(Clock(), quota=5))
    run.client.send(octets)
    run.server.send(b"an answer")
    assert read(house, run.server, 33_333) == octets[:33_333]
    assert read(house, run.client, 5) == b"an an"
    house.settle()
    for each in (run.client, run.server):
        with pytest.raises(BlockingIOError):
            each.recv(1)
    assert (run.relay.client.moved, run.relay.destination.moved) == (33_333, 5)
    run.relay.limit(None, None)
    assert read(house, run.client, 4) == b"swer"
    assert read(house, run.server, 66_667) == octets[33_333:]


def test_aRate(house: House) -> None:
    """
    No more than flows in; both ends come after all that was sent before them.
    """
    clock = Clock()
    up, down = random.Random(4).randbytes(400_000), random.Random(5).randbytes(90_000)
    run = house.relay()
    run.relay.limit(bounded(clock, 200_000), bounded(clock, 45_000))
    at: list[float] = []

    def passing() -> None:
        clock.advance(0.02)
        moved = (run.relay.client.moved, run.relay.destination.moved)
        if clock.seconds() >= 1 and not at:
            at.extend(moved)
        if not run.done:
            house.reactor.callLater(0, passing)

    passing()
    assert run.exchange(up, down) == (up, down)
    house.until(lambda: run.done)
    assert 0.9 * 200_000 <= at[0] <= 1.1 * 200_000
    assert 0.9 * 45_000 <= at[1] <= 1.1 * 45_000
    assert 1.8 <= clock.seconds() <= 2.2


def test_whatCameBeforeTheConnectionWasLostIsHandedOn(house: House) -> None:
    """It cannot wait for its allowance; of a quota no more than is left."""
    for quota, arrives in ((1 << 40, b"hello"), (4, b"hell")):
        run = house.relay()
        clock = Clock()
        allowance = bounded(clock, 1, quota)
        run.relay.limit(allowance, None)
        run.client.send(b"hello")
        house.until(lambda run=run: run.relay.client.moved)
        run.client.close()
        house.settle()
        run.near.loseConnection()
        assert read(house, run.server, 5) == arrives
        house.until(lambda run=run: run.done)
        assert run.relay.client.moved == len(arrives)


@pytest.mark.parametrize("waits", ["rate", "quota"])
def test_itEndsWhileItWaitsForItsAllowance(house: House, waits: str) -> None:
    """
    Waiting for a rate is not being idle, for a quota it is; nothing is held,
    and nobody waits, afterwards.
    """
    run = house.relay()
    clock = Clock()
    allowance = bounded(clock, 1000, 1 << 40 if waits == "rate" else 10)
    run.relay.limit(allowance, None)
    run.client.send(bytes(50_000))
    house.until(lambda: run.relay.client.moved)
    house.settle()
    assert house.memory.held > 0
    house.advance(IDLE + 20)
    if waits == "rate":
        assert run.done == []
        run.relay.done.cancel()
        assert run.cancelled
    else:
        assert run.done == [("idle", True, True)]
    assert house.memory.held == 0
    assert allowance.forget() is None


class Dissolving:
    """
    What hears of a relay's end in the place of a C{Deferred}, and dissolves it.

    @ivar ends: what the relay has told.
    """

    def __init__(self) -> None:
        self.ends: list[tuple[str, bool, bool]] = []
        self.relay: StreamRelay
        self.near: PlainConnection

    def callback(self, result: tuple[str, bool, bool], /) -> None:
        """As L{socksgw.relay.relay.Done.callback}."""
        self.ends.append(result)
        self.near.receiver = None
        self.relay.dissolve()


def test_aConnectionThatIsLostWhileItIsTaken(house: House) -> None:
    """Whoever hears of the end takes the relay apart, once it has begun."""
    client, near = pair()
    far, server = pair()

    class Lost(PlainConnection):
        """A connection that is told as lost by whom it is taken."""

        def take(self, receiver: Any) -> None:
            super().take(receiver)
            self.abortConnection()

    done = Dissolving()
    nearer = done.near = PlainConnection(near, house.watch)
    lost = Lost(far, house.watch)
    relay = done.relay = StreamRelay(house.settings, Near(nearer), lost, done)
    relay.start(b"early")
    assert done.ends == [("destination-lost", True, False)]
    nearer.abortConnection()
    client.close()
    server.close()
