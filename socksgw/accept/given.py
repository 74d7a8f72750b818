"""
Ports whose sockets are another process's, which opened them and gave them to us.

None is ever opened here: what was not given is not listened on.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from typing import Any

from socksgw.accept.diverted import DivertedPort
from socksgw.accept.endpoints import ListeningPort, listenOnAddress
from socksgw.accept.listener import Listener
from socksgw.accept.transparent import Host
from socksgw.accept.unixport import UnixPort
from socksgw.config.listening import parseUnixAddress
from socksgw.system.domains import HERE, Sockets
from socksgw.system.watch import Watcher

__all__ = ["address", "datagrams", "path"]


class _Path(UnixPort):
    """A port at a path, whose file is the other process's."""

    _shouldShutdown = False

    def _adopt(self) -> None:
        """Leave the file alone."""


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


def datagrams(
    _: str,
    listener: Listener,
    watch: Watcher,
    host: Host,
    given: socket.socket | None = None,
) -> DivertedPort:
    """As L{listenForDatagrams}."""
    return DivertedPort(_there(given), listener, watch, host)
