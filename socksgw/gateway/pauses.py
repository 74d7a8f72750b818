"""
Pauses of accepting: while clients are as many as the descriptors allow, and
after the system has had none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, final

from twisted.logger import Logger

from socksgw.accept.admission import Census
from socksgw.gateway.listeners import Listeners
from socksgw.interfaces import SetDeadline
from socksgw.system.once import Seldom

__all__ = ["Pauses"]

_log = Logger()

#: Seconds of a pause when the system, rather than our own count, says that
#: there are no descriptors.
_REST: Final = 0.5
#: Seconds between two lines in the log that tell of pauses.
_SAY: Final = 10.0


@final
class Pauses:
    """
    Pauses and resumes all listeners of a gateway, as the census says.
    """

    def __init__(
        self,
        census: Census,
        listeners: Listeners,
        clock: Callable[[], float],
        setDeadline: SetDeadline,
    ) -> None:
        """
        @param clock: monotonic seconds.
        """
        self._census = census
        self._listeners = listeners
        self._clock = clock
        self._setDeadline = setDeadline
        self._said = Seldom(_SAY)
        census.pause = self._pause
        census.resume = self._resume

    def _pause(self) -> None:
        """
        Accept no client until one leaves; said at most every ten seconds.
        """
        self._listeners.pause()
        if self._said.due(self._clock()):
            _log.warn(
                "accepting rests: {clients} clients are as many as the descriptors "
                "allow (the limit is RLIMIT_NOFILE); {pauses} times so far",
                clients=self._census.clients,
                pauses=self._census.pauses,
            )

    def _resume(self) -> None:
        """
        Go on accepting; where the kernel has no memory for that, a little later.
        """
        try:
            self._listeners.resume()
        except (OSError, MemoryError) as e:
            # epoll_ctl(2): ENOMEM, ENOSPC.
            _log.error("accepting cannot go on yet: {why}", why=str(e))
            self.exhausted()

    def exhausted(self) -> None:
        """
        Pause for a moment: there was no descriptor for a client, or no memory.
        """
        self._census.exhausted()
        self._setDeadline(_REST, self._census.recovered)

    def join(self) -> None:
        """Have listeners that are new pause as the others do."""
        if self._census.paused:
            self._listeners.pause()
