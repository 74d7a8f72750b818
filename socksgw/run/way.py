"""
The way to the gateway, for sockets of a program and for those of its supervisor.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import socket
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, TypeVar, final

from twisted.internet.defer import CancelledError

from socksgw.client.dialling import protected, reached, through
from socksgw.client.errors import (
    ProtocolBroken,
    ProxyClosed,
    ProxyTimedOut,
    ProxyUnreachable,
)
from socksgw.client.link import ConnectionLink, Link
from socksgw.client.proxy import Accepted, Again, Proxy
from socksgw.interfaces import SetDeadline
from socksgw.system.connection import Connection
from socksgw.system.coroutines import Awaited, Running
from socksgw.system.sockets import keepAlive, quick
from socksgw.system.watch import READ, WRITE, Watcher
from socksgw.wire.address import Address
from socksgw.wire.codes import Command

__all__ = ["Way", "begun", "disconnect", "ready"]

T = TypeVar("T")

_libc: Final = ctypes.CDLL(None, use_errno=True)
#: AF_UNSPEC, as long as an address of IPv6.
_NOWHERE: Final = bytes(28)
_PENDING: Final = (errno.EINPROGRESS, errno.EALREADY)
_MAPPED: Final = "::ffff:"


async def ready(watch: Watcher, fd: int, events: int) -> None:
    """
    Wait until a descriptor is ready.

    @param events: what for: L{READ} or L{WRITE}.
    """
    waiting = Awaited[None]()

    def told(_: int) -> None:
        if not waiting.called:
            waiting.callback(None)

    watch.add(fd, events, told)
    try:
        await waiting
    finally:
        watch.remove(fd)


@final
class _OwnLink(Link):
    """
    A link on a socket of the program.

    It reads octet by octet: what is behind the gateway's reply is the program's.
    """

    __slots__ = ("_socket", "_watch")

    def __init__(self, own: socket.socket, watch: Watcher) -> None:
        super().__init__()
        self._socket = own
        self._watch = watch

    def write(self, octets: bytes) -> None:
        """As L{Link.write}: a message fits into the buffer of a new connection."""
        try:
            sent = self._socket.send(octets, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        except OSError as e:
            raise ProxyClosed(f"the proxy cannot be asked: {e.strerror}") from None
        if sent < len(octets):
            raise ProxyClosed("the program has left its socket too small a buffer")

    def pause(self) -> None:
        """As L{Link.pause}: nothing is read that nobody awaits."""

    async def more(self) -> bytes:
        """As L{Link.more}."""
        while True:
            try:
                octet = self._socket.recv(1, socket.MSG_DONTWAIT)
            except BlockingIOError:
                await ready(self._watch, self._socket.fileno(), READ)
                continue
            except OSError as e:
                raise ProxyClosed(f"the proxy does not answer: {e.strerror}") from None
            if not octet:
                raise ProxyClosed("the proxy closed the connection without a reply")
            return octet


@final
class Way:
    """
    The way to a gateway.

    @ivar watch: tells when sockets are ready.
    @ivar host: the gateway's host, as the user named it.
    @ivar port: its port.
    """

    def __init__(
        self,
        watch: Watcher,
        setDeadline: SetDeadline,
        proxy: Proxy,
        place: tuple[str, int],
        tls: Any,
        certified: bool,
        logsIn: bool,
        naked: bool,
        seconds: float,
    ) -> None:
        """
        Look the gateway up.

        @param place: its host and port.
        @param tls: to it (L{socksgw.system.tlsclient.ClientTLS}); L{None} for none.
        @param certified: whether the client's certificate is its login.
        @param logsIn: whether the proxy is to be logged in to.
        @param naked: whether nothing stands between the octets and the wire once the
            gateway has replied.
        @param seconds: for all that comes before a connection is open.
        @raise ProxyUnreachable: there is no such host.
        """
        self.watch = watch
        self.host, self.port = place
        self._setDeadline = setDeadline
        self._proxy = proxy
        self._tls = tls
        self._certified = certified
        self._logsIn = logsIn
        self._naked = naked
        self._seconds = seconds
        try:
            found = socket.getaddrinfo(*place, type=socket.SOCK_STREAM)
        except OSError as e:
            why = e.strerror or str(e)
            raise ProxyUnreachable(f"{self.host}:{self.port}: {why}") from None
        self._addresses = [(each[0], each[4][0]) for each in found]

    def _addressesFor(self, own: socket.socket) -> list[str]:
        """Return where a socket of the program may connect to, by its family."""
        same = [str(host) for family, host in self._addresses if family == own.family]
        if own.family == socket.AF_INET6 and not own.getsockopt(
            socket.IPPROTO_IPV6, socket.IPV6_V6ONLY
        ):
            same += [
                f"{_MAPPED}{host}"
                for family, host in self._addresses
                if family == socket.AF_INET
            ]
        return same

    def suits(self, own: socket.socket) -> bool:
        """Return whether a socket of the program can be the connection itself."""
        return self._naked and bool(self._addressesFor(own))

    async def own(self, own: socket.socket, host: Address | str, port: int) -> None:
        """
        Connect a socket of the program to a destination (L{suits}).

        Nothing stands in its way afterwards.

        @raise ProxyError: it is not connected.
        """
        await self._timed(self._own(own, host, port))

    async def _own(self, own: socket.socket, host: Address | str, port: int) -> None:
        proxy: Any = self._proxy
        while True:
            await self._dialled(own, self._addressesFor(own))
            try:
                accepted = await proxy.connect(_OwnLink(own, self.watch), host, port)
                if accepted.protection is not None:
                    raise ProtocolBroken("the proxy protects what was to be in clear")
            except Again as e:
                proxy = e.proxy
                disconnect(own)
            except BaseException:
                # The program gets no connection to the gateway itself.
                disconnect(own)
                raise
            else:
                return

    async def open(self, host: Address | str, port: int) -> tuple[Connection, bytes]:
        """
        Connect to a destination by a socket of the supervisor.

        @return: the connection, of which nothing is read, and what came already.
        @raise ProxyError: it is not connected.
        """
        return await self._timed(
            through(
                self._dial,
                self.watch,
                self._tls,
                self._proxy,
                host,
                port,
                self._certified,
            )
        )

    async def inside(self) -> tuple[Connection, bytes]:
        """
        Open a connection that carries datagrams inside, in hev's framing.

        @return: as L{open}.
        @raise ProxyError: the gateway does not do that.
        """

        def ask(proxy: Proxy, link: Link) -> Awaitable[Accepted]:
            return proxy.associate(link, command=Command.UDP_IN_TCP)

        link, accepted = await self._asked(ask)
        return protected(link, accepted), link.surplus

    async def greet(self) -> None:
        """
        See whether the gateway is there, and log in if there is a login.

        Without one it is asked for nothing: a gateway records a client that greets it
        and goes.

        @raise ProxyError: it is not, or does not let the user in.
        """

        async def ask(proxy: Proxy, link: Link) -> None:
            if self._logsIn:
                await proxy.greet(link)

        link, _ = await self._asked(ask)
        link.connection.abortConnection()

    async def _asked(
        self, ask: Callable[[Any, ConnectionLink], Awaitable[T]]
    ) -> tuple[ConnectionLink, T]:
        """Ask by a socket of the supervisor (L{reached})."""
        return await self._timed(
            reached(
                self._dial, self.watch, self._tls, self._proxy, ask, self._certified
            )
        )

    async def _dial(self) -> socket.socket:
        failure = ProxyUnreachable(f"{self.host}:{self.port}: no address")
        for family, host in self._addresses:
            made = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            try:
                await self._dialled(made, [str(host)])
            except ProxyUnreachable as e:
                made.close()
                failure = e
            except BaseException:
                made.close()
                raise
            else:
                quick(made)
                keepAlive(made)
                return made
        raise failure

    async def _dialled(self, own: socket.socket, hosts: list[str]) -> None:
        """Connect a socket to the gateway, by the first address that answers."""
        for host in hosts:
            error = begun(own, (host, self.port))
            if error in _PENDING:
                await ready(self.watch, own.fileno(), WRITE)
                error = own.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if not error:
                return
        raise ProxyUnreachable(f"{self.host}:{self.port}: {os.strerror(error)}")

    async def _timed(self, coroutine: Coroutine[Any, Any, T]) -> T:
        running = Running(coroutine)
        deadline = self._setDeadline(self._seconds, running.cancel)
        try:
            return await running
        except CancelledError:
            raise ProxyTimedOut(
                f"the proxy has not answered in {self._seconds:g} seconds"
            ) from None
        finally:
            deadline.clear()


def begun(own: socket.socket, to: tuple[str, int]) -> int:
    """
    Begin to connect, and return the error number.

    The program's socket blocks again as it did before anything else is done: the
    mode is one of all who have the socket.
    """
    flags = fcntl.fcntl(own, fcntl.F_GETFL)
    if flags & os.O_NONBLOCK:
        return own.connect_ex(to)
    fcntl.fcntl(own, fcntl.F_SETFL, flags | os.O_NONBLOCK)
    try:
        return own.connect_ex(to)
    finally:
        fcntl.fcntl(own, fcntl.F_SETFL, flags)


def disconnect(own: socket.socket) -> None:
    """
    Have a socket be as one that was not connected yet (connect(2), AF_UNSPEC).

    @raise OSError: it cannot.
    """
    if _libc.connect(own.fileno(), _NOWHERE, len(_NOWHERE)):
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    # The kernel keeps that it was reset.
    own.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
