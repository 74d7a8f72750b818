"""
One connection through a proxy, by a socket of this program's own.

A command needs no endpoint: this has each end of a connection by itself, also through
TLS and through the protection of a login.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from twisted.internet.error import ConnectError

from socksgw.client.errors import (
    LoginWanted,
    ProxyDistrusted,
    ProxyUnreachable,
    unreached,
)
from socksgw.client.link import ConnectionLink
from socksgw.client.proxy import Accepted, Again
from socksgw.system.connection import Connection
from socksgw.system.plain import PlainConnection
from socksgw.system.protected import ProtectedConnection
from socksgw.system.sockets import keepAlive, quick
from socksgw.system.tlsfailed import TLSFailed
from socksgw.system.watch import Watcher
from socksgw.wire.address import Address

__all__ = ["dialled", "protected", "reached", "through"]

T = TypeVar("T")


def dialled(host: str, port: int, seconds: float) -> socket.socket:
    """
    Return a socket that is connected to a proxy. It blocks until then.

    @raise ProxyUnreachable: there is none.
    """
    try:
        found = socket.create_connection((host, port), seconds)
    except OSError as e:
        why = e.strerror or str(e)
        raise ProxyUnreachable(f"{host}:{port}: {why}") from None
    found.setblocking(False)
    quick(found)
    keepAlive(found)
    return found


async def through(
    dial: Callable[[], Awaitable[socket.socket]],
    watch: Watcher,
    tls: Any,
    proxy: Any,
    host: Address | str,
    port: int,
    certified: bool = False,
) -> tuple[Connection, bytes]:
    """
    Have a proxy connect to a destination.

    @param dial: as all others of L{reached}.
    @return: the connection, of which nothing is read, and what came behind the reply.
    @raise ProxyError: it does not connect. Nothing is left open then.
    """
    link, accepted = await reached(
        dial,
        watch,
        tls,
        proxy,
        lambda proxy, link: proxy.connect(link, host, port),
        certified,
    )
    return protected(link, accepted), link.surplus


async def reached(
    dial: Callable[[], Awaitable[socket.socket]],
    watch: Watcher,
    tls: Any,
    proxy: Any,
    ask: Callable[[Any, ConnectionLink], Awaitable[T]],
    certified: bool = False,
    preface: Callable[[Any], bytes] | None = None,
) -> tuple[ConnectionLink, T]:
    """
    Ask a proxy for something.

    @param dial: makes a socket that is connected to the proxy.
    @param tls: to the proxy (L{socksgw.system.tlsclient.ClientTLS}); L{None} for none.
    @param ask: asks a proxy by a link.
    @param certified: whether the client's certificate is its login: the proxy has to
        ask for it.
    @param preface: returns what is said first on a connection, inside TLS; L{None} for
        nothing.
    @return: the link to the proxy, and the answer.
    @raise ProxyError: there is no answer that grants it. Nothing is left open then.
    """
    while True:
        connection: Connection = PlainConnection(await dial(), watch)
        try:
            if tls is not None:
                connection = await _secured(tls, connection, certified)
            link = ConnectionLink(connection)
            if preface is not None:
                link.write(preface(connection))
            return link, await ask(proxy, link)
        except Again as e:
            connection.abortConnection()
            proxy = e.proxy
        except BaseException:
            connection.abortConnection()
            raise


def protected(link: ConnectionLink, accepted: Accepted) -> Connection:
    """
    Return the connection for what follows the proxy's reply; nothing reads it yet.

    @param link: the link to the proxy.
    @param accepted: the reply, with the protection that was agreed on.
    """
    if accepted.protection is None:
        return link.connection
    return ProtectedConnection(link.connection, accepted.protection, link, paused=True)


async def _secured(tls: Any, below: Connection, certified: bool) -> Connection:
    try:
        found = await tls.over(below)
    except TLSFailed as e:
        raise ProxyDistrusted(str(e)) from None
    except ConnectError as e:
        # The way to it has ended meanwhile.
        raise unreached(e) from None
    if certified and not found.shown:
        raise LoginWanted("the proxy has not asked for a certificate")
    connection: Connection = found
    return connection
