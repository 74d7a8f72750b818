"""
Ports whose clients are taken by other processes.

A process holds the sockets and accepts nobody; each of the others accepts from one of
them. TCP has a socket for each (C{SO_REUSEPORT}, socket(7)): the kernel gives each
connection to one of them, and what waits in the queue of a process that died stays
there, since its socket stays open here. A Unix socket is the same one for all.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any, Final, final

from twisted.internet.error import CannotListenError

from socksgw.accept.diverted import DivertedPort, boundForDatagrams
from socksgw.accept.endpoints import ListeningPort, prepare
from socksgw.accept.listener import Listener
from socksgw.accept.transparent import Host
from socksgw.accept.unixport import UnixPort
from socksgw.config.listening import parseListenAddress, parseUnixAddress
from socksgw.system.domains import HERE, Sockets
from socksgw.system.watch import Watcher

__all__ = ["Held", "Place"]

#: Connections that may wait to be accepted.
BACKLOG: Final = 4096
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

    members: list[socket.socket]
    #: The sockets are other processes', too.
    _shouldShutdown = False

    def startReading(self) -> None:
        """Do nothing: others accept."""

    def stopReading(self) -> None:
        """Do nothing."""

    def doRead(self) -> None:
        """Do nothing."""

    def _release(self) -> None:
        for each in self.members:
            each.close()
        self.members = []


class _HeldPort(_Holding, ListeningPort):
    """A TCP port; its members are the sockets beside the first."""

    def connectionLost(self, reason: Any) -> None:
        """Close all."""
        self._release()
        super().connectionLost(reason)  # type: ignore[no-untyped-call]


class _HeldPath(_Holding, UnixPort):
    """A port at a path."""


@final
class _HeldDatagrams(_Holding):
    """Where diverted datagrams come."""

    def __init__(self, members: list[socket.socket], listener: Listener) -> None:
        self.members = members
        self._listener = listener

    def getHost(self) -> Any:
        """Return where it is."""
        return DivertedPort.hostOf(self.members[0])

    def stopListening(self) -> None:
        """Close all."""
        self._release()
        self._listener.doStop()


@final
class Held:
    """
    Opens ports that are only held.

    What hands over to another supervisor is not taken (C{given}).
    """

    def __init__(self, count: int) -> None:
        """
        @param count: how many processes accept.
        """
        self._count = count

    def socketOf(self, port: Any, index: int) -> int:
        """
        Return the descriptor for one of the processes.

        @param port: one that this has opened.
        @param index: of the process, from 0.
        """
        if isinstance(port, _HeldPath):
            return int(port.socket.fileno())
        own = [] if isinstance(port, _HeldDatagrams) else [port.socket]
        return int([*own, *port.members][index].fileno())

    def address(
        self,
        reactor: Any,
        text: str,
        factory: Listener,
        exhausted: Callable[[], None],
        watch: Watcher,
        diverting: bool = False,
        sockets: Sockets = HERE,
        given: socket.socket | None = None,
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
        port.startListening()
        try:
            prepare(port.socket)
            where: Any = port.socket.getsockname()
            _join(port.socket)
            for _ in range(self._count - 1):
                member = port.createInternetSocket()
                port.members.append(member)
                _join(member)
                member.bind(where)
                member.listen(BACKLOG)
                prepare(member)
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
        given: socket.socket | None = None,
    ) -> UnixPort:
        """As L{listenOnPath}."""
        port = _HeldPath(parseUnixAddress(text), mode, owner, factory, reactor)
        port.members = []
        port.exhausted = exhausted
        port.watch = watch
        port.startListening()
        return port

    def datagrams(
        self,
        text: str,
        listener: Listener,
        watch: Watcher,
        host: Host,
        given: socket.socket | None = None,
    ) -> Any:
        """As L{listenForDatagrams}."""
        members: list[socket.socket] = []
        try:
            for _ in range(self._count):
                members.append(boundForDatagrams(text, bool(members)))
                _join(members[-1])
        except OSError:
            for each in members:
                each.close()
            raise
        return _HeldDatagrams(members, listener)
