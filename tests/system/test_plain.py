"""
A connection on a plain socket, with real sockets on loopback and a reactor of the
test's own.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.logger import capturedLogs

from socksgw.system import plain
from socksgw.system.plain import PlainConnection, socketName
from socksgw.system.watch import READ, UNWATCHED
from tests.fakes.connections import Floor, Recorder
from tests.tools.sockets import RESET, pair


@pytest.fixture
def floor() -> Iterator[Floor]:
    made = Floor()
    yield made
    made.atBase()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_reading(floor: Floor, host: str) -> None:
    """Octets as they come; both addresses; the socket itself."""
    receiver = Recorder()
    client, connection = floor.connect(receiver, host)
    client.sendall(b"one")
    floor.until(lambda: receiver.octets == b"one")
    client.sendall(b"two")
    floor.until(lambda: receiver.octets == b"onetwo")
    assert connection.local == socketName(client.getpeername())
    assert connection.peer == socketName(client.getsockname())
    assert connection.peer.address.text == host
    connection.plain.send(b"answer")
    assert floor.read(client, 6) == b"answer"
    connection.loseConnection()


def test_pausing(floor: Floor) -> None:
    """Nothing while it is paused, everything after; twice is once."""
    receiver = Recorder()
    client, connection = floor.connect(receiver)
    connection.pauseProducing()
    connection.pauseProducing()
    client.sendall(b"later")
    floor.settle()
    assert receiver.octets == b""
    connection.resumeProducing()
    connection.resumeProducing()
    floor.until(lambda: receiver.octets == b"later")
    connection.loseConnection()


def paused(floor: Floor) -> tuple[socket.socket, Any, Recorder]:
    """A client whose octets nobody reads."""
    receiver = Recorder()
    client, connection = floor.connect(receiver)
    connection.pauseProducing()
    client.sendall(b"unread")
    floor.settle()
    return client, connection, receiver


def test_theEndIsSeenWhilePaused(floor: Floor) -> None:
    """
    Told once, with what it sent still unread, which can be read afterwards.
    """
    client, connection, receiver = paused(floor)
    assert receiver.departures == 0
    client.shutdown(socket.SHUT_WR)
    floor.until(lambda: receiver.departures)
    floor.settle()
    assert (receiver.departures, receiver.octets, receiver.lost) == (1, b"", [])
    connection.resumeProducing()
    floor.until(lambda: receiver.readEnds)
    assert receiver.octets == b"unread"
    connection.loseConnection()
    floor.until(lambda: receiver.lost)


@pytest.mark.parametrize("ended", [False, True], ids=["open", "ended"])
def test_aResetIsSeenWhilePaused(floor: Floor, ended: bool) -> None:
    """So it is when the client had ended its side before."""
    receiver = Recorder()
    client, connection = floor.connect(receiver)
    if ended:
        client.shutdown(socket.SHUT_WR)
        floor.until(lambda: receiver.readEnds)
    connection.pauseProducing()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    client.close()
    floor.until(lambda: receiver.lost)
    assert receiver.lost == [ConnectionLost]


def test_whatWasReadIsOverwritten(floor: Floor) -> None:
    """The buffer of all connections does not keep anybody's password."""
    receiver = Recorder()
    client, connection = floor.connect(receiver)
    client.sendall(b"password")
    floor.until(lambda: receiver.octets == b"password")
    assert b"password" not in plain._BUFFER
    connection.loseConnection()


def test_halfClose(floor: Floor) -> None:
    """Told once; the other direction still works."""
    receiver = Recorder()
    client, connection = floor.connect(receiver)
    client.sendall(b"last words")
    client.shutdown(socket.SHUT_WR)
    floor.until(lambda: receiver.readEnds)
    floor.settle()
    assert (receiver.octets, receiver.readEnds, receiver.lost) == (b"last words", 1, [])
    connection.write(b"answer")
    assert floor.read(client, 6) == b"answer"
    connection.loseConnection()
    floor.until(lambda: receiver.lost)


