"""
The supervisor of a program: it answers the system calls that lead to a network.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, Coroutine
from typing import Any, Final, final

from twisted.logger import Logger

from socksgw.run import memory
from socksgw.run.calls import Calls
from socksgw.run.datagrams import Carriage, checkSize, isOutside
from socksgw.run.errnos import told
from socksgw.run.gates import DNS
from socksgw.run.known import Known, cookie
from socksgw.run.memory import Place
from socksgw.run.seccomp import Listener, Notification, descriptorOf
from socksgw.run.streams import Streams
from socksgw.system.coroutines import Running
from socksgw.system.watch import FAILED, READ, Watcher

__all__ = ["Supervisor"]

_log = Logger()

#: Who would look names up for the program, past the gateway: without them the C library
#: asks by DNS.
_RESOLVERS: Final = ("nscd/", "systemd/resolve/", "avahi-daemon/")
_RUN: Final = ("/run/", "/var/run/")
_KIND: Final = 0xF
_FAST_OPEN: Final = 0x20000000
#: The fields of C{struct mmsghdr}: so many may be in one call.
_MESSAGES: Final = 1024
_ERROR_QUEUE: Final = int(socket.MSG_ERRQUEUE)


def isResolver(path: str) -> bool:
    """Return whether a socket of this host is one of who looks names up."""
    return any(path.startswith(run + each) for run in _RUN for each in _RESOLVERS)


def isLocal(place: Place) -> bool:
    """Return whether a destination is this host itself."""
    return place.address.isLoopback or place.address.isUnspecified


@final
class Supervisor:
    """
    Answers the calls of one program and of all that it starts.
    """

    def __init__(
        self,
        listener: Listener,
        calls: Calls,
        watch: Watcher,
        streams: Streams,
        datagrams: Carriage,
        known: Known,
        say: Callable[[str], None],
    ) -> None:
        """
        @param say: is told why a call fails.
        """
        self._listener = listener
        self._calls = calls
        self._watch = watch
        self._streams = streams
        self._datagrams = datagrams
        self._known = known
        self._say = say
        #: What answers each call; L{None} is for the kernel to do it.
        self._answers: dict[
            int, Callable[[Notification], Coroutine[Any, Any, int | None]]
        ] = {
            calls.socket: self._socket,
            calls.connect: self._connect,
            calls.getpeername: self._getpeername,
            calls.getsockopt: self._getsockopt,
            calls.sendto: self._sendto,
            calls.recvfrom: self._recvfrom,
            calls.sendmsg: self._sendmsg,
            calls.recvmsg: self._recvmsg,
            calls.sendmmsg: self._sendmmsg,
            calls.recvmmsg: self._recvmmsg,
        }

    def start(self) -> None:
        """Answer calls from now on."""
        self._watch.add(self._listener.descriptor, READ, self._ready)

    def _ready(self, events: int) -> None:
        if events & FAILED:
            # Nobody is left who could call.
            self._watch.remove(self._listener.descriptor)
            return
        call = self._listener.receive()
        if call is not None:
            Running(self._served(call))

    async def _served(self, call: Notification) -> None:
        try:
            result = await self._answers[call.number](call)
        except OSError as e:
            text = told(e)
            if text:
                self._say(text)
            self._listener.answer(call, -(e.errno or errno.EIO))
        except Exception:
            _log.failure("a call of the program could not be answered")
            self._listener.answer(call, -errno.EIO)
        else:
            if result is None:
                self._listener.proceed(call)
            else:
                self._listener.answer(call, result)

    def _own(self, call: Notification) -> socket.socket:
        """
        Return the socket that a call is about.

        @raise OSError: it is none.
        """
        number = call.arguments[0] & 0xFFFFFFFF
        try:
            found = descriptorOf(call.thread, number, self._calls)
        except PermissionError:
            raise memory.hidden(call.thread) from None
        try:
            if not self._listener.isValid(call):
                raise OSError(errno.EINTR, os.strerror(errno.EINTR))
            return socket.socket(fileno=found)
        except OSError:
            os.close(found)
            raise

    def _place(self, call: Notification, at: int, length: int) -> Place | None:
        return memory.addressOf(memory.sockaddr(call.thread, at, length))

    # The calls.

    async def _socket(self, call: Notification) -> int | None:
        family, kind, protocol = (each & 0xFFFFFFFF for each in call.arguments[:3])
        what = f"a socket of family {family}, type {kind & _KIND}, protocol {protocol}"
        if family in (socket.AF_INET, socket.AF_INET6):
            raise OSError(errno.EPERM, f"{what} does not go through a gateway")
        raise OSError(errno.EAFNOSUPPORT, f"{what} does not go through a gateway")

    async def _connect(self, call: Notification) -> int | None:
        octets = memory.sockaddr(call.thread, *call.arguments[1:3])
        path = memory.path(octets)
        if path:
            if isResolver(path):
                raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
            return None
        place = memory.addressOf(octets)
        with self._own(call) as own:
            if own.family not in (socket.AF_INET, socket.AF_INET6):
                return None
            if place is None:
                # It is to be as if it had never been connected.
                self._known.forget(cookie(own))
                return None
            if own.type & _KIND == socket.SOCK_DGRAM:
                return self._datagrams.connect(own, place)
            if not isLocal(place):
                return await self._streams.connect(call, own, place)
            if place.port == DNS:
                raise OSError(
                    errno.ECONNREFUSED, "the name server of this host is not asked"
                )
            return None

    async def _getpeername(self, call: Notification) -> int | None:
        with self._own(call) as own:
            number = cookie(own)
        if number in self._known.pending:
            raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))
        place = self._known.place(number)
        if place is None:
            return None
        memory.writeAddress(call.thread, call.arguments[1], call.arguments[2], place)
        return 0

    async def _getsockopt(self, call: Notification) -> int | None:
        with self._own(call) as own:
            error = self._streams.failed(own)
        if not error:
            return None
        memory.writeNumber(call.thread, call.arguments[3], call.arguments[4], error)
        return 0

    def _datagramSocket(self, call: Notification, flags: int) -> socket.socket | None:
        """
        Return the socket of a call if it is one for datagrams.

        @param flags: of the call.
        @raise OSError: it would connect a stream past the supervisor.
        """
        own = self._own(call)
        if own.family in (socket.AF_INET, socket.AF_INET6):
            if own.type & _KIND == socket.SOCK_DGRAM:
                return own
            if flags & _FAST_OPEN:
                own.close()
                raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
        own.close()
        return None

    async def _sendto(self, call: Notification) -> int | None:
        _, at, size, flags, name, length = call.arguments
        own = self._datagramSocket(call, flags)
        if own is None:
            return None
        with own:
            place = self._place(call, name, length)
            if place is None or isOutside(place):
                return None
            checkSize(size)
            octets = memory.read(call.thread, at, size)
            return await self._datagrams.send(own, place, octets)

    async def _recvfrom(self, call: Notification) -> int | None:
        _, at, size, flags, name, length = call.arguments
        own = self._datagramSocket(call, 0)
        if own is None:
            return None
        with own:
            came = await self._datagrams.receive(own, call.thread, flags & 0xFFFFFFFF)
            if came is None:
                return None
            memory.write(call.thread, at, came.octets[:size])
            memory.writeAddress(call.thread, name, length, came.place)
            whole = flags & socket.MSG_TRUNC
            return len(came.octets) if whole else min(size, len(came.octets))

    async def _sendmsg(self, call: Notification) -> int | None:
        return await self._sent(call, call.arguments[1], call.arguments[2])

    async def _sent(self, call: Notification, at: int, flags: int) -> int | None:
        message = memory.message(call.thread, at)
        if not message.name:
            return None
        own = self._datagramSocket(call, flags)
        if own is None:
            return None
        with own:
            place = self._place(call, message.name, message.nameLength)
            if place is None or isOutside(place):
                return None
            if memory.isSegmented(call.thread, message):
                # Programs send one datagram at a time then.
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            checkSize(message.size)
            return await self._datagrams.send(own, place, message.octets(call.thread))

    async def _sendmmsg(self, call: Notification) -> int | None:
        _, at, number, flags, *_ = call.arguments
        number = min(number & 0xFFFFFFFF, _MESSAGES)
        messages = [
            memory.message(call.thread, at + i * memory.STRIDE) for i in range(number)
        ]
        if not any(each.name for each in messages):
            return None
        own = self._datagramSocket(call, flags)
        if own is None:
            return None
        with own:
            if messages[0].name:
                # One at a time: the program calls again for the others.
                sent = await self._sent(call, at, flags)
            else:
                sent = own.send(messages[0].octets(call.thread), socket.MSG_DONTWAIT)
            if sent is None:
                return None
        memory.tellCount(call.thread, at, sent)
        return 1

    async def _recvmsg(self, call: Notification) -> int | None:
        return await self._received(call, call.arguments[1], call.arguments[2])

    async def _received(self, call: Notification, at: int, flags: int) -> int | None:
        message = memory.message(call.thread, at)
        if not message.name or flags & _ERROR_QUEUE:
            return None
        own = self._datagramSocket(call, 0)
        if own is None:
            return None
        with own:
            came = await self._datagrams.receive(own, call.thread, flags & 0xFFFFFFFF)
        if came is None:
            return None
        octets = came.octets
        message.fill(call.thread, octets)
        cut = socket.MSG_TRUNC if len(octets) > message.size else 0
        message.tell(call.thread, came.place, int(cut))
        whole = flags & socket.MSG_TRUNC
        return len(octets) if whole else min(message.size, len(octets))

    async def _recvmmsg(self, call: Notification) -> int | None:
        _, at, number, flags, *_ = call.arguments
        if not number & 0xFFFFFFFF:
            return None
        count = await self._received(call, at, flags)
        if count is None:
            return None
        memory.tellCount(call.thread, at, count)
        return 1
