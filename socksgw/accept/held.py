"""
Ports whose clients are taken by other processes.

A process holds the sockets and accepts nobody; each of the others accepts from one of
them. TCP has a socket for each (C{SO_REUSEPORT}, socket(7)): the kernel gives each
connection to one of them, and what waits in the queue of a process that died stays
there, since its socket stays open here. A Unix socket is the same one for all, and so
is what another program has opened (systemd).
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, final

from twisted.internet import tcp, unix
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure

from socksgw.accept.diverted import DivertedPort, boundForDatagrams
from socksgw.accept.endpoints import (
    BACKLOG,
    ListeningPort,
    isTaken,
    listenBy,
    prepare,
)
from socksgw.accept.listener import Listener
from socksgw.accept.transparent import Host
from socksgw.accept.unixport import UnixPort
from socksgw.config.listening import parseListenAddress, parseUnixAddress
from socksgw.system.domains import HERE, Sockets
from socksgw.system.sockets import fastOpen
from socksgw.system.watch import Watcher

__all__ = ["Held", "Place"]

#: Seconds that the other processes may take to close what is closed here.
_LEAVING: Final = 60.0
#: What tells where a port is, in words.
Place = tuple[str, ...]


def _join(bound: socket.socket) -> None:
    """
    Let others listen where a socket does.

    It was bound without that: where somebody else listens already, that has failed.
    """
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)


class _Holding:
    """Reads nothing."""

    socket: Any
    #: Those of the others, beside the first; none where all have the same one.
    members: list[socket.socket]
    #: The sockets are other processes', too.
    _shouldShutdown = False
    #: Whether one that is leaving may listen there still.
    joins = False
    #: Told of the number of a port that is closed here.
    leaving: Callable[[int], None]

    def startReading(self) -> None:
        """Do nothing: others accept."""

    def stopReading(self) -> None:
        """Do nothing."""

    def doRead(self) -> None:
        """Do nothing."""

    def socketFor(self, index: int) -> Any:
        """Return the socket of one of the processes."""
        return [self.socket, *self.members][index if self.members else 0]

    def split(self, count: int) -> None:
        """
        Open a socket for each of the processes that has none.

        @param count: how many processes there are.
        @raise OSError: that is not possible.
        """
        port: Any = self
        where: Any = self.socket.getsockname()
        _join(self.socket)
        for _ in range(count - 1 - len(self.members)):
            member = port.createInternetSocket()
            self.members.append(member)
            _join(member)
            member.bind(where)
            member.listen(BACKLOG)
            prepare(member)

    def _release(self) -> None:
        for each in self.members:
            each.close()
        self.members = []


class _Stream(_Holding):
    """The same of TCP."""

    def createInternetSocket(self) -> Any:
        """Return a socket, which may be bound where one is that is leaving."""
        above: Any = super()
        made = above.createInternetSocket()
        if self.joins:
            _join(made)
        return made

    def connectionLost(self, reason: Any) -> None:
        """Close all."""
        above: Any = super()
        self.leaving(self.socket.getsockname()[1])
        self._release()
        above.connectionLost(reason)


class _HeldPort(_Stream, ListeningPort):
    """A TCP port."""

    isShared = True

    def fastOpen(self, wanted: bool) -> None:
        """As L{ListeningPort.fastOpen}, in each process."""
        for each in (self.socket, *self.members):
            fastOpen(each, wanted)


class _HeldPath(_Holding, UnixPort):
    """A port at a path."""


class _HeldStream(_Stream, tcp.Port):
    """The TCP port of an endpoint, as Twisted opens it."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.members = []


class _HeldFile(_Holding, unix.Port):
    """The port of an endpoint at a path, as Twisted opens it."""

    def __init__(self, *arguments: Any, **others: Any) -> None:
        super().__init__(*arguments, **others)
        self.members = []


@final
class _HeldDatagrams(_Holding):
    """Where diverted datagrams come."""

    def __init__(self, sockets: list[socket.socket], listener: Listener) -> None:
        self.socket, *self.members = sockets
        self._listener = listener

    def getHost(self) -> Any:
        """Return where it is."""
        return DivertedPort.hostOf(self.socket)

    def stopListening(self) -> None:
        """Close all."""
        self.socket.close()
        self._release()
        self._listener.doStop()

    surrender = stopListening


@final
class _Left:
    """
    Ports that were closed here lately: the other processes close theirs when told.

    Until then one may be bound there only by joining them.
    """

    def __init__(self) -> None:
        self._ports: dict[int, float] = {}

    def leaving(self, port: int) -> None:
        """Take note of one."""
        now = time.monotonic()
        self._ports = {p: until for p, until in self._ports.items() if until > now}
        self._ports[port] = now + _LEAVING

    def start(self, held: Any) -> None:
        """
        Have a port listen.

        @raise CannotListenError: that is not possible.
        """
        held.leaving = self.leaving
        try:
            held.startListening()
        except CannotListenError as e:
            until = self._ports.get(held.port, 0.0)
            if not isTaken(e) or until < time.monotonic():
                raise
            # Whoever else listens there has not joined, and this fails again.
            held.joins = True
            held.startListening()


