"""
Keep-alive for destinations of sessions that last.

Most sessions are over in less than a minute, and need none.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, final

from socksgw.gateway.parts import Part
from socksgw.gateway.sessions import Sessions
from socksgw.relay.splice import SpliceRelay
from socksgw.relay.stream import StreamRelay
from socksgw.system.sockets import keepAlive

__all__ = ["Awake"]

#: Seconds of a session after which its destination's connection has keep-alive; well
#: before the kernel would ask first.
_LASTING: Final = 60.0
#: Seconds between two looks.
_EVERY: Final = 10.0


@final
class Awake(Part):
    """
    Has silent destinations asked whether they are still there, once a session lasts.

    Clients are asked from the beginning: their sockets have that of the one that
    listens, without a system call.
    """

    named = "keep-alive"

    def __init__(self, sessions: Sessions, clock: Callable[[], float]) -> None:
        """
        @param clock: monotonic seconds.
        """
        self._sessions = sessions
        self._clock = clock
        # Sessions that have begun until then are seen to.
        self._until = -math.inf

    def look(self) -> None:
        """As L{Part.look}."""
        until = self._clock() - _LASTING
        before = self._until
        if until - before < _EVERY:
            return
        self._until = until
        for session in self._sessions:
            if before < session.record.began <= until and session.tally is not None:
                relay = session.tally.relay
                if isinstance(relay, SpliceRelay):
                    keepAlive(relay.destination.socket)
                elif isinstance(relay, StreamRelay):
                    plain = relay.destination.connection.plain
                    if plain is not None:
                        keepAlive(plain)