def test_reset(floor: Floor) -> None:
    """The client is gone: told once."""
    receiver = Recorder()
    client, _ = floor.connect(receiver)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    client.close()
    floor.until(lambda: receiver.lost)
    floor.settle()
    assert receiver.lost == [ConnectionLost]


def test_closing(floor: Floor) -> None:
    """In order, told once, however often it is asked for."""
    receiver = Recorder()
    client, connection = floor.connect(receiver)
    connection.loseConnection()
    connection.loseConnection()
    assert receiver.lost == [ConnectionDone]
    assert connection.plain is None
    assert floor.read(client, 1) == b""
    # Nothing is watched for it any more; its number may be another's.
    connection.pauseProducing()
    connection.resumeProducing()
    assert floor.watch.watched == 0


def test_aborting(floor: Floor) -> None:
    """With a reset, even after what was sent."""
    receiver = Recorder()
    client, connection = floor.connect(receiver)
    connection.abortConnection()
    assert receiver.lost == [ConnectionAborted]
    with pytest.raises(ConnectionResetError):
        floor.read(client, 1)


def test_aProtocolThatFails(floor: Floor) -> None:
    """It is logged, the client is lost, and nobody else."""
    receiver, other = Recorder(), Recorder()
    client, _ = floor.connect(receiver)
    neighbour, connection = floor.connect(other)
    receiver.failing = ZeroDivisionError("a defect")
    with capturedLogs() as logged:
        client.sendall(b"x")
        floor.until(lambda: receiver.lost)
    failures = [each["log_failure"] for each in logged if "log_failure" in each]
    assert [each.type for each in failures] == [ZeroDivisionError]
    assert receiver.lost == [ConnectionLost]
    neighbour.sendall(b"x")
    floor.until(lambda: other.octets == b"x")
    connection.loseConnection()


def filled(connection: PlainConnection) -> int:
    """Fill the kernel's buffer; how many octets it took."""
    sent = 0
    assert connection.plain is not None
    while True:
        try:
            sent += connection.plain.send(b"a" * 4096)
        except BlockingIOError:
            return sent


@pytest.mark.parametrize("kind", [bytes, bytearray])
def test_aPeerThatDoesNotRead(floor: Floor, kind: type) -> None:
    """
    What the kernel does not take is kept, in order, and read goes on; closing waits
    for it. What was given may be used again at once.
    """
    receiver = Recorder()
    client, connection = floor.connect(receiver)
    before = filled(connection)
    data = kind(b"b" * 500_000)
    connection.write(memoryview(data))
    if kind is bytearray:
        data[:] = bytes(len(data))
    assert connection.plain is None
    connection.write(b"c")
    client.sendall(b"still heard")
    floor.until(lambda: receiver.octets == b"still heard")
    connection.loseConnection()
    connection.write(b"too late")
    assert receiver.lost == []
    total = before + 500_001
    assert floor.read(client, total) == b"a" * before + b"b" * 500_000 + b"c"
    assert floor.read(client, 1) == b""
    floor.until(lambda: receiver.lost)
    assert receiver.lost == [ConnectionDone]


def test_itIsPlainAgain(floor: Floor) -> None:
    """As soon as nothing waits any longer."""
    receiver = Recorder()
    client, connection = floor.connect(receiver)
    before = filled(connection)
    connection.write(b"b" * 500_000)
    assert connection.plain is None
    floor.read(client, before + 500_000)
    floor.until(lambda: connection.plain)
    connection.loseConnection()


def test_ourSideEndsAfterWhatWaits(floor: Floor) -> None:
    """And the peer goes on."""
    receiver = Recorder()
    client, connection = floor.connect(receiver)
    before = filled(connection)
    connection.write(b"b" * 500_000)
    connection.loseWriteConnection()
    connection.write(b"too late")
    assert len(floor.read(client, before + 500_000)) == before + 500_000
    assert floor.read(client, 1) == b""
    client.sendall(b"still here")
    floor.until(lambda: receiver.octets == b"still here")
    assert receiver.lost == []
    client.shutdown(socket.SHUT_WR)
    floor.until(lambda: receiver.lost)
    assert receiver.readEnds == 1


