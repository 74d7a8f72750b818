"""
The figures of one relay.
"""

from __future__ import annotations

from typing import Final, Protocol, final

from socksgw.relay.relay import Relay

__all__ = ["MOVED", "Tally"]


class _Moving(Protocol):
    """What counts octets while it lasts."""

    @property
    def moved(self) -> tuple[int, int]: ...


#: In the place of how a relay ended: another process goes on with it.
MOVED: Final = "moved"


@final
class Tally:
    """
    Tell what a relay or an association moved, and how it ended.

    @ivar sent: octets from the client to the destination.
    @ivar received: octets from the destination to the client.
    @ivar strangers: datagrams of an association that others than the client and its
        destinations sent.
    @ivar reason: why it ended, a fixed word; empty while it has not.
    @ivar reset: whether the client is to be closed with a reset.
    @ivar further: what came of the client already behind its request, where it may
        make another one; L{None} where the connection ends with this one.
    @ivar lingering: whether the client has an answer, and may still be sending.
    @ivar relay: the relay while it lasts, so that other allowances can be given to
        it (L{Relay.limit}); L{None} of an association.
    @ivar flows: what counts the datagrams of an association while it lasts.
    """

    __slots__ = (
        "flows",
        "further",
        "lingering",
        "reason",
        "received",
        "relay",
        "reset",
        "sent",
        "strangers",
    )

    def __init__(self) -> None:
        self.sent = 0
        self.received = 0
        self.strangers = 0
        self.reason = ""
        self.reset = False
        self.further: bytes | None = None
        self.lingering = False
        self.relay: Relay | None = None
        self.flows: _Moving | None = None

    @property
    def moved(self) -> tuple[int, int]:
        """The octets so far from the client to the destination, and back."""
        sent, received = self.sent, self.received
        relay = self.relay
        if relay is not None:
            return sent + relay.client.moved, received + relay.destination.moved
        return (sent, received) if self.flows is None else self.flows.moved
