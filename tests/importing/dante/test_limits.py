"""
Limits and times of rules.
"""

from __future__ import annotations

from typing import Any

import pytest

from socksgw.importing.dante.file import read
from socksgw.importing.dante.limits import limitsOf, seconds, timesOf
from socksgw.importing.draft import Draft


@pytest.mark.parametrize(
    ("said", "expected", "wider"),
    [
        ("log: connect", {}, False),
        ("session.max: 7", {"per": "rule", "sessions": 7}, False),
        ("bandwidth: 1000", {"per": "rule", "rate": "1000B/s"}, False),
        ("session.throttle: 100/10", {"per": "rule", "new_sessions": "100/10s"}, False),
        ("session.throttle: 7/1", {"per": "rule", "new_sessions": 7}, False),
        ("session.throttle: 9/7200", {"per": "rule", "new_sessions": "4/1h"}, False),
        ("session.throttle: 1/7200", {"per": "rule", "new_sessions": "1/1h"}, True),
        ("session.throttle: x", {}, True),
        ("session.max: many", {}, True),
        (
            "session.max: 7\n session.state.key: from",
            {"per": "source", "sessions": 7},
            False,
        ),
    ],
)
def test_limits(said: str, expected: dict[str, Any], wider: bool) -> None:
    """As [[limit]] has them; what would be more is marked."""
    (block,) = read(f"socks pass {{ from: 0/0 to: 0/0\n {said}\n}}\n").blocks
    draft = Draft()
    assert limitsOf(block, draft, "rule") == expected
    assert draft.isWider == wider


def test_times() -> None:
    """Each is for some commands; 0 is without an end."""
    text = "socks pass { from: 0/0 to: 0/0\n timeout.connect: 7\n timeout.io: 90\n}\n"
    (block,) = read(text).blocks
    assert timesOf(block, ["connect", "udp"]) == {"connect": "7s", "idle": "90s"}
    assert timesOf(block, ["bind"]) == {"idle": "90s"}
    assert timesOf(block, ["udp"]) == {}
    assert [seconds(each) for each in (("0",), None, ("12",))] == [None, None, "12s"]
