"""
A fake of UDP, which Twisted's own fakes lack.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable
from typing import Any, Final, final

from socksgw.system.sockets import FAMILIES
from socksgw.testing.contract import AuthMethodContract, Script

__all__ = ["AuthMethodContract", "DatagramNetwork", "FakeDatagramSocket", "Script"]

#: What UDP can carry at most, over IPv4.
_LONGEST: Final = 65507

Place = tuple[str, int]


@final
class FakeDatagramSocket:
    """
    Stand for a UDP socket, in memory.

    It has as much of L{socket.socket} as a relay of datagrams uses.

    @ivar closed: whether L{close} was called.
    @ivar queue: the datagrams that came and were not read: octets and senders.
    """

    def __init__(self, network: DatagramNetwork, family: int, number: int) -> None:
        self._network = network
        self._place: Place = ("", 0)
        self._number = number
        self.family = family
        self.closed = False
        self.queue: deque[tuple[bytes, Place]] = deque()

    def fileno(self) -> int:
        """Return a number that no other socket of the network has; -1 when closed."""
        return -1 if self.closed else self._number

    def bind(self, place: Place) -> None:
        """Take an address and port; port 0 is any."""
        self._place = self._network.take(self, place)

    def getsockname(self) -> Place:
        """Return the address and port."""
        return self._place

    def sendto(self, octets: Any, place: Place) -> int:
        """Send a datagram; it is lost if no socket has the receiver's place."""
        if len(octets) > _LONGEST:
            raise OSError("Message too long")
        self._network.carry(bytes(octets), self._place, (place[0], place[1]))
        return len(octets)

    def recvfrom_into(self, buffer: Any, size: int = 0) -> tuple[int, Place]:
        """
        Receive a datagram into a buffer; what does not fit is cut off.

        @return: how many octets, and the sender.
        @raise BlockingIOError: nothing has come.
        """
        if not self.queue:
            raise BlockingIOError
        octets, sender = self.queue.popleft()
        octets = octets[: size or len(buffer)]
        buffer[: len(octets)] = octets
        return len(octets), sender

    def recvfrom(self, size: int) -> tuple[bytes, Place]:
        """
        Receive a datagram; what is longer than C{size} octets is cut off.

        @raise BlockingIOError: nothing has come.
        """
        if not self.queue:
            raise BlockingIOError
        octets, sender = self.queue.popleft()
        return octets[:size], sender

    def setsockopt(self, *arguments: Any) -> None:
        """
        Refuse any option.

        @raise OSError: always.
        """
        raise OSError("no such option")

    def getsockopt(self, *arguments: Any) -> Any:
        """
        Refuse any option.

        @raise OSError: always.
        """
        raise OSError("no such option")

    def close(self) -> None:
        """Close it, and leave its place to another socket."""
        self.closed = True
        self._network.leave(self._place)


@final
class DatagramNetwork:
    """
    Connect fake UDP sockets on any addresses, without loss.

    It is also the L{socksgw.system.watch.Watcher} of these sockets: L{deliver} tells
    those that have got something.

    @ivar carried: every datagram that was sent: octets, sender, receiver.
    """

    def __init__(self) -> None:
        self._sockets: dict[Place, FakeDatagramSocket] = {}
        self._numbers = itertools.count(1000)
        self._ports = itertools.count(40000)
        self._ready: dict[int, Callable[[int], None]] = {}
        self.carried: list[tuple[bytes, Place, Place]] = []

    # Sockets.

    def socket(self, version: int, host: str = "", port: int = 0) -> Any:
        """
        Make a socket that is bound.

        @param version: of IP: 4 or 6.
        @param host: its address; by default one that stands for this host's.
        @param port: its port; 0 is any.
        """
        made = FakeDatagramSocket(self, FAMILIES[version], next(self._numbers))
        made.bind((host or ("192.0.2.1" if version == 4 else "2001:db8::1"), port))
        return made

    def take(self, taker: FakeDatagramSocket, place: Place) -> Place:
        """
        Give a socket its place.

        @return: the place, with a port.
        @raise OSError: another socket has it.
        """
        place = (place[0], place[1] or next(self._ports))
        if place in self._sockets:
            raise OSError("Address already in use")
        self._sockets[place] = taker
        return place

    def leave(self, place: Place) -> None:
        """Take away the place of a socket that is closed."""
        self._sockets.pop(place, None)

    def carry(self, octets: bytes, sender: Place, receiver: Place) -> None:
        """Carry a datagram to the socket at a place, if there is one."""
        self.carried.append((octets, sender, receiver))
        found = self._sockets.get(receiver)
        if found is not None:
            found.queue.append((octets, sender))

    # The watcher.

    def add(self, fd: int, events: int, ready: Callable[[int], None]) -> None:
        """Call C{ready} when a socket has got something."""
        self._ready[fd] = ready

    def hand(self, fd: int, ready: Callable[[int], None]) -> None:
        """Call another C{ready} for a socket that is watched."""
        self._ready[fd] = ready

    def again(self, fd: int, events: int = 0) -> None:
        """Do nothing: whatever has come is told until it is taken."""

    def change(self, fd: int, events: int) -> None:
        """Do nothing: the one event here is that something has come."""

    def remove(self, fd: int) -> None:
        """Stop watching a socket."""
        del self._ready[fd]

    def closing(self, fd: int) -> None:
        """Stop watching a socket that is about to be closed."""
        del self._ready[fd]

    @property
    def watched(self) -> int:
        """How many sockets are watched."""
        return len(self._ready)

    @property
    def open(self) -> int:
        """How many sockets there are."""
        return len(self._sockets)

    def deliver(self) -> None:
        """Tell the sockets that have got something, until none has."""
        while waiting := [s for s in self._sockets.values() if self._waits(s)]:
            for each in waiting:
                before = len(each.queue)
                self._ready[each.fileno()](1)
                assert each.closed or len(each.queue) < before, "it does not read"

    def _waits(self, each: FakeDatagramSocket) -> bool:
        return bool(each.queue) and each.fileno() in self._ready
