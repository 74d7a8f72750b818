"""
What stands for a connection to the gateway in a program that cannot wait for it.

It is a connection over loopback, whose other end is the supervisor's. While the gateway
has not answered, its buffers are full: to the program it is a connection that is not
there yet.
"""

from __future__ import annotations

import errno
import os
import select
import socket
from contextlib import suppress
from typing import Final, Protocol, final

from socksgw.run.known import again
from socksgw.run.memory import Place
from socksgw.run.way import begun, ready
from socksgw.system.sockets import resetting
from socksgw.system.watch import READ, Watcher

__all__ = ["CONNECTING", "Joints", "LoopbackJoints", "StandIn", "loopback"]

_LOOPBACK: Final = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}
#: Octets of the buffers while they are to be full; the kernel has a least size.
_SMALL: Final = 2048
#: Octets of the buffers afterwards, as far as the system grants them.
_USUAL: Final = 1 << 17
#: Seconds for a connection over loopback, which takes none.
_SECONDS: Final = 5.0
#: TCP_NOTSENT_LOWAT of tcp(7): with as many octets unsent there is no room.
_UNSENT: Final = 25
_FILLING: Final = bytes(4096)
#: What the kernel returns as a buffer's size is twice what it was told (socket(7)).
_DOUBLED: Final = 2
#: What a connect returns that has begun.
CONNECTING: Final = (0, errno.EINPROGRESS)


def loopback(family: int) -> str:
    """Return the address of this host itself."""
    return _LOOPBACK[socket.AddressFamily(family)]


class Joints(Protocol):
    """
    What connects sockets of the program with the supervisor.
    """

    def join(self, own: socket.socket, place: Place) -> socket.socket:
        """
        Connect a socket of the program, and return the other end.

        @param place: the destination that it stands for.
        @raise OSError: it cannot be connected.
        """


@final
class LoopbackJoints:
    """Connections over loopback, to a socket that listens for one of them."""

    def join(self, own: socket.socket, place: Place) -> socket.socket:
        """As L{Joints.join}."""
        with socket.socket(own.family) as listening:
            listening.bind((loopback(own.family), 0))
            listening.listen(1)
            listening.settimeout(_SECONDS)
            error = begun(own, listening.getsockname()[:2])
            if error not in CONNECTING:
                raise OSError(error, os.strerror(error))
            while True:
                near, who = listening.accept()
                # Anybody on this host may have connected first.
                if who[1] == own.getsockname()[1]:
                    near.setblocking(False)
                    return near
                near.close()


@final
class StandIn:
    """
    A connection over loopback in the place of one to the gateway.

    @ivar near: the supervisor's end, which does not block.
    """

    def __init__(self, own: socket.socket, near: socket.socket) -> None:
        """
        Fill the buffers, until L{drained}.

        @param own: the program's end.
        @param near: the other one.
        """
        self.near = near
        self._filled = 0
        near.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SMALL)
        # Its buffer is made larger again, when it may be written.
        self._own: socket.socket | None = again(own)
        self._fill(own)

    def _fill(self, own: socket.socket) -> None:
        self._size = own.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) // _DOUBLED
        self._unsent = own.getsockopt(socket.IPPROTO_TCP, _UNSENT)
        own.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SMALL)
        # What the other end confirms later makes room, and what was not sent remains.
        own.setsockopt(socket.IPPROTO_TCP, _UNSENT, 1)
        room = select.poll()
        room.register(own, select.POLLOUT)
        while room.poll(0):
            with suppress(BlockingIOError):
                self._filled += own.send(_FILLING, socket.MSG_DONTWAIT)

    def _letGo(self) -> None:
        """Leave the program's end to the program."""
        own, self._own = self._own, None
        if own is not None:
            size = max(self._size, _USUAL)
            own.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size)
            own.setsockopt(socket.IPPROTO_TCP, _UNSENT, self._unsent)
            own.close()

    async def drained(self, watch: Watcher) -> None:
        """
        Read what the buffers were filled with: the connection is there.

        @raise OSError: the program has closed it.
        """
        self._letGo()
        while self._filled:
            try:
                octets = self.near.recv(self._filled)
            except BlockingIOError:
                await ready(watch, self.near.fileno(), READ)
                continue
            if not octets:
                raise OSError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
            self._filled -= len(octets)
        self.near.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _USUAL)

    def reset(self) -> None:
        """Close it: there is no connection."""
        resetting(self.near)
        self.near.close()
        if self._own is not None:
            # With room before it is reset it would be a connection to the program.
            over = select.poll()
            over.register(self._own, 0)
            over.poll(_SECONDS * 1000)
        self._letGo()
