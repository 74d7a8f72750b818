"""
Datagrams of a program: calls of its sockets, which send to gates on loopback.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import struct
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol, final

from twisted.internet.defer import Deferred

from socksgw.interfaces import SetDeadline
from socksgw.run.gates import DNS, Bundle, Bundles
from socksgw.run.known import Known, cookie
from socksgw.run.memory import Place
from socksgw.run.standin import loopback
from socksgw.system.coroutines import Awaited
from socksgw.system.watch import READ, Watcher
from socksgw.wire.address import Address

__all__ = [
    "Came",
    "Carriage",
    "Datagrams",
    "check",
    "checkSize",
    "decided",
    "isOutside",
]

#: The most octets of a datagram's data.
_LONGEST: Final = 65507
#: Seconds that a call may wait for one.
_PATIENCE: Final = 0.25
#: Seconds between two looks whether a signal is for a thread that waits.
_SIGNALS: Final = 0.25
_TIME: Final = struct.Struct("=ll")
_BUFFER: Final = 1 << 16


def checkSize(size: int) -> None:
    """
    Refuse a datagram that is too long.

    @raise OSError: EMSGSIZE.
    """
    if size > _LONGEST:
        raise OSError(errno.EMSGSIZE, os.strerror(errno.EMSGSIZE))


def isOutside(place: Place) -> bool:
    """Return whether datagrams to a destination are none of the supervisor's."""
    address = place.address
    return place.port != DNS and (address.isLoopback or address.isUnspecified)


class Came(NamedTuple):
    """
    A datagram for the program.

    @ivar octets: its data.
    @ivar place: where it comes from, as the program knows it.
    """

    octets: bytes
    place: Place


class Carriage(Protocol):
    """What carries the datagrams of a program."""

    def connect(self, own: socket.socket, place: Place) -> int | None:
        """
        Connect a socket of the program.

        No association is made: C{getaddrinfo} and others connect only to see by which
        address they would send.

        @return: L{None} where the kernel is to do it.
        @raise OSError: it cannot be connected.
        """

    async def send(self, own: socket.socket, place: Place, octets: bytes) -> int | None:
        """
        Send a datagram of the program.

        @return: its octets; L{None} where the kernel is to do it.
        @raise OSError: it is not sent.
        """

    async def receive(self, own: socket.socket, thread: int, flags: int) -> Came | None:
        """
        Return the next datagram for the program.

        @param thread: who waits for it.
        @param flags: of the call.
        @return: L{None} where the kernel is to do it.
        @raise OSError: there is none, in the time that the program gives.
        """


@final
class Datagrams:
    """
    Carries the datagrams of a program by gates on loopback (L{Carriage}).
    """

    def __init__(
        self,
        bundles: Bundles,
        watch: Watcher,
        setDeadline: SetDeadline,
        known: Known,
    ) -> None:
        self._bundles = bundles
        self._watch = watch
        self._setDeadline = setDeadline
        self._known = known

    def _bundle(self, own: socket.socket) -> Bundle:
        return self._bundles.of(cookie(own), own.family)

    def connect(self, own: socket.socket, place: Place) -> int | None:
        """As L{Carriage.connect}."""
        if isOutside(place) or not place.port:
            self._known.forget(cookie(own))
            return None
        bundle = self._bundle(own)
        gate = bundle.gate(place)
        own.connect(gate.at)
        bundle.heed(_near(own))
        self._known.connected(cookie(own), place)
        return 0

    async def send(self, own: socket.socket, place: Place, octets: bytes) -> int | None:
        """As L{Carriage.send}."""
        if not own.getsockname()[1]:
            # As the kernel does when it sends.
            own.bind(("", 0))
        bundle = self._bundle(own)
        bundle.heed(_near(own))
        if place.port != DNS:
            check(bundle)
        gate = bundle.gate(place)
        bundle.out(gate, octets)
        if bundle.decided is not None:
            await decided(bundle.decided, self._setDeadline)
        if place.port != DNS:
            check(bundle)
        return len(octets)

    async def receive(self, own: socket.socket, thread: int, flags: int) -> Came | None:
        """As L{Carriage.receive}."""
        waits = not (
            flags & socket.MSG_DONTWAIT
            or fcntl.fcntl(own, fcntl.F_GETFL) & os.O_NONBLOCK
        )
        bundle = self._bundles.find(cookie(own))
        if bundle is None and not waits:
            return None
        seconds, micros = _TIME.unpack(
            own.getsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _TIME.size)
        )
        left = seconds + micros / 1e6 or float("inf")
        kept = flags & (socket.MSG_PEEK | socket.MSG_OOB)
        while True:
            try:
                octets, _, _, source = own.recvmsg(
                    _BUFFER, 0, kept | socket.MSG_DONTWAIT
                )
                break
            except BlockingIOError:
                if not waits or left <= 0:
                    raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN)) from None
            slice_ = min(left, _SIGNALS)
            await self._readable(own, slice_)
            left -= slice_
            if isSignalled(thread):
                raise OSError(errno.EINTR, os.strerror(errno.EINTR))
        address = Address.parse(source[0].partition("%")[0])
        place = Place(own.family, address, source[1])
        bundle = self._bundles.find(cookie(own))
        if bundle is not None and address.isLoopback:
            place = bundle.placeOf(source[1]) or place
        return Came(octets, place)

    async def _readable(self, own: socket.socket, seconds: float) -> None:
        """Wait until a socket can be read, or for so many seconds."""
        waiting = Awaited[None]()

        def tell(_: int = 0) -> None:
            if not waiting.called:
                waiting.callback(None)

        deadline = self._setDeadline(seconds, tell)
        self._watch.add(own.fileno(), READ, tell)
        try:
            await waiting
        finally:
            self._watch.remove(own.fileno())
            deadline.clear()


async def decided(opening: Deferred[Any], setDeadline: SetDeadline) -> None:
    """Wait until there is an association or none, for as long as a call may take."""
    waiting = Awaited[None]()

    def tell(result: Any = None) -> Any:
        if not waiting.called:
            deadline.clear()
            waiting.callback(None)
        return result

    deadline = setDeadline(_PATIENCE, tell)
    opening.addBoth(tell)
    await waiting


def check(bundle: Bundle) -> None:
    """
    Tell a program why its datagrams go nowhere, once: the next one tries again.

    @raise OSError: they do not.
    """
    number, bundle.failure = bundle.failure, 0
    if number:
        raise OSError(number, os.strerror(number))


def _near(own: socket.socket) -> tuple[str, int]:
    """Return where the supervisor reaches a socket of the program."""
    host, port = own.getsockname()[:2]
    if Address.parse(host.partition("%")[0]).isUnspecified:
        host = loopback(own.family)
    return host, port


def isSignalled(thread: int) -> bool:
    """Return whether a signal waits for a thread that has not blocked it."""
    pending = blocked = 0
    try:
        text = Path(f"/proc/{thread}/status").read_text("ascii", "replace")
    except OSError:
        return False
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name in ("SigPnd", "ShdPnd"):
            pending |= int(value, 16)
        elif name == "SigBlk":
            blocked = int(value, 16)
    return bool(pending & ~blocked)
