"""
Pauses of accepting, while descriptors or memory are short.
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

#: Seconds of a pause after accept(2) has failed; one that the census asks for
#: lasts until clients leave.
_REST: Final = 0.5
#: Seconds between two log lines about pauses, at least.
_SAY: Final = 10.0


@final
class Pauses:
    """
    Pauses and resumes all listeners of a gateway, as its census asks.
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
        Stop accepting until clients leave; logged at most every ten seconds.
        """
        self._listeners.pause()
        if self._said.due(self._clock()):
            _log.warn(
                "accepting pauses: {clients} clients are as many as the descriptors "
                "allow (the limit is RLIMIT_NOFILE); {pauses} times so far",
                clients=self._census.clients,
                pauses=self._census.pauses,
            )

    def _resume(self) -> None:
        """
        Accept again; if the kernel has no memory for that, try a little later.
        """
        try:
            self._listeners.resume()
        except (OSError, MemoryError) as e:
            # epoll_ctl(2) may fail with ENOMEM or ENOSPC.
            _log.error("accepting cannot be resumed yet: {why}", why=str(e))
            self.exhausted()

    def exhausted(self) -> None:
        """
        Pause for a moment, after accept(2) had no descriptor or no memory.
        """
        self._census.exhausted()
        self._setDeadline(_REST, self._census.recovered)

    def join(self) -> None:
        """Pause listeners that are new, if the others are paused."""
        if self._census.paused:
            self._listeners.pause()
