"""
Whether an upstream is used: ejected after failures in a row, and used again later.

An upstream has two sources of evidence, counted apart: what sessions meet, and what
checks of its own (C{check}) find. Either may eject it. While it is ejected, no session
is led there as long as another upstream of the same place is at hand.

Without checks, an ejected upstream is tried by one session when its back-off is over
(it is "half open"): if that fails, the back-off doubles. With checks, these try it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol, final

__all__ = ["CAP", "FALL", "FIRST", "RISE", "TRIAL", "Health"]

#: So many failures in a row eject, and so many checks passed in a row bring back.
FALL: Final = 3
RISE: Final = 2
#: Seconds: the first back-off, and the longest one.
FIRST: Final = 1.0
CAP: Final = 60.0
#: Seconds after which another session may try, if the one that tries says nothing.
TRIAL: Final = 5.0
#: How much a back-off varies, so that many gateways do not try at one time.
_JITTER: Final = 0.25

#: Told of each change: C{ejected} or C{returned}, and why.
Changed = Callable[[str, str], object]


class Random(Protocol):
    """A source of random numbers (L{random.Random})."""

    def uniform(self, a: float, b: float) -> float:
        """Return a number between two."""


@final
class Health:
    """
    The health of one upstream, a state machine that a clock drives.

    @ivar out: whether it is ejected.
    @ivar why: why it is ejected, or was last; empty if it never was.
    @ivar until: the clock's seconds before which nothing tries it again.
    @ivar ejections: how often it was ejected.
    @ivar passed: how many checks of this process have passed.
    @ivar missed: how many have failed.
    """

    __slots__ = (
        "_backOff", "_changed", "_checked", "_clock", "_fall", "_missed", "_passed",
        "_random", "_returned", "_rise", "_row", "_tried", "ejections", "missed", "out",
        "passed", "until", "why",
    )  # fmt: skip

    def __init__(
        self,
        clock: Callable[[], float],
        random: Random,
        changed: Changed,
        fall: int = FALL,
        rise: int = RISE,
        checked: bool = False,
    ) -> None:
        """
        Begin as healthy.

        @param clock: monotonic seconds.
        @param fall: how many sessions in a row, or checks in a row, have to fail.
        @param rise: how many checks in a row have to pass.
        @param checked: whether checks try it while it is ejected, and no session.
        """
        self._clock = clock
        self._random = random
        self._changed = changed
        self._fall = fall
        self._rise = rise
        self._checked = checked
        # Failures of sessions, failed checks and passed checks in a row.
        self._row = self._missed = self._passed = 0
        self._backOff = 0.0
        self._returned = float("-inf")
        # Whether a session has been led there since the last failure.
        self._tried = False
        self.out = False
        self.why = ""
        self.until = 0.0
        self.ejections = self.passed = self.missed = 0

    @property
    def open(self) -> bool:
        """Whether a session may be led there: it is healthy, or to be tried now."""
        return not self.out or (not self._checked and self._clock() >= self.until)

    def begin(self) -> None:
        """
        Note that a session is led there.

        If it tries an ejected upstream, no other one does so meanwhile.
        """
        if self.out and self.open:
            self._tried = True
            self.until = self._clock() + TRIAL

    def answered(self) -> None:
        """Note that it has answered a session, with whatever answer."""
        self._row = 0
        if self.out:
            self._return("it answered a session")

    def failed(self, reason: str) -> None:
        """
        Note a failure of its own, met by a session.

        @param reason: the word for it in the journal.
        """
        self._row += 1
        if not self.out:
            if self._row >= self._fall:
                self._eject(f"{self._row} sessions in a row failed: {reason}", True)
        elif self._tried:
            self.why = f"tried again, and failed: {reason}"
            self._wait()

    def checked(self, reason: str, own: bool = True) -> None:
        """
        Note what a check has found.

        @param reason: why it has failed; empty if it has passed.
        @param own: as of L{checkPassed}.
        """
        if reason:
            self.checkFailed(reason, own)
        else:
            self.checkPassed(own)

    def checkPassed(self, own: bool = True) -> None:
        """
        Note that a check has passed.

        @param own: whether it was one of this process.
        """
        self._missed = 0
        self._passed += 1
        self.passed += own
        if self.out and self._passed >= self._rise and self._clock() >= self.until:
            self._return(f"{self._passed} checks in a row passed")

    def checkFailed(self, reason: str, own: bool = True) -> None:
        """
        Note that a check has failed.

        @param reason: as that of L{failed}.
        @param own: as of L{checkPassed}.
        """
        self._passed = 0
        self._missed += 1
        self.missed += own
        if not self.out and self._missed >= self._fall:
            # The checks that have to pass take their time already.
            self._eject(f"{self._missed} checks in a row failed: {reason}", False)

    def _eject(self, why: str, waiting: bool) -> None:
        self.out = True
        self.ejections += 1
        self._passed = 0
        self.why = why
        now = self._clock()
        if now - self._returned > CAP:
            self._backOff = 0.0
        if waiting:
            self._wait()
        else:
            self.until = now
        self._changed("ejected", why)

    def _wait(self) -> None:
        """Begin a back-off, twice as long as the last one."""
        self._tried = False
        self._backOff = min(2 * self._backOff, CAP) or FIRST
        jitter = self._random.uniform(1 - _JITTER, 1 + _JITTER)
        self.until = self._clock() + self._backOff * jitter

    def _return(self, why: str) -> None:
        self.out = self._tried = False
        self._row = self._missed = 0
        self._returned = self._clock()
        self._changed("returned", why)
