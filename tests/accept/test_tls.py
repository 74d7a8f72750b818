"""
The connection of a client with TLS, with real sockets on loopback and a reactor
of the test's own.
"""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from OpenSSL import SSL
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.logger import capturedLogs

from socksgw.accept.certificates import ServerTLS
from socksgw.accept.tls import TLSConnection
from socksgw.config.schema import ListenTLS
from socksgw.errors import SocksError
from socksgw.system import tls
from socksgw.system.watch import READ, Watcher
from tests.fakes.connections import Floor, Recorder
from tests.tools.certificates import Authority, Issued, email, pemOf, rawName, server
from tests.tools.libssl import Updating
from tests.tools.sockets import RESET

ROOT = Authority()
OWN = server(ROOT)
BOB = ROOT.issue(email("bob@partner.example"))
OCTETS = random.Random(7).randbytes(1 << 20)


class Secured(Recorder):
    """A receiver that has TLS below it."""

    identity: Any = None

    def __init__(self) -> None:
        super().__init__()
        self.refusals: list[SocksError] = []

    def refused(self, failure: SocksError) -> None:
        self.refusals.append(failure)


class Client:
    """
    A client that the test plays, turn by turn.

    @ivar octets: what it was sent.
    @ivar ended: whether the gateway has ended its side, by TLS's own word.
    @ivar failed: what the connection failed with.
    """

    def __init__(self, plain: socket.socket, issued: Issued | None) -> None:
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        if issued is not None:
            context.use_certificate(issued.certificate)
            context.use_privatekey(issued.key)
        self.plain = plain
        self.connection = SSL.Connection(context, plain)
        self.connection.set_connect_state()
        self.octets = b""
        self.ended = False
        self.failed: Exception | None = None

    def shake(self) -> bool:
        """Whether the handshake is done."""
        try:
            self.connection.do_handshake()
        except SSL.WantReadError:
            return False
        except SSL.Error as e:
            self.failed = e
        return True

    def read(self) -> None:
        """Take what has come."""
        try:
            while True:
                self.octets += self.connection.recv(1 << 14)
        except SSL.WantReadError:
            pass
        except SSL.ZeroReturnError:
            self.ended = True
        except SSL.Error as e:
            self.failed = e


class House(Floor):
    """Where such clients come in."""

    def __init__(self, tls: ServerTLS) -> None:
        super().__init__()
        self._tls = tls

    def secure(
        self, issued: Issued | None = BOB, shaken: bool = True
    ) -> tuple[Client, Any, Secured]:
        """A client, its connection and its receiver."""
        receiver = Secured()
        plain, connection = self.connect(receiver, made=self.made)
        client = Client(plain, issued)
        if shaken:
            self.until(client.shake)
            self.until(lambda: client.failed or receiver.identity)
        return client, connection, receiver

    def made(self, accepted: socket.socket, watch: Watcher) -> TLSConnection:
        return TLSConnection(accepted, watch, self._tls)

    def came(self, client: Client, octets: int) -> bytes:
        """So many octets at the client's."""

        def enough() -> bool:
            client.read()
            return len(client.octets) >= octets

        self.until(enough)
        return client.octets


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """It wants certificates; nothing is left at the end."""
    OWN.write(tmp_path, "gw")
    (tmp_path / "ca.pem").write_bytes(pemOf(ROOT.certificate))
    settings = ListenTLS("gw.pem", "gw.key", "ca.pem", "required")
    made = House(ServerTLS(settings, tmp_path))
    yield made
    made.atBase()


def test_bothWays(house: House) -> None:
    """Octets in order, and who it is before the first."""
    client, connection, receiver = house.secure()
    assert (connection.secured, connection.plain) == ("confidentiality", None)
    assert receiver.identity.username == b"bob@partner.example"
    client.connection.sendall(b"question")
    house.until(lambda: receiver.octets == b"question")
    connection.write(b"ans")
    connection.write(b"wer")
    assert house.came(client, 6) == b"answer"
    connection.abortConnection()


