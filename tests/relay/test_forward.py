"""
The relay of one request and its answer, with real sockets on loopback and a reactor
of the test's own.
"""

from __future__ import annotations

import random
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.python.failure import Failure

from socksgw.limits.allowance import Allowance, Allowances
from socksgw.relay.forward import HEAD, ForwardRelay
from socksgw.relay.memory import Memory, Pipes
from socksgw.relay.settings import RelaySettings
from socksgw.system.plain import PlainConnection
from socksgw.system.watch import Watch
from tests.fakes.connections import Client, Recorder
from tests.fakes.loops import ReactorLoop, Timers
from tests.fakes.quota import Quota
from tests.tools.httpmessages import chunked, exchangeOf
from tests.tools.sockets import RESET, pair

MIB = 1 << 20
IDLE = 40.0
GET = b"GET http://example.com/a HTTP/1.1\r\nHost: x\r\n\r\n"
TOLD = b"GET /a HTTP/1.1\r\nHost: example.com\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


class Near(Client):
    """A client whose connection hands what comes to the relay."""

    def take(self, receiver: Any) -> None:
        super().take(receiver)
        if receiver is not None:
            self.connection.take(receiver)


class House(ReactorLoop, Timers):
    """A reactor that is nobody else's, and everything that relays share."""

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

    def relay(
        self,
        request: bytes = GET,
        *,
        buffer: int = 0,
        again: bool = False,
        sending: Allowance | None = None,
        receiving: Allowance | None = None,
    ) -> Run:
        """A relay that runs."""
        run = Run(self, request, buffer, again)
        self.runs.append(run)
        run.relay.limit(sending, receiving)
        run.relay.start(run.early)
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
    @ivar surplus: what came behind the request.
    """

    def __init__(self, house: House, request: bytes, buffer: int, again: bool) -> None:
        self.house = house
        self.client, near = pair(buffer=buffer)
        far, self.server = pair(buffer=buffer)
        self.near = PlainConnection(near, house.watch)
        self.far = PlainConnection(far, house.watch)
        self.exchange, self.early = exchangeOf(request)
        self.relay = ForwardRelay(
            house.settings, Near(self.near), self.far, self.exchange, again
        )
        self.done: list[tuple[str, bool, bool]] = []
        self.surplus = b""
        self.cancelled = False
        self.relay.done.addCallbacks(self._done, self._cancelled)

    def _done(self, result: tuple[str, bool, bool]) -> None:
        """As who waits for the end does."""
        self.done.append(result)
        self.surplus = self.relay.surplus
        self.near.take(Recorder())
        if result[1]:
            self.near.abortConnection()
        if result[2]:
            self.relay.dissolve()
            self.far.abortConnection()
        else:
            self.relay.handOver(Recorder())

    def _cancelled(self, _: Failure) -> None:
        self.cancelled = True
        self.near.take(Recorder())
        self.relay.dissolve()
        self.far.abortConnection()

    def over(self) -> tuple[str, bool, bool]:
        """Wait for the end."""
        self.house.until(lambda: self.done)
        (found,) = self.done
        return found


@pytest.fixture
def house() -> Iterator[House]:
    """Where nothing is left at the end, and nothing went wrong."""
    with capturedLogs() as events:
        made = House()
        yield made
        made.atBase()
    assert not [event for event in events if event.get("isError")]


def read(
    house: House, connection: socket.socket, enough: Callable[[bytes], bool]
) -> bytes:
    """What comes, until it is enough or ends."""
    found = bytearray()

    def came() -> bool:
        try:
            octets = connection.recv(MIB)
        except BlockingIOError:
            return False
        found.extend(octets)
        return not octets or enough(bytes(found))

    house.until(came)
    return bytes(found)


def exactly(house: House, connection: socket.socket, expected: bytes) -> None:
    """Read as much as that, which is what comes."""
    assert read(house, connection, lambda o: len(o) >= len(expected)) == expected


def test_oneRequest(house: House) -> None:
    """It is passed on, and its answer; both connections are as they were."""
    run = house.relay()
    exactly(house, run.server, TOLD)
    run.server.sendall(OK)
    exactly(house, run.client, OK)
    assert run.over() == ("closed", False, False)
    assert run.exchange.keepsClient
    assert run.exchange.keepsDestination
    assert run.near.plain is not None
    assert run.far.plain is not None


def test_theNextRequestIsKept(house: House) -> None:
    """What comes behind the request is for who serves the next one, octet by octet."""
    run = house.relay(GET + b"POST htt")
    exactly(house, run.server, TOLD)
    run.client.sendall(b"p://")
    house.settle()
    run.server.sendall(OK)
    assert run.over()[0] == "closed"
    assert run.surplus == b"POST htt"
    run.client.sendall(b"more")
    house.until(lambda: run.near.receiver.octets.endswith(b"more"))
    assert run.near.receiver.octets == b"p://more"


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_bodiesBothWays(house: House, framing: str) -> None:
    """Streamed, whole and in order, with little held on the way."""
    up, down = (random.Random(seed).randbytes(8 * MIB) for seed in (1, 2))
    head = b"POST http://example.com/ HTTP/1.1\r\nHost: x\r\n"
    answer = b"HTTP/1.1 200 OK\r\n"
    if framing == "length":
        fields = b"Content-Length: %d\r\n\r\n" % len(up)
        request, answer = up, answer + fields + down
        ending = b""
    else:
        fields = b"Transfer-Encoding: chunked\r\n\r\n"
        request, answer = chunked(up, [70_000]), answer + fields + chunked(down, [9000])
        ending = b"0\r\n\r\n"
    run = house.relay(head + fields)
    sides: list[list[Any]] = [
        [run.client, memoryview(request), bytearray()],
        [run.server, memoryview(answer), bytearray()],
    ]
    most = 0

    def over() -> bool:
        nonlocal most
        for side in sides:
            try:
                if len(side[1]):
                    side[1] = side[1][side[0].send(side[1][:65536]) :]
            except BlockingIOError:
                pass
            try:
                side[2].extend(side[0].recv(65536))
            except BlockingIOError:
                pass
        most = max(most, house.memory.held)
        return bool(run.done) and all(
            len(side[2]) >= MIB * 8 and side[2].endswith(ending[-5:]) for side in sides
        )

    house.until(over)
    assert most < MIB
    assert run.done == [("closed", False, False)]
    for came, body in ((sides[1][2], up), (sides[0][2], down)):
        octets = bytes(came).partition(b"\r\n\r\n")[2]
        if framing == "length":
            assert octets == body
        else:
            assert dechunked(octets) == body


def dechunked(octets: bytes) -> bytes:
    body: list[bytes] = []
    at = 0
    while True:
        end = octets.index(b"\r\n", at)
        size = int(octets[at:end], 16)
        if not size:
            assert octets[end:] == b"\r\n\r\n"
            return b"".join(body)
        body.append(octets[end + 2 : end + 2 + size])
        at = end + 2 + size + 2


def test_aClientThatDoesNotRead(house: House) -> None:
    """The destination is not read either: what is held is bounded."""
    run = house.relay(buffer=16384)
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n"
    run.server.sendall(answer)
    stalled = 0
    sent = 0
    while stalled < 50:
        try:
            sent += run.server.send(bytes(65536))
            stalled = 0
        except BlockingIOError:
            stalled += 1
        house.reactor.iterate(0.001)
    assert sent < 4 * MIB
    assert 0 < house.memory.held <= MIB
    run.client.close()
    assert run.over() == ("client-lost", False, True)


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("lost", ["client", "destination"])
def test_aDestinationThatDoesNotRead(house: House, lost: str, framing: str) -> None:
    """The client is not read either; the end of one of them is seen all the same."""
    head = b"POST http://example.com/ HTTP/1.1\r\nHost: x\r\n"
    part = bytes(65536)
    if framing == "length":
        head += b"Content-Length: 999999999\r\n\r\n"
    else:
        head += b"Transfer-Encoding: chunked\r\n\r\n3b9aca00\r\n"
    run = house.relay(head, buffer=16384)
    stalled = 0
    sent = 0
    while stalled < 50:
        try:
            sent += run.client.send(part)
            stalled = 0
        except BlockingIOError:
            stalled += 1
        house.reactor.iterate(0.001)
    assert 0 < sent < 4 * MIB
    assert 0 < house.memory.held <= MIB
    end = run.client if lost == "client" else run.server
    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    end.close()
    assert run.over() == (f"{lost}-lost", False, True)
    assert house.memory.held == 0


def test_theClientGoesAway(house: House) -> None:
    """In mid-request, or while the answer comes: the destination is reset."""
    post = b"POST http://example.com/ HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"
    run = house.relay(post + b"half")
    run.client.shutdown(socket.SHUT_WR)
    assert run.over() == ("client-lost", True, True)
    run = house.relay()
    run.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    run.client.close()
    assert run.over() == ("client-lost", False, True)
    with pytest.raises(ConnectionResetError):
        read(house, run.server, lambda _: False)


def test_aClientThatHasSaidAll(house: House) -> None:
    """It may end its side behind its request, and gets its answer."""
    run = house.relay()
    run.client.shutdown(socket.SHUT_WR)
    exactly(house, run.server, TOLD)
    run.server.sendall(OK)
    exactly(house, run.client, OK)
    assert run.over() == ("closed", False, False)


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200", b"SSH-2.0-x\r\n\r\n"])
def test_noAnswer(house: House, said: bytes, reset: bool) -> None:
    """502, with a text; the client's connection goes on."""
    run = house.relay()
    exactly(house, run.server, TOLD)
    run.server.sendall(said)
    house.settle()
    if reset:
        run.server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    run.server.close()
    reason, resetClient, resetDestination = run.over()
    assert reason == ("bad-answer" if said[:1] == b"S" else "destination-lost")
    assert (resetClient, resetDestination) == (False, True)
    told = read(house, run.client, lambda octets: octets.endswith(b"\n"))
    assert told.startswith(b"HTTP/1.1 502 ")
    assert run.exchange.keepsClient


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize(
    ("version", "answer", "cut"),
    [
        (b"1.1", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", False),
        (
            b"1.1",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
            False,
        ),
        (
            b"1.0",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
            True,
        ),
    ],
)
def test_halfAnAnswer(
    house: House, version: bytes, answer: bytes, cut: bool, reset: bool
) -> None:
    """
    The client does not take it for a whole one: where the end of the connection is
    the end of the answer, the connection is reset.
    """
    run = house.relay(GET.replace(b"HTTP/1.1", b"HTTP/" + version))
    run.server.sendall(answer)
    read(house, run.client, lambda octets: b"half" in octets)
    if reset:
        run.server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    run.server.close()
    assert run.over() == ("destination-lost", cut, True)
    assert not run.exchange.keepsClient


def test_anAnswerThatEndsWithItsConnection(house: House) -> None:
    """In order it is whole; a reset is not its end."""
    run = house.relay()
    exactly(house, run.server, TOLD)
    run.server.sendall(b"HTTP/1.0 200 OK\r\n\r\nhello")
    run.server.close()
    assert run.over() == ("closed", False, False)
    told = read(house, run.client, lambda octets: octets.endswith(b"0\r\n\r\n"))
    assert told.endswith(b"\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
    assert run.exchange.keepsClient
    assert not run.exchange.keepsDestination
    run = house.relay()
    run.server.sendall(b"HTTP/1.0 200 OK\r\n\r\nhello")
    read(house, run.client, lambda octets: b"hello" in octets)
    run.server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    run.server.close()
    assert run.over() == ("destination-lost", False, True)
    assert not run.exchange.answerDone


@pytest.mark.parametrize("ending", ["open", "close", "reset"])
def test_anAnswerBeforeTheEndOfTheRequest(house: House, ending: str) -> None:
    """
    The destination does not want the rest: the client gets the answer, although
    octets for the destination wait, or are refused.
    """
    head = b"POST http://example.com/ HTTP/1.1\r\nHost: x\r\n"
    run = house.relay(head + b"Content-Length: 99999999\r\n\r\n", buffer=65536)
    waiting = 0
    while waiting < 20:
        try:
            run.client.send(bytes(65536))
        except BlockingIOError:
            waiting += 1
        house.reactor.iterate(0.001)
    assert run.far.plain is None
    run.server.sendall(b"HTTP/1.1 413 No\r\nContent-Length: 2\r\n\r\nno")
    if ending == "reset":
        run.server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    if ending != "open":
        run.server.close()
    assert run.over() == ("closed", False, True)
    told = read(house, run.client, lambda octets: octets.endswith(b"no"))
    assert told.startswith(b"HTTP/1.1 413 No\r\n")
    assert b"\r\nConnection: close\r\n" in told


def test_aKeptConnectionThatWasClosed(house: House) -> None:
    """Nothing was heard, so that the request may go again elsewhere."""
    run = house.relay(again=True)
    run.server.close()
    assert run.over() == ("stale", False, True)
    run = house.relay(GET.replace(b"GET", b"POST"), again=True)
    run.server.close()
    assert run.over()[0] == "destination-lost"
    read(house, run.client, lambda octets: octets.endswith(b"\n"))


def test_malformedBodies(house: House) -> None:
    """400 to a client, where nothing was answered; nothing more is passed on."""
    head = b"POST http://example.com/ HTTP/1.1\r\nHost: x\r\n"
    fields = b"Transfer-Encoding: chunked\r\n\r\n"
    run = house.relay(head + fields + b"2\r\nhiX")
    assert run.over() == ("protocol", False, True)
    told = read(house, run.client, lambda octets: octets.endswith(b"\n"))
    assert told.startswith(b"HTTP/1.1 400 ")
    assert b"\r\nConnection: close\r\n" in told
    run = house.relay()
    run.server.sendall(b"HTTP/1.1 200 OK\r\n" + fields + b"2\r\nhi\r\nX\r\n")
    assert run.over() == ("bad-answer", False, True)


def test_anotherProtocol(house: House) -> None:
    """Both speak it from then on; the relay gives way."""
    fields = b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
    run = house.relay(GET[:-2] + fields + b"\r\nclient's")
    answer = b"HTTP/1.1 101 Switching\r\n" + fields + b"\r\n"
    run.server.sendall(answer + b"server's")
    assert run.over() == ("upgraded", False, False)
    exactly(house, run.client, answer)
    assert (run.surplus, run.exchange.early) == (b"client's", b"server's")


def test_time(house: House) -> None:
    """504 for no answer, and for a head that does not come to its end."""
    run = house.relay()
    house.advance(2 * IDLE)
    assert run.over() == ("idle", False, True)
    told = read(house, run.client, lambda octets: octets.endswith(b"\n"))
    assert told.startswith(b"HTTP/1.1 504 ")
    run = house.relay()
    run.server.sendall(b"HTTP/1.1 200 OK\r\n")
    house.until(lambda: run.exchange.heading)
    for _ in range(int(HEAD)):
        run.server.sendall(b"X")
        house.settle()
        house.advance(0.9)
    house.advance(0.1 * HEAD)
    assert run.over() == ("bad-answer", False, True)
    told = read(house, run.client, lambda octets: octets.endswith(b"\n"))
    assert told.startswith(b"HTTP/1.1 504 ")


def test_allowances(house: House) -> None:
    """What may move is bounded each way, and what is behind the request is kept."""
    clock = Clock()
    allowances = Allowances(clock, clock.seconds)
    up, down = Quota(60), Quota(len(OK))
    run = house.relay(
        GET,
        sending=allowances.allowance((), (up,)),
        receiving=allowances.allowance((), (down,)),
    )
    run.client.sendall(b"x" * 40)
    exactly(house, run.server, TOLD)
    run.server.sendall(OK)
    assert run.over() == ("closed", False, False)
    exactly(house, run.client, OK)
    assert run.surplus == b"x" * 40
    assert run.relay.exchange.keepsClient
    allowances.stop()


def test_cancelled(house: House) -> None:
    """The session is ended: the relay lets go of both connections."""
    run = house.relay()
    run.relay.done.cancel()
    assert run.cancelled
