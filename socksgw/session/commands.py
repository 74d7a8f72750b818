"""
Which command a request names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from socksgw.errors import CommandNotSupported
from socksgw.session.command import Command
from socksgw.session.datagrams import Associate, ConnectUDP, Diverted, Inside, Tunnelled
from socksgw.session.forwarding import Forward
from socksgw.session.lookups import Resolve, ResolvePtr
from socksgw.session.multicast import Multicast
from socksgw.session.noop import Noop
from socksgw.session.streams import CONNECT, Bind

__all__ = ["commandFor"]

#: By the words that dialects have for them (L{socksgw.wire.dialect.Dialect}).
_COMMANDS: Final[Mapping[str, Command]] = {
    "noop": Noop(),
    "connect": CONNECT,
    "forward": Forward(),
    "bind": Bind(),
    "udp": Associate(),
    "multicast": Multicast(),
    "resolve": Resolve(),
    "resolve-ptr": ResolvePtr(),
    "udp-inside": Inside(),
    "hev": Tunnelled("hev"),
    "gost": Tunnelled("gost"),
    "diverted": Diverted(),
    "connect-udp": ConnectUDP(),
}


def commandFor(known: Mapping[int, str], code: int, tunnels: frozenset[str]) -> Command:
    """
    Return the command that a request names.

    @param known: the words of the client's protocol for its commands.
    @param code: the command's number there.
    @param tunnels: the framings of UDP in TCP that the listener allows.
    @raise CommandNotSupported: there is no such command here.
    """
    word = known.get(code)
    reason = None
    if word is not None:
        command = _COMMANDS[word]
        if not command.tunnel or command.tunnel in tunnels:
            return command
        reason = command.unserved
    raise CommandNotSupported("there is no such command here", reason=reason)
