"""
The relay between two plain sockets, with real sockets and an epoll loop of
the test's own.
"""

from __future__ import annotations

import errno
import os
import random
import select
import socket
import stat
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from hashlib import sha256
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock

from socksgw.limits.allowance import Allowance, Allowances
from socksgw.relay.memory import Memory, Pipes
from socksgw.relay.settings import RelaySettings
from socksgw.relay.splice import SpliceRelay
from socksgw.system import sockets
from socksgw.system.once import Once
from tests.fakes.loops import WatchedLoop
from tests.fakes.quota import Quota
from tests.tools.sockets import RESET, descriptors, pair

MIB = 1 << 20


class World(WatchedLoop):
    """Everything that relays share."""

    def __init__(self, limit: int = 256_000_000, idle: float = 100.0) -> None:
        super().__init__()
        self.memory = Memory(limit)
        self.pipes = Pipes()
        self.settings = RelaySettings(
            self.watcher, self.setDeadline, self.memory, self.pipes, idle
        )
        self.runs: list[Run] = []

    def relay(self, early: bytes = b"", *, buffer: int = 0, local: bool = False) -> Run:
        run = Run(self, early, buffer, local)
        self.runs.append(run)
        return run


class Run:
    """
    One relay, between a client and a server that the test plays.

    The client is on a Unix socket where that is C{local}.

    @ivar done: what the relay said at its end.
    """

    def __init__(self, world: World, early: bytes, buffer: int, local: bool) -> None:
        self.world = world
        if local:
            self.client, self.near = socket.socketpair()
            self.client.setblocking(False)
            self.near.setblocking(False)
        else:
            self.client, self.near = pair(buffer=buffer)
        self.far, self.server = pair(buffer=buffer)
        self.relay = SpliceRelay(world.settings, self.near, self.far)
        self.done: list[tuple[str, bool, bool]] = []
        self.relay.done.addCallbacks(self._done, lambda _: None)
        self.relay.start(early)

    def _done(self, result: tuple[str, bool, bool]) -> None:
        """Who waits for the end closes both sockets at once."""
        self.done.append(result)
        for each, reset in zip((self.near, self.far), result[1:], strict=True):
            if reset:
                each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            each.close()

    @property
    def moved(self) -> tuple[int, int]:
        return self.relay.client.moved, self.relay.destination.moved

    def send(self, sender: socket.socket, octets: bytes) -> None:
        """Send it all, turning meanwhile."""
        view = memoryview(octets)
        while view:
            try:
                view = view[sender.send(view) :]
            except BlockingIOError:
                self.world.watcher.turn(0.01)

    def receive(self, receiver: socket.socket, count: int) -> bytes:
        """Receive so much, turning meanwhile."""
        found = bytearray()

        def enough() -> bool:
            try:
                octets = receiver.recv(min(MIB, count - len(found)))
            except BlockingIOError:
                return False
            assert octets, "it ended too early"
            found.extend(octets)
            return len(found) >= count

        if count:
            self.world.until(enough)
        return bytes(found)

    def ended(self, receiver: socket.socket) -> bytes:
        """Receive to the end, turning meanwhile."""
        found = bytearray()

        def end() -> bool:
            try:
                octets = receiver.recv(MIB)
            except BlockingIOError:
                return False
            found.extend(octets)
            return not octets

        self.world.until(end)
        return bytes(found)

    def stall(self, sender: socket.socket) -> int:
        """Send until nothing more goes, and return how much went."""
        sent = 0
        chunk = b"x" * MIB
        while True:
            try:
                sent += sender.send(chunk)
            except BlockingIOError:
                self.world.settle()
                try:
                    sent += sender.send(chunk)
                except BlockingIOError:
                    return sent

    def close(self) -> None:
        if not self.done:
            self.relay.done.cancel()
        for each in (self.client, self.near, self.far, self.server):
            each.close()


