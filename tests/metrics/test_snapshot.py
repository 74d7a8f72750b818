"""
A snapshot: its bound, and what is beyond.
"""

from __future__ import annotations

import pytest

from socksgw.metrics.meters import MOST, OTHER, Histogram
from socksgw.metrics.snapshot import Snapshot


def test_bounds() -> None:
    """No metric has more series, whatever is put there, and no value is lost."""
    snapshot = Snapshot(0.0)
    for number in range(5_000):
        histogram = Histogram()
        histogram.observe(1.0)
        snapshot.put("socksgw_denials_total", 1, f"rule-{number}")
        snapshot.put("socksgw_handshake_seconds", histogram, f"listener-{number}")
    denials = snapshot.of("socksgw_denials_total")
    assert len(denials) == MOST
    assert denials[OTHER,] == 4_001
    handshakes = snapshot.of("socksgw_handshake_seconds")
    assert len(handshakes) * (len(Histogram().counts) + 2) <= MOST
    others = handshakes[OTHER,]
    assert isinstance(others, Histogram)
    assert sum(others.counts) + len(handshakes) - 1 == 5_000


def test_sameLabels() -> None:
    """Values of the same labels are added together."""
    snapshot = Snapshot(0.0)
    snapshot.put("socksgw_denials_total", 1, "a")
    snapshot.put("socksgw_denials_total", 2, "a")
    assert snapshot.of("socksgw_denials_total") == {("a",): 3}
    assert [metric.name for metric, _ in snapshot] == ["socksgw_denials_total"]


def test_unknown() -> None:
    """What is not in the catalogue cannot be put."""
    with pytest.raises(KeyError):
        Snapshot(0.0).put("socksgw_nothing", 1)
    with pytest.raises(AssertionError):
        Snapshot(0.0).put("socksgw_clients", 1, "label")
