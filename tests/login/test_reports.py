"""
What stores report of their files.
"""

from __future__ import annotations

from collections.abc import Sequence

from twisted.logger import capturedLogs, eventAsText
from zope.interface import implementer

from socksgw.interfaces import IReportingStore
from socksgw.login.reports import reportedBy


@implementer(IReportingStore)
class Store:
    """One that reports these, or fails."""

    def __init__(self, *lines: str, error: Exception | None = None) -> None:
        self._lines = lines
        self._error = error

    def problems(self) -> Sequence[str]:
        if self._error is not None:
            raise self._error
        return self._lines


def test_eachLineOnce() -> None:
    """In order; two stores with one file say it once, and others say nothing."""
    stores = [Store("a", "b"), object(), Store("b", "c"), Store()]
    assert reportedBy(stores) == ["a", "b", "c"]


def test_aStoreThatFails() -> None:
    """It is logged by its kind alone, and the others are heard."""
    with capturedLogs() as events:
        stores = [Store(error=ValueError("canary-77")), Store("a")]
        assert reportedBy(stores) == ["a"]
    (event,) = events
    assert eventAsText(event).endswith("a checker failed: ValueError")