def test_nothingSaid(house: House) -> None:
    """A client that says nothing costs no TLS; its connection closes all the same."""
    _, connection, receiver = house.secure(shaken=False)
    house.settle()
    assert connection._stream is None
    connection.loseConnection()
    assert receiver.lost == [ConnectionDone]


def test_resetBeforeAnything(house: House) -> None:
    """A scanner's reset is no defect of ours: there is nothing to log."""
    client, _, receiver = house.secure(shaken=False)
    with capturedLogs() as events:
        client.plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        client.plain.close()
        house.until(lambda: receiver.lost)
    assert receiver.lost == [ConnectionLost]
    assert not [each for each in events if "log_failure" in each]


@pytest.mark.parametrize(
    ("first", "what"),
    [
        (b"\x05", "SOCKS 5 without TLS"),
        (b"\x04\x01\0\x50", "SOCKS 4 without TLS"),
        (b"GET / HTTP/1.1\r\n", "HTTP"),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 4000 1080\r\n", "PROXY header"),
        (b"\r\n\r\n\0\r\nQUIT\n", "PROXY header"),
    ],
)
def test_notTLS(house: House, first: bytes, what: str) -> None:
    """The first octet tells; what came is on record, and not one is answered."""
    client, connection, receiver = house.secure(shaken=False)
    client.plain.send(first)
    house.until(lambda: receiver.refusals)
    assert [each.reason for each in receiver.refusals] == ["not-tls"]
    assert what in str(receiver.refusals[0])
    connection.loseConnection()
    house.settle()
    assert house.read(client.plain, 1) == b""
    client.plain.close()
    house.until(lambda: receiver.lost)
    assert receiver.lost == [ConnectionLost]
    assert receiver.octets == b""


@pytest.mark.parametrize("first", [b"\0", b"\x05\xee\x01", b"\xff" * 100])
def test_nothingThatIsKnown(house: House, first: bytes) -> None:
    """It is closed, and leaves no record."""
    client, _, receiver = house.secure(shaken=False)
    client.plain.send(first)
    house.until(lambda: receiver.lost)
    assert (receiver.refusals, receiver.octets) == ([], b"")


def test_notAHandshake(house: House) -> None:
    """Nor what only begins like one."""
    client, _, receiver = house.secure(shaken=False)
    client.plain.send(b"\x16\x03\x01\x00\x05hello" * 10)
    house.settle()
    client.plain.close()
    house.until(lambda: receiver.lost)
    assert receiver.refusals == []


@pytest.mark.parametrize(
    ("issued", "why"),
    [
        (Authority().issue(email("bob@partner.example")), "client_ca"),
        (None, "has shown no certificate"),
        (ROOT.issue(raw=rawName(0x81, b"b\0b@x.example")), "control characters"),
    ],
    ids=["stranger", "none", "nul"],
)
def test_refused(house: House, issued: Issued | None, why: str) -> None:
    """The receiver is told why; nothing that the client says is heard."""
    client, connection, receiver = house.secure(issued, shaken=False)

    def told() -> bool:
        if client.shake() and client.failed is None and not receiver.refusals:
            client.connection.send(b"x")
        return bool(receiver.refusals)

    house.until(told)
    assert why in str(receiver.refusals[0])
    # It closes; but a client has a moment to read the alert.
    connection.loseConnection()
    assert receiver.lost == []
    house.until(lambda: client.read() or client.failed or client.ended)
    client.plain.close()
    house.until(lambda: receiver.lost)
    assert (receiver.octets, receiver.identity) == (b"", None)


