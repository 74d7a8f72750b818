"""
One sink follows the journal in its thread, and fails alone.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from zope.interface import implementer

from socksgw.audit.sinks import aside
from socksgw.audit.sinks import follower as following
from socksgw.audit.sinks.entries import Lines
from socksgw.audit.sinks.follower import SinkFollower
from socksgw.audit.sinks.orders import Order
from socksgw.audit.sinks.position import Place, Position
from socksgw.interfaces import Entry, IAuditSink, SinkFailed, SinkSettings
from tests.tools.journals import chainOf, decision, written
from tests.tools.waiting import until

CANARY = "canary-90c1"


@implementer(IAuditSink)
class Plugin:
    """A sink in memory, that fails as it is told to."""

    kind = "memory"
    help = "memory"
    target = ""
    format = "native"
    batch = 3

    def __init__(self) -> None:
        self.got: list[int] = []
        self.has: int | None = None
        self.fails: list[BaseException] = []
        self.closed = 0
        self.refuses: set[int] = set()
        self.settings: SinkSettings | None = None
        self.waits: threading.Event | None = None

    def build(self, settings: SinkSettings) -> Plugin:
        self.settings = settings
        return self

    def open(self) -> int | None:
        return self.has

    def deliver(self, entries: Sequence[Entry]) -> None:
        if self.fails:
            raise self.fails.pop(0)
        if self.waits is not None:
            self.waits.wait(20)
        assert self.settings is not None
        for each in entries:
            if each.number in self.refuses:
                self.settings.aside(each, f"no thanks, {CANARY}")
            else:
                self.got.append(each.number)

    def idle(self) -> None:
        pass

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> Plugin:
    found = Plugin()
    module: Any = ModuleType("a_sink_in_memory")
    module.sinks = (found,)
    monkeypatch.setitem(sys.modules, "a_sink_in_memory", module)
    monkeypatch.setattr(following, "_PAUSES", (0.01, 0.01))
    monkeypatch.setattr(following, "_POLL", 0.01)
    return found


def followed(directory: Path, begin: str = "first", last: int = 0) -> SinkFollower:
    """Follow a journal until there is no more."""
    (directory / "sinks").mkdir(exist_ok=True)
    target = f"postgresql://gw:{CANARY}@db/x"
    order = Order(
        "memory", "memory", "a_sink_in_memory", target, "native", begin, {},
        {"token_file": b"canary-of-a-file\n"}, str(directory), "edge",
    )  # fmt: skip
    found = SinkFollower(
        order, directory / "audit", directory, Lines(), last, lambda: None
    )
    found.start()
    return found


def ended(follower: SinkFollower) -> None:
    follower.finish()
    until(lambda: follower.ended)


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """Ten lines."""
    written(tmp_path / "audit", chainOf([decision(n) for n in range(10)]))
    return tmp_path


@pytest.mark.parametrize(
    "failure",
    [
        SinkFailed(f"cannot connect to postgresql://gw:{CANARY}@db/x"),
        OSError(28, "No space left on device"),
        RuntimeError(f"a bug {CANARY} and canary-of-a-file"),
        KeyError(CANARY),
    ],
)
def test_aFailureCostsNoLine(
    journal: Path, plugin: Plugin, failure: BaseException
) -> None:
    """Whatever a sink raises; it is told, without secrets, and tried again."""
    plugin.fails = [failure]
    follower = followed(journal)
    until(lambda: follower.standing.delivered == 10)
    ended(follower)
    assert plugin.got == list(range(1, 11))
    assert follower.standing.failures == 1
    assert plugin.closed == 2


def test_aCallThatIsStuckIsTold(
    journal: Path, plugin: Plugin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a server that is stopped: it takes connections, and never answers."""
    monkeypatch.setattr(following, "_STUCK", 0.05)
    goes = threading.Event()
    plugin.waits = goes
    found = followed(journal)
    until(lambda: found.stands().state == "failing")
    assert found.stands().why.startswith("no answer within")
    assert (found.standing.state, plugin.got) == ("following", [])
    goes.set()
    until(lambda: found.standing.delivered == 10)
    assert (found.stands().state, found.stands().failures) == ("following", 0)
    ended(found)
    assert plugin.got == list(range(1, 11))


def test_waitsAsAsked(journal: Path, plugin: Plugin) -> None:
    """A sink that asks to wait is left alone; an end does not wait, and asks nobody."""
    plugin.fails = [SinkFailed("slow down", after=60), AssertionError("asked again")]
    found = followed(journal)
    until(lambda: found.standing.failures == 1)
    ended(found)
    assert (found.standing.why, len(plugin.fails)) == ("slow down", 1)


