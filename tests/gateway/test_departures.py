"""
What listeners and rules say of how sessions leave, put together.
"""

from __future__ import annotations

import socket
from typing import Any

import pytest

from socksgw.config.schema import Listen
from socksgw.errors import ConnectFailed
from socksgw.gateway.departures import Departures
from socksgw.policy.leaving import Leaving
from socksgw.route.chosen import Chosen
from socksgw.route.leaving import Departure
from socksgw.system.domains import HERE, Device, Domain
from socksgw.system.outgoing import Near
from socksgw.wire.address import Address

ONE, OTHER = Address.parse("127.0.0.1"), Address.parse("127.0.0.2")
USUAL: Any = object()


class World:
    """Departures, of which the ways are looked at."""

    def __init__(self) -> None:
        self.made: list[tuple[Domain, Departure]] = []
        self.lines: list[str] = []
        self.departures = Departures(
            lambda domain: Device(domain.name) if domain.name else HERE,
            self._make,
            lambda _, __: True,
            self.lines.append,
        )

    def _make(self, domain: Domain, departure: Departure) -> Any:
        self.made.append((domain, departure))
        return departure

    def ways(self, listen: Listen, trusted: bool = False, **said: Any) -> Any:
        leaving = Leaving(**said) if said else None
        return self.departures.ways(listen, leaving, USUAL, trusted)


def device(departure: Departure) -> bytes:
    """The device of the sockets that leave."""
    with departure.sockets.open(socket.AF_INET, socket.SOCK_DGRAM) as opened:
        found = opened.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16)
    return found.rstrip(b"\0")


def test_nothingSaid() -> None:
    """Then it is as usual, also where a rule only says where it leads to."""
    world = World()
    assert world.ways(Listen("a")) is USUAL
    assert world.ways(Listen("a"), via=(("up",),), header="v2") is USUAL
    assert world.ways(Listen("a", mark=7), mark=0) is USUAL
    assert world.ways(Listen("a", device="lo")) is USUAL
    assert not world.made


def test_theRuleStandsBeforeTheListener() -> None:
    """For each key by itself."""
    listen = Listen("a", leave_by=("127.0.0.1",), mark=7)
    world = World()
    assert world.ways(listen).near == Near(ONE, None)
    assert world.ways(listen, leaveBy=("127.0.0.2",)).near == Near(OTHER, None)
    found = world.ways(listen, device="lo", mark=0)
    assert (found.near, device(found)) == (Near(ONE, None), b"lo")
    assert device(world.ways(Listen("a"), device="lo")) == b"lo"
    assert world.ways(Listen("a"), device="lo").near == Near(None, None, True)


def test_anotherDevice() -> None:
    """A socket that is bound to the listener's device can be bound to no other."""
    domain = Listen("a", device="lo").domain
    world = World()
    # Device("none") would not open.
    found = world.ways(Listen("a", device="none"), device="lo")
    assert device(found) == b"lo"
    assert device(world.ways(Listen("a", device="lo"), leaveBy=("127.0.0.2",))) == b"lo"
    assert world.made[-1][0] == domain


@pytest.mark.parametrize("words", [("same",), ("127.0.0.1", "127.0.0.2")])
def test_bySession(words: tuple[str, ...]) -> None:
    """What differs between sessions is chosen for each."""
    assert isinstance(World().ways(Listen("a"), leaveBy=words), Chosen)
    assert isinstance(World().ways(Listen("a", leave_by=words)), Chosen)
    assert isinstance(World().ways(Listen("a", leave_by="same")), Chosen)


def test_upstreamsOfThisHost() -> None:
    """What is configured may be here; what clients ask for may not."""
    listen = Listen("a", leave_by=("127.0.0.1",))
    world = World()
    assert world.ways(listen).leadsHere(ONE, 80)
    assert not world.ways(listen, trusted=True).leadsHere(ONE, 80)


def test_saidOnce() -> None:
    """An address that is not there is said once, and once that it is there again."""
    world = World()
    gone = world.ways(Listen("a", leave_by=("192.0.2.7",)))
    for _ in range(3):
        with pytest.raises(ConnectFailed):
            gone.sockets.open(socket.AF_INET, socket.SOCK_STREAM)
    (line,) = world.lines
    assert line == '"event":"leave-by","address":"192.0.2.7","state":"lost"'
    for _ in range(2):
        gone.sockets._found(Address.parse("192.0.2.7"), True)
    assert world.lines[1:] == [line.replace("lost", "found")]
