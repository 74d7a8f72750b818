"""
The end of a gateway: when the last session has gone, or its time is up.
"""

from __future__ import annotations

import signal
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from socksgw.errors import Draining
from socksgw.gateway.drain import Drain
from socksgw.gateway.sessions import Sessions
from socksgw.system.deadlines import Deadlines


class World:
    """A gateway that ends, with one client and its session."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.clock = Clock()
        self.clock.callFromThread = lambda call: call()  # type: ignore[attr-defined]
        self.deadlines = Deadlines(self.clock.seconds)
        self.sessions = Sessions()
        self.handlers: dict[int, Any] = {}
        patch.setattr(signal, "signal", self.handlers.__setitem__)
        self.ended: list[Exception] = []
        self.client = SimpleNamespace(end=self._end)
        self.clients: dict[Any, None] = {Key(self.client): None}
        self.session: Any = self.sessions.begin(
            lambda number: SimpleNamespace(record=SimpleNamespace(session=number))  # type: ignore[arg-type,return-value]
        )
        self.closed = 0
        listeners: Any = {"lan": SimpleNamespace(clients=self.clients)}
        self.drain = Drain(
            self.clock, self.sessions, listeners, self.deadlines.set, self._close
        )
        self.over: list[object] = []

    def _end(self, why: Exception) -> None:
        self.ended.append(why)
        self.leave()

    def _close(self) -> Deferred[None]:
        self.closed += 1
        return succeed(None)

    def leave(self) -> None:
        """The session and then its client go."""
        self.sessions.end(self.session)
        self.drain.settled()
        self.clients.clear()
        self.drain.settled()

    def begin(self) -> None:
        """Begin to stop."""
        self.drain.begin(60)
        assert self.drain.over is not None
        self.drain.over.addCallback(self.over.append)

    def turn(self, seconds: float = 0.0) -> None:
        """Let time pass."""
        self.clock.advance(seconds)
        self.deadlines.scan()


class Key:
    """A client, as a key."""

    def __init__(self, client: Any) -> None:
        self.end = client.end


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


def test_beforeItHasBegun(world: World) -> None:
    """The last session's end is nothing special."""
    world.leave()
    world.turn()
    assert (world.closed, world.drain.over) == (0, None)


def test_theLastOne(world: World) -> None:
    """All is closed once, after the session and its client have gone."""
    world.begin()
    world.turn(59)
    assert (world.closed, world.over) == (0, [])
    world.leave()
    world.drain.settled()
    world.turn()
    assert (world.closed, world.over, world.ended) == (1, [None], [])


@pytest.mark.parametrize("how", ["time", "signal"])
def test_whoIsLeft(world: World, how: str) -> None:
    """Those are ended when the time is up, or at a second signal."""
    world.begin()
    if how == "time":
        world.turn(61)
    else:
        world.handlers[signal.SIGTERM](signal.SIGTERM, None)
    world.turn()
    assert [type(each) for each in world.ended] == [Draining]
    assert (world.closed, world.over) == (1, [None])


def test_nobodyThere(world: World) -> None:
    """It is over at once."""
    world.leave()
    world.begin()
    world.turn()
    assert world.over == [None]
