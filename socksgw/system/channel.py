"""
Messages between two processes of ours, with descriptors.

It is a Unix socket of type C{SOCK_SEQPACKET} (unix(7)). A message is a JSON object; a
large one goes in several packets. The descriptors of a message go with the last of its
packets (C{SCM_RIGHTS}), so that whoever has them has all that was said about them.

Both ends are ours, but a message is checked as input all the same: what is none closes
the channel.
"""

from __future__ import annotations

import json
import os
import select
import socket
import struct
import time
from array import array
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias, final

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.python.failure import Failure

from socksgw.system.watch import READ, WRITE, Watcher

__all__ = [
    "MOST",
    "Asked",
    "Channel",
    "ChannelError",
    "ChannelFull",
    "ChannelGone",
    "Message",
    "NotAnswered",
    "channels",
]

Message: TypeAlias = Mapping[str, Any]
#: What answers a question: with a message, at once or later; what it raises is the
#: answer's failure, by its text.
Asked: TypeAlias = Callable[[dict[str, Any], list[int]], "Message | Deferred[Message]"]

#: The most descriptors with one message: the kernel's limit (C{SCM_MAX_FD}).
MOST: Final = 253
#: The head of a packet: its kind, and the number of a question; 0 with a message.
_HEAD: Final = struct.Struct("!cI")
#: A part of what the next packet goes on with.
_PART: Final = b"+"
_TOLD: Final = b"."
_ASKED: Final = b"?"
_ANSWERED: Final = b"!"
_FAILED: Final = b"-"
_ENDS: Final = frozenset({_TOLD, _ASKED, _ANSWERED, _FAILED})
#: Octets of a packet without its head: less than the least send buffer of a system.
_PACKET: Final = 48 << 10
#: Octets of the largest message.
_LARGEST: Final = 64 << 20
#: Octets that wait until the other side reads, unless another bound is chosen.
_BOUND: Final = 16 << 20
#: Packets that are read before others have their turn.
_AT_ONCE: Final = 64
_RIGHTS: Final = socket.CMSG_SPACE(MOST * array("i").itemsize)
_CREDENTIALS: Final = struct.Struct("iII")
_NUMBERS: Final = 1 << 32


class ChannelError(Exception):
    """Something did not go through a channel; the text says why."""


@final
class ChannelGone(ChannelError):
    """The channel is closed; what was asked stays without an answer."""


@final
class ChannelFull(ChannelError):
    """The other side has not read what waits; nothing was added."""


@final
class NotAnswered(ChannelError):
    """The other side failed to do what it was asked; the text is its own."""


def channels() -> tuple[socket.socket, socket.socket]:
    """Return the two sockets of a new channel."""
    kind = socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK
    return socket.socketpair(socket.AF_UNIX, kind)


def _refuse(message: Message, descriptors: Sequence[int]) -> Message:
    """Answer no question."""
    for fd in descriptors:
        os.close(fd)
    raise ChannelError(f"nothing is answered here, not {sorted(message)[:3]} either")


@final
class _Packet:
    """One that waits, with descriptors of its own."""

    __slots__ = ("descriptors", "octets")

    def __init__(self, octets: bytes, descriptors: Sequence[int]) -> None:
        self.octets = octets
        self.descriptors: list[int] = []
        try:
            for fd in descriptors:
                self.descriptors.append(os.dup(fd))
        except OSError:
            self.drop()
            raise

    def drop(self) -> None:
        """Close its descriptors."""
        for fd in self.descriptors:
            os.close(fd)
        self.descriptors = []


