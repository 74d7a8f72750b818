"""
The listener of one BIND, with real sockets on loopback and an epoll loop of
the test's own.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from twisted.internet.defer import CancelledError

from socksgw.errors import ConnectFailed
from socksgw.route.outlet import PlainOutlet
from socksgw.route.passive import Passive
from socksgw.wire.address import Address
from socksgw.wire.codes import Reply
from tests.fakes.loops import WatchedLoop
from tests.tools.sockets import descriptors

ONE = Address.parse("127.0.0.1")
SIX = Address.parse("::1")

Admits = Callable[[Address, int], bool]


class Waiting(WatchedLoop):
    """
    One listener, and what its wait came to.
    """

    def __init__(self) -> None:
        super().__init__()
        self._descriptors = descriptors()
        self._opened: list[socket.socket] = []
        self.outlets: list[PlainOutlet] = []
        self.failures: list[BaseException] = []

    def listen(self, address: Address = ONE, ports: range | None = None) -> Passive:
        return Passive(self.watcher, self.setDeadline, address, ports, 10.0)

    def accept(self, passive: Passive, admits: Admits) -> Any:
        waiting = passive.accept(admits)
        waiting.addCallbacks(
            self.outlets.append, lambda failure: self.failures.append(failure.value)
        )
        return waiting

    def connect(self, passive: Passive, source: str = "") -> socket.socket:
        """Somebody who connects."""
        host, port = passive.told
        made = socket.socket(socket.AF_INET6 if host.version == 6 else socket.AF_INET)
        self._opened.append(made)
        if source:
            made.bind((source, 0))
        made.settimeout(20)
        made.connect((host.text, port))
        return made

    def isClosed(self, stranger: socket.socket) -> bool:
        """Whether the connection ends without an octet."""
        self.settle()
        try:
            return stranger.recv(1) == b""
        except ConnectionResetError:
            return True

    def atBase(self) -> None:
        """Nothing is left."""
        for outlet in self.outlets:
            outlet.loseConnection()
        for each in self._opened:
            each.close()
        assert descriptors() <= self._descriptors
        self.closeLoop()


@pytest.fixture
def world() -> Iterator[Waiting]:
    """Where nothing is left at the end."""
    made = Waiting()
    yield made
    made.atBase()


def anybody(address: Address, port: int) -> bool:
    return True


@pytest.mark.parametrize("address", [ONE, SIX, Address.parse("127.0.0.3")])
def test_onePeer(world: Waiting, address: Address) -> None:
    """It comes, the wait is over, and so is the listening."""
    passive = world.listen(address)
    assert passive.told[0] == address
    world.accept(passive, anybody)
    peer = world.connect(passive)
    world.until(lambda: world.outlets)
    (outlet,) = world.outlets
    host, port = peer.getsockname()[:2]
    assert (outlet.address.text, outlet.port) == (host, port)
    assert outlet.bound == passive.told
    plain = outlet.plain
    assert plain is not None
    assert not plain.getblocking()
    peer.sendall(b"x")
    world.until(lambda: plain.recv(1) == b"x")
    with pytest.raises(ConnectionRefusedError):
        world.connect(passive)


def test_whoCameBeforeAnybodyWaited(world: Waiting) -> None:
    """Between the first reply and the wait nobody is lost."""
    passive = world.listen()
    world.connect(passive)
    world.accept(passive, anybody)
    world.until(lambda: world.outlets)


def test_oneAddressOnly(world: Waiting) -> None:
    """Nothing listens on the host's others."""
    passive = world.listen(Address.parse("127.0.0.3"))
    with socket.socket() as other, pytest.raises(ConnectionRefusedError):
        other.connect(("127.0.0.4", passive.told[1]))
    passive.close()


def test_strangersAreTurnedAway(world: Waiting) -> None:
    """Each at once and without an octet; the right one still gets in."""
    passive = world.listen()
    asked: list[tuple[str, int]] = []

    def admits(address: Address, port: int) -> bool:
        asked.append((address.text, port))
        return address.text == "127.0.0.9"

    world.accept(passive, admits)
    # More than are taken up at once.
    strangers = [world.connect(passive, f"127.0.0.{i}") for i in (2, 3, 4) * 5]
    for each in strangers:
        assert world.isClosed(each)
    assert world.outlets == []
    right = world.connect(passive, "127.0.0.9")
    world.until(lambda: world.outlets)
    assert asked == [each.getsockname() for each in (*strangers, right)]
    assert passive.strangers == 15


def test_theFirstRightOneAmongMany(world: Waiting) -> None:
    """All are there at once: strangers go, one gets in, the others go."""
    passive = world.listen()
    stranger = world.connect(passive, "127.0.0.2")
    first = world.connect(passive, "127.0.0.9")
    second = world.connect(passive, "127.0.0.9")
    world.accept(passive, lambda address, _: address.text == "127.0.0.9")
    world.until(lambda: world.outlets)
    assert world.outlets[0].port == first.getsockname()[1]
    for each in (stranger, second):
        assert world.isClosed(each)


def test_nobodyComes(world: Waiting) -> None:
    """The deadline is absolute: strangers do not put it off."""
    passive = world.listen()
    world.accept(passive, lambda *_: False)
    for _ in range(4):
        world.advance(2.4)
        assert world.isClosed(world.connect(passive))
    assert world.failures == []
    world.advance(0.5)
    (failure,) = world.failures
    assert isinstance(failure, ConnectFailed)
    assert (failure.reply, failure.reason) == (Reply.HOST_UNREACHABLE, "bind-timeout")
    with pytest.raises(ConnectionRefusedError):
        world.connect(passive)


def test_cancelled(world: Waiting) -> None:
    """The client is gone: so is the listener."""
    passive = world.listen()
    waiting = world.accept(passive, anybody)
    waiting.cancel()
    assert isinstance(world.failures[0], CancelledError)
    with pytest.raises(ConnectionRefusedError):
        world.connect(passive)


def test_closedTwice(world: Waiting) -> None:
    """Whoever ends it need not know who did before."""
    passive = world.listen()
    passive.close()
    passive.close()
