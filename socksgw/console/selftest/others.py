"""
BIND and UDP ASSOCIATE with the product's own client.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import closing
from typing import Any, Final

from socksgw.client.dialling import protected
from socksgw.client.errors import CommandNotSupported, ProxyError, ProxyRefused
from socksgw.console.selftest.connecting import (
    LOOPBACK,
    TEXT,
    Entered,
    Means,
    Unwanted,
    enters,
    oursFor,
    taken,
)
from socksgw.console.selftest.witness import Expected
from socksgw.interfaces import Answer, ProbeFailed
from socksgw.system.sockets import FAMILIES
from socksgw.wire.address import UNSPECIFIED4, Address
from socksgw.wire.datagram import encodeDatagram, readDatagram
from socksgw.wire.protection import StreamProtection

__all__ = ["OTHERS"]

#: Seconds after which a datagram counts as denied: nobody is told of one.
_SILENT: Final = 3.0


async def binds(entered: Entered, means: Means) -> Answer | None:
    """
    Have the proxy await a connection of ours, and return what is to be told.

    @return: L{None} where this host is not offered the login, which is told elsewhere.
    @raise ProbeFailed: it does not work.
    """
    name = entered.named("BIND")
    ours = await means.aside(lambda: oursFor(entered.place))
    if ours == LOOPBACK and _isLiteral(entered.place.where):
        # The proxy's port may be on this address alone.
        ours = Address.parse(entered.place.where[0])
    try:
        link, binding = await enters(
            entered,
            means,
            Expected("bind", ours.text, 0),
            lambda proxy, link: proxy.bind(link, ours, 0),
        )
    except Unwanted:
        return None
    except ProxyRefused as e:
        return _refused(entered, name, "bind", e)
    try:
        place = _reached(entered, *binding.bound)
        peer = await means.aside(
            lambda: socket.create_connection(place, means.seconds, (ours.text, 0))
        )
        try:
            accepted = await binding.peer()
            protected(link, accepted).write(TEXT)
            came = await means.aside(lambda: taken(peer, means.seconds))
        finally:
            peer.close()
    except (OSError, ProxyError) as e:
        where = f"{place[0]} port {place[1]}"
        raise ProbeFailed(
            f"it listens at {where}, and no connection comes that way: {e}"
        ) from None
    finally:
        link.connection.abortConnection()
    if came != TEXT:
        raise ProbeFailed("what is sent does not arrive")
    return Answer(name, f"it listens at {place[0]}, and what is sent arrives")


async def associates(entered: Entered, means: Means) -> Answer | None:
    """
    Have the proxy relay a datagram to this host, and return what is to be told.

    @return: as of L{binds}.
    @raise ProbeFailed: it does not work.
    """
    name = entered.named("UDP ASSOCIATE")
    try:
        link, accepted = await enters(
            entered,
            means,
            Expected("udp", UNSPECIFIED4.text, 0),
            lambda proxy, link: proxy.associate(link),
        )
    except Unwanted:
        return None
    except ProxyRefused as e:
        return _refused(entered, name, "udp", e)
    try:
        relay = _reached(entered, *accepted.bound)
        guard = accepted.protection
        if isinstance(guard, StreamProtection):
            guard = None
        ours = await means.aside(lambda: oursFor(entered.place))
        with closing(socket.socket(FAMILIES[ours.version], socket.SOCK_DGRAM)) as own:
            own.bind((ours.text, 0))
            port = own.getsockname()[1]
            octets = encodeDatagram(ours, port, TEXT)
            if guard is not None:
                octets = guard.wrapDatagram(octets)
            seconds = min(_SILENT, means.seconds)
            came = await means.aside(lambda: _echoed(own, relay, octets, seconds))
        if came and guard is not None:
            came = guard.unwrapDatagram(came)
    finally:
        link.connection.abortConnection()
    if not came:
        return Answer(
            name,
            f"it associates; a datagram to {ours.text} port {port} does not come back",
            "warning",
            "rules decide each destination: allow udp to it to try that, too",
        )
    if readDatagram(came).payload != TEXT:
        raise ProbeFailed("what is sent comes back as something else")
    return Answer(name, "it relays a datagram, and its answer")


def _echoed(
    own: socket.socket, relay: tuple[str, int], octets: bytes, seconds: float
) -> bytes:
    """
    Send a datagram by a relay, answer it, and return what comes back; empty for nothing.
    """
    family = FAMILIES[Address.parse(relay[0]).version]
    own.settimeout(seconds)
    with socket.socket(family, socket.SOCK_DGRAM) as client:
        client.settimeout(seconds)
        client.connect(relay)
        try:
            client.send(octets)
            came, sender = own.recvfrom(1 << 16)
            own.sendto(came, sender)
            return client.recv(1 << 16)
        except OSError:
            # In time there was nothing, or the relay's port has closed.
            return b""


def _isLiteral(where: Any) -> bool:
    try:
        Address.parse(where[0])
    except ValueError:
        return False
    return isinstance(where, tuple)


def _reached(entered: Entered, host: Address, port: int) -> tuple[str, int]:
    """Return where a port of the proxy is reached that it has told."""
    where = entered.place.where
    if host.isUnspecified:
        return (where[0] if isinstance(where, tuple) else LOOPBACK.text), port
    return host.text, port


def _refused(entered: Entered, name: str, command: str, error: ProxyRefused) -> Answer:
    if isinstance(error, CommandNotSupported):
        return Answer(name, f"it does not have it here: {error}")
    commands = entered.place.commands
    if commands is not None and command not in commands:
        return Answer(name, f"it refuses, as no rule allows it: {error}")
    return Answer(
        name,
        f"it answers and refuses this host: {error}",
        "warning",
        "ask why: socksgw explain, or the journal",
    )


#: What is tried beside CONNECT, by protocol.
OTHERS: Final[dict[str, tuple[Callable[..., Any], ...]]] = {
    "socks5": (binds, associates),
    "socks4": (binds,),
}
