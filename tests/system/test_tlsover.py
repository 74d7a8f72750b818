"""
TLS to a server, with real sockets on loopback and a reactor of the test's own.
"""

from __future__ import annotations

import gc
import socket
import weakref
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from OpenSSL import SSL
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.python.failure import Failure

from socksgw.system.plain import PlainConnection
from socksgw.system.protected import ProtectedConnection
from socksgw.system.tlsclient import ClientTLS
from socksgw.system.tlscontext import Own, serverContext
from socksgw.system.tlsover import TLSCut, TLSFailed, TLSOver
from tests.fakes.carriers import OWN, ROOT, Flipping, Peer, Terminal
from tests.fakes.connections import Floor, Recorder
from tests.tools.certificates import HOUR, SERVER, Authority, Issued, dns, email, pemOf
from tests.tools.certificates import server as issuedTo
from tests.tools.libssl import Updating
from tests.tools.sockets import pair

ME = ROOT.issue(email("gw@corp.example"))


class House(Floor):
    """
    A client of ours, and the server that a test plays.

    @ivar result: what the handshake came to.
    """

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self._directory = directory
        (directory / "ca.pem").write_bytes(pemOf(ROOT.certificate))
        self.result: list[Any] = []

    def begin(self, certificate: bool = False) -> tuple[Peer, Deferred[Any]]:
        """Connect, and begin the handshake."""
        theirs, ours = pair()
        self.clients.append(theirs)
        own: list[Path] = []
        if certificate:
            own = list(ME.write(self._directory, "me"))
        tls = ClientTLS("localhost", self._directory / "ca.pem", *own)
        self.result.clear()
        shaking = Deferred.fromCoroutine(tls.over(PlainConnection(ours, self.watch)))
        shaking.addBoth(self.result.append)
        return Peer(theirs), shaking

    def meet(
        self, context: SSL.Context | None = None, certificate: bool = False
    ) -> tuple[Any, Terminal]:
        """Both, after the handshake, or after our side has refused."""
        peer, _ = self.begin(certificate)
        server = Terminal(peer, context)

        def shaken() -> bool:
            with suppress(SSL.Error, ConnectionError):
                server.shaken()
            return bool(self.result)

        self.until(shaken)
        return self.result[0], server

    def taken(
        self, context: SSL.Context | None = None
    ) -> tuple[TLSOver, Terminal, Recorder]:
        """The same, with somebody who takes what comes."""
        connection, server = self.meet(context)
        assert isinstance(connection, TLSOver)
        receiver = Recorder()
        connection.take(receiver)
        self.settle()
        return connection, server, receiver

    def heard(self, server: Terminal, count: int) -> bytes:
        """So many octets at the server; fewer when it ends before."""
        found = b""

        def enough() -> bool:
            nonlocal found
            try:
                came = server.recv()
            except BlockingIOError:
                return False
            found += came
            return not came or len(found) >= count

        self.until(enough)
        return found


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """Nothing is left at the end."""
    made = House(tmp_path)
    yield made
    made.atBase()


# The end.


def test_theServerEnds(house: House) -> None:
    """Its end is TLS's own; what we have to say still arrives."""
    connection, server, receiver = house.taken()
    server.send(b"answer")
    server.end()
    house.until(lambda: receiver.readEnds)
    assert (receiver.octets, receiver.lost) == (b"answer", [])
    connection.write(b"more")
    assert house.heard(server, 4) == b"more"
    connection.loseConnection()
    assert receiver.lost == [ConnectionDone]
    assert house.heard(server, 1) == b""


def test_theServerEndsBehindItsReply(house: House) -> None:
    """Who has read the reply stops there; the end is for whoever goes on."""

    class Reply(Recorder):
        def dataReceived(self, data: bytes) -> None:
            super().dataReceived(data)
            connection.pauseProducing()

    connection, server = house.meet()
    first, second = Reply(), Recorder()
    connection.take(first)
    server.send(b"granted")
    server.end()
    house.until(lambda: first.octets)
    assert (first.octets, first.readEnds) == (b"granted", 0)
    connection.take(second)
    house.until(lambda: second.readEnds)
    assert (second.octets, second.readEnds, first.readEnds) == (b"", 1, 0)
    connection.abortConnection()


