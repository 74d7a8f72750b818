"""
The doors of a program's own network: what it sends to anywhere comes to them.

Connections and datagrams keep the destination that the program has given: a socket that
is accepted is bound to it, and answers come from it.
"""

from __future__ import annotations

import errno
import os
import select
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final, final

from socksgw.run.gates import DNS, Bundles
from socksgw.run.keeper import Keeper
from socksgw.run.memory import Place
from socksgw.run.names import Names
from socksgw.run.standin import CONNECTING
from socksgw.run.way import begun
from socksgw.system.plain import socketName
from socksgw.system.sockets import resetting
from socksgw.system.transparent import originalOfDatagram
from socksgw.system.watch import READ, Watcher

__all__ = ["Doors"]

#: Milliseconds for a connection within this host, which takes none.
_PATIENCE: Final = 5000
#: So many of what has come are taken before others have their turn.
_AT_ONCE: Final = 64
#: SO_NETNS_COOKIE of linux/socket.h (Linux 5.14).
_NETNS_COOKIE: Final = 71
_BUFFER: Final = 1 << 16
_ANCILLARY: Final = 256


@final
class Doors:
    """
    Take what comes to the doors (L{Joints<socksgw.run.standin.Joints>}).
    """

    def __init__(
        self,
        keeper: Keeper,
        doors: Sequence[socket.socket],
        watch: Watcher,
        names: Names,
        bundles: Bundles,
    ) -> None:
        """
        @param doors: of L{Keeper.doors}.
        """
        self._keeper = keeper
        self._doors = doors
        self._watch = watch
        self._names = names
        self._bundles = bundles
        self._listening = {
            each.family: each for each in doors if each.type == socket.SOCK_STREAM
        }
        self._unasked: Callable[[socket.socket, Place], None]

    def start(self, unasked: Callable[[socket.socket, Place], None]) -> None:
        """
        Take what comes from now on.

        @param unasked: gets a connection that the program has made without its
            supervisor, and where it was going.
        """
        self._unasked = unasked
        for door in self._doors:
            take = self._accepts if door.type == socket.SOCK_STREAM else self._hears
            self._watch.add(door.fileno(), READ, self._taking(take, door))

    def _taking(
        self, take: Callable[[socket.socket], None], door: socket.socket
    ) -> Callable[[int], None]:
        def ready(_: int) -> None:
            # Nothing is left; or there is no descriptor for it, and it waits.
            with suppress(OSError):
                for _ in range(_AT_ONCE):
                    take(door)

        return ready

    # Connections.

    def join(self, own: socket.socket, place: Place) -> socket.socket:
        """As L{Joints.join<socksgw.run.standin.Joints.join>}."""
        version = place.address.version
        listening = self._listening[socket.AF_INET if version == 4 else socket.AF_INET6]
        if _network(own) != _network(listening):
            # The program has a socket of another network, and we do not connect it.
            raise OSError(errno.ENETUNREACH, os.strerror(errno.ENETUNREACH))
        host = place.address.text
        if version == 4 and own.family == socket.AF_INET6:
            host = f"::ffff:{host}"
        error = begun(own, (host, place.port))
        if error not in CONNECTING:
            raise OSError(error, os.strerror(error))
        # An IPv4 address may be in the form of IPv6.
        port = own.getsockname()[1]
        waiting = select.poll()
        waiting.register(listening, select.POLLIN)
        while waiting.poll(_PATIENCE):
            near, who = listening.accept()
            near.setblocking(False)
            if who[1] == port and _isAt(near, place):
                return near
            self._came(near)
        raise OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))

    def _accepts(self, door: socket.socket) -> None:
        near, _ = door.accept()
        near.setblocking(False)
        self._came(near)

    def _came(self, near: socket.socket) -> None:
        there = socketName(near.getsockname())
        if there.address.isLoopback:
            # It is to the door itself: what the gateway has there is not meant.
            resetting(near)
            near.close()
            return
        self._unasked(near, Place(near.family, there.address, there.port))

    # Datagrams.

    def _hears(self, door: socket.socket) -> None:
        octets, ancillary, _, peer = door.recvmsg(_BUFFER, _ANCILLARY)
        to = originalOfDatagram(ancillary, door.family)
        if to is None:
            return
        place, near = Place(door.family, *to), (peer[0], peer[1])
        # A keeper that the program has ended makes no sockets.
        with suppress(OSError):
            if place.port == DNS:
                self._answer(place, near, octets)
            elif not place.address.isLoopback:
                bundle = self._bundles.at(place, near)
                bundle.out(bundle.gate(place), octets)

    def _answer(self, place: Place, near: tuple[str, int], octets: bytes) -> None:
        """Answer a question of DNS, as the name server that was asked."""
        answer = self._names.answer(octets)
        if answer is not None:
            with self._keeper.open(place.family, place, near) as gate:
                gate.send(answer)


def _network(own: socket.socket) -> bytes:
    """Return what tells the network namespace of a socket from all others."""
    return own.getsockopt(socket.SOL_SOCKET, _NETNS_COOKIE, 8)


def _isAt(near: Any, place: Place) -> bool:
    there = socketName(near.getsockname())
    return (there.address, there.port) == (place.address, place.port)
