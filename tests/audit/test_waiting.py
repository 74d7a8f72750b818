"""
Lines that are not written yet, and the requests that wait for them.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred

from socksgw.audit.waiting import Waiting, awaited, fail, fire
from socksgw.errors import AuditFailed
from tests.fakes.journal import outcome


def test_fired() -> None:
    """Each request goes on once; lines that nothing waits for are no matter."""
    committed: list[Deferred[None]] = [Deferred(), Deferred()]
    lines: list[Waiting] = [("a", each, False) for each in committed]
    lines.append(("b", None, True))
    assert awaited(lines) == 2
    found = [outcome(each) for each in committed]
    fire(lines)
    fire(lines)
    fail(lines, "too late")
    assert found == [[None], [None]]


def test_refused() -> None:
    """Each request is refused once, with the reason."""
    committed: Deferred[None] = Deferred()
    lines: list[Waiting] = [("a", committed, False), ("b", None, False)]
    found = outcome(committed)
    fail(lines, "the disk is full")
    fire(lines)
    (error,) = found
    assert isinstance(error, AuditFailed)
    assert "the disk is full" in str(error)
