"""
Ports whose sockets are another process's, which opened them and gave them to us.

None is ever opened here: what was not given is not listened on.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from typing import Any, final

from twisted.internet import unix
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IListeningPort

from socksgw.accept.bridge import TwistedFactory
from socksgw.accept.diverted import DivertedPort
from socksgw.accept.endpoints import (
    GivenSocket,
    ListeningPort,
    isSystemd,
    listenBy,
    listenOnAddress,
    prepare,
)
from socksgw.accept.listener import Listener
from socksgw.accept.transparent import Host
from socksgw.accept.unixport import UnixPort
from socksgw.config.listening import parseUnixAddress
from socksgw.system.domains import HERE, Sockets
from socksgw.system.watch import Watcher

__all__ = ["address", "datagrams", "endpoint", "path"]


class _Path(UnixPort):
    """A port at a path, whose file is the other process's."""

    _shouldShutdown = False

    def _adopt(self) -> None:
        """Leave the file alone."""


class _File(unix.Port):
    """The port of an endpoint at a path, whose file is the other process's."""

    _shouldShutdown = False

    def startListening(self) -> None:
        """Begin; the file's mode is left alone."""
        # Twisted leaves names that are no files alone.
        self._bindPath = b"\0" + self._bindPath
        super().startListening()  # type: ignore[no-untyped-call]


@final
class _Taken(GivenSocket):
    """A reactor whose next port has the other process's socket."""

    def listenUNIX(self, path: Any, factory: Any, *rest: Any, **others: Any) -> Any:
        made: Any = _File
        with self._given as given:
            port = made._fromListeningDescriptor(self._reactor, given.fileno(), factory)
        port.startListening()
        return port

    def adopt(self, factory: Any) -> Any:
        """Listen at a socket that the other process was given itself."""
        if self._given.family == socket.AF_UNIX:
            return self.listenUNIX("", factory)
        return self.listenTCP(0, factory)


def _there(given: socket.socket | None) -> socket.socket:
    """
    Return the socket.

    @raise OSError: none was given.
    """
    if given is None:
        raise OSError(errno.EADDRNOTAVAIL, "no socket was given for it")
    return given


def address(
    reactor: Any,
    text: str,
    factory: Listener,
    exhausted: Callable[[], None],
    watch: Watcher,
    diverting: bool = False,
    sockets: Sockets = HERE,
    given: socket.socket | None = None,
) -> ListeningPort:
    """As L{listenOnAddress}."""
    there = _there(given)
    port: Any = listenOnAddress(
        reactor, text, factory, exhausted, watch, diverting, sockets, there
    )
    found: ListeningPort = port
    found.isShared = True
    return found


def path(
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
    port = _Path(parseUnixAddress(text), mode, owner, factory, reactor)
    port.exhausted = exhausted
    port.watch = watch
    port.give(_there(given))
    port.startListening()
    port.numberAccepts = 64
    return port


def endpoint(
    reactor: Any,
    description: str,
    factory: Listener,
    watch: Watcher,
    given: socket.socket | None = None,
) -> Deferred[IListeningPort]:
    """As L{listenOnEndpoint}."""
    there = _there(given)
    there.setblocking(False)
    taken = _Taken(reactor, there)
    if not isSystemd(description):
        return listenBy(taken, description, factory, watch)
    # Its descriptors are known to the process that systemd has started.
    port = taken.adopt(TwistedFactory(factory, watch))
    prepare(port.socket)
    return succeed(port)


def datagrams(
    _: str,
    listener: Listener,
    watch: Watcher,
    host: Host,
    given: socket.socket | None = None,
) -> DivertedPort:
    """As L{listenForDatagrams}."""
    return DivertedPort(_there(given), listener, watch, host)
