"""
A destination's connection between two requests.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from socksgw.relay.kept import KEPT, Kept
from socksgw.system.plain import PlainConnection
from socksgw.system.watch import Watch
from tests.fakes.loops import ReactorLoop, Timers
from tests.tools.sockets import RESET, pair


class House(ReactorLoop, Timers):
    """A connection that is kept, and the server that the test plays."""

    def __init__(self) -> None:
        ReactorLoop.__init__(self)
        Timers.__init__(self)
        self.watch = Watch(self.reactor)
        self.watch.start()
        near, self.server = pair()
        self.outlet = PlainConnection(near, self.watch)
        self.kept = Kept(self.outlet, "purpose", self.setDeadline)
        self.outlet.take(self.kept)


@pytest.fixture
def house() -> Iterator[House]:
    """Where nothing is left at the end."""
    made = House()
    yield made
    made.server.close()
    made.outlet.abortConnection()
    assert made.pending == 0
    assert made.watch.watched == 0
    made.watch.stop()
    made.closeLoop()


def test_claimed(house: House) -> None:
    """Once; time does not close it any more."""
    house.settle()
    assert house.kept.claim() is house.outlet
    assert house.kept.claim() is None
    house.advance(2 * KEPT)
    assert house.outlet.plain is not None


def test_time(house: House) -> None:
    """It is closed in order when nobody wants it."""
    house.advance(KEPT)
    assert house.kept.claim() is None
    house.until(lambda: house.server.recv(1) == b"")


@pytest.mark.parametrize("event", ["octets", "end", "reset"])
def test_whateverTheDestinationSays(house: House, event: str) -> None:
    """It is not used again, and is closed."""
    if event == "octets":
        house.server.sendall(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
    elif event == "end":
        house.server.shutdown(socket.SHUT_WR)
    else:
        house.server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        house.server.close()
    house.until(lambda: house.kept.outlet is None)
    assert house.kept.claim() is None
    assert house.outlet.plain is None
