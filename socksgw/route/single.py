"""
One non-blocking connect to one address, which is most of all there are.

Several addresses of one destination are raced (L{socksgw.route.race}).
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from typing import Final, final

from socksgw.errors import ConnectFailed, SocksError
from socksgw.interfaces import SetDeadline, Timer
from socksgw.route.failures import failureFor
from socksgw.route.outlet import PlainOutlet, outletOf
from socksgw.route.probe import isSourceless
from socksgw.system.domains import HERE, Sockets
from socksgw.system.sockets import FAMILIES, bare, keepAlive, quick
from socksgw.system.watch import DUPLEX, FAILED, WRITE, Watcher
from socksgw.wire.address import Address
from socksgw.wire.codes import Reply

__all__ = ["DECIDED", "UNDER_WAY", "Single", "connected", "late"]

#: The events of a connect that succeeded or failed.
DECIDED: Final = WRITE | FAILED
_STREAM: Final = socket.SOCK_STREAM
UNDER_WAY: Final = (errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EALREADY)


def late() -> ConnectFailed:
    """Return the failure of a connect that was not decided in time."""
    return ConnectFailed("no answer in time", Reply.HOST_UNREACHABLE, "connect-timeout")


def connected(
    dialled: socket.socket,
    watch: Watcher,
    address: Address,
    port: int,
    events: int,
    alive: bool = True,
) -> PlainOutlet:
    """
    Return the connection that a connect has led to.

    @param events: what was told of the socket, which is registered for L{DUPLEX}, and
        stays so.
    @param alive: whether a silent peer is to be asked whether it is still there.
    @raise OSError: it has failed; the socket is closed then.
    """
    code = 0
    try:
        if events & FAILED:
            code = dialled.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if not code:
            quick(dialled)
            if alive:
                keepAlive(dialled)
            outlet = outletOf(dialled, watch, address, port, events)
            bound, number = outlet.bound
            if number != port or bound.packed != address.packed:
                return outlet
            # The kernel has connected the socket to itself.
            code = errno.ECONNREFUSED
    except OSError as e:
        # It is not known whether it is connected.
        code = e.errno or errno.EINVAL
    watch.closing(dialled.fileno())
    dialled.close()
    raise OSError(code, "")


def _nothing(_: object) -> None:
    """Stand for a call that was made, or is not to be made any more."""


@final
class Single:
    """
    One attempt at one address.

    Exactly one of its two calls is made, unless it is cancelled, and none before
    L{start} has returned.
    """

    __slots__ = (
        "_alive",
        "_connected",
        "_deadline",
        "_failed",
        "_socket",
        "_watch",
        "address",
        "port",
    )

    def __init__(
        self,
        watch: Watcher,
        address: Address,
        port: int,
        connected: Callable[[PlainOutlet], None],
        failed: Callable[[SocksError], None],
        alive: bool = True,
    ) -> None:
        """
        Begin nothing yet.

        @param connected: called with the connection.
        @param failed: called with the failure.
        @param alive: as of L{connected}.
        """
        self._alive = alive
        self._watch = watch
        self.address = address
        self.port = port
        self._connected = connected
        self._failed = failed
        self._deadline: Timer | None = None
        self._socket: socket.socket | None = None

    def start(self, sockets: Sockets, seconds: float, setDeadline: SetDeadline) -> None:
        """
        Begin to connect.

        @param sockets: where the socket comes from.
        @param seconds: after which there is to be a connection.
        @raise SocksError: it has failed already.
        @raise BlockingIOError: no socket is at hand.
        """
        address = self.address
        dialled = None
        try:
            family = FAMILIES[address.version]
            # What most leave by has a socket at hand at any time.
            dialled = bare(family) if sockets is HERE else sockets.open(family, _STREAM)
            code = dialled.connect_ex((address.text, self.port))
            if code == 0 or code in UNDER_WAY:
                self._watch.add(dialled.fileno(), DUPLEX, self._decided)
                self._socket = dialled
                self._deadline = setDeadline(seconds, self._expired)
                return
        except BlockingIOError:
            raise
        except OSError as e:
            # No descriptor, or no such family here.
            code = e.errno or errno.EINVAL
        if dialled is not None:
            dialled.close()
            if code == errno.EADDRNOTAVAIL and isSourceless(address, sockets):
                code = errno.ENETUNREACH
        raise failureFor(code)

    def _decided(self, events: int) -> None:
        if not events & DECIDED:
            return
        succeeded, failed = self._connected, self._failed
        dialled = self._let()
        outlet, code = None, 0
        try:
            outlet = connected(
                dialled, self._watch, self.address, self.port, events, self._alive
            )
        except OSError as e:
            code = e.errno or errno.EINVAL
        # Not within the handler: what is raised from here on has causes of its own.
        if outlet is None:
            failed(failureFor(code))
        else:
            succeeded(outlet)

    def _let(self) -> socket.socket:
        """
        Let go of the socket: nothing is waited for any more.

        What is called usually keeps the attempt, which does not refer to it any more.
        """
        dialled, self._socket = self._socket, None
        self._connected = self._failed = _nothing
        assert dialled is not None
        assert self._deadline is not None
        self._deadline.clear()
        return dialled

    def _close(self) -> None:
        dialled = self._let()
        self._watch.closing(dialled.fileno())
        dialled.close()

    def _expired(self) -> None:
        failed = self._failed
        self._close()
        failed(late())

    def cancel(self) -> None:
        """Give the attempt up; no effect when it is decided."""
        if self._socket is not None:
            self._close()
