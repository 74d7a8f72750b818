"""
Listening sockets that the service manager keeps while no gateway is there.

Whoever connects meanwhile waits in the queue of the socket, and is served by the next
process, after a restart as after a crash. It takes C{FileDescriptorStoreMax=} in the
unit (systemd.service(5)). What is kept are TCP listeners on addresses of this network,
with a socket for each process that serves: a socket at a path is of no use without its
path.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, Protocol, final
from urllib.parse import quote

from twisted.logger import Logger

from socksgw.config.listening import UNIX
from socksgw.gateway.parts import Part
from socksgw.gateway.places import DATAGRAMS, Keeper
from socksgw.gateway.role import Role
from socksgw.system.domains import OWN
from socksgw.system.readiness import Manager, received
from socksgw.system.watch import Watch

__all__ = ["KeptPorts"]

_log: Final = Logger()

#: Of the names of our sockets at the manager.
_PREFIX: Final = "socksgw-"
#: What tells a place: listener, address, kind, what comes there, network.
_Told = tuple[str, ...]


class _Gateway(Protocol):
    """What this needs of the gateway."""

    @property
    def role(self) -> Role: ...

    @property
    def stopping(self) -> bool: ...

    @property
    def watch(self) -> Watch: ...

    def keptBy(self, keeper: Keeper, /) -> None: ...

    def places(self) -> Sequence[_Told]: ...

    def ports(self) -> list[tuple[_Told, Any]]: ...

    def give(self, sockets: Mapping[_Told, Sequence[socket.socket]], /) -> None: ...


@final
class KeptPorts(Part):
    """
    The sockets that the service manager has of ours.

    One of several processes that take over from each other talks to it at a time.
    """

    named = "the sockets that the service manager keeps"
    alone = True

    def __init__(self, gateway: _Gateway, manager: Manager) -> None:
        """Have nothing kept yet."""
        self._gateway = gateway
        self._manager = manager
        # By name, the number that the kernel has for the socket.
        self._kept: dict[str, int] = {}
        self._began = self._due = False
        gateway.keptBy(self)

    def give(self) -> None:
        """
        Have what was kept listened on again; this is before L{Gateway.listen}.

        What the configuration does not name any more ends: whoever waits there is
        cut off, and its address is free.
        """
        found = {n: socket.socket(fileno=fd) for n, fd in received(_PREFIX).items()}
        if not found:
            return
        sockets: dict[_Told, Sequence[socket.socket]] = {}
        for told in filter(_isKept, self._gateway.places()):
            names = [_nameOf(told, index) for index in range(self._gateway.role.count)]
            # Without the first ones the others would have the places of these.
            taken = []
            for name in names:
                if name not in found or not _listens(found[name]):
                    break
                each = found.pop(name)
                each.setblocking(False)
                taken.append(each)
                self._kept[name] = _numberOf(each.fileno())
            if taken:
                sockets[told] = taken
        for name, unwanted in found.items():
            with unwanted, suppress(OSError):
                # The manager has it for a moment yet.
                unwanted.shutdown(socket.SHUT_RDWR)
            self._manager.forget(name)
        count = sum(map(len, sockets.values()))
        _log.info("sockets that the service manager has kept: {count}", count=count)
        self._gateway.give(sockets)

    # The life of a part.

    def start(self) -> None:
        """As L{Part.start}: what was kept and is of no use is closed."""
        self._gateway.give({})
        self._began = True
        self._tell()

    def look(self) -> None:
        """As L{Part.look}: what could not be told is told again."""
        self._tell()

    def leave(self) -> None:
        """As L{Part.leave}: the other process has kept what it has."""
        self._began = False
        for name in self._kept:
            self._manager.forget(name)
        self._kept = {}

    # The keeper of the listeners.

    @property
    def keeps(self) -> bool:
        """As L{Keeper.keeps}."""
        return bool(self._kept)

    def changed(self) -> None:
        """As L{Keeper.changed}: soon, when all has changed."""
        if self._began and not self._due:
            self._due = True
            self._gateway.watch.soon(self._tell)

    def _tell(self) -> None:
        """Have kept what listens, and nothing else."""
        self._due = False
        # At the end what listened last stays there.
        if not self._began or self._gateway.stopping or not self._manager.isThere:
            return
        now = {
            _nameOf(told, index): fd
            for told, port in self._gateway.ports()
            if _isKept(told)
            for index, fd in enumerate(self._gateway.role.handlesOf(port))
        }
        for name, number in list(self._kept.items()):
            if (name not in now or _numberOf(now[name]) != number) and (
                self._manager.forget(name)
            ):
                del self._kept[name]
        for name, fd in now.items():
            if name not in self._kept and self._manager.keep(name, fd):
                self._kept[name] = _numberOf(fd)


def _isKept(told: _Told) -> bool:
    """Return whether a place is a TCP address of this network (L{Key.told})."""
    _, where, kind, what, domain = told
    return (
        (kind, domain) == ("address", OWN.tag)
        and what != DATAGRAMS
        and not where.startswith(UNIX)
    )


def _nameOf(told: _Told, index: int) -> str:
    """
    Return the name of a socket, whatever the listener's: it has no colons.

    @param index: of the process that serves there.
    """
    return f"{_PREFIX}{told[3]}-{index}-{quote(told[1], safe='[].*')}"


def _numberOf(fd: int) -> int:
    """Return what tells a socket from all others that there are."""
    return os.fstat(fd).st_ino


def _listens(kept: socket.socket) -> bool:
    """Return whether a socket has not been ended before it was forgotten."""
    return bool(kept.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