def test_whatWaitsUnreadSurvivesBothEnds(floor: Floor) -> None:
    """Both sides have ended; what the peer sent before is read all the same."""
    receiver = Recorder()
    client, connection = floor.connect(receiver)
    connection.pauseProducing()
    connection.loseWriteConnection()
    client.sendall(b"unread")
    client.shutdown(socket.SHUT_WR)
    floor.until(lambda: receiver.departures)
    # Not told over and over.
    floor.settle()
    assert (receiver.departures, receiver.lost) == (1, [])
    connection.resumeProducing()
    floor.until(lambda: receiver.readEnds)
    assert receiver.octets == b"unread"
    floor.until(lambda: receiver.lost)


@pytest.mark.parametrize("paused", [False, True])
def test_aPeerThatIsGoneWhileWeWrite(floor: Floor, paused: bool) -> None:
    """Told as lost, once, from the loop; writing raises nothing."""
    receiver = Recorder()
    client, connection = floor.connect(receiver)
    if paused:
        connection.pauseProducing()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    client.close()
    for _ in range(3):
        connection.write(b"x")
    assert receiver.lost == []
    floor.until(lambda: receiver.lost)
    assert receiver.lost == [ConnectionLost]
    connection.write(b"x")
    connection.loseWriteConnection()
    connection.abortConnection()
    assert receiver.lost == [ConnectionLost]


def test_aPeerThatIsGoneWhileOctetsWait(floor: Floor) -> None:
    """So it is with a producer, which hears of it."""
    receiver = Recorder()
    client, connection = floor.connect(receiver)
    connection.pauseProducing()
    filled(connection)
    connection.registerProducer(receiver, True)
    connection.write(b"x" * 500_000)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    client.close()
    floor.until(lambda: receiver.lost)
    assert (receiver.lost, receiver.stopped) == ([ConnectionLost], 1)
    connection.registerProducer(receiver, True)
    assert receiver.stopped == 2


def test_aProducer(floor: Floor) -> None:
    """It is paused while octets wait, also those from before it came."""
    receiver = Recorder()
    client, connection = floor.connect(receiver)
    connection.unregisterProducer()
    connection.registerProducer(receiver, True)
    before = filled(connection)
    assert receiver.paused == 0
    connection.write(b"x" * 500_000)
    connection.write(b"x")
    assert (receiver.paused, receiver.resumed) == (1, 0)
    floor.read(client, before + 500_001)
    floor.until(lambda: receiver.resumed)
    assert (receiver.paused, receiver.resumed) == (1, 1)
    before = filled(connection)
    connection.unregisterProducer()
    connection.write(b"y" * 500_000)
    connection.registerProducer(receiver, True)
    assert receiver.paused == 2
    floor.read(client, before + 500_000)
    floor.until(lambda: receiver.resumed == 2)
    connection.loseConnection()
    assert receiver.stopped == 1


def test_released(floor: Floor) -> None:
    """
    The socket is read elsewhere, and its watch is handed over; closing stays here.
    """
    receiver = Recorder()
    client, connection = floor.connect(receiver)
    assert connection.release() == 0
    came: list[int] = []
    number = connection.plain.fileno()
    floor.watch.hand(number, came.append)
    client.sendall(b"x")
    floor.until(lambda: came)
    assert (receiver.octets, connection.plain.recv(9)) == (b"", b"x")
    floor.watch.remove(number)
    connection.loseConnection()
    assert (receiver.lost, floor.watch.watched) == ([ConnectionDone], 0)
    assert floor.read(client, 1) == b""


