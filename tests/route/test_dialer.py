"""
The dialler, with real sockets on loopback, an epoll loop and a clock of the
test's own.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from socksgw.errors import LimitReached, SocksError
from socksgw.route.dialer import Dialer
from socksgw.route.outlet import PlainOutlet
from socksgw.route.race import _Attempt
from socksgw.system.stack import Dress
from socksgw.wire.address import Address
from tests.fakes.connections import Recorder
from tests.fakes.loops import WatchedLoop
from tests.tools.sockets import descriptors

ANSWERS, MUTE, REFUSES, OTHER = (
    Address.parse(f"127.0.0.{number}") for number in (2, 3, 4, 5)
)


class Dialling(WatchedLoop):
    """
    One port on loopback, which one address answers at, and another one never.
    """

    def __init__(self) -> None:
        super().__init__()
        self._descriptors = descriptors()
        self._open = ExitStack()
        self.answering = self._listen(ANSWERS)
        self.port = self.answering.getsockname()[1]
        mute = self._listen(MUTE, self.port, 0)
        # Its queue is full: to what else comes the kernel does not answer.
        for _ in range(2):
            waiting = self._open.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(mute.getsockname())
        self.dialler = Dialer(self.clock, self.watcher, self.setDeadline, 10.0)
        self.outlets: list[PlainOutlet] = []
        self.failures: list[SocksError] = []

    def _listen(self, address: Address, port: int = 0, backlog: int = 16) -> Any:
        listening = self._open.enter_context(socket.socket())
        listening.bind((address.text, port))
        listening.listen(backlog)
        return listening

    def dial(self, *addresses: Address, admit: Callable[..., Any] | None = None) -> Any:
        more = [] if admit is None else [admit]
        opening = self.dialler.open(addresses, self.port, *more)
        dialling = Deferred.fromCoroutine(opening)
        dialling.addCallbacks(
            self.outlets.append, lambda failure: self.failures.append(failure.value)
        )
        return dialling

    def advance(self, seconds: float) -> None:
        """Let time pass, a twentieth of a second at once."""
        for _ in range(round(seconds * 20)):
            super().advance(0.05)

    def atBase(self) -> None:
        """Nothing is left."""
        for outlet in self.outlets:
            outlet.loseConnection()
        self._open.close()
        assert descriptors() <= self._descriptors
        self.closeLoop()


@pytest.fixture
def world() -> Iterator[Dialling]:
    """Where nothing is left at the end."""
    made = Dialling()
    yield made
    made.atBase()


def test_theFirstThatConnects(world: Dialling) -> None:
    """The next is dialled as soon as one is refused, or after a quarter second."""
    world.dial(REFUSES, MUTE, ANSWERS)
    world.settle()
    assert not world.outlets
    world.advance(0.25)
    world.until(lambda: world.outlets)
    assert [outlet.address for outlet in world.outlets] == [ANSWERS]


@pytest.mark.parametrize("soon", [False, True])
def test_aServerThatSpeaksFirst(world: Dialling, soon: bool) -> None:
    """
    What it says is read, whether it came with the connection or while nobody read.
    """
    receiver = Recorder()
    world.dial(ANSWERS)
    accepted, _ = world.answering.accept()
    with accepted:
        if soon:
            accepted.send(b"220 ")
        world.until(lambda: world.outlets)
        if not soon:
            accepted.send(b"220 ")
        world.settle()
        world.outlets[0].take(receiver)
        world.until(lambda: receiver.octets == b"220 ")
        accepted.send(b"ready")
        accepted.shutdown(socket.SHUT_WR)
        world.until(lambda: receiver.readEnds)
    assert receiver.octets == b"220 ready"


@pytest.mark.parametrize(
    ("addresses", "reason"),
    [
        ([REFUSES], "refused"),
        ([MUTE], "connect-timeout"),
        # A refusal is of the destination itself, the last trouble is told.
        ([MUTE, REFUSES], "connect-timeout"),
    ],
)
def test_nothingConnects(
    world: Dialling, addresses: Sequence[Address], reason: str
) -> None:
    """What came of it is told when nothing more can come."""
    world.dial(*addresses)
    world.settle()
    world.advance(9.9)
    world.settle()
    assert not world.failures or reason == "refused"
    world.advance(0.1)
    assert [failure.reason for failure in world.failures] == [reason]


def test_eachAddressHasItsTime(world: Dialling) -> None:
    """
    An address is given up after what its own rule says, from the start of the
    first; others go on.
    """
    seconds = {MUTE: 1.0, OTHER: 0.2, ANSWERS: 3.0}
    asked: list[Address] = []

    def admit(address: Address) -> float:
        asked.append(address)
        return seconds[address]

    world.dial(MUTE, OTHER, admit=admit)
    # When its turn comes, the other one's time is over.
    world.advance(0.95)
    assert asked == [MUTE, OTHER]
    assert not world.failures
    world.advance(0.05)
    assert [failure.reason for failure in world.failures] == ["connect-timeout"]
    seconds[MUTE] = 0.1
    world.dial(MUTE, ANSWERS, admit=admit)
    world.advance(0.1)
    world.until(lambda: world.outlets)


def test_inTurn(world: Dialling) -> None:
    """
    Where a client wants it so, one address is dialled after the other, and all of them
    together have the time of one: each has an equal part of what is left.
    """
    world.dialler = world.dialler.dressed(Dress(lambda opened: None, inTurn=True))
    world.dial(MUTE, ANSWERS)
    world.advance(4.8)
    world.settle()
    assert not world.outlets
    assert len(world.watcher.calls) == 1
    world.advance(0.3)
    world.until(lambda: world.outlets)
    assert [outlet.address for outlet in world.outlets] == [ANSWERS]
    world.dial(*[MUTE] * 4)
    world.advance(9.8)
    assert not world.failures
    world.advance(0.3)
    assert [failure.reason for failure in world.failures] == ["connect-timeout"]


def test_whoIsNotAdmittedIsNotDialled(world: Dialling) -> None:
    """The next one is; if there is none, why is told."""

    def admit(address: Address) -> None:
        if address == ANSWERS:
            raise LimitReached("no room")

    world.dial(ANSWERS, admit=admit)
    assert [str(failure) for failure in world.failures] == ["no room"]
    world.dial(ANSWERS, MUTE, admit=admit)
    assert len(world.watcher.calls) == 1
    world.advance(10)
    world.dial(ANSWERS, REFUSES, admit=admit)
    world.settle()
    assert [str(failure) for failure in world.failures[1:]] == ["no room"] * 2
    world.answering.setblocking(False)
    with pytest.raises(BlockingIOError):
        world.answering.accept()


def test_givenUp(world: Dialling) -> None:
    """Whoever waits no longer leaves nothing behind."""
    dialling = world.dial(MUTE, ANSWERS)
    dialling.cancel()
    assert not world.outlets


@pytest.mark.parametrize("switchedOff", [True, False])
def test_noLocalAddressIsNoWay(switchedOff: bool) -> None:
    """
    Without any address of the family (disable_ipv6=1) the kernel says
    EADDRNOTAVAIL also for datagrams; without a free port only for TCP.
    """

    class Refusing(socket.socket):
        def connect_ex(self, address: Any) -> int:
            tcp = self.type == socket.SOCK_STREAM
            return errno.EADDRNOTAVAIL if tcp or switchedOff else 0

    race: Any = SimpleNamespace(port=80, sockets=SimpleNamespace(open=Refusing))
    code = _Attempt(race, Address.parse("2001:db8::1")).start(1)
    assert code == (errno.ENETUNREACH if switchedOff else errno.EADDRNOTAVAIL)
