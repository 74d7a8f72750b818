"""
One name server: how it is asked, and what is known of it.
"""

from __future__ import annotations

import socket
from typing import Any, Final, Protocol, final

from attrs import frozen

from socksgw.interfaces import SetDeadline
from socksgw.route.dnstransport import SocketAddress, socketAddress
from socksgw.system.domains import Sockets
from socksgw.system.watch import Watcher
from socksgw.wire.address import Address

__all__ = ["Server", "ServerSettings", "Servers", "Stoppable", "parseServer"]

#: Seconds that the first server has before the next is asked, at most.
_PATIENCE: Final = 1.0


def parseServer(text: str) -> tuple[str, int]:
    """
    Return the address and port of a DNS server.

    @param text: C{"9.9.9.9"}, C{"9.9.9.9:5353"} or C{"[2620:fe::fe]:53"}, say.
    @raise ValueError: it is none of these.
    """
    host, port = text, "53"
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise ValueError('must be "[address]" or "[address]:port"')
        port = rest[1:] if rest else port
    elif text.count(":") == 1:
        host, port = text.split(":")
    if not (port.isascii() and port.isdigit() and 1 <= int(port) <= 65535):
        raise ValueError("the port is not within 1 to 65535")
    return Address.parse(host).text, int(port)


@frozen
class ServerSettings:
    """
    Which servers are asked, and how.

    @ivar servers: their addresses, which may have zone ids, and ports.
    @ivar rounds: how often each is asked.
    @ivar patience: seconds that one has, at most, before the next is asked.
    @ivar rotate: whether look-ups begin with one after another.
    @ivar stream: whether TCP is used from the start.
    @ivar edns: whether EDNS is used (RFC 6891).
    @ivar single: whether each question has a socket of its own.
    """

    servers: tuple[tuple[str, int], ...]
    rounds: int = 2
    patience: float = _PATIENCE
    rotate: bool = False
    stream: bool = False
    edns: bool = True
    single: bool = False

    @property
    def apart(self) -> bool:
        """Tell whether no two questions are asked by one socket."""
        return self.single or self.stream


@final
class Server:
    """
    One server, and what is known of it.

    @ivar name: for the log.
    @ivar edns: whether it is asked with EDNS.
    @ivar spoken: whether it has ever answered a question with EDNS.
    @ivar heard: when it answered last, in monotonic seconds.
    @ivar resting: when it is to be probed; L{None} while it works.
    @ivar probing: whether it is being probed.
    """

    __slots__ = ("edns", "heard", "name", "probing", "resting", "spoken", "where")

    def __init__(self, host: str, port: int, edns: bool) -> None:
        self.name = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self.where: tuple[socket.AddressFamily, SocketAddress]
        self.where = socketAddress(host, port)
        self.edns = edns
        self.spoken = False
        self.heard = float("-inf")
        self.resting: float | None = None
        self.probing = False


class Stoppable(Protocol):
    """What is being asked."""

    def stop(self) -> None:
        """End it."""


class Servers(Protocol):
    """
    What a question needs of all servers.

    @ivar patience: seconds that one has before the next is asked.
    @ivar timeout: seconds that a look-up has in all.
    @ivar setDeadline: bounds the servers' time.
    @ivar live: what is being asked.
    @ivar sockets: where sockets to the servers come from.
    """

    sockets: Sockets
    reactor: Any
    watch: Watcher
    setDeadline: SetDeadline
    settings: ServerSettings
    patience: float
    timeout: float
    live: set[Stoppable]

    def answered(self, server: Server) -> None:
        """Note that a server has answered."""

    def missed(self, server: Server, since: float) -> None:
        """
        Note that a server has not answered a question.

        @param since: when it was asked, in monotonic seconds.
        """

    def refused(self, server: Server) -> None:
        """Note that a server cannot be reached."""

    def probed(self, server: Server, answered: bool) -> None:
        """Note what came of a probe."""