@final
class _Holder:
    """A reactor whose next port is only held."""

    def __init__(
        self,
        reactor: Any,
        count: int,
        left: _Left,
        given: Sequence[socket.socket] = (),
    ) -> None:
        self._reactor = reactor
        self._count = count
        self._left = left
        self._given = given

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def listenTCP(
        self, port: int, factory: Any, backlog: int = 50, interface: str = ""
    ) -> Any:
        if self._given:
            first, *members = self._given
            with first:
                # It duplicates the descriptor.
                held: Any = self.adoptStreamPort(first.fileno(), first.family, factory)
            held.members = members
            return held
        held = _HeldStream(port, factory, BACKLOG, interface, self._reactor)
        self._left.start(held)
        try:
            held.split(self._count)
        except OSError as e:
            held.stopListening()
            raise CannotListenError(interface, port, e) from None
        return held

    def listenSSL(
        self,
        port: int,
        factory: Any,
        contextFactory: Any,
        backlog: int = 50,
        interface: str = "",
    ) -> Any:
        within = TLSMemoryBIOFactory(contextFactory, False, factory)
        return self.listenTCP(port, within, backlog, interface)

    def listenUNIX(
        self,
        path: Any,
        factory: Any,
        backlog: int = 50,
        mode: int = 0o666,
        wantPID: int = 0,
    ) -> Any:
        held: Any = _HeldFile(path, factory, BACKLOG, mode, self._reactor, wantPID)
        held.startListening()
        return held

    def adoptStreamPort(self, fd: int, family: int, factory: Any) -> Any:
        """Hold the socket of another program: none can be opened beside it."""
        held: Any = _HeldStream if family != socket.AF_UNIX else _HeldFile
        more = [] if family == socket.AF_UNIX else [family]
        held = held._fromListeningDescriptor(self._reactor, fd, *more, factory)
        held.leaving = self._left.leaving
        held.startListening()
        return held


@final
class Held:
    """
    Opens ports that are only held.

    What another supervisor gives (C{given}) is a socket for each of the processes.
    """

    def __init__(self, count: int) -> None:
        """
        @param count: how many processes accept.
        """
        self._count = count
        self._left = _Left()

    def handlesOf(self, port: Any) -> list[int]:
        """
        Return the descriptors of a port, for another supervisor.

        @param port: one that this has opened.
        @return: none, where it cannot go on with it.
        """
        if not isinstance(port, (_HeldPort, _HeldPath, _HeldStream, _HeldDatagrams)):
            return []
        return [each.fileno() for each in (port.socket, *port.members)]

    def socketOf(self, port: Any, index: int) -> int:
        """
        Return the descriptor for one of the processes.

        @param port: one that this has opened.
        @param index: of the process, from 0.
        """
        return int(port.socketFor(index).fileno())

    def groupOf(self, port: Any) -> socket.socket | None:
        """
        Return a socket of a port at which the kernel chooses one for each connection.

        The sockets have the numbers of L{socketOf} there.

        @return: L{None} for a port of another kind. What belongs together of diverted
            datagrams is to come to one process for good, and so nobody chooses there.
        """
        found: socket.socket | None = None
        if isinstance(port, _HeldPort):
            found = port.socket
        return found

    def address(
        self,
        reactor: Any,
        text: str,
        factory: Listener,
        exhausted: Callable[[], None],
        watch: Watcher,
        diverting: bool = False,
        sockets: Sockets = HERE,
        given: Sequence[socket.socket] = (),
    ) -> Any:
        """As L{listenOnAddress}."""
        address, number = parseListenAddress(text)
        clients: Any = factory
        port = _HeldPort(number, clients, BACKLOG, address.text, reactor)
        port.members = []
        port.exhausted = exhausted
        port.watch = watch
        port.diverting = diverting
        port.sockets = sockets
        if given:
            port.addressFamily = given[0].family
            port._preexistingSocket, *port.members = given
            port.leaving = self._left.leaving
            port.startListening()
        else:
            self._left.start(port)
        try:
            prepare(port.socket)
            port.split(self._count)
        except OSError as e:
            factory.leaving += 1
            port.stopListening()
            raise CannotListenError(address.text, number, e) from None
        return port

    def path(
        self,
        reactor: Any,
        text: str,
        mode: int,
        owner: tuple[int, int],
        factory: Listener,
        exhausted: Callable[[], None],
        watch: Watcher,
        given: Sequence[socket.socket] = (),
    ) -> UnixPort:
        """As L{listenOnPath}."""
        port = _HeldPath(parseUnixAddress(text), mode, owner, factory, reactor)
        port.members = []
        port.exhausted = exhausted
        port.watch = watch
        if given:
            port.give(given[0])
        port.startListening()
        return port

    def endpoint(
        self,
        reactor: Any,
        description: str,
        factory: Listener,
        watch: Watcher,
        given: Sequence[socket.socket] = (),
    ) -> Deferred[IListeningPort]:
        """
        As L{listenOnEndpoint}.

        @raise ValueError: it opens no socket, or not at once.
        """
        holder = _Holder(reactor, self._count, self._left, given)
        opening = listenBy(holder, description, factory, watch)
        opened = opening.result if opening.called else None
        if isinstance(opened, (_Holding, Failure)):
            return opening
        opening.addCallbacks(lambda port: maybeDeferred(port.stopListening))
        raise ValueError(
            "it opens no socket that processes could share; needs [gateway] workers = 1"
        )

    def datagrams(
        self,
        text: str,
        listener: Listener,
        watch: Watcher,
        host: Host,
        given: Sequence[socket.socket] = (),
    ) -> Any:
        """As L{listenForDatagrams}."""
        members = list(given)
        try:
            for _ in range(self._count - len(members)):
                members.append(boundForDatagrams(text, bool(members)))
                _join(members[-1])
        except OSError:
            for each in members:
                each.close()
            raise
        return _HeldDatagrams(members, listener)
