"""
The relay between two plain sockets.

What comes in full buffers goes from kernel to kernel: C{splice(2)} from the
socket into a pipe and from the pipe into the other socket. Short messages
are copied through one shared buffer, since for them two copies cost half as
much as two splices. A direction that its reader holds up keeps what it has
taken in (bounded, see L{socksgw.relay.memory}) and stops reading: the
kernel's own flow control does the rest.

Its two L{Side}s are in L{socksgw.relay.side}.
"""

from __future__ import annotations

import fcntl
import socket
import struct
import termios
from typing import Final, final

from twisted.internet.defer import Deferred

from socksgw.interfaces import Timer
from socksgw.relay.seams import Allowance
from socksgw.relay.settings import RelaySettings
from socksgw.relay.side import Side

__all__ = ["SpliceRelay"]

#: Seconds for the octets that a broken connection still brought.
_LAST: Final = 1.0
_SIOCOUTQ: Final = termios.TIOCOUTQ


@final
class SpliceRelay:
    """
    Octets between a client's socket and a destination's, until both have
    ended, one broke, or nothing moved for too long.

    The sockets' owners close them; while the relay lasts nobody else may
    register them with the reactor.

    @ivar done: fires with the reason, a fixed word, and with whether the
        client and the destination are to be closed with a reset.
    """

    __slots__ = ("_deadline", "_last", "_quiet", "_side", "_tries", "destination",
                 "client", "done", "settings")  # fmt: skip

    def __init__(
        self,
        settings: RelaySettings,
        client: socket.socket,
        destination: socket.socket,
        watched: bool = False,
    ) -> None:
        """
        @param watched: whether the client's socket is watched already, for
            what there is to read.
        """
        self.settings = settings
        self.client = Side(self, client)
        if watched:
            self.client.adopt()
        self.destination = Side(self, destination)
        self.client.other = self.destination
        self.destination.other = self.client
        self.done: Deferred[tuple[str, bool, bool]] = Deferred(
            lambda _: self._release(closing=False)
        )
        self._deadline: Timer | None = None
        self._last = -1
        self._quiet = 0
        self._tries = 0

    def start(self, early: bytes) -> None:
        """
        @param early: octets that came behind the request; they go first.
        """
        self._deadline = self.settings.setDeadline(self.settings.idle / 4, self._idle)
        self.destination.startReading()
        self.client.begin(early)

    def limit(self, sending: Allowance | None, receiving: Allowance | None) -> None:
        """
        Bound what moves from now on, from the client and to it.
        """
        self.client.limit(sending)
        self.destination.limit(receiving)

    def _idle(self) -> None:
        """
        A quarter of the idle time passed: did anything move in it, or would
        have?
        """
        moved = self.client.moved + self.destination.moved
        quiet = moved == self._last and not (
            self.client.delayed or self.destination.delayed
        )
        self._quiet = self._quiet + 1 if quiet else 0
        self._last = moved
        if self._quiet >= 4:
            self.finish("idle", True, True)
        else:
            self._deadline = self.settings.setDeadline(
                self.settings.idle / 4, self._idle
            )

    def finish(
        self, reason: str, resetClient: bool = False, resetDestination: bool = False
    ) -> None:
        """
        The relay is over, and who waits for it closes both sockets at once.
        """
        if not self.done.called:
            self._release(closing=True)
            self.done.callback((reason, resetClient, resetDestination))

    def broke(self, side: Side) -> None:
        """
        A connection failed, and all that it brought is handed to the kernel.
        The other side shall have it, and then learn of the failure.
        """
        other = side.other
        other._stopReading()
        if other.allowance is not None:
            other.allowance.forget()
        try:
            queued = fcntl.ioctl(other._fd, _SIOCOUTQ, b"\0\0\0\0")
            unsent = struct.unpack("i", queued)[0]
        except OSError:
            unsent = 0
        byClient = side is self.client
        if (unsent == 0 and not side.held) or self._tries * 0.25 >= _LAST:
            self.finish("client-reset" if byClient else "destination-reset", True, True)
            return
        self._tries += 1
        side._stopReading()
        if self._deadline is not None:
            self._deadline.clear()
        self._deadline = self.settings.setDeadline(0.2, lambda: self.broke(side))

    def _release(self, closing: bool) -> None:
        if self._deadline is not None:
            self._deadline.clear()
        self.client.release(closing)
        self.destination.release(closing)

    def dissolve(self) -> None:
        """
        It is over, and its figures are read: what refers to each other lets go.
        """
        self.client.part()
        self.destination.part()
