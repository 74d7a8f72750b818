"""
Fixtures for the tests of routes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.route.servers import (
    Script,
    World,
    Worlds,
)


@pytest.fixture(params=[False, True], ids=["alone", "pair"])
def worlds(request: pytest.FixtureRequest) -> Iterator[Worlds]:
    """
    Makes them, for questions by themselves and in pairs.

    Nothing is left of one at the end.
    """
    made: list[World] = []

    def make(*scripts: Script, **settings: Any) -> World:
        made.append(World(*scripts, pairs=request.param, **settings))
        return made[-1]

    yield make
    for world in made:
        world.close()