def test_theEndTriesOnceMore(
    journal: Path, plugin: Plugin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sink that waits after a failure gets its lines at the end, without that wait."""
    monkeypatch.setattr(following, "_PAUSES", (60.0, 60.0))
    plugin.fails = [SinkFailed("not now")]
    found = followed(journal)
    until(lambda: found.standing.failures == 1)
    ended(found)
    assert plugin.got == list(range(1, 11))


def test_whatIsTold(journal: Path, plugin: Plugin) -> None:
    """The text is one line, bounded, and shows no secret."""
    plugin.fails = [RuntimeError(f"{CANARY}\ncanary-of-a-file " + "x" * 9999)] * 9999
    follower = followed(journal)
    until(lambda: follower.standing.state == "failing")
    why = follower.standing.why
    assert why.startswith("RuntimeError: *** *** xxx")
    assert len(why) <= 500
    plugin.fails = []
    until(lambda: follower.standing.state == "following")
    assert follower.standing.why == ""
    ended(follower)


def test_whereItGoesOn(journal: Path, plugin: Plugin) -> None:
    """Behind what the file says; what the sink itself has counts more."""
    ended(followed(journal))
    ended(followed(journal))
    assert plugin.got == list(range(1, 11))
    plugin.has = 4
    ended(followed(journal))
    assert plugin.got[10:] == list(range(5, 11))
    # A database that was made anew.
    plugin.has, plugin.got = 0, []
    ended(followed(journal))
    assert plugin.got == list(range(1, 11))


def test_whereItBegins(journal: Path, plugin: Plugin) -> None:
    """With the first line, or behind the last of then; also if it is first down."""
    plugin.fails = [SinkFailed("down")]
    follower = followed(journal, "next", 7)
    until(lambda: follower.standing.delivered)
    ended(follower)
    assert plugin.got == [8, 9, 10]
    place = Position(journal / "sinks", "memory").read()
    assert place is not None
    assert (place.number, place.start) == (10, 7)


def test_howOftenItIsSaved(
    journal: Path, plugin: Plugin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where lines trickle in, not with each; and at the end."""
    saved: list[int] = []
    write = Position.write

    def noting(position: Position, place: Place) -> None:
        saved.append(place.number)
        write(position, place)

    monkeypatch.setattr(Position, "write", noting)
    monkeypatch.setattr(following, "_GATHER", 0.0)
    monkeypatch.setattr(following, "_SAVE", 60.0)
    entries = chainOf([decision(n) for n in range(30)])
    follower = followed(journal)
    for count in range(11, 31):
        written(journal / "audit", entries[:count])
        until(lambda n=count: plugin.got[-1:] == [n])
    ended(follower)
    # Where it begins, the first lines, and the end.
    assert (saved[0], saved[-1], len(saved)) == (0, 30, 3)


def test_aDamagedPosition(journal: Path, plugin: Plugin) -> None:
    """The sink takes nothing, and the reason has the remedy."""
    (journal / "sinks").mkdir()
    Position(journal / "sinks", "memory").path.write_text("[]")
    follower = followed(journal)
    until(lambda: follower.standing.state == "failing")
    assert "remove it, and the sink begins anew" in follower.standing.why
    assert plugin.got == []
    ended(follower)


def test_linesThatAreRefused(journal: Path, plugin: Plugin) -> None:
    """They are kept in a file with why, without secrets, and counted."""
    plugin.refuses = {2, 5}
    follower = followed(journal)
    until(lambda: follower.standing.delivered == 10)
    ended(follower)
    assert plugin.got == [1, 3, 4, 6, 7, 8, 9, 10]
    assert (follower.standing.aside, follower.standing.failures) == (2, 0)
    kept = journal / "sinks" / "memory.refused"
    assert kept.stat().st_mode & 0o777 == 0o600
    found = [json.loads(line) for line in kept.read_text().splitlines()]
    assert [each["line"]["n"] for each in found] == [2, 5]
    assert all(each["why"].startswith("no thanks") for each in found)
    assert CANARY not in kept.read_text()


def test_noRoomForThem(
    journal: Path, plugin: Plugin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sink waits with such a line until the file is moved away."""
    monkeypatch.setattr(aside, "_MOST", 700)
    plugin.refuses = {2, 5}
    follower = followed(journal)
    until(lambda: "memory.refused is full" in follower.standing.why)
    assert follower.standing.position == 3
    kept = journal / "sinks" / "memory.refused"
    kept.rename(journal / "moved")
    until(lambda: follower.standing.delivered == 10)
    ended(follower)
    for file, number in ((journal / "moved", 2), (kept, 5)):
        assert json.loads(file.read_text())["line"]["n"] == number
