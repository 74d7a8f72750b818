"""
By how much calls come late that are due at multiples of an interval.
"""

from __future__ import annotations

import pytest

from socksgw.system.lag import Lag

#: When calls come, in seconds, and how late each is.
CALLS = [
    (0.25, 0.0),
    (0.5, 0.0),
    # Late, and skipping none; then in time again.
    (0.85, 0.1),
    (1.0, 0.0),
    # As long as four intervals and more.
    (2.3, 1.05),
    (2.5, 0.0),
    # A rounding error early.
    (2.7499999, 0.0),
]


@pytest.mark.parametrize("jump", [0.0, 3600.0, -3600.0])
def test_lag(jump: float) -> None:
    """A clock that calls go by may jump: that is no lag."""
    now = 0.0
    lag = Lag(0.25, lambda: now)
    for at, late in CALLS:
        now = at
        phase = at + (jump if at > 0.6 else 0)
        assert lag.of(phase) == pytest.approx(late, abs=1e-5)
