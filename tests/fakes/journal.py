"""
What the tests of the journal share.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from socksgw.audit import chain
from socksgw.audit.journal import Journal
from socksgw.config.schema import AuditConfig
from tests.tools.waiting import until

#: A wall clock that stands: 2026-11-23T12:00:00Z.
NOON = 1795435200.0


class Reactor(Clock):
    """
    A clock, and threads' calls when it is told to make them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.fromOthers: list[Any] = []

    def callFromThread(self, call: Any, *arguments: Any, **keywords: Any) -> None:
        self.fromOthers.append(lambda: call(*arguments, **keywords))

    def fromThreads(self) -> None:
        """Make the calls that came from threads."""
        while self.fromOthers:
            self.fromOthers.pop(0)()


class Kept:
    """
    A journal in a directory, and what it said.

    @ivar told: what it told the operator.
    """

    def __init__(self, directory: Path, **settings: Any) -> None:
        settings.setdefault("sync", "never")
        self.directory = directory
        self.reactor = Reactor()
        self.told: list[str] = []
        self.now = NOON
        self.journal = Journal(
            directory,
            AuditConfig(**settings),
            self.reactor,
            lambda: self.now,
            self.told.append,
        )

    def open(self) -> Kept:
        self.journal.open()
        return self

    def turn(self, seconds: float = 0.0) -> None:
        """One turn of the reactor."""
        self.reactor.advance(seconds)
        self.reactor.fromThreads()

    def append(self, *bodies: str) -> None:
        """Lines that nobody waits for, written."""
        for body in bodies:
            self.journal.append(body)
        self.turn()

    def close(self) -> None:
        """Close it."""
        closed: list[object] = []
        self.journal.close().addBoth(closed.append)
        assert closed, "a journal that does not sync closes at once"

    def lines(self) -> list[dict[str, Any]]:
        """Every line in its files."""
        return lines(self.directory)


def lines(directory: Path) -> list[dict[str, Any]]:
    """Every line in a journal's files."""
    found: list[dict[str, Any]] = []
    for file in chain.files(directory):
        for octets in file.read_bytes().splitlines():
            found.append(json.loads(octets))
    return found


def outcome(waiting: Deferred[None]) -> list[object]:
    """Return a list that gets what a commit comes to; it is empty while that waits."""
    found: list[object] = []
    waiting.addCallbacks(found.append, lambda failure: found.append(failure.value))
    return found


def event(number: int = 0) -> str:
    """Return the body of a line of the journal, as a session makes it."""
    return f'"event":"end","session":{number}'


def only(directory: Path) -> Path:
    """Return the one file of a journal."""
    (file,) = chain.files(directory)
    return file


def closing(kept: Kept) -> None:
    """Close a journal that asks the disk."""
    closed: list[object] = []
    kept.journal.close().addBoth(closed.append)
    until(lambda: kept.turn() or closed)


def filled(kept: Kept, octets: int) -> None:
    """Append so much, a few lines a turn."""
    long = f'"event":"end","filler":"{"x" * 2000}"'
    for _ in range(octets // 20_000 + 1):
        kept.append(*[long] * 10)


def total(directory: Path) -> int:
    return sum(file.stat().st_size for file in chain.files(directory))
