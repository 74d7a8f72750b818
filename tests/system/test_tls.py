"""
TLS over octets in memory: the same however they are cut, and the records that
bring nothing are counted.
"""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, final

import pytest
from OpenSSL import SSL

from socksgw.system import tls
from socksgw.system.tls import Excessive, Stream
from socksgw.system.tlscontext import Own, serverContext
from tests.tools.certificates import Authority, server
from tests.tools.libssl import Updating

OWN = server(Authority())
CONTEXT = serverContext(Own(OWN.chain, OWN.key))
OCTETS = random.Random(11).randbytes(100_000)


def stream() -> Stream:
    """The server's side."""
    connection = SSL.Connection(CONTEXT, None)
    connection.set_accept_state()
    return Stream(connection)


def clientOf(newest: int = SSL.TLS1_3_VERSION) -> Any:
    """A client in memory."""
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_max_proto_version(newest)
    client = SSL.Connection(context, None)
    client.set_connect_state()
    return client


def heard(client: Any) -> bytes:
    """What the client has to send."""
    parts = []
    with suppress(SSL.WantReadError):
        while True:
            parts.append(client.bio_read(1 << 16))
    return b"".join(parts)


@pytest.mark.parametrize("newest", [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION])
@pytest.mark.parametrize("step", [1, 7, 4096, 1 << 20])
def test_howeverTheOctetsAreCut(newest: int, step: int) -> None:
    """All data, in order, both ways; then the end of the client's side."""
    ours, client = stream(), clientOf(newest)
    found = b""

    def carry(octets: bytes) -> None:
        nonlocal found
        for start in range(0, len(octets), step):
            found += ours.receive(octets[start : start + step])
        sealed = ours.outgoing()
        if sealed:
            client.bio_write(sealed)

    while not ours.established or not client.get_finished():
        with suppress(SSL.WantReadError):
            client.do_handshake()
        carry(heard(client))
    client.do_handshake()
    client.sendall(OCTETS)
    client.shutdown()
    carry(heard(client))
    assert (found, ours.ended, ours.failure) == (OCTETS, True, None)
    client.bio_write(ours.send(OCTETS) + ours.end())
    came = b""
    while len(came) < len(OCTETS):
        came += client.recv(1 << 16)
    assert came == OCTETS
    with pytest.raises(SSL.ZeroReturnError):
        client.recv(1)


@pytest.mark.parametrize(
    "octets",
    [
        b"GET / HTTP/1.1\r\n",
        b"\x16\x03\x01\x00\x05hello",
        # 18 KiB and more, where TLS 1.2 ends (RFC 5246 section 6.2.3).
        b"\x16\x03\x01\x48\x01",
        # SSL 2, and a type that is none.
        b"\x16\x02\x00\x00\x05",
        b"\x19\x03\x01\x00\x05",
    ],
)
@pytest.mark.parametrize("step", [1, 100])
def test_whatIsNoTLS(octets: bytes, step: int) -> None:
    """It ends where that is seen; nothing is read after it."""
    ours = stream()
    for start in range(0, len(octets), step):
        assert ours.receive(octets[start : start + step]) == b""
    assert isinstance(ours.failure, SSL.Error)
    assert not ours.established
    failure = ours.failure
    assert ours.receive(b"\x16\x03\x01\x00\x00" * 9) == b""
    assert ours.failure is failure


class Updater:
    """A stream whose client changes its keys."""

    def __init__(self) -> None:
        here, self._there = socket.socketpair()
        self._here = here
        for each in (here, self._there):
            each.setblocking(False)
        self.stream = stream()
        self.client = Updating(self._there)
        while not (self.client.shake() and self.stream.established):
            self.read()

    def read(self) -> bytes:
        """What came."""
        data = b""
        with suppress(BlockingIOError):
            data = self.stream.receive(self._here.recv(1 << 16))
        self._here.sendall(self.stream.outgoing())
        return data

    def close(self) -> None:
        self.client.close()
        self._here.close()
        self._there.close()


