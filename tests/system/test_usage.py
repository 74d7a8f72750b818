"""
What several users share: made once, and ended with the last.
"""

from __future__ import annotations

from typing import Any

import pytest
from twisted.logger import capturedLogs

from socksgw.system.usage import Holding, UsagePool, shared


class World:
    """A pool, and what was made and ended."""

    def __init__(self) -> None:
        self.pool = UsagePool()
        self.made: list[str] = []
        self.ended: list[str] = []

    def take(self, user: Holding, name: str) -> str:
        """Have a user take what is called so."""

        def make() -> str:
            self.made.append(name)
            return name

        return user.share(name, make, self.ended.append)


def test_counted() -> None:
    """
    What two have is made once, and goes with the second; each has it once,
    however often it asks.
    """
    world = World()
    first, second = Holding(world.pool), Holding(world.pool)
    for user in (first, first, second):
        assert world.take(user, "a") == "a"
    world.take(second, "b")
    assert (world.made, world.pool.uses("a"), world.pool.uses("b")) == (
        ["a", "b"],
        2,
        1,
    )
    first.release()
    first.release()
    assert (world.ended, world.pool.uses("a")) == ([], 1)
    second.release()
    assert (world.ended, world.pool.uses("a")) == (["b", "a"], 0)
    assert world.take(first, "a") == "a"
    assert world.made == ["a", "b", "a"]


def test_whatCannotBeMade() -> None:
    """It is nobody's, and the next one tries again."""
    world = World()
    user = Holding(world.pool)

    def fail() -> str:
        raise OSError(24, "Too many open files")

    with pytest.raises(OSError, match="Too many"):
        user.share("a", fail)
    assert world.pool.uses("a") == 0
    assert world.take(user, "a") == "a"


def test_whatCannotBeEnded() -> None:
    """Its failure is logged, and the rest ends, the newest first."""
    world = World()
    user = Holding(world.pool)

    def fail(value: str) -> None:
        raise RuntimeError("a defect")

    world.take(user, "a")
    user.share("b", lambda: "b", fail)
    world.take(user, "c")
    with capturedLogs() as events:
        world.pool.close()
    assert world.ended == ["c", "a"]
    assert len(events) == 1
    # Its generation had not given it back yet.
    user.release()
    assert world.ended == ["c", "a"]


def test_whoIsBuilding() -> None:
    """What is made meanwhile is theirs, and afterwards nobody's."""
    world = World()
    user = Holding(world.pool)

    def ask(name: str) -> Any:
        return shared((__name__, name), lambda: object(), lambda _: None)

    with user.building():
        inside = ask("a")
        assert ask("a") is inside
    assert world.pool.uses((__name__, "a")) == 1
    outside = ask("a")
    assert outside is not inside
    assert ask("a") is outside
