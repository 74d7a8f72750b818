"""
What is known of one upstream: its sessions, its failures, its health.

It outlives a reload that does not change the upstream: generations share it.
"""

from __future__ import annotations

from typing import final

from socksgw.route.upstreams.health import Health

__all__ = ["Standing"]


@final
class Standing:
    """
    The counters and the health of one upstream.

    @ivar name: of the C{[[upstream]]}.
    @ivar sessions: how many sessions use it now; those that are being opened are
        among them.
    @ivar opened: how many it has opened.
    @ivar failed: how many it has failed, by the word for that in the journal. A
        destination that it says cannot be reached is no failure of its own.
    @ivar health: whether it is used.
    """

    __slots__ = ("failed", "health", "name", "opened", "sessions")

    def __init__(self, name: str, health: Health) -> None:
        self.name = name
        self.health = health
        self.sessions = 0
        self.opened = 0
        self.failed: dict[str, int] = {}

    @property
    def state(self) -> str:
        """C{ejected} or C{up}."""
        return "ejected" if self.health.out else "up"

    def begin(self) -> None:
        """Count a session that is led there; each is to L{end}."""
        self.sessions += 1
        if self.health.out:
            self.health.begin()

    def adopt(self) -> None:
        """Count a session that another process has led there; it is to L{end}."""
        self.sessions += 1

    def end(self) -> None:
        """Count a session that is there no longer, or that was not opened."""
        self.sessions -= 1

    def answered(self, opened: bool) -> None:
        """
        Note that it has answered.

        @param opened: whether it opened what was asked for.
        """
        if opened:
            self.opened += 1
        self.health.answered()

    def broke(self, reason: str, counts: bool = True) -> None:
        """
        Note a failure.

        @param reason: the word for it in the journal.
        @param counts: whether it is the upstream's own beyond doubt.
        """
        self.failed[reason] = self.failed.get(reason, 0) + 1
        if counts:
            self.health.failed(reason)
