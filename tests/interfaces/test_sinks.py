"""
What a sink says when it takes no lines.
"""

from __future__ import annotations

from socksgw.interfaces import SinkFailed


def test_failed() -> None:
    """Why, and how long it wants to be left alone; by default not at all."""
    assert (str(SinkFailed("no")), SinkFailed("no").after) == ("no", 0.0)
    assert SinkFailed("slow down", 60.0).after == 60.0
