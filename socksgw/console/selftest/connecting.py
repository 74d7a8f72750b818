"""
Connect through a proxy with the product's own client, as users do.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from contextlib import closing
from typing import Any, NamedTuple

from socksgw.client.dialling import dialled, through
from socksgw.client.errors import (
    LoginFailed,
    LoginWanted,
    NoMethodAccepted,
    ProxyError,
    ProxyRefused,
)
from socksgw.client.kinds import proxyOf
from socksgw.console.selftest.places import KINDS, Place
from socksgw.interfaces import Answer, ProbeFailed
from socksgw.system.watch import Watcher
from socksgw.wire.address import Address

__all__ = ["Means", "connects"]

_TEXT = b"socksgw selftest"


class Means(NamedTuple):
    """
    What connections are tried with.

    @ivar watch: watches sockets.
    @ivar aside: does in a thread what blocks.
    @ivar login: how to log in; L{None} for not.
    @ivar user: who that is, for people.
    @ivar target: the destination; L{None}: a listener of ours, by loopback.
    @ivar seconds: that a connection may take.
    """

    watch: Watcher
    aside: Callable[[Callable[[], Any]], Awaitable[Any]]
    login: Any
    user: str
    target: tuple[Address | str, int] | None
    seconds: float


async def connects(place: Place, protocol: str, tls: Any, means: Means) -> Answer:
    """
    Connect, and return what is to be told.

    @param protocol: of the place.
    @param tls: to the place (L{socksgw.system.tlsclient.ClientTLS}); L{None} for none.
    @raise ProbeFailed: it does not work.
    """
    if means.target is not None:
        return await _tried(place, protocol, tls, means, *means.target, None)
    with closing(socket.create_server(("127.0.0.1", 0))) as own:
        own.settimeout(means.seconds)
        host, port = own.getsockname()
        return await _tried(place, protocol, tls, means, Address.parse(host), port, own)


async def _tried(
    place: Place,
    protocol: str,
    tls: Any,
    means: Means,
    host: Address | str,
    port: int,
    own: socket.socket | None,
) -> Answer:
    name = f"{protocol}: CONNECT by socksgw's own client"
    login = None if protocol == "socks4" else means.login
    if login is not None:
        name += f", as {means.user}"
    shown = host.text if isinstance(host, Address) else host

    async def dial() -> socket.socket:
        where = place.where

        def work() -> socket.socket:
            if isinstance(where, tuple):
                return dialled(*where, means.seconds)
            made = socket.socket(socket.AF_UNIX)
            try:
                made.connect(where)
            except OSError:
                made.close()
                raise
            made.setblocking(False)
            return made

        found: socket.socket = await means.aside(work)
        return found

    logins = () if login is None else (login,)
    try:
        proxy = proxyOf(KINDS[protocol], *logins)
        connection, _ = await through(dial, means.watch, tls, proxy, host, port)
    except ProxyRefused as e:
        return _refused(name, f"{shown} port {port}: {e}", own is not None)
    except (LoginWanted, NoMethodAccepted):
        if login is not None:
            # It may let everybody in.
            alone = means._replace(login=None)
            return await _tried(place, protocol, tls, alone, host, port, own)
        return Answer(
            name,
            "not tried: a login is wanted",
            "warning",
            "name a user of the proxy: --user and --password-file",
        )
    except LoginFailed as e:
        raise ProbeFailed(str(e), "are --user and the password right?") from None
    except ProxyError as e:
        raise ProbeFailed(str(e), "does the gateway run there?") from None
    try:
        if own is None:
            return Answer(name, f"it connects to {shown} port {port}")
        connection.write(_TEXT)
        came = await means.aside(lambda: _taken(own))
    finally:
        connection.abortConnection()
    if came != _TEXT:
        raise ProbeFailed("what is sent does not arrive")
    return Answer(name, "it connects, and what is sent arrives")


def _refused(name: str, why: str, own: bool) -> Answer:
    if own:
        return Answer(
            name,
            f"it answers and refuses this host, {why}",
            "warning",
            "name a destination that a rule allows: --target HOST:PORT",
        )
    return Answer(
        name, f"it refuses {why}", "failed", "ask why: socksgw explain, or the journal"
    )


def _taken(own: socket.socket) -> bytes:
    """Return what a connection to our listener brings first."""
    client, _ = own.accept()
    with client:
        client.settimeout(own.gettimeout())
        came = b""
        while len(came) < len(_TEXT) and (octets := client.recv(100)):
            came += octets
        return came
