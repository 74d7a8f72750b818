"""
Wait for a destination that connects to us: the listener of one BIND.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Final, final

from twisted.internet.defer import Deferred

from socksgw.errors import ConnectFailed
from socksgw.interfaces import SetDeadline, Timer
from socksgw.route.outlet import PlainOutlet, outletOf
from socksgw.system.binding import bindWithin
from socksgw.system.domains import HERE, Sockets
from socksgw.system.sockets import accept, keepAlive, quick
from socksgw.system.watch import READ, Watcher
from socksgw.wire.address import Address
from socksgw.wire.codes import Reply

__all__ = ["Passive"]

#: Connections taken before others have their turn.
_AT_ONCE: Final = 16


@final
class Passive:
    """
    One listener, for one connection.

    @ivar own: the address that it listens at.
    @ivar told: the address and port that peers are told to come to.
    @ivar strangers: how many connections were not the one.
    """

    path: Final = ""

    def __init__(
        self,
        watch: Watcher,
        setDeadline: SetDeadline,
        address: Address,
        ports: range | None,
        timeout: float,
        scope: int = 0,
        advertised: Address | None = None,
        sockets: Sockets = HERE,
    ) -> None:
        """
        Listen.

        @param address: where to listen.
        @param ports: on which ports; L{None} for any.
        @param timeout: seconds that L{accept} waits.
        @param scope: the interface of a link-local address.
        @param advertised: what peers are told in place of the address.
        @param sockets: where the listener comes from.
        @raise LimitReached: it cannot be had.
        """
        self._watch = watch
        self._setDeadline = setDeadline
        self._timeout = timeout
        self._listening = bindWithin(socket.SOCK_STREAM, address, ports, scope, sockets)
        self.own = address
        self.told = (advertised or address, self._listening.getsockname()[1])
        self._watched = False
        self._deadline: Timer | None = None
        self.strangers = 0

    def accept(self, admits: Callable[[Address, int], bool]) -> Deferred[PlainOutlet]:
        """
        Wait for the one connection, and listen no longer.

        Other connections are closed at once.

        @param admits: whether this address and port are the peer.
        @return: fires with the connection; fails with L{ConnectFailed} when
            none came in time.
        """
        done: Deferred[PlainOutlet] = Deferred(lambda _: self.close())

        def ready(_: int) -> None:
            for _turn in range(_AT_ONCE):
                try:
                    connection, name = accept(self._listening, self._listening.family)
                except OSError:
                    # None waits (any more).
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
                done.callback(outletOf(connection, self._watch, peer, name[1]))
                return

        def expired() -> None:
            self.close()
            done.errback(
                ConnectFailed(
                    "no peer came in time", Reply.HOST_UNREACHABLE, "bind-timeout"
                )
            )

        self._watch.add(self._listening.fileno(), READ, ready)
        self._watched = True
        self._deadline = self._setDeadline(self._timeout, expired)
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
