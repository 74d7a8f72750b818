"""
The layer that asks the kernel whether a client has come in by IPsec.

The rules of the firewall (C{socksgw client-config ipsec}) give packets of IPsec a mark,
and no others. A socket that is accepted has the mark of the packet that opened it
(C{net.ipv4.tcp_fwmark_accept}), which everybody may read (C{SO_MARK}, socket(7)). It
speaks of that packet alone: so the rules drop what comes later without IPsec, and so
does a filter on the socket.
"""

from __future__ import annotations

import socket
from typing import Final, final

from socksgw.accept.layers import Client, Upwards
from socksgw.errors import LimitReached
from socksgw.system.bpf import admitMarked
from socksgw.system.connection import Connection

__all__ = ["IPsecLayer"]

_UNFILTERED: Final = (
    "the kernel takes no filter for its socket: what comes without IPsec could not be "
    "told from what comes by it"
)


@final
class IPsecLayer:
    """
    The mark of IPsec as a layer, the lowest of all.

    It changes nothing for clients that come without.
    """

    __slots__ = ("_mark",)

    def __init__(self, mark: int) -> None:
        """
        Take the mark.

        @param mark: C{listen.ipsec_mark}: one bit.
        """
        self._mark = mark

    def over(
        self, below: Connection, client: Client, upwards: Upwards, early: bytes
    ) -> None:
        """As L{socksgw.accept.layers.Layer.over}."""
        accepted = below.plain
        if accepted is None or not self._isMarked(accepted):
            upwards(below, early)
        elif admitMarked(accepted, self._mark):
            client.ipsec = self._mark
            upwards(below, early)
        else:
            client.end(LimitReached(_UNFILTERED, reason="resources"))

    def _isMarked(self, accepted: socket.socket) -> bool:
        mark = accepted.getsockopt(socket.SOL_SOCKET, socket.SO_MARK)
        return bool(mark & self._mark)
