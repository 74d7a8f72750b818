"""
The layer of a transparent listener: it finds out where a client was going.

The kernel has diverted the client's connection, by a rule that changes its
destination (C{redirect}) or by one that leaves it as it is (C{tproxy}).
"""

from __future__ import annotations

import os
from typing import Final, final
from typing import Protocol as Seam

from socksgw.accept.layers import Client, Upwards
from socksgw.errors import ProtocolViolated
from socksgw.system.connection import Connection
from socksgw.system.owners import userOf
from socksgw.system.transparent import originalOf
from socksgw.wire.address import Address
from socksgw.wire.given import GivenConversation
from socksgw.wire.transparent import Transparent, connection

__all__ = ["DIRECT", "Host", "TRANSPARENT", "TransparentLayer", "undiverted"]

TRANSPARENT: Final = Transparent()
_UNKNOWN: Final = (
    "the kernel does not know where it was going: no redirect rule has changed its "
    "destination, or it is in a conntrack zone, or conntrack was flushed"
)
DIRECT: Final = (
    "it was going to the gateway's own listener: nothing has diverted it, or a rule "
    "diverts too much"
)

_OWN: Final = (
    "a program of the gateway's own user made it: the rules have to leave that user's "
    "connections alone (meta skuid), else each of the gateway's would come back to it"
)


def undiverted(why: str) -> ProtocolViolated:
    """Return the failure of a client that no rule has diverted."""
    return ProtocolViolated(f"not diverted: {why}", reason="not-diverted")


class Host(Seam):
    """What the layer needs to know of this host."""

    def isSelf(self, address: Address) -> bool:
        """Tell whether an address is this host's."""

    def isListener(self, address: Address, port: int) -> bool:
        """Tell whether the gateway listens at an address and port."""


@final
class TransparentLayer:
    """
    Where clients were going, by what the kernel says of their connections.
    """

    __slots__ = ("_host", "_redirected")

    def __init__(self, redirected: bool, host: Host) -> None:
        """
        Take the way by which clients are diverted.

        @param redirected: by C{redirect}; else by C{tproxy}.
        """
        self._redirected = redirected
        self._host = host

    def over(
        self, below: Connection, client: Client, upwards: Upwards, early: bytes
    ) -> None:
        """
        As L{socksgw.accept.layers.Layer.over}.

        The client's session begins at once, since the client may wait for its
        destination to speak first.
        """
        local = below.local[:2]
        found = local
        why = ""
        if self._redirected:
            accepted = below.plain
            known = None if accepted is None else originalOf(accepted)
            if known is None:
                why = _UNKNOWN
            else:
                found = known
                why = DIRECT if found == local else ""
        if not why and self._host.isListener(*found):
            why = DIRECT
        if not why and self._host.isSelf(client.source):
            # The client's socket is on this host, and connected to where it was going.
            if userOf((client.source, client.port), found) == os.geteuid():
                why = _OWN
        request = None if why else connection(*found)
        client.converse(GivenConversation(TRANSPARENT, request))
        upwards(below, early)
        if why:
            client.refused(undiverted(why))
        else:
            client.begin()