@pytest.fixture
def updater(monkeypatch: pytest.MonkeyPatch) -> Iterator[Updater]:
    """Three changes of keys are allowed for every 100 octets of data."""
    monkeypatch.setattr(tls, "EMPTY", 3)
    monkeypatch.setattr(tls, "_MEANWHILE", 100)
    made = Updater()
    yield made
    made.close()


@pytest.mark.parametrize("atOnce", [True, False])
def test_recordsWithoutData(updater: Updater, atOnce: bool) -> None:
    """So many are taken, with data between them or not; the next is one too many."""
    for count in range(4):
        assert updater.stream.failure is None, count
        updater.client.update()
        updater.client.send(b"x")
        if not atOnce:
            assert updater.read() == (b"x" if count < 3 else b"")
    if atOnce:
        assert updater.read() == b"xxx"
    assert isinstance(updater.stream.failure, Excessive)


def test_whoSendsDataMayChangeKeys(updater: Updater) -> None:
    """As often as it likes, if enough data has come in the meantime."""
    for _ in range(5):
        for _ in range(3):
            updater.client.update()
        updater.client.send(bytes(100))
        assert updater.read() == bytes(100)
    assert updater.stream.failure is None


def test_fragmentsOfAHandshake(monkeypatch: pytest.MonkeyPatch) -> None:
    """A handshake's message in pieces is taken, in too many it is not."""
    client = clientOf()
    with suppress(SSL.WantReadError):
        client.do_handshake()
    hello = heard(client)[5:]
    pieces = [hello[i : i + 100] for i in range(0, len(hello), 100)]
    octets = b"".join(
        b"\x16\x03\x01" + len(piece).to_bytes(2, "big") + piece for piece in pieces
    )
    for limit in (len(pieces), len(pieces) - 1):
        monkeypatch.setattr(tls, "OPENING", limit)
        ours = stream()
        ours.receive(octets)
        assert (ours.failure is None) == (limit == len(pieces))


@pytest.mark.parametrize(("records", "taken"), [(205, True), (300, False)])
def test_aHandshakeHasNoMoreRecordsThanItNeeds(records: int, taken: bool) -> None:
    """
    The longest chain of certificates that OpenSSL takes (100 KiB), in fragments of
    512 octets, is of 200 records. What is much more costs whoever has not logged in
    little, and everybody a few milliseconds.
    """
    ours = stream()
    ours.receive(b"\x16\x03\x01\x00\x01\x01\x16\x03\x01\x00\x03\x00\x3f\xff")
    for _ in range(records - 2):
        ours.receive(b"\x16\x03\x01\x00\x01\x00")
    assert (ours.failure is None) == taken
    assert taken or isinstance(ours.failure, Excessive)


@pytest.mark.parametrize("newest", [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION])
def test_aChangeOfCiphersGoesWithWhatIsBehindIt(newest: int) -> None:
    """It costs no call of OpenSSL: one for each flight of the client is enough."""

    @final
    class Counting:
        """Counts the calls that shake hands."""

        def __init__(self) -> None:
            self.calls = 0

        def __getattr__(self, name: str) -> Any:
            self.calls += name == "do_handshake"
            return getattr(connection, name)

    ours, client = stream(), clientOf(newest)
    connection = ours.connection
    ours.connection = counting = Counting()  # type: ignore[assignment]
    while not ours.established:
        with suppress(SSL.WantReadError):
            client.do_handshake()
        ours.receive(heard(client))
        sealed = ours.outgoing()
        client.bio_write(sealed)
    # TLS 1.2: its key exchange has a record, too.
    assert counting.calls == (3 if newest == SSL.TLS1_2_VERSION else 2)


def test_changesOfCiphersAreCounted() -> None:
    """They are records that bring nothing, wherever they stand."""
    ours = stream()
    ours.receive(b"\x14\x03\x03\x00\x01\x01" * 300 + b"\x16\x03\x01\x00\x01\x01")
    assert ours.failure is not None
