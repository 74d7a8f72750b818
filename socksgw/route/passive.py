"""
Waiting for a destination that connects to us: the listener of one BIND.
"""

from __future__ import annotations

import random
import socket
from collections.abc import Callable
from typing import Final, final

from twisted.internet.defer import Deferred

from socksgw.errors import ConnectFailed, LimitReached
from socksgw.interfaces import SetDeadline, Timer
from socksgw.route.dialer import Outlet
from socksgw.route.failures import failureFor
from socksgw.system.sockets import FAMILIES, keepAlive, quick
from socksgw.system.watch import READ, Watcher
from socksgw.wire.address import Address
from socksgw.wire.codes import Reply

__all__ = ["Passive", "bindWithin", "localTowards"]

#: Strangers that may wait to be turned away.
_BACKLOG: Final = 16
#: Connections taken before others have their turn.
_AT_ONCE: Final = 16


def bindWithin(
    kind: socket.SocketKind, address: Address, ports: range | None, scope: int = 0
) -> socket.socket:
    """
    A non-blocking socket bound to C{address}, on any port or on one of
    C{ports}; of a stream, it listens already.

    @param scope: the interface of a link-local address.
    @raise LimitReached: no port of the range is free, or no descriptor is.
    """
    try:
        bound = socket.socket(FAMILIES[address.version], kind | socket.SOCK_NONBLOCK)
    except OSError as e:
        raise LimitReached(f"no socket: {e.strerror}", reason="resources") from None
    scoped = (0, scope) if scope else ()
    try:
        if address.version == 6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if kind == socket.SOCK_STREAM:
            # A port of the range is free again as soon as nobody listens there.
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if ports is None:
            bound.bind((address.text, 0, *scoped))
            if kind == socket.SOCK_STREAM:
                bound.listen(_BACKLOG)
            return bound
        # From a random one on, so that ports cannot be foretold.
        start = random.SystemRandom().randrange(len(ports))
        for i in range(len(ports)):
            try:
                bound.bind((address.text, ports[(start + i) % len(ports)], *scoped))
                if kind == socket.SOCK_STREAM:
                    bound.listen(_BACKLOG)
            except OSError:
                continue
            return bound
    except OSError as e:
        bound.close()
        raise LimitReached(f"no port: {e.strerror}", reason="resources") from None
    bound.close()
    raise LimitReached("every port of the range is taken", reason="resources")


def localTowards(address: Address) -> Address:
    """
    Our own address on the way to another.

    @raise ConnectFailed: there is no way.
    """
    try:
        with socket.socket(FAMILIES[address.version], socket.SOCK_DGRAM) as probe:
            # Sends nothing: the kernel looks for a route.
            probe.connect((address.text, 9))
            return Address.parse(probe.getsockname()[0].partition("%")[0])
    except OSError as e:
        raise failureFor(e.errno or 0) from None


@final
class Passive:
    """
    One listener, for one connection.

    @ivar bound: where it listens.
    @ivar strangers: how many connections were not the one.
    """

    def __init__(
        self,
        watch: Watcher,
        setDeadline: SetDeadline,
        address: Address,
        ports: range | None,
        scope: int = 0,
    ) -> None:
        """
        @param address: where to listen.
        @param scope: the interface of a link-local address.
        @param ports: on which ports; L{None} for any.
        @raise LimitReached: it cannot be had.
        """
        self._watch = watch
        self._setDeadline = setDeadline
        self._listening = bindWithin(socket.SOCK_STREAM, address, ports, scope)
        self.bound = (address, self._listening.getsockname()[1])
        self._watched = False
        self._deadline: Timer | None = None
        self.strangers = 0

    def accept(
        self, admits: Callable[[Address, int], bool], timeout: float
    ) -> Deferred[Outlet]:
        """
        Wait for the one connection, and listen no longer. Others are closed
        at once.

        @param admits: whether this peer is the one.
        @param timeout: seconds.
        @return: fires with the connection; fails with L{ConnectFailed} when
            none came in time.
        """
        done: Deferred[Outlet] = Deferred(lambda _: self.close())

        def ready(_: int) -> None:
            for _turn in range(_AT_ONCE):
                try:
                    connection, name = self._listening.accept()
                except OSError:
                    # Nobody there (any more).
                    return
                peer = Address.parse(name[0].partition("%")[0])
                if not admits(peer, name[1]):
                    self.strangers += 1
                    connection.close()
                    continue
                connection.setblocking(False)
                quick(connection)
                keepAlive(connection)
                self.close()
                done.callback(Outlet(connection, peer, name[1]))
                return

        def expired() -> None:
            self.close()
            done.errback(
                ConnectFailed(
                    "nobody came in time", Reply.HOST_UNREACHABLE, "bind-timeout"
                )
            )

        self._watch.add(self._listening.fileno(), READ, ready)
        self._watched = True
        self._deadline = self._setDeadline(timeout, expired)
        return done

    def close(self) -> None:
        """
        Listen no longer.
        """
        if self._deadline is not None:
            self._deadline.clear()
            self._deadline = None
        if self._watched:
            self._watched = False
            self._watch.remove(self._listening.fileno())
        self._listening.close()
