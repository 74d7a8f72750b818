"""
Non-blocking connects, raced as RFC 8305 ("Happy Eyeballs") has it.

The families take turns, a new attempt starts when the last one failed or after a
quarter of a second, and the first that connects wins. Where that is not wanted, one
attempt is made after the other, within the same time.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Sequence
from typing import Any, Final, final

from twisted.internet.defer import Deferred

from socksgw.errors import SocksError
from socksgw.interfaces import SetDeadline, Timer
from socksgw.route.failures import failureFor, worse
from socksgw.route.outlet import PlainOutlet
from socksgw.route.probe import isSourceless
from socksgw.route.single import DECIDED, UNDER_WAY, connected, late
from socksgw.system.coroutines import Awaited
from socksgw.system.domains import HERE, Sockets
from socksgw.system.sockets import FAMILIES
from socksgw.system.watch import DUPLEX, Watcher
from socksgw.wire.address import Address

__all__ = ["Race", "interleaved"]

#: Seconds between the starts of two attempts (RFC 8305 section 5).
ATTEMPT_DELAY: Final = 0.25

#: Seconds for an address, from the start of the first attempt.
Admit = Callable[[Address], float]

_STREAM: Final = socket.SOCK_STREAM


def interleaved(addresses: Sequence[Address]) -> list[Address]:
    """
    Return the addresses with the families taking turns (RFC 8305 section 4).

    The family of the first address begins.
    """
    if len(addresses) < 2:
        return list(addresses)
    first = [a for a in addresses if a.version == addresses[0].version]
    other = [a for a in addresses if a.version != addresses[0].version]
    turns: list[Address] = []
    for i in range(max(len(first), len(other))):
        turns += first[i : i + 1] + other[i : i + 1]
    return turns


@final
class _Attempt:
    """
    One non-blocking connect.
    """

    __slots__ = ("_deadline", "_race", "_socket", "address")

    def __init__(self, race: Race, address: Address) -> None:
        self._race = race
        self._deadline: Timer | None = None
        self.address = address
        # OSError: no descriptor, or no such family here.
        self._socket = race.sockets.open(FAMILIES[address.version], _STREAM)

    def start(self, seconds: float) -> int:
        """
        Begin to connect.

        @param seconds: how long it may take.
        @return: 0 when it is under way or connected, else the errno.
        """
        race = self._race
        code = self._socket.connect_ex((self.address.text, race.port))
        if code in UNDER_WAY or code == 0:
            race.watch.add(self._socket.fileno(), DUPLEX, self._settle)
            self._deadline = race.setDeadline(seconds, lambda: race.expired(self))
            return 0
        self._socket.close()
        if code == errno.EADDRNOTAVAIL and isSourceless(self.address, race.sockets):
            return errno.ENETUNREACH
        return code

    def _settle(self, events: int) -> None:
        if not events & DECIDED:
            return
        assert self._deadline is not None
        self._deadline.clear()
        race = self._race
        outlet, code = None, 0
        try:
            outlet = connected(
                self._socket, race.watch, self.address, race.port, events
            )
        except OSError as e:
            code = e.errno or errno.EINVAL
        # Not within the handler: what is raised from here on has causes of its own.
        if outlet is None:
            race.failed(self, code)
        else:
            race.connected(self, outlet)

    def give(self) -> None:
        """
        Give the attempt up.
        """
        assert self._deadline is not None
        self._deadline.clear()
        self._race.watch.closing(self._socket.fileno())
        self._socket.close()


@final
class Race:
    """
    The attempts at one destination.

    @ivar done: fires with an outlet, or with the failure that says most. It can be
        cancelled.
    @ivar port: the destination's port.
    """

    __slots__ = (
        "_admit", "_barred", "_began", "_delay", "_inTurn", "_left", "_reactor",
        "_running", "_worst", "done", "port", "setDeadline", "sockets", "watch",
    )  # fmt: skip

    def __init__(
        self,
        reactor: Any,
        watch: Watcher,
        setDeadline: SetDeadline,
        addresses: Sequence[Address],
        port: int,
        admit: Admit,
        sockets: Sockets = HERE,
        inTurn: bool = False,
    ) -> None:
        """
        Begin nothing yet.

        @param admit: as L{Dialer.open}'s, but always with a number.
        @param inTurn: whether there is one attempt at a time: each has an equal part
            of the time that is left.
        """
        self._inTurn = inTurn
        self.sockets = sockets
        self._reactor = reactor
        self._admit = admit
        self._began = reactor.seconds()
        self.setDeadline = setDeadline
        self.watch = watch
        self.port = port
        self.done: Deferred[PlainOutlet] = Awaited(lambda _: self._stop())
        self._left = interleaved(addresses)
        self._left.reverse()
        self._running: list[_Attempt] = []
        self._worst: SocksError | None = None
        self._barred: SocksError | None = None
        self._delay: Any = None

    def start(self) -> None:
        """
        Dial the next address.
        """
        self._delay = None
        while self._left:
            address = self._left.pop()
            try:
                left = self._began + self._admit(address) - self._reactor.seconds()
                if left <= 0:
                    # The attempts before it took all of its time.
                    self._worst = late()
                    continue
                if self._inTurn:
                    left /= len(self._left) + 1
                attempt = _Attempt(self, address)
                code = attempt.start(left)
            except SocksError as e:
                self._barred = e
                continue
            except BlockingIOError:
                # None is at hand in its routing domain, and soon there is one.
                self._left.append(address)
                self._delay = self.sockets.wait(
                    FAMILIES[address.version], _STREAM, self.start
                )
                return
            except OSError as e:
                code = e.errno or errno.EINVAL
            if code == 0:
                self._running.append(attempt)
                if self._left and not self._inTurn:
                    self._delay = self._reactor.callLater(ATTEMPT_DELAY, self.start)
                return
            self._worst = worse(self._worst, failureFor(code))
        if not self._running:
            self._stop()
            # That a limit forbids an attempt says more than how others failed.
            failure = self._barred or self._worst
            assert failure is not None
            self.done.errback(failure)

    def connected(self, attempt: _Attempt, outlet: PlainOutlet) -> None:
        """End the race: an attempt has won it."""
        self._running.remove(attempt)
        self._stop()
        self.done.callback(outlet)

    def failed(self, attempt: _Attempt, code: int) -> None:
        """
        Go on without an attempt that failed.

        @param code: the errno.
        """
        self._worst = worse(self._worst, failureFor(code))
        self._without(attempt)

    def expired(self, attempt: _Attempt) -> None:
        """Go on without an attempt that took longer than it may."""
        attempt.give()
        self._worst = late()
        self._without(attempt)

    def _without(self, attempt: _Attempt) -> None:
        self._running.remove(attempt)
        if self._left or not self._running:
            if self._delay is not None:
                self._delay.cancel()
            self.start()

    def _stop(self) -> None:
        if self._delay is not None:
            self._delay.cancel()
            self._delay = None
        running, self._running = self._running, []
        for attempt in running:
            attempt.give()
