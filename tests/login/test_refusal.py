"""
Refusals: what the journal and the throttle are told.
"""

from __future__ import annotations

import pytest

from socksgw.login.refusal import WRONG, Refused, busy


@pytest.mark.parametrize(
    ("refused", "why", "counts"),
    [
        (Refused(WRONG), "wrong credentials", True),
        (Refused("store-unavailable"), "store unavailable", False),
        (Refused("store-unavailable", "ad: no answer"), "ad: no answer", False),
        (Refused("locked", counts=True), "locked", True),
        (Refused(WRONG, counts=False), "wrong credentials", False),
    ],
)
def test_whatItSays(refused: Refused, why: str, counts: bool) -> None:
    """By default the words of the reason; and only what is wrong counts."""
    assert (refused.why, refused.counts) == (why, counts)


def test_busy() -> None:
    """It is no try."""
    assert (busy().reason, busy().counts) == ("busy", False)
