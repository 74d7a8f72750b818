"""
Listeners that change: what stays is not touched, and nothing changes when something
cannot be opened.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from attrs import evolve
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import CannotListenError
from twisted.logger import capturedLogs

from socksgw.accept.admission import Census
from socksgw.accept.endpoints import ListeningPort
from socksgw.config.schema import Config, Listen
from socksgw.gateway.listeners import Listeners
from socksgw.gateway.places import Key
from socksgw.gateway.starting import CannotStart


class Port(ListeningPort):
    """One of ours, which may be handed to another listener."""

    def __init__(self, world: World, where: str) -> None:
        self.world = world
        self.where = where
        self.listener: Any = None

    def stopListening(self, connDone: object = None) -> Deferred[None]:
        self.world.open.remove(self.where)
        return succeed(None)

    def handTo(self, factory: Any) -> None:
        self.listener = factory

    def stopReading(self) -> None: ...

    def fastOpen(self, wanted: bool) -> None: ...


class World:
    """
    A machine.

    @ivar open: the addresses that are listened on, in the order of opening.
    @ivar failing: those that cannot be opened, each with the reason.
    @ivar lost: the listeners that the gateway was told to be lost.
    """

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.open: list[str] = []
        self.failing: dict[str, Exception] = {}
        self.lost: list[str] = []
        self.endpoint: Deferred[Any] = Deferred()
        service: Any = SimpleNamespace(
            census=Census(100), memory=None, setDeadline=None, clock=None, serve=None,
            settled=None, exhausted=None, lost=self.lost.append,
        )  # fmt: skip
        self.listeners = Listeners(service, None, None, None, None)  # type: ignore[arg-type]
        patch.setattr("socksgw.gateway.role.Role.address", staticmethod(self._listen))
        patch.setattr(
            "socksgw.gateway.role.Role.endpoint",
            staticmethod(lambda *_: self.endpoint),
        )

    def _listen(self, reactor: Any, where: str, listener: Any, *_: Any) -> Any:
        if where.startswith("plug-in:"):
            raise ValueError
        if where in self.failing:
            raise self.failing[where]
        if where in self.open:
            raise taken(where)
        self.open.append(where)
        made = Port(self, where)
        made.listener = listener
        return made

    def change(self, **wanted: Sequence[str]) -> None:
        """Listen there from now on, by listener."""
        listens = [Listen(name=name, address=tuple(w)) for name, w in wanted.items()]
        nothing: Any = SimpleNamespace(secured={}, senders={}, asserted={})
        self.listeners.prepare(evolve(Config(), listen=tuple(listens)), nothing)
        self.listeners.change(listens)


def taken(where: str) -> CannotListenError:
    host, _, port = where.rpartition(":")
    return CannotListenError(host, int(port), OSError(errno.EADDRINUSE, "in use"))


A, B, C = (f"127.0.0.1:{port}" for port in (1001, 1002, 1003))


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    made = World(monkeypatch)
    made.change(lan=[A])
    return made


def test_whatStaysIsNotTouched(world: World) -> None:
    """What is new is opened before what is gone is closed."""
    world.change(lan=[A, B])
    assert world.open == [A, B]
    world.change(lan=[B], new=[C])
    assert world.open == [B, C]
    assert world.listeners.byName["lan"].leaving == 1


def test_anotherName(world: World) -> None:
    """An address that only gets another listener stays open."""
    world.change(wan=[A])
    assert world.open == [A]
    ((key, port),) = world.listeners._ports.items()
    assert key == Key("wan", A)
    assert port.listener is world.listeners.byName["wan"]


@pytest.mark.parametrize(
    "error", [taken(C), OSError(errno.EADDRNOTAVAIL, "none"), KeyError("a plug-in")]
)
def test_whatCannotBeOpened(world: World, error: Exception) -> None:
    """Then nothing has changed, whatever it raises: what was opened is closed."""
    world.failing[C] = error
    with pytest.raises((CannotStart, KeyError)):
        world.change(lan=[B, C])
    assert world.open == [A]
    assert list(world.listeners._ports) == [Key("lan", A)]
    del world.failing[C]
    world.change(lan=[B, C])
    assert world.open == [B, C]


def test_aPortThatIsInTheWay(world: World) -> None:
    """What goes is closed first where it has the port; and opened again in vain."""
    every, tries = "0.0.0.0:1001", []
    world.failing[every] = taken(every)
    listen = world._listen

    def whenFree(reactor: Any, where: str, *rest: Any) -> Any:
        if where == every and A not in world.open:
            tries.append(where)
            world.failing.clear()
        return listen(reactor, where, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("socksgw.gateway.role.Role.address", staticmethod(whenFree))
        world.change(lan=[every])
    assert (world.open, tries) == ([every], [every])
    world.failing[A] = taken(A)
    with pytest.raises(CannotStart):
        world.change(lan=[A, every.replace("0.0.0.0", "127.0.0.9")])
    assert world.open == [every]


def test_anEndpointThatFailsLater(world: World) -> None:
    """It is a listener that is lost: the process ends, with a line that says why."""
    world.change(lan=[A], other=["plug-in:x"])
    assert world.lost == []
    with capturedLogs() as events:
        world.endpoint.errback(OSError(errno.EACCES, "Permission denied"))
    assert (world.lost, len(events)) == (["other"], 1)


class Late:
    """
    The port of an endpoint that took its time.
    """

    def __init__(self) -> None:
        self.did: list[str] = []

    def stopListening(self) -> None:
        self.did.append("closed")

    def stopReading(self) -> None:
        self.did.append("rests")

    def getHost(self) -> None: ...


def test_anEndpointThatIsWithdrawnBeforeItFails(world: World) -> None:
    """A reload has removed it: nobody has lost it, and what stays is still watched."""
    world.change(lan=[A], other=["plug-in:x"])
    world.change(lan=[A])
    assert world.listeners.byName["other"].leaving == 1
    with capturedLogs() as events:
        world.endpoint.errback(OSError(errno.EACCES, "Permission denied"))
    assert (world.lost, events) == ([], [])
    assert world.listeners.byName["other"].leaving == 0


def test_anEndpointThatIsWithdrawnBeforeItOpens(world: World) -> None:
    """It is closed as soon as it is open; also where the gateway has stopped."""
    for end in (lambda: world.change(lan=[A]), world.listeners.close):
        world.endpoint = Deferred()
        world.change(lan=[A], other=["plug-in:x"])
        end()
        late = Late()
        world.endpoint.callback(late)
        assert late.did == ["closed"]
        assert late not in world.listeners._ports.values()


def test_anEndpointThatStays(world: World) -> None:
    """It is not opened twice, and rests when the others do."""
    world.change(lan=[A], other=["plug-in:x"])
    world.endpoint, first = Deferred(), world.endpoint
    world.change(lan=[A], other=["plug-in:x"])
    world.listeners.pause()
    late = Late()
    first.callback(late)
    assert late.did == ["rests"]
    assert list(world.listeners._ports.values())[1:] == [late]
    assert not world.endpoint.called


def test_anotherOneCannotBeOpened(world: World) -> None:
    """Then an endpoint that is not open yet is withdrawn like what is open."""
    world.failing[B] = taken(B)
    with pytest.raises(CannotStart):
        world.change(lan=[A], other=["plug-in:x", B])
    assert [key.where for key in world.listeners._ports] == [A]
    late = Late()
    world.endpoint.callback(late)
    assert late.did == ["closed"]
