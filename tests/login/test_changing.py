"""
Stores that change while the gateway runs.
"""

from __future__ import annotations

from twisted.logger import capturedLogs

from socksgw.errors import AuthenticationFailed
from tests.login.logins import (
    CANARY,
    ChangingChecker,
    Checker,
    alice,
    everything,
    login,
    settled,
)


def test_flushedWhenTheStoreChanges() -> None:
    """A change of a store makes everything forgotten."""
    checker, other = ChangingChecker(alice=b"sesame"), Checker()
    remembering = login(other, checker)
    settled(remembering, alice())
    settled(remembering, alice())
    assert checker.asked == 1
    del checker.known[b"alice"]
    checker.changes = 1
    remembering.look()
    assert isinstance(settled(remembering, alice()), AuthenticationFailed)
    checker.changes = 0
    remembering.look()
    assert remembering.changes == 2
    assert isinstance(settled(remembering, alice()), AuthenticationFailed)


def test_stampRaises() -> None:
    """A store that cannot even be looked at lets nobody in."""

    class Broken(ChangingChecker):
        def stamp(self) -> object:
            raise OSError(5, CANARY)

    with capturedLogs() as events:
        blind = login(Broken(alice=b"sesame"))
        blind.look()
        failure = settled(blind, alice())
    assert isinstance(failure, AuthenticationFailed)
    assert failure.reason == "checker-failed"
    assert CANARY not in everything(events)
    assert "OSError" in everything(events)
