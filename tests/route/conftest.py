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


@pytest.fixture
def worlds() -> Iterator[Worlds]:
    """Makes them; nothing is left of one at the end."""
    made: list[World] = []

    def make(*scripts: Script, **settings: Any) -> World:
        made.append(World(*scripts, **settings))
        return made[-1]

    yield make
    for world in made:
        world.close()