def test_stalledReader(house: House) -> None:
    """
    The producer is paused while the client does not read, what is held is what
    was written, and all of it arrives.
    """
    client, connection, receiver = house.secure()
    connection.registerProducer(receiver, True)
    for start in range(0, len(OCTETS), 1 << 16):
        connection.write(OCTETS[start : start + (1 << 16)])
    assert (receiver.paused, receiver.resumed) == (1, 0)
    house.settle()
    assert receiver.resumed == 0
    assert house.came(client, len(OCTETS)) == OCTETS
    house.until(lambda: receiver.resumed)
    assert (receiver.paused, receiver.resumed) == (1, 1)
    connection.abortConnection()
    assert receiver.stopped == 1


def test_producerThatComesLate(house: House) -> None:
    """It is paused at once where octets wait; stopped where all is over."""
    _, connection, receiver = house.secure()
    connection.write(OCTETS)
    connection.registerProducer(receiver, True)
    assert receiver.paused == 1
    connection.unregisterProducer()
    connection.abortConnection()
    assert receiver.stopped == 0
    connection.registerProducer(receiver, True)
    assert receiver.stopped == 1


def test_paused(house: House) -> None:
    """Nothing comes while the receiver wants nothing, then all."""
    client, connection, receiver = house.secure()
    connection.pauseProducing()
    client.connection.sendall(b"x" * 50_000)
    house.settle()
    assert receiver.octets == b""
    connection.resumeProducing()
    house.until(lambda: len(receiver.octets) == 50_000)
    connection.abortConnection()


def test_theEndIsSeenWhilePaused(house: House) -> None:
    """Told once; what it sent can still be read."""
    client, connection, receiver = house.secure()
    connection.pauseProducing()
    client.connection.sendall(b"unread")
    client.plain.shutdown(socket.SHUT_WR)
    house.until(lambda: receiver.departures)
    house.settle()
    assert (receiver.departures, receiver.octets, receiver.lost) == (1, b"", [])
    connection.resumeProducing()
    house.until(lambda: receiver.octets == b"unread")
    house.until(lambda: receiver.lost)


def test_clientEndsItsSide(house: House) -> None:
    """What was before arrives, then the end; ours goes on."""
    client, connection, receiver = house.secure()
    client.connection.sendall(b"last")
    client.connection.shutdown()
    house.until(lambda: receiver.readEnds)
    assert receiver.octets == b"last"
    connection.write(b"answer")
    assert house.came(client, 6) == b"answer"
    connection.loseConnection()
    assert receiver.lost == [ConnectionDone]
    client.read()
    assert client.ended


@pytest.mark.parametrize("way", ["loseWriteConnection", "loseConnection"])
def test_weEnd(house: House, way: str) -> None:
    """After all that is buffered; nothing can be written behind it."""
    client, connection, receiver = house.secure()
    connection.write(OCTETS)
    getattr(connection, way)()
    connection.write(b"too late")
    assert receiver.lost == []
    assert house.came(client, len(OCTETS)) == OCTETS
    house.until(lambda: client.read() or client.ended)
    assert client.octets == OCTETS
    if way == "loseConnection":
        assert receiver.lost == [ConnectionDone]
    else:
        client.connection.sendall(b"still here")
        house.until(lambda: receiver.octets == b"still here")
        client.connection.shutdown()
        house.until(lambda: receiver.readEnds)
        connection.loseConnection()
        assert receiver.lost == [ConnectionDone]


def test_cutOff(house: House) -> None:
    """An end without TLS's own word is none; what was before it arrives."""
    client, _, receiver = house.secure()
    client.connection.sendall(b"half of")
    client.plain.shutdown(socket.SHUT_WR)
    house.until(lambda: receiver.lost)
    assert (receiver.octets, receiver.readEnds) == (b"half of", 0)
    assert receiver.lost == [ConnectionLost]


@pytest.mark.parametrize("unread", [b"", b"never read"])
def test_weCutOff(house: House, unread: bytes) -> None:
    """
    All that is buffered arrives, also where the client still sends, and then an
    end that is none in TLS's own words; the client may close when it has it.
    """
    client, connection, receiver = house.secure()
    connection.pauseProducing()
    if unread:
        client.connection.sendall(unread)
    connection.write(OCTETS)
    connection.cut()
    connection.loseConnection()
    assert house.came(client, len(OCTETS)) == OCTETS
    house.until(lambda: client.read() or client.failed)
    assert client.octets == OCTETS
    assert not client.ended
    assert receiver.lost == []
    client.plain.close()
    house.until(lambda: receiver.lost)


