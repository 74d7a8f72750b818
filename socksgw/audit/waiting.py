"""
Lines of the journal that are not written yet, and the requests that wait for them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol, TypeAlias

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


#: A line that is not written yet: its JSON members from C{event} on; what fires when it
#: is written, L{None} when no request waits; and whether the client has not logged in.
#: A tuple with names would cost as much as the rest of what is done with it.
Waiting: TypeAlias = tuple[str, Written | None, bool]


def awaited(lines: Iterable[Waiting]) -> int:
    """Return how many of the lines a request waits for."""
    return sum(waiting is not None for _, waiting, _ in lines)


def fire(lines: Iterable[Waiting]) -> None:
    """Let the requests go on whose lines are written, or need not be."""
    for _, waiting, _ in lines:
        if waiting is not None and not waiting.called:
            waiting.callback(None)


def fail(lines: Iterable[Waiting], why: str) -> None:
    """
    Refuse the requests whose lines are not written.

    @param why: the text of the L{AuditFailed} that their Deferreds get.
    """
    for _, waiting, _ in lines:
        if waiting is not None and not waiting.called:
            waiting.errback(AuditFailed(why))
