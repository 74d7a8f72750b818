"""
Which command a request names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from socksgw.errors import CommandNotSupported
from socksgw.session.command import Command
from socksgw.session.datagrams import Associate, Tunnelled
from socksgw.session.lookups import Resolve, ResolvePtr
from socksgw.session.streams import Bind, Connect
from socksgw.wire.codes import SOCKS4
from socksgw.wire.codes import Command as Code
from socksgw.wire.events import Requested

__all__ = ["commandFor"]

_SOCKS5: Final[Mapping[int, Command]] = {
    Code.CONNECT: Connect(),
    Code.BIND: Bind(),
    Code.UDP_ASSOCIATE: Associate(),
    Code.RESOLVE: Resolve(),
    Code.RESOLVE_PTR: ResolvePtr(),
}
_SOCKS4: Final[Mapping[int, Command]] = {
    Code.CONNECT: Connect(),
    Code.BIND: Bind(),
    Code.RESOLVE: Resolve(),
}
_TUNNELS: Final[Mapping[int, Tunnelled]] = {
    Code.UDP_IN_TCP: Tunnelled("hev"),
    Code.UDP_TUNNEL: Tunnelled("gost"),
}


def commandFor(request: Requested, tunnels: frozenset[str]) -> Command:
    """
    Return the command that a request names.

    @param tunnels: the framings of UDP in TCP that the listener allows.
    @raise CommandNotSupported: there is no such command here.
    """
    known = _SOCKS4 if request.version == SOCKS4 else _SOCKS5
    command: Command | None = known.get(request.command)
    if command is None and request.version != SOCKS4:
        tunnel = _TUNNELS.get(request.command)
        if tunnel is not None and tunnel.framing in tunnels:
            command = tunnel
    if command is None:
        raise CommandNotSupported("there is no such command here")
    return command
