"""
Lines of the journal that are not written yet, and the requests that wait for them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol

from socksgw.errors import AuditFailed

__all__ = ["Waiting", "Written", "awaited", "fail", "fire"]


class Written(Protocol):
    """
    What waits until its line is written: a C{Deferred}, or what acts as one.

    @ivar called: whether it waits no longer.
    """

    called: bool

    def callback(self, result: Any, /) -> None:
        """Hear that the line is written, or need not be; the result is L{None}."""

    def errback(self, error: Any, /) -> None:
        """Hear with which L{AuditFailed} it was not."""


class Waiting(NamedTuple):
    """
    A line that is not written yet.

    @ivar body: the JSON members from C{event} on.
    @ivar committed: fires when the line is written; L{None} when no request waits.
    @ivar stranger: whether the client has not logged in.
    """

    body: str
    committed: Written | None
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
