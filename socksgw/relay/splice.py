"""
The relay between two plain sockets.

What comes in full buffers goes from kernel to kernel: C{splice(2)} from the
socket into a pipe and from the pipe into the other socket. Short messages
are copied through one shared buffer, since for them two copies cost half as
much as two splices. A direction whose reader stalls keeps what it has taken in
(bounded, see L{socksgw.relay.memory}) and stops reading: the kernel's own flow
control does the rest.

Its two L{Side}s are in L{socksgw.relay.side}.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from typing import Any, Final, final

from socksgw.relay.memory import Pipe
from socksgw.relay.relay import Done, Relay
from socksgw.relay.settings import RelaySettings
from socksgw.relay.side import Side
from socksgw.system.sockets import unsent
from socksgw.system.watch import UNWATCHED

__all__ = ["SpliceRelay"]

#: How often, and how many seconds apart, a relay looks whether the octets that a
#: broken connection still brought are with the peer of the other one.
LOOKS: Final = 4
APART: Final = 0.2


@final
class SpliceRelay(Relay):
    """
    Relay between two sockets, which their owners close.

    While it lasts nothing else may register them with the reactor.
    """

    __slots__ = ("_looks",)

    client: Side
    destination: Side

    def __init__(
        self,
        settings: RelaySettings,
        client: socket.socket,
        destination: socket.socket,
        told: int = UNWATCHED,
        toldThere: int = UNWATCHED,
        done: Done | None = None,
    ) -> None:
        """
        Make the relay; L{start} begins it.

        @param told: what has been told of the client's socket
            (L{socksgw.system.connection.Connection.release}).
        @param toldThere: the same of the destination's.
        @param done: as of L{Relay}.
        """
        Relay.__init__(self, settings, done)
        self.client = Side(self, client)
        if told != UNWATCHED:
            self.client.adopt(told)
        self.destination = Side(self, destination)
        if toldThere != UNWATCHED:
            self.destination.adopt(toldThere)
        self.client.other = self.destination
        self.destination.other = self.client
        self._looks = 0

    def start(self, early: bytes) -> None:
        """As L{Relay.start}."""
        self.watchIdle()
        self.destination.startReading()
        self.client.begin(early)

    # Another process.

    @property
    def movable(self) -> bool:
        """Whether another process can go on with it."""
        return (
            not self._over
            and not self._looks
            and self.client.movable
            and self.destination.movable
        )

    def rest(self) -> None:
        """Move nothing until L{goOn}."""
        self.ignoreIdle()
        self.client.rest()
        self.destination.rest()

    def goOn(self) -> None:
        """Move octets again, after L{rest}, or first of all, after L{restore}."""
        self.watchIdle()
        self.destination.goOn()
        if not self._over:
            self.client.goOn()

    def told(self) -> tuple[list[Any], list[int]]:
        """
        Return what another process has to know, while this rests.

        @return: the facts; and the descriptors of the sockets and the pipes.
        """
        near, fds = self.client.told()
        far, others = self.destination.told()
        return [near, far, list(self.passed)], [*fds, *others]

    def restore(self, facts: Sequence[Any], pipes: Sequence[Pipe | None]) -> None:
        """
        Be what another process has L{told}.

        @param pipes: those of the client's and the destination's side.
        @raise ValueError: that is not possible.
        """
        near, far, self.passed = facts
        self.client.restore(near, pipes[0])
        self.destination.restore(far, pipes[1])

    # Ending.

    def lost(self, side: Side) -> None:
        """
        Take note that a connection failed, and that the kernel has all it brought.

        The other side shall have that, and then learn of the failure.
        """
        if not self._over and not self._waits(side, self.lost):
            who = "client" if side is self.client else "destination"
            self.finish(f"{who}-reset", True, True)

    def left(self, side: Side) -> None:
        """
        Take note that a peer has closed its Unix socket.

        The kernel has all it brought, and the other side has been told of the end.
        Nothing that the other side sends could be delivered.
        """
        if not self._over and not self._waits(side, self.left):
            self.finish("closed")

    def _waits(self, side: Side, call: Callable[[Side], None]) -> bool:
        """
        Return whether the peer of the other side has not got all that a side brought.

        @param call: called with the side when it is time to look again.
        """
        unsent = self._unsent(side.other)
        if (unsent == 0 and not side.held) or self._looks >= LOOKS:
            return False
        self._looks += 1
        side.stopReading()
        self.ignoreIdle()
        self._deadline = self.settings.setDeadline(APART, lambda: call(side))
        return True

    def _unsent(self, side: Side) -> int:
        """
        Take nothing more from a side that is to be closed.

        @return: how many octets the kernel still keeps for it.
        """
        side.stopReading()
        if side.allowance is not None:
            side.allowance.forget()
        return unsent(side.socket)

    def release(self, closing: bool, reset: bool) -> None:
        """As L{Relay.release}."""
        self.client.release(closing)
        self.destination.release(closing)

    def dissolve(self) -> None:
        """As L{Relay.dissolve}."""
        self.client.part()
        self.destination.part()
