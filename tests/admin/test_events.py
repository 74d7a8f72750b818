"""
Those who listen to events: what waits for them is bounded.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from socksgw.admin.access import Access
from socksgw.admin.events import Events
from socksgw.admin.server import AdminSite
from socksgw.audit.chain import nameOf
from socksgw.config.loading import loads

TOKEN = "55aa" * 8


class Told:
    """
    A gateway whose journal the test writes, and the admin interface's clients.

    @ivar events: what tells them.
    """

    def __init__(self, directory: Path) -> None:
        self._file = directory / nameOf(1)
        self._file.touch()
        (directory / "token").touch(0o600)
        (directory / "token").write_text(TOKEN)
        self.clock = Clock()
        gateway: Any = SimpleNamespace(journal=SimpleNamespace(directory=directory))
        text = '[admin]\n[[admin.token]]\nname = "a"\nfile = "token"\n'
        access = Access(loads(text, "gw.toml", directory))
        self.events = Events(gateway, self.clock)
        self._site = AdminSite(gateway, self.clock, access, self.events, local=False)
        self._lines = 0

    def listen(self) -> Any:
        """Return the transport of one who has begun to listen."""
        channel = self._site.buildProtocol(None)
        transport = StringTransport()
        transport.abortConnection = lambda: self.lost(transport)  # type: ignore[method-assign]
        transport.protocol = channel  # type: ignore[attr-defined]
        channel.makeConnection(transport)
        channel.dataReceived(
            b"GET /api/events HTTP/1.1\r\nHost: localhost\r\n"
            b"Authorization: Bearer " + TOKEN.encode() + b"\r\n\r\n"
        )
        return transport

    def lost(self, transport: Any) -> None:
        """Cut a connection."""
        transport.disconnected = True
        transport.protocol.connectionLost(Failure(ConnectionDone()))

    def write(self, count: int, size: int = 100) -> None:
        """Write lines, and have the journal looked at."""
        with self._file.open("ab") as file:
            for _ in range(count):
                self._lines += 1
                file.write(
                    b'{"v":1,"n":%d,"time":"x","event":"end","why":"%b"}\n'
                    % (self._lines, b"a" * size)
                )
        self.clock.advance(0.5)


@pytest.fixture
def told(tmp_path: Path) -> Told:
    """One for the test."""
    return Told(tmp_path)


def test_onlyWhileSomebodyListens(told: Told) -> None:
    """The journal's files are looked at from the first to the last."""
    told.write(5)
    assert told.clock.getDelayedCalls() == []
    transport = told.listen()
    told.write(1)
    assert b"id: 6\n" in transport.value()
    assert b"id: 5\n" not in transport.value()
    told.lost(transport)
    assert told.clock.getDelayedCalls() == []


def test_whoDoesNotRead(told: Told) -> None:
    """Is cut off before much waits; others are told on."""
    stuck, other = told.listen(), told.listen()
    stuck.producer.pauseProducing()
    before = len(stuck.value())
    for _ in range(20):
        told.write(100, 300)
    assert stuck.disconnected
    assert not other.disconnected
    assert told.events.dropped == 1
    assert len(stuck.value()) - before < (1 << 18) + (1 << 16)
    assert other.value().count(b"event: end\n") == 2000
    told.lost(other)


def test_whoReadsAgain(told: Told) -> None:
    """A pause is forgiven."""
    client = told.listen()
    for _ in range(20):
        client.producer.pauseProducing()
        told.write(100, 300)
        client.producer.resumeProducing()
    assert not client.disconnected
    told.lost(client)


def test_moreThanCanBeRead(told: Told) -> None:
    """The last lines are told, and how many are not."""
    client = told.listen()
    told.write(1000)
    value = client.value()
    assert b'event: skipped\ndata: {"lines":800}\n\n' in value
    assert value.count(b"event: end\n") == 200
    assert b"id: 1000\n" in value
    told.lost(client)


def test_quiet(told: Told) -> None:
    """Where nothing happens, a comment shows whether the client is still there."""
    client = told.listen()
    before = len(client.value())
    told.clock.pump([0.5] * 31)
    assert client.value()[before:].count(b":\n\n") == 1
    told.lost(client)