@pytest.fixture
def worlds() -> Iterator[Callable[..., World]]:
    """
    Makes worlds; at the end of each nothing may be left in it: no descriptor,
    no timer, no watched socket, no octet held.
    """
    before = descriptors()
    made: list[World] = []

    def make(**settings: float) -> World:
        world = World(**settings)  # type: ignore[arg-type]
        made.append(world)
        return world

    yield make
    for world in made:
        for run in world.runs:
            run.close()
        assert world.watcher.calls == {}
        assert world.pending == 0
        assert world.memory.held == 0
        world.pipes.close()
        world.watcher.close()
    assert descriptors() <= before


@pytest.fixture
def world(worlds: Callable[..., World]) -> World:
    return worlds()


def pattern(count: int, seed: int = 1) -> bytes:
    """Octets that show when any is lost, doubled or moved."""
    return b"".join(
        struct.pack(">I", (number * 2654435761 + seed) & 0xFFFFFFFF)
        for number in range(count // 4 + 1)
    )[:count]


@pytest.mark.parametrize(
    "size", [0, 1, 100, 65535, 65536, 65537, 131072, 300_000, 5 * MIB + 3]
)
def test_everyOctetArrivesAndIsCounted(world: World, size: int) -> None:
    """Both ways, in order, and the counts are exact."""
    up, down = pattern(size, 1), pattern(size, 2)
    run = world.relay()
    got = []
    for sender, receiver, octets in (
        (run.client, run.server, up),
        (run.server, run.client, down),
    ):
        received = bytearray()
        view = memoryview(octets)
        while len(received) < len(octets):
            if view:
                try:
                    view = view[sender.send(view) :]
                except BlockingIOError:
                    pass
            world.watcher.turn(0.001)
            try:
                received.extend(receiver.recv(MIB))
            except BlockingIOError:
                pass
        got.append(bytes(received))
    assert [sha256(each).digest() for each in got] == [
        sha256(each).digest() for each in (up, down)
    ]
    run.client.close()
    run.server.close()
    world.until(lambda: run.done)
    assert run.moved == (size, size)


@pytest.mark.parametrize("size", [1, 5000, 65536, 200_000])
def test_earlyOctetsGoFirstAndOnce(world: World, size: int) -> None:
    """What came behind the request, then what comes after it."""
    early = pattern(size)
    run = world.relay(early)
    run.send(run.client, b"and the rest")
    assert run.receive(run.server, size + 12) == early + b"and the rest"
    assert run.moved == (size + 12, 0)


def test_earlyOctetsForADestinationThatDoesNotReadYet(world: World) -> None:
    """They wait, and stay first."""
    early = pattern(MIB)
    run = world.relay(early, buffer=4096)
    run.send(run.client, b"rest")
    world.settle()
    assert run.relay.client.held
    assert run.receive(run.server, MIB + 4) == early + b"rest"
    assert run.moved == (MIB + 4, 0)


@pytest.mark.parametrize("size", [0, 10, 3 * MIB])
@pytest.mark.parametrize("who", ["client", "server"])
def test_halfClose(world: World, who: str, size: int) -> None:
    """
    The one side ends, with its last octets before; the other way goes on until
    that ends too, and then the relay is done, in order.
    """
    run = world.relay()
    first, second = run.client, run.server
    if who == "server":
        first, second = second, first
    octets = pattern(size)
    if size <= 10:
        first.send(octets)
        first.shutdown(socket.SHUT_WR)
        assert run.ended(second) == octets
    else:
        got = bytearray()
        view = memoryview(octets)
        while len(got) < size:
            try:
                if view:
                    view = view[first.send(view) :]
                    if not view:
                        first.shutdown(socket.SHUT_WR)
            except BlockingIOError:
                pass
            world.watcher.turn(0.001)
            try:
                got.extend(second.recv(MIB))
            except BlockingIOError:
                pass
        assert got == octets
        assert run.ended(second) == b""
    assert run.done == []
    run.send(second, b"still here")
    assert run.receive(first, 10) == b"still here"
    second.shutdown(socket.SHUT_WR)
    world.until(lambda: run.done)
    assert run.done == [("closed", False, False)]
    expected = (size, 10) if who == "client" else (10, size)
    assert run.moved == expected


@pytest.mark.parametrize("who", ["client", "server"])
def test_aReset(world: World, who: str) -> None:
    """The other side is to be reset too, and the reason says who it was."""
    run = world.relay()
    run.send(run.client, b"up")
    run.send(run.server, b"down")
    assert run.receive(run.server, 2) == b"up"
    assert run.receive(run.client, 4) == b"down"
    broken = run.client if who == "client" else run.server
    broken.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    broken.close()
    world.until(lambda: world.watcher.turn(0.01) or world.advance(1) or run.done)
    reason = "client-reset" if who == "client" else "destination-reset"
    assert run.done == [(reason, True, True)]
    assert run.moved == (2, 4)


# No more than a relay holds: how much the kernel's own buffers take depends on how it
# controls congestion.
@pytest.mark.parametrize("size", [0, 2, MIB])
@pytest.mark.parametrize("ended", [False, True], ids=["open", "ended"])
def test_aUnixSocketThatIsClosed(world: World, size: int, ended: bool) -> None:
    """
    The relay ends, whatever the server does, and what came before is with the server;
    of a client that has only ended its side it does not.
    """
    run = world.relay(local=True)
    octets = pattern(size)
    run.send(run.client, octets)
    run.send(run.server, b"down")
    assert run.receive(run.client, 4) == b"down"
    if ended:
        run.client.shutdown(socket.SHUT_WR)
        assert run.ended(run.server) == octets
        run.send(run.server, b"more")
        assert run.receive(run.client, 4) == b"more"
        assert run.done == []
    run.client.close()
    if not ended:
        assert run.ended(run.server) == octets
    world.until(lambda: world.advance(1) or run.done)
    assert run.done == [("closed", False, False)]
    assert run.moved == (size, 8 if ended else 4)


def test_aUnixSocketThatIsClosedWhileItsOctetsWait(world: World) -> None:
    """They arrive, though the server takes them late."""
    run = world.relay(local=True, buffer=4096)
    octets = pattern(4 * MIB)
    sent = 0
    while not world.memory.held:
        with suppress(BlockingIOError):
            sent += run.client.send(octets[sent : sent + MIB])
        world.watcher.turn(0.01)
    run.client.close()
    for _ in range(5):
        world.watcher.turn(0.01)
    assert run.done == []
    assert run.ended(run.server) == octets[:sent]
    world.until(lambda: world.advance(1) or run.done)
    assert run.done == [("closed", False, False)]


def test_octetsBeforeAResetStillArrive(world: World) -> None:
    """What the kernel had of a connection that broke is delivered first."""
    run = world.relay()
    run.send(run.server, b"the last words")
    world.until(lambda: run.moved[1] == 14)
    run.server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    run.server.close()
    assert run.receive(run.client, 14) == b"the last words"
    world.until(lambda: world.advance(1) or run.done)
    assert run.done[0][0] == "destination-reset"


@pytest.mark.parametrize("size", [6, 400_000])
@pytest.mark.parametrize("buffer", [0, 4096])
def test_urgentData(world: World, size: int, buffer: int) -> None:
    """
    A read ends before it, though there is more: what is behind it arrives, too.

    The urgent octet itself is left out, as always.
    """
    run = world.relay(buffer=buffer)
    before, behind = pattern(size), pattern(size, 7)
    received = b""
    for octets, flags in ((before, 0), (b"!", socket.MSG_OOB), (behind, 0)):
        view = memoryview(octets)
        while view:
            try:
                view = view[run.client.send(view, flags) :]
            except BlockingIOError:
                world.watcher.turn(0.01)
                with suppress(BlockingIOError):
                    received += run.server.recv(MIB)
    assert received + run.receive(run.server, 2 * size - len(received)) == (
        before + behind
    )


def test_urgentDataBeforeAnEndThatIsThere(world: World) -> None:
    """
    splice(2) says at urgent data that nothing comes, once the end behind it is there:
    what is between them arrives all the same.
    """
    run = world.relay()
    # Read once by copying, and once by splice(2), up to the urgent data.
    before, behind = pattern(1 << 17), pattern(1000, 7)
    run.client.sendall(before)
    run.client.send(b"!", socket.MSG_OOB)
    run.client.sendall(behind)
    run.client.shutdown(socket.SHUT_WR)
    size = len(before) + len(behind)
    assert run.receive(run.server, size) == before + behind


def test_aPeerThatIsGoneWhileOctetsAreHeldForIt(world: World) -> None:
    """They can never be delivered: forgotten, and given back to the budget."""
    run = world.relay(buffer=4096)
    run.stall(run.client)
    assert world.memory.held
    run.server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    run.server.close()
    world.until(lambda: world.advance(1) or run.done)
    assert run.done[0][0] == "destination-reset"
    assert world.memory.held == 0


@pytest.mark.parametrize("who", ["client", "server"])
def test_aStalledReaderHoldsAtMostOneMiB(world: World, who: str) -> None:
    """
    In our pipes and memory, for each direction, whatever is sent; and when it
    reads again every octet is there.
    """
    run = world.relay(buffer=65536)
    sender, receiver = run.client, run.server
    if who == "server":
        sender, receiver = receiver, sender
    sent = run.stall(sender)
    assert 0 < world.memory.held <= MIB
    got = run.receive(receiver, sent)
    assert got == b"x" * sent
    assert sum(run.moved) == sent
    assert world.memory.held == 0


def test_bulkIsReadWithoutCallsInVain(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each splice(2) from a socket brings octets, whatever the pace of the sender."""
    run = world.relay()
    brought, vain = 0, 0
    splice = os.splice

    def counted(source: int, *rest: Any, **named: Any) -> int:
        nonlocal brought, vain
        try:
            went = splice(source, *rest, **named)
        except BlockingIOError:
            vain += source == run.near.fileno()
            raise
        brought += source == run.near.fileno()
        return went

    monkeypatch.setattr(os, "splice", counted)
    for size in (200_000, 70_000, 1_000_000) * 4:
        run.send(run.client, pattern(size))
        run.receive(run.server, size)
    assert brought > 12
    assert vain == 0


def test_theEndOfBothSidesIsToldOnce(world: World) -> None:
    """Also where octets of a bulk transfer wait meanwhile; they arrive."""
    run = world.relay(buffer=65536)
    sent = 0
    while not world.memory.held:
        run.send(run.client, b"x" * (1 << 17))
        sent += 1 << 17
        world.settle()
    run.server.shutdown(socket.SHUT_WR)
    run.client.shutdown(socket.SHUT_WR)
    for _ in range(20):
        world.watcher.turn(0.01)
    calls = 0
    tell = world.watcher.calls[run.near.fileno()]

    def counted(events: int) -> None:
        nonlocal calls
        calls += 1
        tell(events)

    world.watcher.calls[run.near.fileno()] = counted
    for _ in range(50):
        world.watcher.turn(0)
    assert calls <= 1
    assert run.ended(run.server) == b"x" * sent


def test_bothDirectionsStalled(world: World) -> None:
    """Each holds its own; neither blocks the other."""
    run = world.relay(buffer=65536)
    up, down = run.stall(run.client), run.stall(run.server)
    assert world.memory.held <= 2 * MIB
    assert len(run.receive(run.client, down)) == down
    assert len(run.receive(run.server, up)) == up
    assert run.moved == (up, down)


def test_manyStalledReadersStayWithinTheBudget(worlds: Callable[..., World]) -> None:
    """All of them together hold at most the budget, and a neighbour goes on."""
    world = worlds(limit=2 * MIB)
    stalled = [world.relay(buffer=65536) for _ in range(12)]
    sent = []
    for run in stalled:
        sent.append(run.stall(run.client))
        assert world.memory.held <= 2 * MIB
    neighbour = world.relay()
    octets = pattern(300_000)
    neighbour.send(neighbour.client, octets[:1000])
    assert neighbour.receive(neighbour.server, 1000) == octets[:1000]
    for run, count in zip(stalled, sent, strict=True):
        assert len(run.receive(run.server, count)) == count
    assert world.memory.held == 0


def test_whoNeedsNoMemoryGoesOnWithoutAny(worlds: Callable[..., World]) -> None:
    """
    Where stalled readers hold all the memory there is, whoever reads still
    gets what comes, and nothing more is held.
    """
    world = worlds(limit=MIB)
    world.memory.take(MIB)
    run = world.relay()
    octets = pattern(100_000)
    run.send(run.client, octets)
    assert run.receive(run.server, len(octets)) == octets
    assert world.memory.held == MIB
    world.memory.give(MIB)
    run.send(run.server, b"and back")
    assert run.receive(run.client, 8) == b"and back"


def test_whoTakesAPartWithoutMemory(worlds: Callable[..., World]) -> None:
    """
    What the other side does not take waits in the sender's socket, and not here,
    however little that is; it arrives when there is room, and so does the end.
    """
    world = worlds(limit=MIB)
    world.memory.take(MIB)
    run = world.relay(buffer=4096)
    for _ in range(3):
        sent = run.stall(run.client)
        assert world.memory.held == MIB
        assert len(run.receive(run.server, sent)) == sent
    sent = run.stall(run.client)
    run.client.shutdown(socket.SHUT_WR)
    assert run.ended(run.server) == b"x" * sent
    assert world.memory.held == MIB
    world.memory.give(MIB)


def test_whoWaitsForMemoryAndEndsIsForgotten(worlds: Callable[..., World]) -> None:
    """The budget calls nobody that has gone."""
    world = worlds(limit=MIB)
    world.memory.take(MIB)
    run = world.relay()
    run.send(run.client, b"x")
    world.settle()
    run.relay.done.cancel()
    run.done.append(("cancelled", True, True))
    world.memory.give(MIB)
    assert world.watcher.calls == {}


def test_withoutADescriptorForAPipeOctetsAreCopied(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Out of descriptors, the relay goes on."""
    monkeypatch.setattr(world.pipes.__class__, "take", lambda self: None)
    run = world.relay()
    octets = pattern(3 * MIB)
    got = bytearray()
    view = memoryview(octets)
    while len(got) < len(octets):
        try:
            view = view[run.client.send(view) :] if view else view
        except BlockingIOError:
            pass
        world.watcher.turn(0.001)
        try:
            got.extend(run.server.recv(MIB))
        except BlockingIOError:
            pass
    assert got == octets


def test_idle(worlds: Callable[..., World]) -> None:
    """
    A relay in which nothing moves ends, never before the idle time; one in
    which something does goes on.
    """
    world = worlds(idle=100.0)
    quiet, busy = world.relay(), world.relay()
    for _ in range(20):
        busy.send(busy.client, b".")
        busy.receive(busy.server, 1)
        if world.now < 100:
            assert quiet.done == []
        world.advance(20)
    assert quiet.done == [("idle", True, True)]
    assert busy.done == []
    world.advance(90)
    assert busy.done == []
    world.advance(60)
    assert busy.done == [("idle", True, True)]


def test_aStalledReaderIsIdleToo(worlds: Callable[..., World]) -> None:
    """What is held does not keep a relay alive."""
    world = worlds(idle=100.0)
    run = world.relay(buffer=4096)
    run.stall(run.client)
    world.advance(200)
    assert run.done == [("idle", True, True)]
    assert world.memory.held == 0


def test_cancelling(world: World) -> None:
    """A session that is ended lets go of everything at once."""
    run = world.relay(buffer=4096)
    run.stall(run.client)
    run.relay.done.cancel()
    assert world.watcher.calls == {}
    assert world.pending == 0
    assert world.memory.held == 0


@settings(deadline=None, max_examples=25)
@given(
    st.lists(
        st.tuples(st.booleans(), st.integers(1, 400_000), st.integers(0, 400_000)),
        min_size=1,
        max_size=12,
    )
)
def test_anySequenceOfSendsAndReads(steps: list[tuple[bool, int, int]]) -> None:
    """
    However both sides send and read, what arrives is what was sent, and the
    counts agree.
    """
    before = descriptors()
    world = World()
    run = world.relay(buffer=16384)
    ends = {True: (run.client, run.server), False: (run.server, run.client)}
    sent = {True: bytearray(), False: bytearray()}
    got = {True: bytearray(), False: bytearray()}

    def read(way: bool, count: int) -> None:
        try:
            octets = ends[way][1].recv(count) if count else b""
        except BlockingIOError:
            return
        got[way].extend(octets)

    for number, (way, send, count) in enumerate(steps):
        octets = pattern(send, number)
        try:
            sent[way].extend(octets[: ends[way][0].send(octets)])
        except BlockingIOError:
            pass
        world.watcher.turn(0)
        read(way, count)
        assert world.memory.held <= 2 * MIB
    for way in (True, False):
        ends[way][0].shutdown(socket.SHUT_WR)
    for way in (True, False):
        got[way].extend(run.ended(ends[way][1]))
        assert got[way] == sent[way]
    world.until(lambda: run.done)
    assert run.done == [("closed", False, False)]
    assert run.moved == (len(sent[True]), len(sent[False]))
    run.close()
    assert (world.memory.held, world.pending, world.watcher.calls) == (0, 0, {})
    world.pipes.close()
    world.watcher.close()
    assert descriptors() <= before


# With an allowance.


class Bounds:
    """
    Allowances on a clock of the test's own.
    """

    def __init__(self) -> None:
        self.clock = Clock()
        self.all = Allowances(self.clock, self.clock.seconds)

    def rate(self, octets: int) -> Allowance:
        return Allowance(self.all, [self.all.bucket(object(), octets)], [])

    def quota(self, octets: int) -> Allowance:
        return Allowance(self.all, [], [Quota(octets)])

    def until(self, world: World, condition: Callable[[], object]) -> None:
        """Turn, and let time pass, until something is so."""

        def met() -> bool:
            self.clock.advance(0.02)
            return bool(condition())

        world.until(met)


@pytest.mark.parametrize("ways", ["up", "down"])
def test_aQuotaIsExact(world: World, ways: str) -> None:
    """To the octet; what is left waits, and goes on when it may."""
    octets = pattern(3 * MIB)
    run = world.relay()
    bounds = Bounds()
    allowance = bounds.quota(2 * MIB + 17)
    sender, receiver = run.client, run.server
    if ways == "down":
        sender, receiver = receiver, sender
        run.relay.limit(None, allowance)
    else:
        run.relay.limit(allowance, None)
    thread = threading.Thread(target=lambda: send(sender, octets))
    thread.start()
    assert run.receive(receiver, 2 * MIB + 17) == octets[: 2 * MIB + 17]
    world.settle()
    assert sorted(run.moved) == [0, 2 * MIB + 17]
    with pytest.raises(BlockingIOError):
        receiver.recv(1)
    run.relay.limit(None, None)
    assert run.receive(receiver, MIB - 17) == octets[2 * MIB + 17 :]
    thread.join()
    assert not bounds.all.waiting


def send(sender: socket.socket, octets: bytes) -> None:
    """Send it all, in a thread of its own."""
    view = memoryview(octets)
    while view:
        select.select([], [sender], [])
        view = view[sender.send(view) :]


def test_aRate(world: World) -> None:
    """No more than flows in, however much there is to read; all arrives."""
    octets = pattern(MIB)
    run = world.relay()
    bounds = Bounds()
    run.relay.limit(bounds.rate(200_000), bounds.rate(50_000))
    run.send(run.client, octets)
    world.settle()
    assert 0 < run.moved[0] <= 0.1 * 200_000
    received = bytearray()
    for _ in range(100):
        bounds.clock.advance(0.02)
        while world.watcher.turn():
            pass
        try:
            received += run.server.recv(MIB)
        except BlockingIOError:
            pass
    assert 0.9 * 400_000 <= run.moved[0] <= 1.1 * 400_000
    run.relay.limit(bounds.rate(10**9), None)
    received += run.receive(run.server, MIB - len(received))
    assert bytes(received) == octets


def test_aRateAndTheEnd(world: World) -> None:
    """An end is passed on after all that came before it."""
    octets = pattern(300_000)
    run = world.relay()
    bounds = Bounds()
    run.relay.limit(bounds.rate(100_000), None)
    run.send(run.client, octets)
    run.client.shutdown(socket.SHUT_WR)
    run.server.shutdown(socket.SHUT_WR)
    received = bytearray()

    def ended() -> bool:
        try:
            came = run.server.recv(MIB)
        except BlockingIOError:
            return False
        received.extend(came)
        return not came

    bounds.until(world, ended)
    assert bytes(received) == octets
    world.until(lambda: run.done)
    assert run.done == [("closed", False, False)]
    assert bounds.clock.seconds() > 2.5


def test_aResetIsSeenWhileItWaitsForItsAllowance(world: World) -> None:
    """Neither side is read at the moment; the relay ends all the same."""
    run = world.relay()
    bounds = Bounds()
    run.relay.limit(bounds.quota(0), bounds.quota(0))
    run.send(run.client, b"x")
    run.send(run.server, b"x")
    world.settle()
    assert len(bounds.all.waiting) == 2
    run.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    run.client.close()
    world.until(lambda: run.done or world.advance(0.2))
    assert run.done == [("client-reset", True, True)]
    assert not bounds.all.waiting


def test_whoWaitsForTheRateIsNotIdle(worlds: Callable[..., World]) -> None:
    """
    It owes for longer than the idle time, and goes on afterwards; when nothing
    comes any more it is idle as any other.
    """
    world = worlds(idle=100.0)
    run = world.relay()
    bounds = Bounds()
    allowance = bounds.rate(100)
    allowance.charge(bytes(40_000))
    run.relay.limit(allowance, None)
    run.send(run.client, b"x")
    world.settle()
    assert bounds.all.waiting
    world.advance(300)
    assert run.done == []
    for _ in range(500):
        bounds.clock.advance(1)
    assert run.receive(run.server, 1) == b"x"
    world.advance(99)
    assert run.done == []
    world.advance(60)
    assert run.done == [("idle", True, True)]


def test_whoWaitsForAQuotaIsIdle(worlds: Callable[..., World]) -> None:
    """Nothing comes of that while the session lives."""
    world = worlds(idle=100.0)
    run = world.relay()
    bounds = Bounds()
    run.relay.limit(bounds.quota(0), None)
    run.send(run.client, b"x")
    world.settle()
    world.advance(160)
    assert run.done == [("idle", True, True)]
    assert not bounds.all.waiting


@pytest.mark.parametrize(("left", "arrives"), [(5, b"early"), (3, b"ear"), (0, b"")])
def test_earlyOctetsCount(world: World, left: int, arrives: bytes) -> None:
    """What came behind the request is bounded as the rest."""
    bounds = Bounds()
    client, near = pair()
    far, server = pair()
    relay = SpliceRelay(world.settings, near, far)
    relay.done.addErrback(lambda _: None)
    relay.limit(bounds.quota(left), None)
    relay.start(b"early")
    client.send(b"more")
    world.settle()
    assert relay.client.moved == len(arrives)
    if arrives:
        assert server.recv(100) == arrives
    with pytest.raises(BlockingIOError):
        server.recv(100)
    relay.done.cancel()
    assert not bounds.all.waiting
    for each in (client, near, far, server):
        each.close()


def test_otherAllowancesWhileItMoves(world: World) -> None:
    """From nothing to little, to none at all, to as much as there is."""
    run = world.relay()
    bounds = Bounds()
    run.send(run.client, b"free")
    assert run.receive(run.server, 4) == b"free"
    for allowance in (bounds.quota(2), bounds.quota(0), bounds.quota(1)):
        run.relay.limit(allowance, None)
        run.send(run.client, b"12345")
        world.settle()
    # The third lets one more of what the first one left go.
    assert run.server.recv(100) == b"123"
    assert len(bounds.all.waiting) == 1
    run.relay.limit(None, None)
    assert run.receive(run.server, 12) == b"45" + b"12345" + b"12345"


REFUSALS = (errno.EPERM, errno.ENOSYS, errno.ENOMEM, errno.EINVAL)


class Refusing:
    """
    A system that refuses splice(2), into pipes or out of them.

    @ivar refused: how often it has.
    @ivar lines: what is logged.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, code: int, way: str) -> None:
        self.refused = 0
        real = os.splice

        def splice(source: int, target: int, *rest: Any, **flags: Any) -> int:
            into = stat.S_ISFIFO(os.fstat(target).st_mode)
            if way == ("into" if into else "out of"):
                self.refused += 1
                raise OSError(code, os.strerror(code))
            return real(source, target, *rest, **flags)

        monkeypatch.setattr(os, "splice", splice)
        monkeypatch.setattr(sockets, "_told", Once())
        self.lines: list[str] = []
        log = SimpleNamespace(
            warn=lambda text, **of: self.lines.append(text.format(**of))
        )
        monkeypatch.setattr(sockets, "_log", log)


@pytest.mark.parametrize("way", ["into", "out of"])
@pytest.mark.parametrize("code", REFUSALS, ids=errno.errorcode.get)
def test_spliceIsRefused(
    worlds: Callable[..., World], monkeypatch: pytest.MonkeyPatch, code: int, way: str
) -> None:
    """
    Octets are copied instead, both ways, whether or not their reader stalls; it
    is told once. It is not tried again where it will be refused again.
    """
    system = Refusing(monkeypatch, code, way)
    world = worlds()
    octets = random.Random(code).randbytes(MIB)
    for buffer in (0, 8192):
        run = world.relay(buffer=buffer)
        for sender, receiver in (
            (run.server, run.client),
            (run.client, run.server),
        ):
            sent = run.stall(sender)
            assert run.receive(receiver, sent) == b"x" * sent
            sender.setblocking(True)
            sending = threading.Thread(target=sender.sendall, args=(octets,))
            sending.start()
            assert run.receive(receiver, len(octets)) == octets
            sending.join()
            sender.setblocking(False)
        assert not run.done
    assert [line.partition(":")[0] for line in system.lines] == [
        f"splice(2) is refused here ({os.strerror(code)})"
    ]
    if code in (errno.EPERM, errno.ENOSYS):
        assert system.refused == 1
    elif code == errno.EINVAL:
        # Once for each direction.
        assert 1 <= system.refused <= 4


def test_pipesAreRefused(
    worlds: Callable[..., World], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same; that there is no descriptor is nothing to tell."""
    system = Refusing(monkeypatch, 0, "nowhere")
    for code, lines in ((errno.EMFILE, 0), (errno.ENOSYS, 1)):

        def pipe2(_: int, code: int = code) -> None:
            raise OSError(code, os.strerror(code))

        monkeypatch.setattr(os, "pipe2", pipe2)
        run = worlds().relay()
        sent = run.stall(run.server)
        assert run.receive(run.client, sent) == b"x" * sent
        assert len(system.lines) == lines
