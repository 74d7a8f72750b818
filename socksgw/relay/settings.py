"""
What all relays of a generation share.
"""

from __future__ import annotations

from typing import Any, final

from socksgw.interfaces import SetDeadline
from socksgw.relay.memory import Memory, Pipes
from socksgw.system.watch import Watcher

__all__ = ["RelaySettings"]


@final
class RelaySettings:
    """
    Where relays get what they need.

    @ivar idle: seconds without an octet after which a relay ends.
    """

    __slots__ = ("idle", "memory", "pipes", "reactor", "setDeadline", "watch")

    def __init__(
        self,
        reactor: Any,
        watch: Watcher,
        setDeadline: SetDeadline,
        memory: Memory,
        pipes: Pipes,
        idle: float,
    ) -> None:
        self.reactor = reactor
        self.watch = watch
        self.setDeadline = setDeadline
        self.memory = memory
        self.pipes = pipes
        self.idle = idle

    def idling(self, idle: float) -> RelaySettings:
        """The same, with another idle time."""
        return RelaySettings(
            self.reactor, self.watch, self.setDeadline, self.memory, self.pipes, idle
        )
