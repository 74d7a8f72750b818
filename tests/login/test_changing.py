"""
Stores that change while the gateway runs.
"""

from __future__ import annotations

from typing import Any

from attrs import evolve
from twisted.cred.credentials import UsernamePassword
from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs
from zope.interface import implementer

from socksgw.errors import AuthenticationFailed
from socksgw.interfaces import IAlteredStore
from socksgw.login.realm import ANYBODY
from tests.login.groups import who
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


@implementer(IAlteredStore)
class Telling(ChangingChecker):
    """Tells whom a change concerns."""

    names: Any = ()

    def altered(self, since: object) -> Any:
        return self.names


def bob(password: bytes = b"builder") -> UsernamePassword:
    """Bob's credentials."""
    return UsernamePassword(b"bob", password)


def test_onlyWhomAChangeConcerns() -> None:
    """
    The others are not asked about again; what was wrong may be right for anybody; and
    a store that does not tell makes everything forgotten.
    """
    checker = Telling(alice=b"sesame", bob=b"builder")
    remembering = login(checker)
    for each in (alice(), bob()):
        assert not isinstance(settled(remembering, each), AuthenticationFailed)
    checker.known[b"alice"] = b"other"
    checker.names, checker.changes = [b"alice"], 1
    remembering.look()
    assert isinstance(settled(remembering, alice()), AuthenticationFailed)
    assert checker.asked == 3
    assert settled(remembering, bob()).name == "bob"
    assert (checker.asked, remembering.changes) == (3, 1)
    assert settled(remembering, alice(b"other")).name == "alice"
    checker.names, checker.changes = None, 2
    remembering.look()
    settled(remembering, bob())
    assert checker.asked == 5
    silent = ChangingChecker()
    unknown = login(checker, silent)
    settled(unknown, bob())
    checker.changes = silent.changes = 7
    checker.names = []
    unknown.look()
    settled(unknown, bob())
    assert checker.asked == 7


def test_stampRaises() -> None:
    """A store that cannot even be looked at lets nobody in."""

    class Broken(ChangingChecker):
        def stamp(self) -> object:
            raise OSError(5, CANARY)

    with capturedLogs() as events:
        blind = login(Broken(alice=b"sesame"))
        blind.look()
        failure = settled(blind, alice())
        again: list[Any] = [
            Deferred.fromCoroutine(blind.again(each)).result
            for each in (who("alice"), evolve(who("alice"), proved=True), ANYBODY)
        ]
    assert [each and each.name for each in again] == [None, "alice", "anonymous"]
    assert isinstance(failure, AuthenticationFailed)
    assert failure.reason == "checker-failed"
    assert CANARY not in everything(events)
    assert "OSError" in everything(events)
