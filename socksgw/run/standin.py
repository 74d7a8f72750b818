"""
What stands for a connection to the gateway in a program that cannot wait for it.

It is a connection over loopback, whose other end is the supervisor's. While the gateway
has not answered, its buffers are full: to the program it is a connection that is not
there yet.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import socket
from contextlib import suppress
from typing import Final, final

from socksgw.run.known import again
from socksgw.run.way import ready
from socksgw.system.sockets import resetting
from socksgw.system.watch import READ, Watcher

__all__ = ["StandIn", "loopback"]

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
_LATER: Final = (0, errno.EINPROGRESS)


def loopback(family: int) -> str:
    """Return the address of this host itself."""
    return _LOOPBACK[socket.AddressFamily(family)]


@final
class StandIn:
    """
    A connection over loopback in the place of one to the gateway.

    @ivar near: the supervisor's end, which does not block.
    """

    def __init__(self, own: socket.socket, full: bool) -> None:
        """
        Connect a socket of the program.

        @param full: whether its buffers are to be full, until L{drained}.
        @raise OSError: it cannot be connected.
        """
        self._filled = 0
        self._own: socket.socket | None = None
        with socket.socket(own.family) as listening:
            if full:
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SMALL)
            listening.bind((loopback(own.family), 0))
            listening.listen(1)
            listening.settimeout(_SECONDS)
            flags = fcntl.fcntl(own, fcntl.F_GETFL)
            fcntl.fcntl(own, fcntl.F_SETFL, flags | os.O_NONBLOCK)
            try:
                error = own.connect_ex(listening.getsockname()[:2])
            finally:
                fcntl.fcntl(own, fcntl.F_SETFL, flags)
            if error not in _LATER:
                raise OSError(error, os.strerror(error))
            while True:
                self.near, who = listening.accept()
                # Anybody on this host may have connected first.
                if who[1] == own.getsockname()[1]:
                    break
                self.near.close()
        self.near.setblocking(False)
        if full:
            # Its buffer is made larger again, when it may be written.
            self._own = again(own)
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
        self._letGo()
        resetting(self.near)
        self.near.close()
