"""
Connections of a program: connect(2) of a stream socket.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from collections.abc import Callable
from typing import Any, Final, NoReturn, final

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from socksgw.client.errors import ProxyError
from socksgw.errors import SocksError
from socksgw.interfaces import SetDeadline
from socksgw.relay.between import Relays
from socksgw.relay.tally import Tally
from socksgw.run.errnos import errorOf, told
from socksgw.run.known import Known, again, cookie
from socksgw.run.memory import Place
from socksgw.run.names import Names
from socksgw.run.outcome import Outcome
from socksgw.run.seccomp import Listener, Notification
from socksgw.run.standin import Joints, StandIn
from socksgw.run.way import Way, disconnect
from socksgw.system.connection import Connection, Receiver
from socksgw.system.coroutines import Running
from socksgw.system.plain import PlainConnection
from socksgw.wire.address import Address

__all__ = ["PATIENCE", "Streams"]

#: Seconds that a call may take which is not to wait: those of an event loop.
PATIENCE: Final = 0.25
#: The flags of a descriptor in C{/proc/PID/fdinfo}: close-on-exec among them.
_CLOSE_ON_EXEC: Final = 0o2000000


@final
class _Program:
    """The program's side of a relay (L{socksgw.relay.seams.Client})."""

    ended = False
    closing = False
    protection = None
    ipsec = False

    def __init__(self, connection: PlainConnection) -> None:
        self.connection = connection

    def take(self, receiver: Receiver | None) -> None:
        """As L{socksgw.relay.seams.Client.take}."""
        if receiver is not None:
            self.connection.take(receiver)
        else:
            self.connection.receiver = self

    # When the relay is over, as the connection's Receiver: nothing is left to do.

    def dataReceived(self, data: Any) -> None:
        """Do nothing: nobody takes it any more."""

    def readConnectionLost(self) -> None:
        """Do nothing: the connection is closed already."""

    def departed(self) -> None:
        """Do nothing: the connection is closed already."""

    def violated(self, failure: SocksError) -> None:
        """Do nothing: the connection is closed already."""

    def connectionLost(self, reason: Failure) -> None:
        """Do nothing: the connection is closed already."""


def relayed(
    relays: Relays, program: PlainConnection, destination: Connection, late: bytes
) -> None:
    """
    Move octets between a program and a destination until both have ended.

    @param late: what the destination has sent already.
    """
    tally = Tally()

    def over(result: Any) -> Any:
        if tally.reset:
            program.abortConnection()
        elif tally.reason == "closed":
            program.loseConnection()
        else:
            program.cut()
        return result

    moving = relays.between(_Program(program), destination, b"", tally, late=late)
    Deferred.fromCoroutine(moving).addBoth(over)


