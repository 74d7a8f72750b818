"""
What waits to be sent on a connection, and who writes it.
"""

from __future__ import annotations

from collections import deque
from typing import final

from socksgw.system.connection import Producer

__all__ = ["Backlog"]


@final
class Backlog:
    """
    Octets in the order in which they are to be sent, and what produces them.

    The producer is paused as long as there are any.

    @ivar parts: what waits; whoever sends takes it from here.
    """

    __slots__ = ("_paused", "_producer", "parts")

    def __init__(self) -> None:
        self.parts: deque[bytes | memoryview] = deque()
        self._producer: Producer | None = None
        self._paused = False

    def register(self, producer: Producer) -> None:
        """Have a producer paused and resumed from now on."""
        self._producer = producer

    def unregister(self) -> None:
        """Forget the producer."""
        self._producer = None
        self._paused = False

    def filled(self) -> None:
        """Pause the producer: something waits."""
        if self._producer is not None and not self._paused:
            self._paused = True
            self._producer.pauseProducing()

    def drained(self) -> None:
        """Resume the producer: nothing waits any longer."""
        if self._paused:
            self._paused = False
            if self._producer is not None:
                self._producer.resumeProducing()

    def drop(self) -> None:
        """Forget what waits: it cannot be sent any more."""
        self.parts.clear()

    def lost(self) -> None:
        """Forget everything, and tell the producer that the connection is gone."""
        self.parts.clear()
        self._paused = False
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.stopProducing()
