"""
Sockets for datagrams whose client wants to hear what ICMP tells of them.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Container
from typing import Any, final

from socksgw.system.icmp import hear, tidings
from socksgw.wire.address import Address
from socksgw.wire.association import Unreached, errorCode

__all__ = ["Report", "Reporting"]

#: Takes what ICMP has told.
Report = Callable[[Unreached], None]


@final
class Reporting:
    """
    One socket, which is itself what its flows are sent by.
    """

    __slots__ = ("_peers", "_ready", "_report", "_socket")

    def __init__(
        self,
        made: socket.socket,
        peers: Container[Any],
        report: Report,
        ready: Callable[[int], None],
    ) -> None:
        """
        Have the socket hear what ICMP tells.

        @param peers: the destinations of its flows, each a host as text and a port:
            what is told of others is told by nobody's leave.
        @param ready: takes the datagrams that have come.
        @raise OSError: the kernel does not do it.
        """
        hear(made)
        self._socket = made
        self._peers = peers
        self._report = report
        self._ready = ready

    def sendto(self, payload: Any, to: Any) -> None:
        """As L{socksgw.relay.flow.Sender.sendto}."""
        try:
            self._socket.sendto(payload, to)
        except OSError:
            # It may tell of another datagram, and once: then this one was not sent.
            self._socket.sendto(payload, to)

    def ready(self, events: int) -> None:
        """Tell what ICMP has told, and take the datagrams that have come."""
        for told in tidings(self._socket):
            if (told.host, told.port) not in self._peers:
                continue
            code = errorCode(told.version, told.kind, told.code)
            if code is None:
                continue
            packed = socket.inet_pton(self._socket.family, told.host)
            reporter = Address(told.reporter)
            self._report(Unreached(Address(packed), told.port, reporter, code))
        self._ready(events)
