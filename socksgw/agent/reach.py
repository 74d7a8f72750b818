"""
Whether the agent reaches the gateway, and one line when that changes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, final

from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall

from socksgw.agent.trouble import Trouble

__all__ = ["Reach"]

#: Seconds between two looks at the user's credentials.
_LOOK: Final = 2.0
#: Seconds between two trials that fail: the first, and the most.
_FIRST: Final = 2.0
_MOST: Final = 60.0


@final
class Reach:
    """
    Tries the gateway when there is a reason to, and tells what has changed.

    Reasons are the start, a session that failed by the gateway's fault, credentials
    that are others now, a machine that slept; and while there is trouble, time.

    @ivar trouble: what is wrong now; L{None} if nothing is known to be.
    """

    def __init__(
        self,
        reactor: Any,
        local: Callable[[], Deferred[Trouble | None]],
        trial: Callable[[], Deferred[Trouble | None]],
        say: Callable[[Trouble | None], None],
    ) -> None:
        """
        Do nothing yet.

        @param local: looks at the user's credentials alone.
        @param trial: goes to the gateway and logs in there.
        @param say: is told about each change, and what the first trial found.
        """
        self.trouble: Trouble | None = None
        self._reactor = reactor
        self._local = local
        self._trial = trial
        self._say = say
        self._told = False
        self._busy = False
        self._due = 0.0
        self._pause = _FIRST
        # Whether there is something that has not been tried yet.
        self._wanted = True
        self._looking = LoopingCall(self._look)
        self._looking.clock = reactor

    def start(self) -> None:
        """Try the gateway, and go on looking."""
        self._looking.start(_LOOK, now=True)

    def stop(self) -> None:
        """Stop looking."""
        if self._looking.running:
            self._looking.stop()

    def doubt(self) -> None:
        """Take note that a session has failed; it may be the gateway."""
        if not self._wanted:
            self._wanted = True
            self._due = max(self._due, self._reactor.seconds())
            self._look()

    def renew(self, other: bool = False) -> None:
        """
        Take note that the machine or its network is not as it was.

        @param other: whether it is another gateway now, or another login.
        """
        self._told = self._told and not other
        self._pause = _FIRST
        self._due = 0.0
        self._wanted = True
        self._look()

    def _look(self) -> None:
        if not self._busy:
            self._busy = True
            self._local().addCallback(self._looked).addBoth(self._done)

    def _looked(self, found: Trouble | None) -> Deferred[None] | None:
        if found is not None:
            # Without credentials there is nothing to try with.
            self._found(found)
            self._wanted = True
            self._pause, self._due = _FIRST, 0.0
            return None
        if self._wanted and self._reactor.seconds() >= self._due:
            self._wanted = False
            return self._trial().addCallback(self._tried)
        return None

    def _tried(self, found: Trouble | None) -> None:
        self._found(found)
        now = self._reactor.seconds()
        if found is None:
            self._pause = _FIRST
            self._due = now + _FIRST
            return
        self._wanted = True
        self._due = now + self._pause
        self._pause = min(self._pause * 2, _MOST)

    def _done(self, result: object) -> object:
        self._busy = False
        return result

    def _found(self, found: Trouble | None) -> None:
        before, self.trouble = self.trouble, found
        kinds = [each and each.kind for each in (before, found)]
        if not self._told or kinds[0] != kinds[1]:
            self._told = True
            self._say(found)
