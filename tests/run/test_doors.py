"""
The doors themselves are no destination; real programs go through them in
C{tests/interop/test_run.py}.
"""

from __future__ import annotations

import socket
from typing import Any, final

import pytest

from socksgw.run.doors import Doors
from socksgw.system.transparent import receiveOriginals


@final
class Watching:
    """Has a door opened when the test says so."""

    def __init__(self) -> None:
        self.ready: dict[int, Any] = {}

    def add(self, fd: int, _events: int, call: Any) -> None:
        self.ready[fd] = call


@final
class Bundles:
    """Takes note of what datagrams are for."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def at(self, *asked: Any) -> Any:
        self.asked.append(asked)
        raise OSError


@pytest.mark.parametrize(
    ("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")]
)
def test_itself(family: int, host: str) -> None:
    """A connection to a door itself is reset; a datagram goes nowhere."""
    watching: Any = Watching()
    bundles: Any = Bundles()
    unasked: list[Any] = []
    streams = socket.create_server((host, 0), family=socket.AddressFamily(family))
    with streams, socket.socket(family, socket.SOCK_DGRAM) as datagrams:
        datagrams.bind((host, 0))
        receiveOriginals(datagrams)
        nothing: Any = None
        doors = Doors(nothing, (streams, datagrams), watching, nothing, bundles)
        doors.start(lambda *came: unasked.append(came))
        for each in (streams, datagrams):
            each.setblocking(False)
        with socket.create_connection(streams.getsockname()[:2], 10) as own:
            watching.ready[streams.fileno()](0)
            with pytest.raises(ConnectionResetError):
                own.recv(1)
        with socket.socket(family, socket.SOCK_DGRAM) as own:
            own.sendto(b"hello", datagrams.getsockname()[:2])
            watching.ready[datagrams.fileno()](0)
        with pytest.raises(BlockingIOError):
            datagrams.recv(1)
    assert not unasked
    assert not bundles.asked