def test_theServerEndsBehindItsReplyInAProtection(house: House) -> None:
    """The same where a login has agreed on a protection inside TLS."""
    connection, server = house.meet()
    first, second = Recorder(), Recorder()
    connection.take(first)
    connection.pauseProducing()
    server.end()
    connection._below.resumeProducing()
    house.settle()
    inside = ProtectedConnection(connection, Flipping(), first, paused=True)
    house.settle()
    assert first.readEnds == 0
    inside.take(second)
    house.until(lambda: second.readEnds)
    assert (second.readEnds, first.readEnds) == (1, 0)
    inside.abortConnection()


def test_theServerEndsAndIsGone(house: House) -> None:
    """Who had paused hears of both: nothing was cut off."""
    connection, server, receiver = house.taken()
    connection.pauseProducing()
    server.end()
    connection._below.resumeProducing()
    house.settle()
    assert receiver.readEnds == 0
    connection.connectionLost(Failure(ConnectionLost()))
    assert (receiver.readEnds, receiver.lost) == (1, [ConnectionLost])
    connection._below.abortConnection()


def test_aStreamThatWasCut(house: House) -> None:
    """A server's FIN alone is no end: anybody on the way can send one."""
    connection, server, receiver = house.taken()
    server.send(b"half of it")
    server.plain.shutdown(socket.SHUT_WR)
    house.until(lambda: receiver.lost)
    assert (receiver.octets, receiver.readEnds) == (b"half of it", 0)
    assert receiver.lost == [TLSCut]
    connection.write(b"dropped")


def test_aStreamThatWasCutUnread(house: House) -> None:
    """The same, where nobody was reading."""
    connection, server, receiver = house.taken()
    connection.pauseProducing()
    server.send(b"half of it")
    server.plain.shutdown(socket.SHUT_WR)
    house.until(lambda: receiver.departures)
    connection.resumeProducing()
    house.until(lambda: receiver.lost)
    assert (receiver.octets, receiver.readEnds) == (b"half of it", 0)


def test_weEnd(house: House) -> None:
    """The server is told, and what it has to say still arrives."""
    connection, server, receiver = house.taken()
    connection.write(b"question")
    connection.loseWriteConnection()
    connection.write(b"dropped")
    assert house.heard(server, 9) == b"question"
    server.send(b"answer")
    house.until(lambda: receiver.octets == b"answer")
    connection.loseConnection()


@pytest.mark.parametrize("ended", [False, True])
def test_weCut(house: House, ended: bool) -> None:
    """The server is not told of an end, unless it was before."""
    connection, server, _ = house.taken()
    connection.write(b"half")
    if ended:
        connection.loseWriteConnection()
    connection.cut()
    assert house.heard(server, 4) == b"half"
    if ended:
        assert house.heard(server, 1) == b""
    else:
        with pytest.raises(ConnectionResetError):
            house.heard(server, 1)


def test_afterTheEndNothingCounts(house: House) -> None:
    """What a server sends behind its end is not read."""
    connection, server, receiver = house.taken()
    server.end()
    house.until(lambda: receiver.readEnds)
    server.plain.send(b"\x17\x03\x03\xff\xff" * 100)
    house.settle()
    assert (receiver.readEnds, receiver.octets, receiver.lost) == (1, b"", [])
    connection.abortConnection()


# What comes.


def test_octetsThatCameWithTheHandshake(house: House) -> None:
    """They wait for who takes them; nothing more is read meanwhile."""
    connection, server = house.meet()
    server.send(b"before it was asked")
    house.settle()
    receiver = Recorder()
    connection.take(receiver)
    house.until(lambda: receiver.octets)
    assert receiver.octets == b"before it was asked"
    connection.abortConnection()


def test_aConnectionThatIsLostBeforeItIsTaken(house: House) -> None:
    """Who takes it hears of it."""
    connection, server = house.meet()
    connection.connectionLost(Failure(ConnectionDone()))
    receiver = Recorder()
    connection.take(receiver)
    assert receiver.lost == [TLSCut]
    connection._below.abortConnection()
    server.plain.close()