@final
class Channel:
    """
    One end of a channel.

    @ivar waiting: octets that wait until the other side reads.
    """

    def __init__(
        self,
        connection: socket.socket,
        watch: Watcher,
        received: Callable[[dict[str, Any], list[int]], object],
        closed: Callable[[str], object],
        asked: Asked | None = None,
        bound: int = _BOUND,
    ) -> None:
        """
        Take a socket; nothing is read before L{start} or L{wait}.

        @param received: called with each message and its descriptors, which are the
            callee's then. If it raises L{ValueError}, the channel closes: the other
            side has sent what it should not.
        @param closed: called once with the reason when the other side is gone, or has
            sent what is no message; not called after L{close}.
        @param asked: answers questions; without it each of them is refused.
        @param bound: octets that may wait until the other side reads.
        """
        connection.setblocking(False)
        self._socket = connection
        self._watch = watch
        self._received = received
        self._closed = closed
        self._asked = asked
        self._bound = bound
        self._watched = False
        self._writing = False
        self._gone = ""
        self._queue: deque[_Packet] = deque()
        self.waiting = 0
        self._parts: list[bytes] = []
        self._size = 0
        self._number = 0
        self._questions: dict[int, Deferred[dict[str, Any]]] = {}
        self._room: list[Deferred[None]] = []

    @property
    def isOpen(self) -> bool:
        """Whether messages can be sent."""
        return not self._gone

    @property
    def hasRoom(self) -> bool:
        """Whether at most half of what may wait does, as L{room} waits for."""
        return self.waiting <= self._bound // 2

    @property
    def peer(self) -> tuple[int, int]:
        """
        The process id and the user id of the other end, when it was connected.

        @raise ChannelGone: it is closed.
        """
        if self._gone:
            raise ChannelGone(self._gone)
        octets = self._socket.getsockopt(
            socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size
        )
        pid, uid, _ = _CREDENTIALS.unpack(octets)
        return pid, uid

    # Reading.

    def start(self) -> None:
        """Read messages as they come, from now on."""
        if not self._watched and not self._gone:
            self._watched = True
            self._watch.add(self._socket.fileno(), self._events(), self._ready)

    def wait(self, seconds: float) -> bool:
        """
        Wait for a message, and take up what has come.

        This blocks: it is for a time without a reactor, before L{start}.

        @return: whether the channel is open and something came in time.
        """
        if self._gone:
            return False
        poll = select.poll()
        poll.register(self._socket, self._events())
        found = poll.poll(int(seconds * 1000))
        for _, events in found:
            self._ready(events)
        return bool(found) and not self._gone

    def close(self) -> None:
        """Close it; what waits to be sent is lost, and questions have failed."""
        self._end("it was closed on this side")

    def flush(self, seconds: float) -> None:
        """
        Send what waits; this blocks: it is for the end of a process.

        @param seconds: that the other side has to read.
        """
        until = time.monotonic() + seconds
        poll = select.poll()
        if self._queue:
            poll.register(self._socket, select.POLLOUT)
        while self._queue and (left := until - time.monotonic()) > 0:
            if poll.poll(left * 1000):
                self._flush()

    def _events(self) -> int:
        return READ | WRITE if self._queue else READ

    def _ready(self, events: int) -> None:
        if self._queue:
            self._flush()
        for _ in range(_AT_ONCE):
            if self._gone or not self._readOne():
                return
        # There may be more: have that told again, whichever way it is watched.
        if self._watched and not self._gone:
            self._watch.change(self._socket.fileno(), self._events())

    def _readOne(self) -> bool:
        """
        Read one packet.

        @return: whether there may be more.
        """
        try:
            octets, control, flags, _ = self._socket.recvmsg(
                _HEAD.size + _PACKET, _RIGHTS, socket.MSG_CMSG_CLOEXEC
            )
        except BlockingIOError:
            return False
        except ConnectionResetError:
            # It has not read all; what it said before is still there, and its end.
            return True
        except OSError as e:
            self._lost(f"the other side is gone ({e.strerror})")
            return False
        found = array("i")
        for level, kind, rights in control:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                found.frombytes(rights[: len(rights) - len(rights) % found.itemsize])
        descriptors = found.tolist()
        try:
            if not octets:
                self._lost("the other side is gone")
                return False
            if flags & (socket.MSG_CTRUNC | socket.MSG_TRUNC):
                raise ValueError("descriptors or octets of a message were cut off")
            self._take(octets, descriptors)
        except (ValueError, RecursionError) as e:
            self._lost(f"the other side sent what is no message: {e}")
            return False
        finally:
            # Empty, if somebody has taken them.
            for fd in descriptors:
                os.close(fd)
        return True

    def _take(self, octets: bytes, descriptors: list[int]) -> None:
        """
        Take up one packet.

        @param descriptors: emptied when they are taken.
        @raise ValueError: it is none of ours.
        """
        if len(octets) < _HEAD.size:
            raise ValueError("it is too short")
        kind, number = _HEAD.unpack_from(octets)
        self._parts.append(octets[_HEAD.size :])
        self._size += len(octets) - _HEAD.size
        if self._size > _LARGEST:
            raise ValueError("it is too long")
        if kind == _PART and not descriptors:
            return
        if kind not in _ENDS:
            raise ValueError("it is of no known kind")
        whole, self._parts, self._size = b"".join(self._parts), [], 0
        message = json.loads(whole)
        if not isinstance(message, dict):
            raise ValueError("it is no object")
        taken = descriptors.copy()
        if kind in (_TOLD, _ASKED):
            descriptors.clear()
            if kind == _TOLD:
                self._received(message, taken)
            else:
                self._question(number, message, taken)
            return
        question = self._questions.pop(number, None)
        if question is None:
            raise ValueError("it answers what was not asked")
        if kind == _ANSWERED:
            question.callback(message)
        else:
            question.errback(NotAnswered(str(message.get("why", ""))))

    def _question(self, number: int, message: dict[str, Any], taken: list[int]) -> None:
        def answered(answer: Message) -> None:
            self._answer(_ANSWERED, number, answer)

        def failed(failure: Failure) -> None:
            self._answer(_FAILED, number, {"why": str(failure.value)})

        asked: Callable[..., Any] = self._asked or _refuse
        answer: Deferred[Message] = maybeDeferred(asked, message, taken)
        answer.addCallbacks(answered).addErrback(failed)

    def _answer(self, kind: bytes, number: int, message: Message) -> None:
        """Answer a question; nobody waits for it when the channel is closed."""
        if not self._gone:
            self._send(kind, number, message, ())

    # Writing.

    def send(self, message: Message, descriptors: Sequence[int] = ()) -> None:
        """
        Send a message.

        @param descriptors: stay the caller's, who may close them after this.
        @raise ChannelFull: too much waits already (L{room}).
        @raise ChannelGone: the channel is closed.
        @raise OSError: there is no descriptor for what has to wait.
        """
        self._send(_TOLD, 0, message, descriptors)

    def ask(
        self, message: Message, descriptors: Sequence[int] = ()
    ) -> Deferred[dict[str, Any]]:
        """
        Send a question, which the other side's C{asked} answers.

        @return: fires with the answer; fails with L{NotAnswered}, or L{ChannelGone}.
        @raise ChannelFull: as L{send}; likewise the others.
        """
        number = self._number = (self._number + 1) % _NUMBERS
        answer: Deferred[dict[str, Any]] = Deferred()
        # It may be while this is sent that the other side is found to be gone.
        self._questions[number] = answer
        try:
            self._send(_ASKED, number, message, descriptors)
        except BaseException:
            self._questions.pop(number, None)
            raise
        return answer

    def room(self) -> Deferred[None]:
        """
        Wait until at most half of what may wait does.

        @return: fires then; fails with L{ChannelGone}.
        """
        waiting: Deferred[None] = Deferred()
        if self._gone:
            waiting.errback(ChannelGone(self._gone))
        elif self.hasRoom:
            waiting.callback(None)
        else:
            self._room.append(waiting)
        return waiting

    def _send(
        self, kind: bytes, number: int, message: Message, descriptors: Sequence[int]
    ) -> None:
        if self._gone:
            raise ChannelGone(self._gone)
        if len(descriptors) > MOST:
            raise ValueError(f"more than {MOST} descriptors with one message")
        octets = json.dumps(message, separators=(",", ":")).encode("ascii")
        if len(octets) > _LARGEST:
            raise ValueError("the message is too long")
        # As many answers as were asked for come beyond the bound.
        asks = kind in (_TOLD, _ASKED)
        if asks and self._queue and self.waiting + len(octets) > self._bound:
            raise ChannelFull(f"{self.waiting} octets wait for the other side")
        last = max(0, len(octets) - 1) // _PACKET * _PACKET
        for at in range(0, last, _PACKET):
            self._packet(_HEAD.pack(_PART, 0) + octets[at : at + _PACKET], ())
        self._packet(_HEAD.pack(kind, number) + octets[last:], descriptors)

    def _packet(self, octets: bytes, descriptors: Sequence[int]) -> None:
        if self._gone or (not self._queue and self._sent(octets, descriptors)):
            return
        self._queue.append(_Packet(octets, descriptors))
        self.waiting += len(octets)
        self._watchWriting()

    def _sent(self, octets: bytes, descriptors: Sequence[int]) -> bool:
        """
        Send one packet now.

        @return: whether it need not wait: it was sent, or the channel is gone.
        """
        rights = array("i", descriptors)
        control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)] if rights else []
        try:
            self._socket.sendmsg([octets], control)
        except BlockingIOError:
            return False
        except (BrokenPipeError, ConnectionResetError):
            # Its end is behind what it said, which is read first.
            pass
        except OSError as e:
            self._lost(f"the other side is gone ({e.strerror})")
        return True

    def _flush(self) -> None:
        """Send what waits, as far as it goes."""
        while self._queue:
            packet = self._queue[0]
            if not self._sent(packet.octets, packet.descriptors):
                break
            if self._gone:
                return
            self._queue.popleft()
            self.waiting -= len(packet.octets)
            packet.drop()
        self._watchWriting()
        if self.hasRoom:
            waiting, self._room = self._room, []
            for each in waiting:
                each.callback(None)

    def _watchWriting(self) -> None:
        wanted = bool(self._queue)
        if wanted != self._writing:
            self._writing = wanted
            if self._watched:
                self._watch.change(self._socket.fileno(), self._events())

    # The end.

    def _lost(self, why: str) -> None:
        if not self._gone:
            self._end(why)
            self._closed(why)

    def _end(self, why: str) -> None:
        if self._gone:
            return
        self._gone = why
        if self._watched:
            self._watch.remove(self._socket.fileno())
        self._socket.close()
        for packet in self._queue:
            packet.drop()
        self._queue.clear()
        self._parts.clear()
        self.waiting = 0
        questions, self._questions = self._questions, {}
        room, self._room = self._room, []
        failing: list[Deferred[Any]] = [*questions.values(), *room]
        for each in failing:
            each.errback(ChannelGone(why))
