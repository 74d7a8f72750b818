"""
A plain socket of a relay, watched for what is wanted of it now.

It is watched by edge (L{socksgw.system.watch}), as whoever had it before watched it; and
by level while splice(2) reads it, which does not tell whether it has emptied the
socket: by edge each burst would end with a call in vain.
"""

from __future__ import annotations

import socket
from select import EPOLLERR
from typing import Final, Self

from socksgw.relay.halves import Half
from socksgw.system.watch import DUPLEX, FAILED, READ, STAYS, STREAM, WRITE

__all__ = ["WatchedHalf"]

#: What tells that there is room to write, or that writing fails.
_ROOM: Final = WRITE | FAILED


class WatchedHalf(Half):
    """
    The socket, and what is acted on of what epoll tells.

    @ivar socket: the socket, non-blocking.
    """

    __slots__ = ("_byLevel", "_fd", "_registered", "_told", "_wanted", "socket")

    other: Self
    socket: socket.socket
    _fd: int
    #: What is acted on now: to read, or room to write.
    _wanted: int
    #: What has been told, and may hold still (STAYS).
    _told: int
    #: What the socket is registered for by edge; 0 where it is not registered.
    _registered: int
    #: Whether it is watched by level, for what is wanted.
    _byLevel: bool

    # What is done when it is ready.

    def _read(self) -> None:
        """Read once, and pass on what came."""
        raise NotImplementedError

    def _deliver(self) -> None:
        """Pass on what is held: the other socket takes octets again."""
        raise NotImplementedError

    def _hungUp(self) -> None:
        """Act on the reset of a connection that is neither read nor written now."""
        raise NotImplementedError

    def _left(self) -> None:
        """Act on the end of both its directions."""
        raise NotImplementedError

    # What epoll tells.

    def ready(self, events: int) -> None:
        """
        Act on readiness: trying tells what it is, or that the socket failed.

        @param events: as epoll gives them.
        """
        told = self._told = self._told | (events & STAYS)
        wanted = self._wanted
        if wanted & READ and told:
            self._read()
            if self._told and self._wanted & READ:
                self.relay.settings.watch.again(self._fd)
        elif not wanted and told & FAILED:
            if told & EPOLLERR:
                self._hungUp()
            else:
                self._left()
        if self._wanted & WRITE and events & _ROOM:
            self.other._deliver()

    def _readyByLevel(self, events: int) -> None:
        """Act on readiness likewise; what still holds is told again."""
        wanted = self._wanted
        if wanted & READ and events & ~WRITE:
            self._read()
        elif not wanted and events & FAILED:
            if events & EPOLLERR:
                self._hungUp()
            else:
                # The end of both sides would be told on and on.
                self._watchByEdge()
            return
        if self._wanted & WRITE and events & _ROOM:
            self.other._deliver()

    def startReading(self) -> None:
        """Read, and be told when there is something to read."""
        if self._registered and not self._told and not self._byLevel:
            self._wanted |= READ
        else:
            self._want(self._wanted | READ)

    def stopReading(self) -> None:
        """Read nothing for the time being."""
        if self._byLevel or self._told & EPOLLERR:
            self._want(self._wanted & ~READ)
        else:
            self._wanted &= ~READ

    def _startWriting(self) -> None:
        """Be told when there is room to write; there is none now."""
        self._want(self._wanted | WRITE)

    def _stopWriting(self) -> None:
        self._want(self._wanted & ~WRITE)

    def adopt(self, told: int) -> None:
        """
        Take over the socket, which is registered already.

        @param told: what has been told of it (L{socksgw.system.watch}).
        """
        # At least so: if it has the edges of room to write, that is asked for twice.
        self._registered = STREAM
        self._told = told & STAYS
        self.relay.settings.watch.hand(self._fd, self.ready)

    def _want(self, wanted: int) -> None:
        """
        Act on C{wanted} from now on, and on what has been told of it already.
        """
        before = self._wanted
        if wanted == before:
            return
        self._wanted = wanted
        if self._byLevel:
            self.relay.settings.watch.change(self._fd, wanted)
            return
        missing = wanted & ~self._registered
        if missing:
            watch = self.relay.settings.watch
            registered = self._registered
            self._registered = DUPLEX if missing & WRITE else STREAM
            if registered:
                watch.change(self._fd, self._registered)
            else:
                watch.add(self._fd, self._registered, self.ready)
        told = self._told
        if told and (wanted & ~before & READ or (not wanted and told & EPOLLERR)):
            self.relay.settings.watch.again(self._fd)

    def _watchByLevel(self) -> None:
        """Be told again and again of what holds, as long as it is wanted."""
        self._byLevel, self._told = True, 0
        watch = self.relay.settings.watch
        watch.hand(self._fd, self._readyByLevel)
        watch.change(self._fd, self._wanted)

    def _watchByEdge(self) -> None:
        """Be told once of what changes, and of what holds now."""
        self._byLevel, self._registered = False, STREAM
        watch = self.relay.settings.watch
        watch.hand(self._fd, self.ready)
        watch.change(self._fd, STREAM)

    def _unwatch(self) -> None:
        self._wanted = self._told = 0
        self._byLevel = False
        if self._registered:
            self._registered = 0
            self.relay.settings.watch.remove(self._fd)
