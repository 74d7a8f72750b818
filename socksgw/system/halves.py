"""
The two halves of a connection: what the peer sends, and what is sent to it.

Each ends by itself. The relay has its own two (L{socksgw.relay.halves}): there a
half ends when the other connection has taken the last octet.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final

from socksgw.system.watch import GONE, READ

__all__ = ["WATCHED", "Incoming", "Outgoing"]


class Incoming(Enum):
    """
    What becomes of the octets that the peer sends.

    UNREAD → OPEN ⇄ PAUSED → DEPARTED → OPEN → ENDED. From every state the
    connection can be lost, which is ENDED.
    """

    UNREAD = "nobody reads here: not yet, or whoever has the socket does"
    OPEN = "they are read"
    PAUSED = "they wait in the kernel, and the peer's end is watched for"
    DEPARTED = "they wait, and the receiver knows that the peer has ended its side"
    ENDED = "there are no more"

    # Each is one object: L{Enum} would hash its name, by a call.
    __hash__ = object.__hash__


class Outgoing(Enum):
    """
    How far our side is from its end.

    OPEN → ENDING → ENDED, or by way of CLOSING or CUTTING to the end of the whole
    connection. From every state the peer can break it.
    """

    OPEN = "octets are taken"
    ENDING = "our side ends after what waits"
    CLOSING = "the connection closes after what waits"
    CUTTING = "the connection closes after what waits, and not as if in order"
    ENDED = "our side has ended"
    BROKEN = "the peer takes nothing any more"

    __hash__ = object.__hash__


#: What is watched for in each state. Errors and hang-ups are always told.
WATCHED: Final[Mapping[Incoming, int]] = {
    Incoming.UNREAD: 0,
    Incoming.OPEN: READ,
    Incoming.PAUSED: GONE,
    Incoming.DEPARTED: 0,
    Incoming.ENDED: 0,
}
