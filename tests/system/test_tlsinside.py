"""
TLS inside SOCKS: what a client may do within.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import suppress

import pytest
from OpenSSL import SSL

from socksgw.system import tls
from socksgw.system.tls import Stream
from socksgw.system.tlscontext import Own, serverContext
from socksgw.system.tlsinside import Secured
from socksgw.wire.reader import WireError
from socksgw.wire.tls import State, encodeRecords
from tests.tools.certificates import Authority, server
from tests.tools.libssl import Updating

OWN = server(Authority())


class Inside:
    """A client's TLS, whose octets the test puts into SOCKS's records."""

    def __init__(self) -> None:
        self._here, self._there = socket.socketpair()
        for each in (self._here, self._there):
            each.setblocking(False)
        connection = SSL.Connection(serverContext(Own(OWN.chain, OWN.key)), None)
        connection.set_accept_state()
        stream = Stream(connection)
        self.client = Updating(self._there)
        while not (self.client.shake() and stream.established):
            stream.receive(self.sent())
            self._here.sendall(stream.outgoing())
        self.protection = Secured(stream)

    def sent(self) -> bytes:
        """What the client has sent."""
        with suppress(BlockingIOError):
            return self._here.recv(1 << 16)
        return b""

    def close(self) -> None:
        self.client.close()
        self._here.close()
        self._there.close()


@pytest.fixture
def inside() -> Iterator[Inside]:
    made = Inside()
    yield made
    made.close()


def test_recordsWithoutData(inside: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    """TLS's own records are bounded here, too, in however many of SOCKS's."""
    monkeypatch.setattr(tls, "EMPTY", 3)
    protection = inside.protection
    for _ in range(3):
        inside.client.update()
    inside.client.send(b"data")
    assert protection.unwrap(encodeRecords(State.DATA, inside.sent())) == b"data"
    inside.client.update()
    with pytest.raises(WireError):
        protection.unwrap(encodeRecords(State.DATA, inside.sent()))
    # There is nothing to say any more.
    assert (protection.wrap(b"x"), protection.close()) == (b"", b"")
