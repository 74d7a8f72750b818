"""
Counters and histograms, and their bounds.
"""

from __future__ import annotations

from socksgw.metrics.meters import MOST, OTHER, Histogram, Histograms, Meters


def test_histogram() -> None:
    """A bucket's upper bound belongs to it; what is beyond all has its own."""
    histogram = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 2.0, 2.5, 100):
        histogram.observe(value)
    assert histogram.counts == [2, 2, 2]
    assert histogram.sum == 107.5
    copy = histogram.copy()
    histogram.observe(0)
    assert copy.counts == [2, 2, 2]
    copy.add(histogram)
    assert (copy.counts, copy.sum) == ([5, 4, 4], 215.0)


def test_sessionsAreBounded() -> None:
    """Beyond the bound, listener and verdict are still told apart while that lasts."""
    meters = Meters()
    for number in range(20_000):
        verdict = ("allow", "deny")[number % 2]
        way = f"l{number % 300}", "socks5", f"c{number}", "none", verdict, 0
        meters.session(way)
    assert sum(meters.sessions.values()) == 20_000
    assert len(meters.sessions) <= MOST
    assert meters.sessions["l7", OTHER, OTHER, OTHER, "deny", 0] > 50
    assert meters.sessions[OTHER, OTHER, OTHER, OTHER, "allow", 0] > 50


def test_othersAreBounded() -> None:
    """So are the rest."""
    meters = Meters()
    for number in range(5_000):
        meters.denied(f"rule-{number}")
        meters.ended(f"reason-{number}")
        meters.moved(f"listener-{number}", 1, 2)
    assert len(meters.denials) == len(meters.ends) == MOST
    assert meters.denials[OTHER] == 4001
    assert len(meters.octets) == MOST // 2
    assert meters.octets[OTHER] == [4501, 9002]
    for labels in (1, 2):
        histograms = Histograms(labels=labels)
        for number in range(5_000):
            key = f"l{number}" if labels == 1 else (f"l{number}", "direct")
            histograms[key].observe(0.1)
        # Each bucket is a series, and so are the sum and the count.
        assert len(histograms) * (len(Histogram().counts) + 2) <= MOST
        assert sum(sum(each.counts) for each in histograms.values()) == 5_000
