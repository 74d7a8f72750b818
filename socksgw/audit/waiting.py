"""
Lines of the journal that are not written yet, and the requests that wait for them.
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

    @ivar body: the JSON members from C{event} on.
    @ivar committed: fires when the line is written; L{None} when no request waits.
    @ivar stranger: whether the client has not logged in.
    """

    body: str
    committed: Deferred[None] | None
    stranger: bool


def awaited(lines: Iterable[Waiting]) -> int:
    """Return how many of the lines a request waits for."""
    return sum(line.committed is not None for line in lines)


def fire(lines: Iterable[Waiting]) -> None:
    """Let the requests go on whose lines are written, or need not be."""
    for line in lines:
        if line.committed is not None and not line.committed.called:
            line.committed.callback(None)


def fail(lines: Iterable[Waiting], why: str) -> None:
    """
    Refuse the requests whose lines are not written.

    @param why: the text of the L{AuditFailed} that their Deferreds get.
    """
    for line in lines:
        if line.committed is not None and not line.committed.called:
            line.committed.errback(AuditFailed(why))
