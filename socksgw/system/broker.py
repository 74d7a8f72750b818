"""
The broker of one network namespace (L{socksgw.system.brokerstart} starts it).

It runs in that namespace, and hands out new sockets of it over a Unix socket
(C{SCM_RIGHTS}, unix(7)), so that the gateway needs no privilege to use them. Only
sockets of L{KINDS} are made, a bounded number for each request, and only for the
user that the broker runs as, or root (C{SO_PEERCRED}).

This module imports nothing but the standard library: the process stays small.
"""

from __future__ import annotations

import errno
import os
import selectors
import socket
import struct
import time
from array import array
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, final

__all__ = [
    "GREETING",
    "HELLO",
    "KINDS",
    "MOST",
    "Broker",
    "identityOf",
    "peerOf",
]

#: What may be asked for, by the octet that asks for it: family, type, protocol.
KINDS: Final[dict[int, tuple[int, int, int]]] = {
    1: (socket.AF_INET, socket.SOCK_STREAM, 0),
    2: (socket.AF_INET6, socket.SOCK_STREAM, 0),
    3: (socket.AF_INET, socket.SOCK_DGRAM, 0),
    4: (socket.AF_INET6, socket.SOCK_DGRAM, 0),
    5: (socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE),
}
#: The most sockets that one request asks for, and that one answer has.
MOST: Final = 32
#: What the broker says first: a magic number, the version, the namespace's inode.
GREETING: Final = struct.Struct("!8sBQ")
#: The magic number and the version.
HELLO: Final = (b"socksgwN", 1)
#: Gateways that are served at a time: one, and another while it is replaced.
_GATEWAYS: Final = 8
#: Seconds between two looks whether the name means another namespace.
_LOOK: Final = 1.0
_CREDENTIALS: Final = struct.Struct("iII")


def identityOf(path: Path) -> int:
    """
    Return what tells a namespace from others: its inode; 0 if there is none.
    """
    try:
        return path.stat().st_ino
    except OSError:
        return 0


def peerOf(connection: socket.socket) -> int:
    """Return the user id of the process at the other end of a Unix socket."""
    octets = connection.getsockopt(
        socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size
    )
    user: int = _CREDENTIALS.unpack(octets)[1]
    return user


@final
class Broker:
    """Hands out sockets of the namespace that this process is in."""

    def __init__(
        self,
        listening: socket.socket,
        current: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Serve nobody yet.

        @param listening: the Unix socket, bound.
        @param current: returns whether the name still means this namespace.
        """
        self._listening = listening
        self._current = current
        self._clock = clock
        self._allowed = {0, os.getuid()}
        self._identity = identityOf(Path("/proc/self/ns/net"))
        self._selector = selectors.DefaultSelector()
        self._gateways = 0

    def serve(self) -> None:
        """Serve until the name means another namespace, or none."""
        # The credentials that a gateway sees are those of now.
        self._listening.listen(_GATEWAYS)
        self._listening.setblocking(False)
        self._selector.register(self._listening, selectors.EVENT_READ)
        look = self._clock() + _LOOK
        try:
            while True:
                for key, _ in self._selector.select(max(0.0, look - self._clock())):
                    found: socket.socket = key.fileobj  # type: ignore[assignment]
                    if found is self._listening:
                        self._accept()
                    else:
                        self._answer(found)
                if self._clock() >= look:
                    look = self._clock() + _LOOK
                    if not self._current():
                        return
        finally:
            for each in list(self._selector.get_map().values()):
                each.fileobj.close()  # type: ignore[union-attr]
            self._selector.close()

    def _accept(self) -> None:
        try:
            connection, _ = self._listening.accept()
        except OSError:
            return
        if self._gateways >= _GATEWAYS or peerOf(connection) not in self._allowed:
            connection.close()
            return
        connection.setblocking(False)
        greeting = GREETING.pack(*HELLO, self._identity)
        with suppress(OSError):
            connection.send(greeting)
        self._gateways += 1
        self._selector.register(connection, selectors.EVENT_READ)

    def _answer(self, gateway: socket.socket) -> None:
        try:
            asked = gateway.recv(3)
            # A kind, and how many.
            if len(asked) != 2 or asked[0] not in KINDS or not 0 < asked[1] <= MOST:
                raise ConnectionError
            self._give(gateway, asked[0], asked[1])
        except OSError:
            # It is gone, asked for what it may not have, or takes no answers.
            self._selector.unregister(gateway)
            gateway.close()
            self._gateways -= 1

    def _give(self, gateway: socket.socket, kind: int, count: int) -> None:
        """Send so many sockets; where there are none, the errno."""
        made: list[socket.socket] = []
        code = 0
        try:
            for _ in range(count):
                made.append(socket.socket(*KINDS[kind]))
        except OSError as e:
            code = e.errno or errno.EINVAL
        fds = array("i", [each.fileno() for each in made])
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)] if made else []
        try:
            gateway.sendmsg([bytes((kind, count, min(code, 255)))], rights)
        finally:
            for each in made:
                each.close()
