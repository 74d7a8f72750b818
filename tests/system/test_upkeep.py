"""
What is done again and again goes on, whatever fails in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import pytest
from twisted.logger import capturedLogs, eventAsText

from socksgw.system.upkeep import Upkeep

CANARY = "canary-77b0"


class Defect(Exception):
    """Nobody expects it; its text is a secret."""


def failing(*_: Any) -> Any:
    raise Defect(CANARY)


@pytest.fixture
def logged() -> Iterator[Sequence[Any]]:
    """What is logged has no secret."""
    with capturedLogs() as events:
        yield events
    assert all(CANARY not in f"{each!r}{eventAsText(each)}" for each in events)


def test_said(logged: Sequence[Any]) -> None:
    """Once, with the place; again only when it has worked in between."""
    upkeep = Upkeep()
    for part, said in ((failing, 1), (failing, 1), (len, 1), (failing, 2)):
        upkeep.do("a part", partial(part, "x"))
        assert len(logged) == said
    text = eventAsText(logged[0])
    assert "a part failed" in text
    assert "in failing" in text
