"""
One of the two sockets of a relay between plain sockets.

A side is at once what is read from its socket and what is written to it, since
readiness is told once per descriptor.
"""

from __future__ import annotations

import errno
import os
import select
import socket
from typing import TYPE_CHECKING, Final, final

from socksgw.relay.memory import SCARCE, Pipe
from socksgw.relay.seams import Allowance
from socksgw.system.sockets import isRefusal

if TYPE_CHECKING:
    from socksgw.relay.splice import SpliceRelay

__all__ = ["Side"]

#: Readiness, as in L{select.epoll}.
READ: Final = select.EPOLLIN
WRITE: Final = select.EPOLLOUT
#: SPLICE_F_MOVE and SPLICE_F_NONBLOCK, which Python's os does not name.
_FLAGS: Final = 0x01 | 0x02
#: The shared buffer: a message that fills it shows a bulk transfer.
_BUFFER: Final = bytearray(1 << 16)
_VIEW: Final = memoryview(_BUFFER)
#: A splice that brought less than this shows that the bulk is over.
_SHORT: Final = 1 << 14


@final
class Side:
    """
    One socket, and the direction that starts at it.

    @ivar allowance: what bounds this direction; L{None} for nothing.
    @ivar moved: octets delivered to the other socket.
    @ivar held: octets taken in and not delivered.
    @ivar ended: nothing more will be read here.
    @ivar shut: nothing more will be written here.
    @ivar broken: the connection failed (rather than ended).
    """

    __slots__ = (
        "_bulk", "_copies", "_events", "_fd", "_pipe", "_relay", "_rest", "_taken", "_waiting",
        "_watched",
        "allowance", "broken", "ended", "held", "moved", "other", "shut", "socket",
    )  # fmt: skip

    other: Side

    def __init__(self, relay: SpliceRelay, connection: socket.socket) -> None:
        self._relay = relay
        self.socket = connection
        self._fd = connection.fileno()
        self.allowance: Allowance | None = None
        self.moved = 0
        self.held = 0
        self.ended = False
        self.shut = False
        self.broken = False
        self._bulk = False
        self._copies = False
        self._pipe: Pipe | None = None
        self._rest = b""
        self._events = 0
        self._watched = False
        self._waiting = False
        self._taken = False

    def ready(self, events: int) -> None:
        """
        The socket is ready, failed or hung up: trying tells which.
        """
        if self._events == 0:
            self._hungUp(events)
            return
        if self._events & READ and events & ~WRITE:
            self._read()
        if self._events & WRITE and events & ~READ:
            self.other._deliver()

    def _hungUp(self, events: int) -> None:
        """
        Neither read nor written at the moment, and the connection is over.
        """
        self._unwatch()
        if events & select.EPOLLERR:
            # A reset; what waits for the other side has a moment to get there.
            self.broken = self.ended = self.shut = True
            self._relay.broke(self)

    # Reading.

    def _read(self) -> None:
        if self._bulk:
            self._splice()
            return
        memory = self._relay.settings.memory
        most = len(_BUFFER)
        if memory.scarce and (most := min(most, memory.room())) == 0:
            if not self._taken:
                self._wait()
                return
            # The memory budget is used up, but octets that the other socket
            # accepts immediately are never held.
            most = SCARCE
        allowance = self.allowance
        if allowance is not None and (most := allowance.room(most)) == 0:
            self._pace(allowance)
            return
        self._taken = False
        try:
            came = self.socket.recv_into(_BUFFER, most)
        except BlockingIOError:
            return
        except OSError:
            self._end(broken=True)
            return
        if came == 0:
            self._end(broken=False)
            return
        if allowance is not None:
            allowance.spend(came)
        try:
            went = self.other.socket.send(_VIEW[:came])
        except BlockingIOError:
            went = 0
        except OSError:
            self.other.unwritable()
            return
        self.moved += went
        if went < came:
            self._rest = bytes(_VIEW[went:came])
            self._account(came - went)
        elif came == len(_BUFFER) and not self._copies:
            self._bulk = True

    def _splice(self) -> None:
        relay = self._relay
        settings = relay.settings
        room = settings.memory.room()
        allowance = self.allowance
        if allowance is not None and room and (room := allowance.room(room)) == 0:
            self._pace(allowance)
            return
        pipe = settings.pipes.take() if room else None
        if pipe is None:
            if room:
                # Out of descriptors: what a copy can do, it does.
                self._bulk = False
            else:
                self._wait()
            return
        self._pipe = pipe
        try:
            came = os.splice(self._fd, pipe[1], room, flags=_FLAGS)
        except BlockingIOError:
            self._pipe = None
            settings.pipes.give(pipe, True)
            self._bulk = False
            return
        except OSError as e:
            self._pipe = None
            settings.pipes.give(pipe, True)
            if self._isRefused(e):
                self._bulk = False
            else:
                self._end(broken=True)
            return
        if came == 0:
            self._pipe = None
            settings.pipes.give(pipe, True)
            self._end(broken=False)
            return
        if allowance is not None:
            allowance.spend(came)
        if came < _SHORT:
            self._bulk = False
        self._drain(came)

    def _drain(self, held: int) -> None:
        """
        From the pipe to the other socket, as much as goes.
        """
        pipe = self._pipe
        assert pipe is not None
        left = held
        target = self.other._fd
        while left:
            try:
                went = os.splice(pipe[0], target, left, flags=_FLAGS)
            except BlockingIOError:
                break
            except OSError as e:
                if self._isRefused(e):
                    self._pour(left)
                    return
                self._account(left)
                self.other.unwritable()
                return
            left -= went
            self.moved += went
        if left:
            self._account(left)
        else:
            self._pipe = None
            self._relay.settings.pipes.give(pipe, True)
            self._account(0)

    def _isRefused(self, error: OSError) -> bool:
        """
        Whether it is splice(2) that failed, and not a connection.
        """
        if error.errno != errno.ENOMEM and not isRefusal(error):
            return False
        # Of these two sockets, where it is not for ever.
        self._copies = error.errno == errno.EINVAL
        self._relay.settings.pipes.refused("splice(2)", error)
        return True

    def _pour(self, held: int) -> None:
        """
        Go on by copying with what the pipe holds.
        """
        pipe, self._pipe = self._pipe, None
        assert pipe is not None
        self._bulk = False
        parts, left = [], held
        while left:
            parts.append(os.read(pipe[0], left))
            left -= len(parts[-1])
        self._relay.settings.pipes.give(pipe, True)
        self._rest = b"".join(parts)
        self._account(held)
        self._deliver()

    # Holding.

    def _account(self, octets: int) -> None:
        """
        C{octets} are held from now on: stop or start reading accordingly.
        """
        held = self.held
        if octets == held:
            return
        self.held = octets
        memory = self._relay.settings.memory
        if octets > held:
            memory.take(octets - held)
        if octets:
            self._stopReading()
            self.other._startWriting()
        else:
            self.other._stopWriting()
            if self.ended:
                self._ended()
            else:
                self.startReading()
        if octets < held:
            memory.give(held - octets)

    def _deliver(self) -> None:
        """
        The other socket takes octets again.
        """
        if self._rest:
            try:
                went = self.other.socket.send(self._rest)
            except BlockingIOError:
                return
            except OSError:
                self.other.unwritable()
                return
            self.moved += went
            self._rest = self._rest[went:]
            self._account(len(self._rest))
        elif self._pipe is not None:
            self._drain(self.held)
        elif self._waiting:
            self._relay.settings.memory.forget(self._again)
            self._taken = True
            self._again()
        else:
            self.other._stopWriting()

    def _discard(self) -> None:
        """
        Forget what is held: it can never be delivered.
        """
        self._rest = b""
        pipe, self._pipe = self._pipe, None
        settings = self._relay.settings
        if pipe is not None:
            settings.pipes.give(pipe, False)
        held, self.held = self.held, 0
        if held:
            settings.memory.give(held)

    def _wait(self) -> None:
        """
        There is no memory: read again when there is, or when the other side
        takes octets, so that none is needed.
        """
        self._bulk = False
        self._stopReading()
        self._waiting = True
        self._relay.settings.memory.wait(self._again)
        self.other._startWriting()

    def _again(self) -> None:
        self._waiting = False
        if not self.held:
            self.other._stopWriting()
            if not self.ended:
                self.startReading()

    # The allowance.

    def limit(self, allowance: Allowance | None) -> None:
        """
        From now on this direction is bounded by that.
        """
        was, self.allowance = self.allowance, allowance
        if was is not None and was.forget() is not None:
            self._paced()

    @property
    def delayed(self) -> bool:
        """Whether its rate keeps back what there is to move."""
        return self.allowance is not None and self.allowance.delaying

    def _pace(self, allowance: Allowance) -> None:
        """
        No more may move at the moment.
        """
        self._stopReading()
        allowance.wait(self._paced)

    def _paced(self) -> None:
        if not self.ended and not self.held and not self._waiting:
            self.startReading()

    # Ending.

    def _end(self, broken: bool) -> None:
        """
        Nothing more will be read here.
        """
        self.ended = True
        self.broken = self.broken or broken
        self._stopReading()
        if not self.held:
            self._ended()

    def _ended(self) -> None:
        """
        Everything that came from here is delivered.
        """
        if self.broken:
            self._relay.broke(self)
            return
        other = self.other
        if other.ended and not other.held:
            # Both directions are done: closing says the rest.
            self._relay.finish("closed")
        elif not other.shut:
            other.shut = True
            try:
                other.socket.shutdown(socket.SHUT_WR)
            except OSError:
                # It is gone already: its own reading will tell.
                pass

    def unwritable(self) -> None:
        """
        Nothing can be written here any more: the peer reset the connection,
        or closed it while octets were on their way. What it had sent before
        is still read.
        """
        self.shut = True
        self._stopWriting()
        self.other._stopReading()
        self.other._discard()
        self.other.ended = True
        self.broken = True
        if self.ended and not self.held:
            self._relay.broke(self)

    def startReading(self) -> None:
        self._watch(self._events | READ)

    def _stopReading(self) -> None:
        self._watch(self._events & ~READ)

    def _startWriting(self) -> None:
        self._watch(self._events | WRITE)

    def _stopWriting(self) -> None:
        self._watch(self._events & ~WRITE)

    def adopt(self) -> None:
        """
        The socket is watched for reading already: what comes is ours now.
        """
        self._watched = True
        self._events = READ
        self._relay.settings.watch.hand(self._fd, self.ready)

    def _watch(self, events: int) -> None:
        """
        Be told of C{events} from now on.
        """
        if self._watched:
            if events != self._events:
                self._events = events
                # Also with none: a reset is always told.
                self._relay.settings.watch.change(self._fd, events)
        elif events:
            self._watched = True
            self._events = events
            self._relay.settings.watch.add(self._fd, events, self.ready)

    def _unwatch(self) -> None:
        if self._watched:
            self._watched = False
            self._events = 0
            self._relay.settings.watch.remove(self._fd)

    def release(self, closing: bool) -> None:
        """
        Let go of the socket and of everything held for it.

        @param closing: whether the socket is closed right after.
        """
        if not closing:
            self._unwatch()
        elif self._watched:
            self._watched = False
            self._events = 0
            self._relay.settings.watch.closing(self._fd)
        if self._waiting:
            self._relay.settings.memory.forget(self._again)
        if self.allowance is not None:
            self.allowance.forget()
        if self.held:
            self._discard()

    def part(self) -> None:
        """
        Refer to the other side and the relay no longer.
        """
        del self.other, self._relay

    def begin(self, early: bytes) -> None:
        """
        Start this direction.

        @param early: octets that were read from this socket already.
        """
        went = 0
        if early and self.allowance is not None:
            early = self.allowance.charge(early)
        if early:
            try:
                went = self.other.socket.send(early)
            except BlockingIOError:
                went = 0
            except OSError:
                self.other.unwritable()
                return
            self.moved += went
        if went < len(early):
            self._rest = early[went:]
            # Stops the reading, if it is under way.
            self._account(len(self._rest))
        else:
            self.startReading()
