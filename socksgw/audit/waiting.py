"""
Lines of the journal that are not written yet, and those who wait for them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from twisted.internet.defer import Deferred

from socksgw.errors import AuditFailed

__all__ = ["Waiting", "awaited", "fail", "fire"]


class Waiting(NamedTuple):
    """
    A line that is not written yet.

    @ivar body: its members from C{event} on.
    @ivar committed: fires when it is; L{None} when nobody waits for it.
    @ivar stranger: whether it is of a client that has not logged in.
    """

    body: str
    committed: Deferred[None] | None
    stranger: bool


def awaited(lines: Iterable[Waiting]) -> int:
    """Return how many of the lines somebody waits for."""
    return sum(line.committed is not None for line in lines)


def fire(lines: Iterable[Waiting]) -> None:
    """Tell those who wait that their lines are written, or need not be."""
    for line in lines:
        if line.committed is not None and not line.committed.called:
            line.committed.callback(None)


def fail(lines: Iterable[Waiting], why: str) -> None:
    """
    Tell those who wait that their lines are not written.

    @param why: the text of the L{AuditFailed} that they get.
    """
    for line in lines:
        if line.committed is not None and not line.committed.called:
            line.committed.errback(AuditFailed(why))
