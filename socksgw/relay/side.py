"""
One of the two sockets of a relay between plain sockets.

A side is at once what is read from its socket and what is written to it, since
epoll tells readiness once per descriptor.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Sequence
from enum import Enum
from select import EPOLLHUP
from typing import Any, Final, Protocol, final

from socksgw.relay.halves import HalfRelay, Input, Output
from socksgw.relay.memory import SCARCE, Pipe
from socksgw.relay.seams import Allowance
from socksgw.relay.watched import WatchedHalf
from socksgw.system.sockets import isRefusal
from socksgw.system.watch import READ, STREAM, WRITE

__all__ = ["Side", "SideRelay"]

#: SPLICE_F_MOVE and SPLICE_F_NONBLOCK, which Python's os does not name.
_FLAGS: Final = 0x01 | 0x02
#: The shared buffer: a message that fills it shows a bulk transfer.
_SIZE: Final = 1 << 16
_BUFFER: Final = bytearray(_SIZE)
_VIEW: Final = memoryview(_BUFFER)
#: A splice that brought less than this shows that the bulk is over.
_SHORT: Final = 1 << 14


class _Way(Enum):
    """How the octets of one direction move."""

    #: Through the shared buffer.
    COPY = "copy"
    #: By splice(2): a bulk transfer is under way.
    SPLICE = "splice"
    #: Through the shared buffer, since splice(2) refuses these two sockets.
    COPY_ALWAYS = "copy always"


_COPY: Final = _Way.COPY
_SPLICE: Final = _Way.SPLICE
_OPEN: Final = Input.OPEN
_INPUT_DRAINING: Final = Input.DRAINING
_INPUT_ENDED: Final = Input.ENDED
_INPUT_LOST: Final = Input.LOST
_OUTPUT_OPEN: Final = Output.OPEN
_OUTPUT_ENDED: Final = Output.ENDED
_OUTPUT_LOST: Final = Output.LOST
#: The states of which another process can make the same.
_ORDERLY: Final = (Input.OPEN, Input.ENDED, Output.OPEN, Output.ENDED)


class SideRelay(HalfRelay, Protocol):
    """What a side needs of its relay."""

    def left(self, side: Side, /) -> None:
        """Take note that a peer has closed its connection, all of which is passed on."""


@final
class Side(WatchedHalf):
    """
    One socket, and the direction that starts at it.

    @ivar held: octets taken in and not delivered.
    """

    __slots__ = ("_pipe", "_rest", "_waiting", "_way", "held")

    relay: SideRelay

    def __init__(self, relay: SideRelay, connection: socket.socket) -> None:
        # At once: each session makes two, and a call for each class costs more than this.
        self.relay = relay
        self.moved = 0
        self.allowance = None
        self.input = _OPEN
        self.output = _OUTPUT_OPEN
        self.socket = connection
        self._fd = connection.fileno()
        self._wanted = self._told = self._registered = 0
        self._byLevel = False
        self._way = _COPY
        # Octets that are held are in a pipe, or in the rest.
        self._pipe: Pipe | None = None
        self._rest = b""
        self.held = 0
        # Whether the budget is to tell that there is memory again.
        self._waiting = False

    def _hungUp(self) -> None:
        """Act on the reset of a connection that is neither read nor written now."""
        self._unwatch()
        # What waits for the other side still has a moment.
        self.input = _INPUT_DRAINING if self.held else _INPUT_LOST
        self.output = _OUTPUT_LOST
        self.relay.lost(self)

    def _left(self) -> None:
        """
        Act on the end of both directions.

        Where ours has not ended, the peer has closed a Unix socket: of TCP the end of
        one direction alone can be told.
        """
        if self.input is _INPUT_ENDED and self.output is _OUTPUT_OPEN:
            self.output = _OUTPUT_LOST
            self.relay.left(self)

    # Reading.

    def _read(self, taken: bool = False) -> None:
        """
        Read once, and pass on what came.

        @param taken: whether the other socket has just told that it takes octets.
        """
        if self._way is _SPLICE:
            self._splice()
            return
        memory = self.relay.settings.memory
        most = _SIZE
        if memory.scarce and (most := min(most, memory.room())) == 0:
            if taken:
                self._pass()
            else:
                self._wait()
            return
        allowance = self.allowance
        if allowance is not None and (most := allowance.room(most)) == 0:
            self._pace(allowance)
            return
        try:
            came = self.socket.recv_into(_BUFFER, most)
        except BlockingIOError:
            self._told = 0
            if taken:
                self._again()
            return
        except OSError:
            self._fail()
            return
        if came < most:
            if came == 0:
                self._end()
                return
            self._told &= ~READ
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
        elif taken:
            self._wait()
        elif came == _SIZE and self._way is _COPY:
            self._way = _SPLICE

    def _pass(self) -> None:
        """
        Pass on what the other socket takes immediately: the memory budget is used up.

        What it does not take stays in this socket's receive queue.
        """
        most, allowance = SCARCE, self.allowance
        if allowance is not None and (most := allowance.room(most)) == 0:
            self._pace(allowance)
            return
        went = 0
        try:
            came = self.socket.recv_into(_BUFFER, most, socket.MSG_PEEK)
            if came == 0:
                self._end()
                return
            try:
                went = self.other.socket.send(_VIEW[:came])
            except BlockingIOError:
                pass
            except OSError:
                self.other.unwritable()
                return
            if went:
                self.socket.recv_into(_BUFFER, went)
        except BlockingIOError:
            self._told = 0
            self._again()
            return
        except OSError:
            self._fail()
            return
        if came < most and went == came:
            self._told &= ~READ
        if allowance is not None:
            allowance.spend(went)
        self.moved += went
        self._wait(went == came)

    def _splice(self) -> None:
        """Have the kernel read once, and pass on what came."""
        if not self._byLevel:
            self._watchByLevel()
        settings = self.relay.settings
        room = settings.memory.room()
        allowance = self.allowance
        if allowance is not None and room and (room := allowance.room(room)) == 0:
            self._pace(allowance)
            return
        pipe = settings.pipes.take() if room else None
        if pipe is None:
            # Out of descriptors, or of memory: copying needs less.
            self._way = _COPY
            if not room:
                self._wait()
            return
        self._pipe = pipe
        try:
            came = os.splice(self._fd, pipe[1], room, flags=_FLAGS)
        except BlockingIOError:
            # Urgent data may be there, which only reading passes.
            self._emptied()
            self._way = _COPY
            return
        except OSError as e:
            self._emptied()
            if not self._isRefused(e):
                self._fail()
            return
        if came == 0:
            # The end; or urgent data is next, and the end behind it has come already.
            self._emptied()
            self._way = _COPY
            self._read()
            return
        if allowance is not None:
            allowance.spend(came)
        if came < _SHORT:
            self._way = _COPY
        self._drain(came)

    def _emptied(self) -> None:
        """Give back the pipe, which holds nothing."""
        pipe, self._pipe = self._pipe, None
        assert pipe is not None
        self.relay.settings.pipes.give(pipe, True)

    def _drain(self, held: int) -> None:
        """
        Pass on what the pipe holds, as far as the other socket takes it.

        @param held: how many octets that is.
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
        if not left:
            self._emptied()
        self._account(left)

    def _isRefused(self, error: OSError) -> bool:
        """
        Copy from now on, if it is splice(2) that failed.

        @return: whether it is, rather than a connection.
        """
        if error.errno != errno.ENOMEM and not isRefusal(error):
            return False
        # EINVAL depends on the two sockets. Other refusals pass, or hold for every
        # pipe (L{Pipes.refused}).
        self._way = _Way.COPY_ALWAYS if error.errno == errno.EINVAL else _COPY
        self.relay.settings.pipes.refused("splice(2)", error)
        return True

    def _pour(self, held: int) -> None:
        """
        Go on by copying with what the pipe holds.

        @param held: how many octets that is.
        """
        pipe = self._pipe
        assert pipe is not None
        parts, left = [], held
        while left:
            parts.append(os.read(pipe[0], left))
            left -= len(parts[-1])
        self._emptied()
        self._rest = b"".join(parts)
        self._account(held)
        self._deliver()

    # Holding.

    def _account(self, octets: int) -> None:
        """
        Have the budget count what is held, and stop or start reading accordingly.

        @param octets: how many are held from now on.
        """
        held = self.held
        if octets == held:
            return
        self.held = octets
        memory = self.relay.settings.memory
        if octets > held:
            memory.take(octets - held)
        if octets:
            self.stopReading()
            self.other._startWriting()
        else:
            self.other._stopWriting()
            if self.input is _OPEN:
                self.startReading()
            else:
                self.drained()
        if octets < held:
            memory.give(held - octets)

    def _deliver(self) -> None:
        """
        Pass on what is held: the other socket takes octets again.
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
            self._waitNoMore()
            self._read(taken=True)
        else:
            self.other._stopWriting()

    def _discard(self) -> None:
        """Forget what is held: it can never be delivered."""
        self._rest = b""
        pipe, self._pipe = self._pipe, None
        settings = self.relay.settings
        if pipe is not None:
            settings.pipes.give(pipe, False)
        held, self.held = self.held, 0
        if held:
            settings.memory.give(held)

    def _wait(self, room: bool = True) -> None:
        """
        Stop reading, since there is no memory.

        Reading goes on when there is some, or when the other side takes octets, so
        that none is needed.

        @param room: whether the other side may take some now; no edge would come then.
        """
        self.stopReading()
        self._waiting = True
        settings, other = self.relay.settings, self.other
        settings.memory.wait(self._again)
        other._startWriting()
        if room:
            settings.watch.again(other._fd, WRITE)

    def _waitNoMore(self) -> None:
        """Forget that memory is waited for."""
        if self._waiting:
            self._waiting = False
            self.relay.settings.memory.forget(self._again)

    def _again(self) -> None:
        """Read on: there is memory, or nothing to need it for."""
        self._waiting = False
        if not self.held:
            self.other._stopWriting()
            if self.input is _OPEN:
                self.startReading()

    # The allowance.

    def _pace(self, allowance: Allowance) -> None:
        """Stop reading until the allowance has room again."""
        self.stopReading()
        allowance.wait(self.paced)

    def paced(self) -> None:
        """Read on: the allowance has room again."""
        if self.input is _OPEN and not self.held and not self._waiting:
            self.startReading()

    # Ending.

    def _end(self) -> None:
        """
        Act on the orderly end of what comes.

        While something is held nothing is read, so all that came before is
        delivered.
        """
        self.stopReading()
        self.end(held=False)
        if self._told & EPOLLHUP and not self._wanted:
            self._left()

    def _fail(self) -> None:
        """
        Act on the failure of the connection, told by reading from it.

        All that came before is delivered.
        """
        self.stopReading()
        self.input = _INPUT_LOST
        self.output = _OUTPUT_LOST
        self.relay.lost(self)

    def endOutput(self) -> None:
        """As L{Half.endOutput}; the kernel sends what it keeps before."""
        self.output = _OUTPUT_ENDED
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            # The connection is gone; reading from it will tell.
            pass

    def unwritable(self) -> None:
        """
        Act on the failure of the connection, told by writing to it.

        The peer reset it, or closed it while octets were on their way. What it had
        sent before is still read.
        """
        self.output = _OUTPUT_LOST
        self._stopWriting()
        other = self.other
        other.stopReading()
        other._waitNoMore()
        other._discard()
        other.input = _INPUT_LOST
        if self.input is not _OPEN and not self.held:
            self.relay.lost(self)

    # Another process.

    @property
    def movable(self) -> bool:
        """Whether another process can go on with it: nothing has failed."""
        return self.input in _ORDERLY and self.output in _ORDERLY

    def rest(self) -> None:
        """Touch the socket no more, until L{goOn}; what is held stays."""
        self._unwatch()
        self._waitNoMore()
        if self.allowance is not None:
            self.allowance.forget()

    def goOn(self) -> None:
        """Move octets again, here or in another process (L{restore})."""
        if self.held:
            self.other._startWriting()
        elif self.input is _OPEN:
            self.startReading()
        if not self._registered:
            # A reset is always told.
            self._registered = STREAM
            self.relay.settings.watch.add(self._fd, STREAM, self.ready)

    def told(self) -> tuple[list[Any], list[int]]:
        """
        Return what another process has to know, while this rests.

        @return: the facts, and the descriptors of the socket, and of the pipe if
            there is one.
        """
        pipe = self._pipe
        facts = [
            self.moved,
            self.held,
            self.input is _OPEN,
            self.output is Output.OPEN,
            self._way.value,
            self._rest.hex(),
            pipe is not None,
        ]
        return facts, [self.socket.fileno(), *(pipe or ())]

    def restore(self, facts: Sequence[Any], pipe: Pipe | None) -> None:
        """
        Be what another process has L{told}.

        @raise ValueError: that is not possible.
        """
        moved, held, reads, writes, way, rest, _ = facts
        self.moved, self.held = int(moved), int(held)
        self.input = _OPEN if reads else _INPUT_ENDED
        self.output = Output.OPEN if writes else _OUTPUT_ENDED
        self._way, self._rest, self._pipe = _Way(way), bytes.fromhex(rest), pipe
        if self.held:
            self.relay.settings.memory.take(self.held)

    # Beginning, and letting go.

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
            # This stops reading, if the socket is read already.
            self._account(len(self._rest))
        else:
            self.startReading()

    def release(self, closing: bool) -> None:
        """
        Let go of the socket and of everything held for it.

        @param closing: whether the socket is closed right after.
        """
        if not closing:
            self._unwatch()
        else:
            self._wanted = self._told = 0
            self._byLevel = False
            if self._registered:
                self._registered = 0
                self.relay.settings.watch.closing(self._fd)
        self._waitNoMore()
        if self.allowance is not None:
            self.allowance.forget()
        if self.held:
            self._discard()

    def part(self) -> None:
        """Refer to the other side and the relay no longer."""
        del self.other, self.relay