def test_releasedWithOctetsThatWait(floor: Floor) -> None:
    """What has been told of them goes to whoever reads them: it is not told again."""
    _client, connection, receiver = paused(floor)
    assert connection.release() == READ
    came: list[int] = []
    number = connection.plain.fileno()
    floor.watch.hand(number, came.append)
    floor.settle()
    assert came == []
    floor.watch.again(number)
    floor.until(lambda: came)
    assert (came, connection.plain.recv(9)) == ([0], b"unread")
    floor.watch.closing(number)
    connection.loseConnection()
    assert (receiver.octets, receiver.lost) == (b"", [ConnectionDone])


def test_releasedBeforeItIsTaken(floor: Floor) -> None:
    """It is not registered then."""
    client, ours = pair()
    connection = PlainConnection(ours, floor.watch)
    assert connection.release() == UNWATCHED
    assert floor.watch.watched == 0
    connection.loseConnection()
    client.close()


@pytest.mark.parametrize("wait", [False, True])
def test_urgentData(floor: Floor, wait: bool) -> None:
    """
    A read ends before it, though there is more: what is behind it comes, too.

    The urgent octet itself is left out, as always.
    """
    receiver = Recorder()
    client, connection = floor.connect(receiver)
    if wait:
        connection.pauseProducing()
    client.send(b"before")
    client.send(b"!", socket.MSG_OOB)
    client.send(b"behind")
    if wait:
        floor.settle()
        connection.resumeProducing()
    floor.until(lambda: receiver.octets == b"beforebehind")
    connection.loseConnection()


def test_theEndBehindTheLastOctets(floor: Floor) -> None:
    """One event tells both; the octets are read first, and then the end."""
    receiver = Recorder()
    client, connection = floor.connect(receiver)
    client.send(b"last")
    client.shutdown(socket.SHUT_WR)
    floor.until(lambda: receiver.readEnds)
    assert (receiver.octets, receiver.lost) == (b"last", [])
    connection.loseConnection()


def test_pausedByTheLastOctets(floor: Floor) -> None:
    """The end that came with them is told, while the rest waits."""
    receiver = Pausing()
    client, connection = floor.connect(receiver)
    receiver.connection = connection
    connection.bufferSize = 3
    client.send(b"last")
    client.shutdown(socket.SHUT_WR)
    floor.until(lambda: receiver.departures)
    assert (receiver.octets, receiver.readEnds) == (b"las", 0)
    connection.resumeProducing()
    floor.until(lambda: receiver.octets == b"last")
    connection.resumeProducing()
    floor.until(lambda: receiver.readEnds)
    connection.loseConnection()


class Pausing(Recorder):
    """One that takes one part at a time."""

    connection: Any = None

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data)
        self.connection.pauseProducing()


def test_moreThanIsReadAtOnce(floor: Floor) -> None:
    """Everything is read, though it was told once."""
    receiver = Recorder()
    client, connection = floor.connect(receiver)
    connection.pauseProducing()
    connection.bufferSize = 10
    client.send(b"0123456789" * 20 + b"more")
    floor.settle()
    connection.resumeProducing()
    floor.until(lambda: receiver.octets == b"0123456789" * 20 + b"more")
    connection.loseConnection()


def test_someoneElseTakesIt(floor: Floor) -> None:
    """What comes goes there from then on, and the end is told there."""
    first, second = Recorder(), Recorder()
    client, connection = floor.connect(first)
    client.sendall(b"one")
    floor.until(lambda: first.octets)
    connection.take(second)
    client.sendall(b"two")
    floor.until(lambda: second.octets)
    connection.abortConnection()
    assert (first.octets, second.octets) == (b"one", b"two")
    assert (first.lost, second.lost) == ([], [ConnectionAborted])


def test_aUnixSocketIsOnThisMachine() -> None:
    """It has no address: its ends are loopback, with no port."""
    assert [*socketName("")] == [*socketName("/run/x")]
    assert (socketName("").address.text, socketName("").port) == ("127.0.0.1", 0)
    assert socketName(("fe80::1%lo", 7, 0, 1)).scope == 1