def test_garbledRecords(house: House) -> None:
    """A record that was changed on the way ends the connection."""
    _, server, receiver = house.taken()
    server.plain.send(b"\x17\x03\x03\0\x20" + bytes(32))
    house.until(lambda: receiver.lost)
    assert (receiver.lost, receiver.octets) == ([TLSFailed], b"")


def test_keysWithoutEnd(house: House) -> None:
    """A server that does nothing but change its keys is cut off."""
    peer, _ = house.begin()
    own = OWN.writeTogether(house._directory, "gw")
    server = Updating(peer.plain, own, serves=True)
    house.until(lambda: server.shake() and house.result)
    receiver = Recorder()
    house.result[0].take(receiver)
    for _ in range(200):
        if not receiver.lost:
            server.update()
            house.reactor.iterate(0)
    assert receiver.lost == [TLSFailed]
    server.close()


# The handshake.

STRANGER = Authority("Stranger")
REFUSED = {
    "another name": ROOT.issue(dns("other.example"), usage=(SERVER,)),
    "nobody's": issuedTo(STRANGER),
    "expired": ROOT.issue(dns("localhost"), usage=(SERVER,), after=-HOUR / 2),
    "a client's": ME,
}


@pytest.mark.parametrize("shown", REFUSED.values(), ids=list(REFUSED))
def test_refused(house: House, shown: Issued) -> None:
    """Who is not the server gets nothing but the handshake."""
    result, server = house.meet(serverContext(Own(shown.chain, shown.key)))
    assert isinstance(result.value, TLSFailed)
    assert "its certificate is refused" in str(result.value)
    with pytest.raises((SSL.Error, ConnectionError)):
        house.heard(server, 1)


@pytest.mark.parametrize(
    "octets", [b"", b"\x05\xff", b"HTTP/1.1 400 \r\n\r\n", b"\x16"]
)
def test_noTLS(house: House, octets: bytes) -> None:
    """What is no TLS, or ends too early, is told in words."""
    peer, _ = house.begin()
    peer.plain.send(octets)
    peer.plain.shutdown(socket.SHUT_WR)
    house.until(lambda: house.result)
    (result,) = house.result
    assert isinstance(result.value, TLSFailed)
    words = "does not speak TLS" if len(octets) > 2 else "cut the connection off"
    assert words in str(result.value)


def test_cancelled(house: House) -> None:
    """Who waits no longer leaves nothing behind."""
    peer, shaking = house.begin()
    shaking.cancel()
    house.settle()
    assert house.result[0].check(CancelledError)
    hello = peer.plain.recv(4096)
    assert hello.startswith(b"\x16\x03\x01")
    with pytest.raises(ConnectionResetError):
        peer.plain.recv(4096)


@pytest.mark.parametrize("newest", [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION])
@pytest.mark.parametrize("asks", [False, True])
def test_ourCertificate(house: House, newest: int, asks: bool) -> None:
    """Whether the server has asked for it is known."""
    context = serverContext(Own(OWN.chain, OWN.key))
    context.set_max_proto_version(newest)
    if asks:
        context.set_verify(SSL.VERIFY_PEER, lambda *_: True)
    connection, _ = house.meet(context, certificate=True)
    assert connection.shown is asks
    connection.abortConnection()


def test_aCertificateThatIsWanted(house: House) -> None:
    """Where there is none TLS 1.3 fails behind the handshake, and says why."""
    context = serverContext(Own(OWN.chain, OWN.key))
    wanted = SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT
    context.set_verify(wanted, lambda *_: True)
    connection, server = house.meet(context)
    told: list[Failure] = []

    class Told(Recorder):
        def connectionLost(self, reason: Failure) -> None:
            told.append(reason)

    connection.take(Told())

    def failed() -> bool:
        with suppress(SSL.Error, BlockingIOError, ConnectionResetError):
            server.shaken()
        with suppress(ConnectionResetError):
            server.flush()
        return bool(told)

    house.until(failed)
    assert "wants a client certificate" in str(told[0].value)


def test_nothingRefersToIt(house: House) -> None:
    """What a session held is free without the garbage collector."""
    gc.disable()
    try:
        connection, _, receiver = house.taken()
        found = weakref.ref(connection), weakref.ref(receiver)
        house.result.clear()
        connection.abortConnection()
        del connection, receiver, _
        assert [each() for each in found] == [None, None]
    finally:
        gc.enable()
