"""
What was in force before is freed in a thread, once nobody uses it.
"""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from socksgw.config.loading import loads
from socksgw.config.schema import Config
from socksgw.gateway import remains
from socksgw.gateway.gateway import Gateway
from socksgw.system.dismantling import dismantle
from tests.live.running import OPEN
from tests.tools.building import built


@contextmanager
def uncollected() -> Iterator[None]:
    """Have nothing freed but what is in no cycle."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


class World:
    """
    A gateway whose configuration changes.

    @ivar aside: how often something was freed in a thread.
    """

    def __init__(self, directory: Path, patch: pytest.MonkeyPatch) -> None:
        self.clock = Clock()
        self.aside = 0
        self.config = loads(OPEN, "gw.toml", directory)
        self.gateway = Gateway(self.clock, self.config, clock=self.clock.seconds)
        patch.setattr(self.gateway._listeners, "change", lambda listens: None)
        patch.setattr(self.gateway, "elsewhere", self._elsewhere)
        self.look()

    def _elsewhere(self, work: Any) -> Deferred[Any]:
        self.aside += 1
        return succeed(work())

    def look(self) -> None:
        """A second goes by, and logins that were under way are over."""
        for _ in range(120):
            self.clock.advance(1)
            self.gateway.deadlines.scan()
        self.gateway.remains.look()

    def change(self) -> None:
        """Have a configuration in force that is the same."""
        config: Config = evolve(self.gateway.config)
        self.gateway.change(config, built(self.gateway, config))


def test_freedOnceNobodyUsesIt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rules and configuration stay as long as some session has them."""
    world = World(tmp_path, monkeypatch)
    held: Any = world.gateway.generation
    rule = weakref.ref(held.ruleset.rules[0])
    config = weakref.ref(world.gateway.config)
    world.config = None  # type: ignore[assignment]
    with uncollected():
        world.change()
        world.look()
        assert rule() is held.ruleset.rules[0]
        assert (world.aside, len(world.gateway.remains._left)) == (0, 2)
        held = None
        world.look()
        assert (rule(), config()) == (None, None)
    assert world.aside == 1
    world.look()
    assert world.aside == 1


def test_whatIsInForceStays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that is freed is what the new one has no part in."""
    freed: list[object] = []
    world = World(tmp_path, monkeypatch)
    monkeypatch.setattr(
        remains,
        "dismantle",
        lambda roots, of: (freed.extend(map(id, roots)), dismantle(roots, of)),
    )
    world.config = None  # type: ignore[assignment]
    world.change()
    world.look()
    world.look()
    gateway = world.gateway
    assert freed
    assert id(gateway.config) not in freed
    assert id(gateway.generation.ruleset) not in freed
    assert [rule.id for rule in gateway.generation.ruleset.rules] == ["all"]
