"""
What all relays of a generation share.
"""

from __future__ import annotations

from typing import final

from socksgw.interfaces import SetDeadline
from socksgw.relay.memory import Memory, Pipes
from socksgw.system.watch import Watcher

__all__ = ["RelaySettings"]


@final
class RelaySettings:
    """
    What all relays of a generation share.

    @ivar watch: tells when sockets are ready.
    @ivar setDeadline: sets deadlines.
    @ivar memory: the budget for what is held.
    @ivar pipes: the pipes for splice(2).
    @ivar idle: seconds without an octet after which a relay ends.
    """

    __slots__ = ("idle", "memory", "pipes", "setDeadline", "watch")

    def __init__(
        self,
        watch: Watcher,
        setDeadline: SetDeadline,
        memory: Memory,
        pipes: Pipes,
        idle: float,
    ) -> None:
        self.watch = watch
        self.setDeadline = setDeadline
        self.memory = memory
        self.pipes = pipes
        self.idle = idle

    def idling(self, idle: float) -> RelaySettings:
        """Return the same with another idle time."""
        return RelaySettings(
            self.watch, self.setDeadline, self.memory, self.pipes, idle
        )