@pytest.mark.parametrize("doing", ["reading", "paused", "writing"])
def test_reset(house: House, doing: str) -> None:
    """Seen, whatever is going on."""
    client, connection, receiver = house.secure()
    if doing == "paused":
        connection.pauseProducing()
    if doing == "writing":
        connection.write(OCTETS)
    client.plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    client.plain.close()
    house.until(lambda: receiver.lost)
    assert receiver.lost == [ConnectionLost]


def test_changedOnTheWay(house: House) -> None:
    """A record that somebody changed ends the connection, unheard."""
    client, _, receiver = house.secure()
    # Application data of TLS 1.3 that nobody has sealed (RFC 8446 section 5.2).
    client.plain.sendall(b"\x17\x03\x03\x00\x20" + bytes(32))
    house.until(lambda: receiver.lost)
    assert (receiver.octets, receiver.lost) == (b"", [ConnectionLost])


def test_recordsWithoutData(
    house: House, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """
    A client that changes its keys and changes its keys is ended, with a reason
    for the record; its data before that arrives.
    """
    monkeypatch.setattr(tls, "EMPTY", 3)
    receiver = Secured()
    plain, connection = house.connect(receiver, made=house.made)
    client = Updating(plain, BOB.writeTogether(tmp_path, "bob"))
    house.until(client.shake)
    client.send(b"before")
    for _ in range(3):
        client.update()
    house.until(lambda: receiver.octets == b"before")
    house.settle()
    assert receiver.violations == []
    client.update()
    client.send(b"after")
    house.until(lambda: receiver.violations)
    assert [each.reason for each in receiver.violations] == ["tls"]
    assert receiver.octets == b"before"
    connection.abortConnection()
    client.close()


def test_aTurnReadsSoMuch(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever waits: others have their turn in between."""
    client, connection, receiver = house.secure()
    connection.pauseProducing()
    came: list[int] = []
    monkeypatch.setattr(receiver, "dataReceived", lambda data: came.append(len(data)))
    client.connection.send(bytes(16_000))
    house.settle()
    connection.bufferSize = 1000
    connection.resumeProducing()
    for turn in range(16):
        assert not came, turn
        connection._ready(READ)
    connection._ready(READ)
    assert came == [16_000]
    connection.abortConnection()


def test_abort(house: House) -> None:
    """With a reset."""
    client, connection, receiver = house.secure()
    connection.abortConnection()
    assert receiver.lost == [ConnectionAborted]
    client.read()
    assert "ECONNRESET" in str(client.failed)
    connection.abortConnection()
    connection.loseConnection()
    connection.write(b"x")
    assert receiver.lost == [ConnectionAborted]


def test_aDefectEndsTheConnection(house: House) -> None:
    """It is logged, and the client does not stay behind."""
    client, _, receiver = house.secure()
    receiver.failing = ZeroDivisionError()
    with capturedLogs() as events:
        client.connection.sendall(b"x")
        house.until(lambda: receiver.lost)
    failures = [each["log_failure"] for each in events if "log_failure" in each]
    assert [each.type for each in failures] == [ZeroDivisionError]


def test_aDefectInTheHandshakeLetsNobodyIn(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever fails behind it, the client is not heard."""

    def broken(*_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(ServerTLS, "identityOf", broken)
    client, _, receiver = house.secure(shaken=False)
    with capturedLogs() as events:
        house.until(lambda: client.shake() or receiver.lost)
        house.until(lambda: receiver.lost)
    failures = [each["log_failure"] for each in events if "log_failure" in each]
    assert [each.type for each in failures] == [ZeroDivisionError]
    assert (receiver.octets, receiver.identity) == (b"", None)