@final
class Streams:
    """
    Connects the stream sockets of a program.
    """

    def __init__(
        self,
        listener: Listener,
        way: Way,
        names: Names,
        known: Known,
        relays: Relays,
        joints: Joints,
        setDeadline: SetDeadline,
        say: Callable[[str], None],
    ) -> None:
        """
        Connect nothing yet.

        @param joints: connects sockets of the program that are not to the gateway.
        @param say: is told why a connection fails that the program does not wait for.
        """
        self._listener = listener
        self._way = way
        self._names = names
        self._known = known
        self._relays = relays
        self._joints = joints
        self._setDeadline = setDeadline
        self._say = say

    async def connect(
        self, call: Notification, own: socket.socket, place: Place
    ) -> int:
        """
        Connect a socket of the program.

        @param own: a descriptor of it, which is closed by the caller.
        @raise OSError: what the program is to be told.
        """
        number = cookie(own)
        if number in self._known.pending:
            _fail(errno.EALREADY)
        if self._known.place(number) is not None:
            _fail(errno.EISCONN)
        if error := self.failed(own):
            # A call that asks what has become of an earlier one, as the kernel has it.
            _fail(error)
        self._known.pending.add(number)
        try:
            await self._connected(call, own, place)
        except ProxyError as e:
            raise errorOf(e, self._text(place)) from None
        finally:
            self._known.pending.discard(number)
        return 0

    def _text(self, place: Place) -> str:
        return f"connect to {self._names.hostOf(place.address)} port {place.port}"

    async def _connected(
        self, call: Notification, own: socket.socket, place: Place
    ) -> None:
        host = self._names.hostOf(place.address)
        waits = not fcntl.fcntl(own, fcntl.F_GETFL) & os.O_NONBLOCK
        if self._way.suits(own):
            if waits:
                await self._way.own(own, host, place.port)
            else:
                await self._ownWithin(call, own, host, place)
        else:
            opening = Outcome(self._way.open(host, place.port))
            if not waits and not await opening.within(self._setDeadline, PATIENCE):
                try:
                    standIn = StandIn(own, self._joints.join(own, place))
                except OSError:
                    opening.cancel()
                    raise
                self._later(opening, standIn, own, place)
            connection, late = await opening.result()
            try:
                near = self._joints.join(own, place)
            except OSError:
                connection.abortConnection()
                raise
            program = PlainConnection(near, self._way.watch)
            relayed(self._relays, program, connection, late)
        self._known.connected(cookie(own), place)

    def failed(self, own: socket.socket) -> int:
        """
        Return why a socket of the program is not connected, once.

        It can be connected again afterwards.

        @return: the error number; 0 where nothing has failed.
        """
        error = self._known.error(cookie(own))
        if error:
            # What stood for the connection was reset, which is told no more.
            disconnect(own)
        return error

    def unasked(self, near: socket.socket, place: Place) -> None:
        """
        Connect what the program has connected past its supervisor.

        @param near: the supervisor's end.
        @param place: the destination.
        """
        Running(self._unasked(near, place))

    async def _unasked(self, near: socket.socket, place: Place) -> None:
        program = PlainConnection(near, self._way.watch)
        host = self._names.hostOf(place.address)
        try:
            connection, late = await self._way.open(host, place.port)
        except ProxyError as e:
            self._say(told(errorOf(e, self._text(place))))
            program.abortConnection()
        else:
            relayed(self._relays, program, connection, late)

    async def _ownWithin(
        self, call: Notification, own: socket.socket, host: Address | str, place: Place
    ) -> None:
        """
        Connect the program's own socket, unless it takes too long for an event loop.

        Then the program gets another socket in its place.
        """
        kept = again(own)
        opening = Outcome(self._kept(kept, host, place.port))
        if await opening.within(self._setDeadline, PATIENCE):
            await opening.result()
            # The program's own descriptor is all that is left of it.
            kept.close()
            return
        instead = socket.socket(own.family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        with instead:
            try:
                for level, option in _KEPT:
                    value = own.getsockopt(level, option)
                    instead.setsockopt(level, option, value)
                standIn = StandIn(instead, self._joints.join(instead, place))
            except OSError:
                opening.cancel()
                raise
            try:
                self._listener.replace(
                    call,
                    call.arguments[0] & 0xFFFFFFFF,
                    instead.fileno(),
                    _closesOnExec(call),
                )
            except OSError:
                opening.cancel()
                standIn.reset()
                raise
            self._later(opening, standIn, instead, place)

    async def _kept(
        self, kept: socket.socket, host: Address | str, port: int
    ) -> tuple[Connection, bytes]:
        """
        Connect a descriptor of the program's own socket.

        @param kept: it is closed if that fails.
        """
        try:
            await self._way.own(kept, host, port)
        except BaseException:
            kept.close()
            raise
        return PlainConnection(kept, self._way.watch), b""

    def _later(
        self,
        opening: Outcome[tuple[Connection, bytes]],
        standIn: StandIn,
        own: socket.socket,
        place: Place,
    ) -> NoReturn:
        """
        Let the program go on, and join both when the gateway has answered.

        @param own: the program's end of the stand-in.
        @raise OSError: EINPROGRESS.
        """
        number = cookie(own)
        self._known.pending.add(number)
        Running(self._joined(opening, standIn, number, place)).addErrback(
            lambda failure: failure.trap(OSError) and None
        )
        _fail(errno.EINPROGRESS)

    async def _joined(
        self,
        opening: Outcome[tuple[Connection, bytes]],
        standIn: StandIn,
        number: int,
        place: Place,
    ) -> None:
        try:
            connection, late = await opening.result()
        except ProxyError as e:
            error = errorOf(e, self._text(place))
            self._known.failed(number, error.errno or errno.ECONNREFUSED)
            self._say(told(error))
            standIn.reset()
            return
        finally:
            self._known.pending.discard(number)
        self._known.connected(number, place)
        try:
            await standIn.drained(self._way.watch)
        except OSError:
            connection.abortConnection()
            standIn.near.close()
            raise
        program = PlainConnection(standIn.near, self._way.watch)
        relayed(self._relays, program, connection, late)


#: Options that another socket in the place of the program's gets, too.
_KEPT: Final = (
    (socket.IPPROTO_TCP, socket.TCP_NODELAY),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE),
)


def _closesOnExec(call: Notification) -> bool:
    """
    Return whether a descriptor of the program is closed when it runs another.

    @raise OSError: there is no such descriptor.
    """
    number = call.arguments[0] & 0xFFFFFFFF
    with open(f"/proc/{call.thread}/fdinfo/{number}", encoding="ascii") as lines:
        for line in lines:
            if line.startswith("flags:"):
                return bool(int(line.split()[1], 8) & _CLOSE_ON_EXEC)
    return True


def _fail(number: int) -> NoReturn:
    raise OSError(number, os.strerror(number))
