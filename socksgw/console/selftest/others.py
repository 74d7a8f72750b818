"""
What is tried beside CONNECT with the product's own client; BIND.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Any, Final

from socksgw.client.dialling import protected
from socksgw.client.errors import ProxyError, ProxyRefused
from socksgw.console.selftest.connecting import (
    LOOPBACK,
    TEXT,
    Entered,
    Means,
    Unwanted,
    enters,
    oursFor,
    refused,
    taken,
    whereOf,
)
from socksgw.console.selftest.datagrams import associates, groups
from socksgw.console.selftest.places import Place
from socksgw.console.selftest.witness import Expected
from socksgw.interfaces import Answer, ProbeFailed
from socksgw.wire.address import Address

__all__ = ["othersOf"]


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
        return refused(entered, name, "bind", e)
    try:
        place = whereOf(entered, *binding.bound)
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


def _isLiteral(where: Any) -> bool:
    try:
        Address.parse(where[0])
    except ValueError:
        return False
    return isinstance(where, tuple)


#: By protocol.
_OTHERS: Final[dict[str, tuple[Callable[..., Any], ...]]] = {
    "socks5": (binds, associates),
    "socks4": (binds,),
    "socks6": (binds, associates),
}


def othersOf(protocol: str, place: Place) -> Iterator[Callable[..., Any]]:
    """Yield what is tried in a protocol."""
    yield from _OTHERS.get(protocol, ())
    if protocol == "socks5" and place.grouped:
        yield groups
