"""
Lines that one process of the gateway writes for another one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from socksgw.audit.journal import Journal
from socksgw.audit.waiting import Waiting
from socksgw.config.schema import AuditConfig
from socksgw.errors import AuditFailed
from socksgw.handover.lines import GivenLines, write
from socksgw.system.channel import Channel, channels
from tests.fakes.loops import WatchedLoop


class World(WatchedLoop):
    """Two processes, as it were: one has lines, the other one the journal."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self.journal = Journal(directory, AuditConfig(sync="never"), self.clock)
        self.journal.open()
        ours, theirs = channels()
        self.gone: list[str] = []
        self.writer = Channel(
            theirs,
            self.watcher,
            self._told,
            self.gone.append,
            lambda message, _: write(self.journal, message),
        )
        self.channel = Channel(ours, self.watcher, self._told, self.gone.append)
        self.writer.start()
        self.channel.start()
        self.give = GivenLines(self.channel)

    def _told(self, message: dict[str, Any], fds: list[int]) -> None:
        raise AssertionError(message)

    def until(self, condition: Any, seconds: float = 20.0) -> None:
        """As of the base; the journal writes at each turn."""
        super().until(lambda: self.clock.advance(0.01) or condition(), seconds)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path / "audit")
    yield made
    made.writer.close()
    made.channel.close()
    made.journal.close()
    made.clock.advance(1)
    for call in made.clock.getDelayedCalls():
        call.cancel()
    made.closeLoop()


def line(n: int, waits: Deferred[None] | None = None) -> Waiting:
    return f'"event":"stop","gateway":"{n}"', waits, False


def test_inOrder(world: World, tmp_path: Path) -> None:
    """All are written in their order; whoever waits goes on then, and not before."""
    fired: list[int] = []

    def noting(n: int, result: None) -> None:
        fired.append(n)

    lines = []
    for n in range(500):
        waits: Deferred[None] | None = Deferred() if n % 2 else None
        if waits is not None:
            waits.addCallback(partial(noting, n))
        lines.append(line(n, waits))
    done: list[None] = []
    world.give(lines).addCallback(done.append)
    assert fired == []
    world.until(lambda: done)
    assert fired == list(range(1, 500, 2))
    assert world.journal.number == 500
    (file,) = (tmp_path / "audit").glob("*.jsonl")
    for n, each in enumerate(file.read_text().splitlines()):
        assert f'"gateway":"{n}"' in each


def test_whatIsNotWritten(world: World) -> None:
    """The request that waits for a line is told why; others go on."""
    failed: list[Any] = []
    full = os.open("/dev/full", os.O_WRONLY)
    waits: Deferred[None] = Deferred()
    waits.addErrback(failed.append)
    segments: Any = world.journal._tail.segments
    fine, segments.fd = segments.fd, full
    world.give([line(1, waits), line(2)])
    world.until(lambda: failed)
    assert failed[0].check(AuditFailed)
    assert failed[0].getErrorMessage() == "the journal cannot be written"
    segments.fd = fine
    os.close(full)
    segments._torn = False
    # The line that nobody waits for is kept, behind one that tells of the failure.
    world.until(lambda: world.journal.number == 2)


def test_theWriterIsGone(world: World) -> None:
    """Nothing is written any more: requests are refused."""
    failed: list[Any] = []
    one: Deferred[None] = Deferred()
    other: Deferred[None] = Deferred()
    one.addErrback(failed.append)
    other.addErrback(failed.append)
    done: list[None] = []
    world.give([line(1, one)]).addCallback(done.append)
    world.writer.close()
    world.until(lambda: world.gone)
    world.give([line(2, other)]).addCallback(done.append)
    assert [each.type for each in failed] == [AuditFailed] * 2
    assert "the process that writes the journal" in failed[0].getErrorMessage()
    assert len(done) == 2


@pytest.mark.parametrize(
    "body", ['"event":"x"}\n{"v":1', "x", 7, '"event":"\u00e4"', None]
)
def test_noLine(world: World, body: Any) -> None:
    """What would make another line, or none, is not written."""
    with pytest.raises(ValueError, match="no line"):
        write(world.journal, {"lines": [[body, False, False]]})
    assert world.journal.waiting == 0
